"""Registered versions: listing, lookup and comparison."""

from __future__ import annotations

from mlflow.entities import Run

from fer_mlops import REGISTERED_NAME
from fer_mlops.config.recipes import Scalar, flatten
from fer_mlops.errors import ConfigError, ModelError, did_you_mean
from fer_mlops.tracking.alias_lock import all_aliases, find_version, get_version
from fer_mlops.tracking.model_names import CHALLENGER
from fer_mlops.tracking.queries import get_run, load_run_config
from fer_mlops.tracking.version_list import Version, list_versions, version_from

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "ece")


def version_of(name: str) -> Version:
    """Returns the version of a number or an alias; raises ModelError if there is none."""
    if name.isdigit():
        found = get_version(name)
    else:
        named = find_version(name)
        if named is None:
            aliases = all_aliases()
            hint = did_you_mean(name, aliases, f"it has: {', '.join(aliases) or 'none'}")
            raise ModelError(f"{REGISTERED_NAME} has no version with the alias {name!r}; {hint}")
        found = named
    return version_from(found, all_aliases())


def find_candidate(version: int | None, run_id: str) -> int:
    """Returns the version to promote: ``version``, the run's newest version, or the challenger.

    Raises:
        ConfigError: Both a version and a run are given.
        ModelError: There is no such version.
    """
    if version is not None and run_id:
        raise ConfigError("--version and --run both select the version to promote; give only one")
    if version is not None:
        return version_of(str(version)).number
    if run_id:
        made = [version.number for version in list_versions() if version.run_id == run_id]
        if not made:
            raise ModelError(f"run {run_id} has registered no version of {REGISTERED_NAME}")
        return max(made)
    challenger = find_version(CHALLENGER)
    if challenger is None:
        raise ModelError(f"{REGISTERED_NAME} has no challenger; name a version with --version")
    return int(challenger.version)


def differences(one: Version, other: Version) -> list[tuple[str, Scalar | None, Scalar | None]]:
    """Returns the settings and test scores that differ, as (name, value of one, value of other).

    A value that a version does not have is None. Raises ModelError if the run of a version was deleted.
    """
    runs = [_run(version) for version in (one, other)]
    found: list[tuple[str, Scalar | None, Scalar | None]] = []
    experiments = [load_run_config(version.run_id) for version in (one, other)]
    settings = [{"family": own.family, **flatten(own)} for own in experiments]
    for key in sorted(settings[0].keys() | settings[1].keys()):
        values = [own.get(key) for own in settings]
        if values[0] != values[1]:
            found.append((key, values[0], values[1]))
    for score in _SCORES:
        scores = [run.data.metrics.get(f"test/{score}") for run in runs]
        if scores[0] != scores[1]:
            found.append((f"test/{score}", scores[0], scores[1]))
    return found


def _run(version: Version) -> Run:
    try:
        return get_run(version.run_id)
    except ModelError as error:
        raise ModelError(f"the run of version {version.number} is gone") from error
