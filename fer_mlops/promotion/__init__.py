"""Which version serves: a gate before ``champion``, and the way back.

The gate itself is in ``promotion.gate``, which loads what measures a model.
"""

from fer_mlops.promotion.changes import delete_version, move_champion, roll_back, run_hook
from fer_mlops.promotion.rules import GateRules, gate_file, read_rules
from fer_mlops.promotion.versions import (
    Version,
    differences,
    find_candidate,
    list_versions,
    version_of,
)

__all__ = [
    "GateRules",
    "Version",
    "delete_version",
    "differences",
    "find_candidate",
    "gate_file",
    "list_versions",
    "move_champion",
    "read_rules",
    "roll_back",
    "run_hook",
    "version_of",
]
