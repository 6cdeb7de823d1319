"""What a version must show before it becomes champion, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from fer_mlops.config.recipes import fill, read_settings, recipes_folder
from fer_mlops.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """The limits of the gate; all are measured on the same faces for both models."""

    least_faces: int = 50
    """Faces to compare on, below which nothing is decided."""
    macro_f1_floor: float = 0.3
    """Macro-F1 the version must have at all."""
    margin: float = 0.02
    """Macro-F1 by which the champion may be ahead, at 95 %, if the version is cheaper; and by which the
    version must be ahead where the champion had another split."""
    cheaper_by: float = 0.1
    """Share by which latency or size must be lower for the version to count as cheaper."""
    recall_loss: float = 0.1
    """Recall that an emotion may lose against the champion."""
    class_faces: int = 20
    """Faces of an emotion from which ``recall_loss`` is asked of it."""
    ece_ceiling: float = 0.1
    """Largest expected calibration error."""
    slice_gap_ceiling: float = 0.2
    """Accuracy that a slice served significantly worse may lack at equal emotions."""
    latency_ms: float = 100.0
    """For one face on one thread, in milliseconds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
                raise ConfigError(f"gate rule {field.name} must be a number from 0 on, got {value!r}")


def gate_file() -> Path:
    """Returns the project's own rules, ``experiments/gate.yaml``."""
    return recipes_folder() / "gate.yaml"


def read_rules(path: Path) -> GateRules:
    """Returns the rules in a YAML file; what it leaves out has its default.

    Raises:
        ConfigError: The file is missing, is no YAML mapping, or has an unknown rule or a wrong value.
    """
    return fill(GateRules(), read_settings(path, "gate rules"), "")
