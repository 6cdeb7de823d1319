"""Scores, comparisons and explanations of a trained classifier."""
