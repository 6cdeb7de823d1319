"""Trained models compared on the same faces: which is better, by how much, how sure, at what cost."""

from fer_mlops.comparison.comparing import (
    PAGE,
    compare_models,
    compare_trained,
    log_comparison,
    log_parent,
    write_files,
)
from fer_mlops.comparison.contestants import children_of, latest_runs, repeats_of
from fer_mlops.comparison.verdict import Comparison, Entry, Match
from fer_mlops.comparison.words import (
    how_much,
    how_sure,
    megabytes,
    p_value,
    percent,
    verdict_of,
    what_cost,
)

__all__ = [
    "PAGE",
    "Comparison",
    "Entry",
    "Match",
    "children_of",
    "compare_models",
    "compare_trained",
    "how_much",
    "how_sure",
    "latest_runs",
    "log_comparison",
    "log_parent",
    "megabytes",
    "p_value",
    "percent",
    "repeats_of",
    "verdict_of",
    "what_cost",
    "write_files",
]
