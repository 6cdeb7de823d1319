"""Test set of the promotion gate, and whether it favours a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_mlops.config import DataConfig
from fer_mlops.data.loading import Data, decode_faces, divide_faces, load_table
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.images.arrays import take_images
from fer_mlops.metrics.identities import count_people
from fer_mlops.pipelines.candidates import Candidate
from fer_mlops.pipelines.shared_test_set import SharedTestSet, check_fairness, find_shared_test_set
from fer_mlops.progress import Progress


def promotion_test_set(
    candidates: Sequence[Candidate],
    source: str | None,
    cache: Path,
    progress: Progress,
    data: Data | None = None,
) -> tuple[SharedTestSet, bool]:
    """Returns the faces to evaluate on, and whether they are fair to all candidates.

    As far as is known, no candidate was fitted to these faces. They are fair if no candidate was
    selected on them, or if all were.

    The first candidate is the version; the champion follows if there is one. All faces of ``source``
    are used. ``data`` is what this process trained the version on; None to read it.

    Raises:
        ConfigError: The version's data is unknown, and there is no source.
        DataError: The faces have changed or cannot be read, or a model has seen them.
    """
    version, champion = candidates[0], candidates[1] if len(candidates) > 1 else None
    if source:
        config = version.experiment.data if version.experiment else DataConfig()
        return find_shared_test_set(candidates, replace(config, source=source), cache, progress), True
    test_set = _validation_part(version, cache, progress, data)
    if champion is None or _digest(champion) == _digest(version):
        return test_set, True
    # the version cannot have learned from its own validation part; the champion can
    test_set = check_fairness(_unseen(test_set, champion), [champion])
    return replace(test_set, warnings=(*test_set.warnings, _favours(test_set, champion))), False


def _validation_part(
    version: Candidate, cache: Path, progress: Progress, data: Data | None
) -> SharedTestSet:
    if version.experiment is None or version.provenance is None:
        raise ConfigError(f"the validation faces of {version.uri} are unknown; pass --data")
    config, side = version.experiment.data, version.classifier.image_size
    if data:
        whole, table, split = data.table, data.table, data.split
        pixels = data.parts["valid"].pixels
    else:
        whole = load_table(config, cache, progress)
        table, faces = decode_faces(whole, config, side, cache, progress)
        split = divide_faces(table, config, version.experiment.seed, cache, progress)
        pixels = take_images(faces, split.valid)
    if split.digest(table) != version.provenance.digest:
        raise DataError(
            f"the faces of {config.source!r} or their split have changed since {version.uri} was "
            "trained; restore them, or pass other faces with --data"
        )
    return SharedTestSet(
        config=config,
        whole=whole,
        table=table.select(split.valid),
        described=f"validation part of {table.name}, {split.kind} split",
        decoded={side: pixels},
    )


def _unseen(test_set: SharedTestSet, champion: Candidate) -> SharedTestSet:
    """Returns the test set without the people in the champion's training data, if known."""
    if champion.provenance is None:
        return test_set
    is_new = ~np.isin(test_set.table.identities, sorted(champion.provenance.people))
    _, num_unnamed = count_people(test_set.table.identities)
    limit = ", as far as they are named" if num_unnamed else ""
    described = f"{test_set.described}, without people in the training data of {champion.uri}{limit}"
    return replace(test_set.select(np.flatnonzero(is_new)), described=described)


def _digest(candidate: Candidate) -> str | None:
    return candidate.provenance.digest if candidate.provenance else None


def _favours(test_set: SharedTestSet, champion: Candidate) -> str:
    """Returns a warning that the faces favour the version, which was selected on them."""
    warning = (
        "these faces favour the new version: its calibration, thresholds and (for a network) epoch were "
        f"chosen on them; those of {champion.uri} were not"
    )
    tested = champion.provenance.tested if champion.provenance else ()
    people = sorted({identity for _, _, identity in tested})
    num_tested = int(np.isin(test_set.table.identities, people).sum())
    if num_tested:
        warning += (
            f"; {num_tested} of them show people from the champion's test part, so the champion's test "
            "scores are no longer independent"
        )
    return (
        f"{warning}. For a close decision, pass unseen faces with --data or train with the champion's "
        "split"
    )
