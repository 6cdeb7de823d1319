"""Trained models compared on the same faces: which is better, by how much, how sure, at what cost."""

from fer_mlops.comparison.comparing import (
    compare_models,
    compare_trained,
    log_comparison,
    log_parent,
    write_files,
)
from fer_mlops.comparison.contestants import children_of, latest_runs, repeats_of
from fer_mlops.comparison.verdict import Comparison, Entry, Match
from fer_mlops.comparison.words import answers_of, p_value, percent, verdict_of

__all__ = [
    "Comparison",
    "Entry",
    "Match",
    "answers_of",
    "children_of",
    "compare_models",
    "compare_trained",
    "latest_runs",
    "log_comparison",
    "log_parent",
    "p_value",
    "percent",
    "repeats_of",
    "verdict_of",
    "write_files",
]
