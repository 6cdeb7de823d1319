"""On which faces the gate measures, and whom they favour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_mlops.config import DataConfig
from fer_mlops.data.loading import divide_faces, read_faces
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.metrics.identities import count_people
from fer_mlops.pipelines.candidates import Candidate
from fer_mlops.pipelines.shared_test_set import SharedTestSet, check_fairness, find_shared_test_set
from fer_mlops.progress import Progress


def promotion_test_set(
    candidates: Sequence[Candidate], source: str | None, cache: Path, progress: Progress
) -> tuple[SharedTestSet, bool]:
    """Returns the faces to measure on, and whether they are even for all.

    No contestant was fitted to them, as far as is known. They are even where none was chosen on them,
    or all were.

    Args:
        candidates: The version, and the champion if there is one.
        source: Other labelled faces, of which all are taken.
        cache: Folder for decoded faces.
        progress: Told of each stage.

    Raises:
        ConfigError: The version does not tell its data, and there is no source.
        DataError: The faces have changed or cannot be read, or a model has seen them.
    """
    version, champion = candidates[0], candidates[1] if len(candidates) > 1 else None
    if source:
        config = version.experiment.data if version.experiment else DataConfig()
        return find_shared_test_set(candidates, replace(config, source=source), cache, progress), True
    ground = _validation_part(version, cache, progress)
    if champion is None or _digest(champion) == _digest(version):
        return ground, True
    ground = check_fairness(_unseen(ground, champion), [champion])
    return replace(ground, warnings=(*ground.warnings, _favours(ground, champion))), False


def _validation_part(version: Candidate, cache: Path, progress: Progress) -> SharedTestSet:
    if version.experiment is None or version.provenance is None:
        raise ConfigError(f"{version.uri} does not tell the faces it was validated on: pass --data")
    config = version.experiment.data
    table, _ = read_faces(config, version.classifier.image_size, cache, progress)
    split = divide_faces(table, config, version.experiment.seed, cache, progress)
    if split.digest(table) != version.provenance.digest:
        raise DataError(
            f"the faces of {config.source!r} or their split are no longer those that {version.uri} was "
            "trained with; bring those back, or pass other faces as --data"
        )
    return SharedTestSet(
        config=config,
        table=table.select(split.valid),
        described=f"validation part of {table.name}, {split.kind} split",
    )


def _unseen(ground: SharedTestSet, champion: Candidate) -> SharedTestSet:
    """Returns the ground without people whom the champion learned from, as far as is known."""
    if champion.provenance is None:
        return ground
    is_new = ~np.isin(ground.table.identities, sorted(champion.provenance.people))
    _, num_unnamed = count_people(ground.table.identities)
    told = ", as far as they are named" if num_unnamed else ""
    said = f"{ground.described}, without people whom {champion.uri} learned from{told}"
    return replace(ground, table=ground.table.select(np.flatnonzero(is_new)), described=said)


def _digest(candidate: Candidate) -> str | None:
    return candidate.provenance.digest if candidate.provenance else None


def _favours(ground: SharedTestSet, champion: Candidate) -> str:
    """Returns why faces on which the version was chosen, and the champion was not, are not even."""
    said = (
        "these faces favour the new version: its calibration, its thresholds and, of a network, its "
        f"epoch were chosen on them, those of {champion.uri} were not"
    )
    tested = (
        {identity for _, _, identity in champion.provenance.tested} if champion.provenance else set()
    )
    num_tested = int(np.isin(ground.table.identities, sorted(tested)).sum())
    if num_tested:
        said += (
            f"; {num_tested} of them show people from the champion's test part, whose test scores say "
            "less once they have helped to choose"
        )
    return f"{said}. For a close call pass unseen faces as --data, or train with the champion's split"
