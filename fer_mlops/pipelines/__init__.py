"""Pipelines: one module per command (train, evaluate, compare, explain, promote)."""
