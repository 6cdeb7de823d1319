"""Options: short names of settings, the same on the command line and as keywords in Python."""

from __future__ import annotations

from collections.abc import Mapping

from fer_mlops.config.experiments import FAMILIES
from fer_mlops.errors import ConfigError, did_you_mean

KEYS = {
    "data": "data.source",
    "split": "data.split",
    "seed": "seed",
    "on_bad_image": "data.on_bad_image",
    "identities": "data.identities",
    "identity_pattern": "data.identity_pattern",
    "relabel": "data.relabel",
    "contempt": "data.contempt",
    "experiment": "tracking.experiment",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.learning_rate",
    "backbone": "transfer.backbone",
    "weights": "transfer.weights",
    "teacher": "training.teacher",
    "auto_promote": "tracking.auto_promote",
}
"""Setting that an option of every training command changes, by the option's name."""
_OF_A_SWEEP = ("trials", "timeout", "workers", "objective", "folds", "seeds")


def option_keys(family: str, *, is_sweep: bool = False) -> dict[str, str]:
    """Returns the setting that each option changes, by the option's name.

    Raises:
        ConfigError: There is no such family.
    """
    if family not in FAMILIES:
        hint = did_you_mean(family, FAMILIES, f"it is one of {', '.join(FAMILIES)}")
        raise ConfigError(f"there is no family {family!r}; {hint}")
    section = "hog_svm" if family == "baseline" else family
    # --folds of a sweep divides train and valid only; --folds of a training run also sets the test part
    own = {name: f"tuning.{name}" for name in _OF_A_SWEEP} if is_sweep else {"folds": "data.folds"}
    return {**KEYS, **own, "image_size": f"{section}.image_size"}


def settings_of(
    family: str, named: Mapping[str, object], *, is_sweep: bool = False
) -> dict[str, object]:
    """Returns settings by dotted key from Python keywords; None leaves a setting at its default.

    A value is named by option (``epochs``), or by key with two underscores for the dot
    (``training__loss``).

    Raises:
        ConfigError: There is no such family.
    """
    keys = option_keys(family, is_sweep=is_sweep)
    return {
        keys.get(name, name.replace("__", ".")): value
        for name, value in named.items()
        if value is not None
    }
