"""Promotion gate rules, read from YAML: limits that a version must meet to become champion."""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

import yaml

from fer_mlops.config.recipes import recipes_folder
from fer_mlops.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """Limits of the gate, measured on the same faces for both models."""

    least_faces: int = 50
    """Smallest number of faces to compare on; with fewer, nothing is decided."""
    macro_f1_floor: float = 0.3
    """Smallest macro-F1 of the version."""
    margin: float = 0.02
    """Macro-F1 by which the champion may be ahead, at 95 %, if the version is cheaper; also the lead
    that the version needs if the champion was trained on another split."""
    cheaper_by: float = 0.1
    """Share by which latency or size must be lower for the version to count as cheaper."""
    recall_loss: float = 0.1
    """Largest loss of recall of an emotion against the champion."""
    class_faces: int = 20
    """Smallest number of faces of an emotion for ``recall_loss`` to apply to it."""
    ece_ceiling: float = 0.1
    """Largest expected calibration error."""
    slice_gap_ceiling: float = 0.2
    """Largest accuracy gap, at equal emotions, of a slice that is significantly worse."""
    latency_ms: float = 100.0
    """Largest latency for one face on one thread, in milliseconds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
                raise ConfigError(f"gate rule {field.name} must be a number, 0 or more, got {value!r}")


def gate_file() -> Path:
    """Returns the path of the project's rules, ``experiments/gate.yaml``."""
    return recipes_folder() / "gate.yaml"


def read_rules(path: Path) -> GateRules:
    """Returns the rules in a YAML file; rules that it omits have their defaults.

    Raises:
        ConfigError: The file is missing, is not a YAML mapping, or has an unknown rule or an invalid
            value.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the gate's rules in {str(path)!r}: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"the gate's rules in {str(path)!r} must be a YAML mapping of rule to limit")
    known = [field.name for field in fields(GateRules)]
    for key in tree:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known rules: {', '.join(known)}"
            raise ConfigError(f"unknown gate rule {key!r} in {str(path)!r}; {hint}")
    return GateRules(**tree)
