"""Promotion gate rules, read from YAML: limits that a version must meet to become champion."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from fer_mlops.config.conversion import fill
from fer_mlops.config.recipes import read_settings
from fer_mlops.config.validation import AtLeast0, NotNegative, Settings
from fer_mlops.files import recipes_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRules(Settings):
    """Limits of the gate, measured on the same faces for both models."""

    least_faces: AtLeast0 = 50
    """Smallest number of faces to compare on; with fewer, nothing is decided."""
    macro_f1_floor: NotNegative = 0.3
    """Smallest macro-F1 of the version."""
    margin: NotNegative = 0.02
    """Macro-F1 by which the champion may be ahead, at 95%, if the version is cheaper; also the lead
    that the version needs if the champion was trained on another split."""
    cheaper_by: NotNegative = 0.1
    """Share by which latency or size must be lower for the version to count as cheaper."""
    recall_loss: NotNegative = 0.1
    """Largest loss of recall of an emotion against the champion."""
    class_faces: AtLeast0 = 20
    """Smallest number of faces of an emotion for ``recall_loss`` to apply to it."""
    ece_ceiling: NotNegative = 0.1
    """Largest expected calibration error."""
    slice_gap_ceiling: NotNegative = 0.2
    """Largest accuracy gap, at equal emotions, of a slice that is significantly worse."""
    latency_ms: NotNegative = 100.0
    """Largest latency for one face on one thread, in milliseconds."""


def gate_file() -> Path:
    """Returns the path of the project's rules, ``experiments/gate.yaml``."""
    return recipes_folder() / "gate.yaml"


def read_rules(path: Path) -> GateRules:
    """Returns the rules in a YAML file; rules that it omits have their defaults.

    Raises:
        ConfigError: The file is missing, is not a YAML mapping, or has an unknown rule or an invalid
            value.
    """
    return fill(GateRules(), read_settings(path, "gate rules"))
