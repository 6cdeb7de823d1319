"""What the command line shows: progress bars and tables."""

from fer_mlops.console.data import print_datasets, print_findings, print_split
from fer_mlops.console.scores import print_comparison, print_judged, print_looks, print_report
from fer_mlops.console.screen import console, print_view, progress_bars
from fer_mlops.console.training import (
    print_registration,
    print_repeats,
    print_repetition,
    print_step,
    print_trained,
)
from fer_mlops.console.versions import print_card, print_decision, print_differences, print_versions

__all__ = [
    "console",
    "print_card",
    "print_comparison",
    "print_datasets",
    "print_decision",
    "print_differences",
    "print_findings",
    "print_judged",
    "print_looks",
    "print_registration",
    "print_repeats",
    "print_repetition",
    "print_report",
    "print_split",
    "print_step",
    "print_trained",
    "print_versions",
    "print_view",
    "progress_bars",
]
