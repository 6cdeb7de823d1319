"""Measures of whether explanation maps can be trusted."""
