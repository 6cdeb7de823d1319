"""Shared test set: the faces that models are compared on, with fairness checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_mlops.config import DataConfig
from fer_mlops.data.loading import decode_faces, load_table
from fer_mlops.data.provenance import TrainingProvenance
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.images.arrays import Images, take_images
from fer_mlops.metrics.identities import count_people
from fer_mlops.pipelines.candidates import Candidate
from fer_mlops.progress import Progress

_WAYS_OUT = (
    "compare models of the same data, split and seed, pass faces that no model has seen with --data, "
    "or add --anyway"
)


@dataclass(frozen=True, kw_only=True)
class SharedTestSet:
    """Labelled faces for comparing models, with a description and warnings."""

    config: DataConfig
    """Configuration of the data set that holds the faces."""
    whole: FaceTable
    """The data set, unreadable images included: the decoded faces are cached for all of it."""
    table: FaceTable
    """The faces to compare on."""
    described: str
    """``test part of sample, identity split`` or ``all of other-set``."""
    warnings: tuple[str, ...] = ()
    """Reasons why the comparison may be unfair or unreliable."""
    decoded: Mapping[int, Images] = field(default_factory=dict)
    """Faces in memory by their side, one per row of ``table``; others are read."""

    def select(self, rows: NDArray[np.int64]) -> SharedTestSet:
        """Returns the test set with these rows only."""
        decoded = {side: take_images(pixels, rows) for side, pixels in self.decoded.items()}
        return replace(self, table=self.table.select(rows), decoded=decoded)

    def pixels(self, side: int, cache: Path, progress: Progress) -> Images:
        """Returns the decoded faces, one per row of ``table``; training has usually cached them."""
        if side in self.decoded:
            return self.decoded[side]
        read, pixels = decode_faces(self.whole, self.config, side, cache, progress)
        # by path, as unreadable images are left out of what was decoded
        row_of = {path: row for row, path in enumerate(read.paths)}
        return take_images(pixels, np.array([row_of[path] for path in self.table.paths], np.int64))


def find_shared_test_set(
    candidates: Sequence[Candidate],
    other: DataConfig | None,
    cache: Path,
    progress: Progress,
    *,
    allow_overlap: bool = False,
) -> SharedTestSet:
    """Returns the faces to compare on: all of ``other``, else the test faces that all models share.

    Raises:
        ConfigError: A model's test faces are unknown, so other data must be given.
        DataError: The models share no test face, a model has seen people in the faces, or the faces
            cannot be read.
    """
    side = candidates[0].classifier.image_size
    if other:
        return check_fairness(
            _all_of(other, side, cache, progress), candidates, allow_overlap=allow_overlap
        )
    test_set = _shared(candidates, cache, progress)
    digests = {candidate.provenance.digest for candidate in candidates if candidate.provenance}
    return check_fairness(
        test_set, candidates, is_one_split=len(digests) == 1, allow_overlap=allow_overlap
    )


def check_fairness(
    test_set: SharedTestSet,
    candidates: Sequence[Candidate],
    *,
    is_one_split: bool = False,
    allow_overlap: bool = False,
) -> SharedTestSet:
    """Returns the test set with a warning for each model that has, or may have, seen its people.

    ``is_one_split``: the faces are the test part of one split used by all models.

    Raises:
        DataError: A model has seen people in the test set.
    """
    warnings = list(test_set.warnings)
    _, num_unnamed = count_people(test_set.table.identities)
    if num_unnamed:
        warnings.append(
            "it is unknown whether the models saw the people on these faces in training: "
            f"{num_unnamed:,} of {len(test_set.table):,} faces have no identity"
        )
    for candidate in candidates:
        if candidate.provenance is None:
            warnings.append(
                f"the training faces of {candidate.name} are unknown: if they include these "
                "faces, its scores are too high"
            )
            continue
        known = np.isin(test_set.table.identities, sorted(candidate.provenance.people))
        if not known.any():
            continue
        people = sorted(set(test_set.table.identities[known].tolist()))
        overlap = (
            f"{known.mean():.0%} of the faces compared on show people whom {candidate.name} saw in "
            f"training or validation ({len(people)}, such as {people[0]!r})"
        )
        if is_one_split:  # all models saw the same people
            warnings.append(
                f"the split makes scores too high: {known.mean():.0%} of these faces show people whom "
                "the models saw in training or validation; this affects all models equally"
            )
            break
        if not allow_overlap:
            raise DataError(f"not a fair comparison: {overlap}; {_WAYS_OUT}")
        warnings.append(f"not a fair comparison: {overlap}")
    return replace(test_set, warnings=tuple(warnings))


def _all_of(config: DataConfig, side: int, cache: Path, progress: Progress) -> SharedTestSet:
    whole = load_table(config, cache, progress)
    table, pixels = decode_faces(whole, config, side, cache, progress)
    return SharedTestSet(
        config=config,
        whole=whole,
        table=table,
        described=f"all of {table.name}",
        decoded={side: pixels},
    )


def _shared(candidates: Sequence[Candidate], cache: Path, progress: Progress) -> SharedTestSet:
    """Returns the test faces that all models have in common."""
    provenances: list[TrainingProvenance] = []
    configs: list[DataConfig] = []
    for candidate in candidates:
        if candidate.provenance is None or candidate.experiment is None:
            raise ConfigError(f"the test faces of {candidate.name} are unknown; pass --data")
        provenances.append(candidate.provenance)
        configs.append(candidate.experiment.data)
    shared = frozenset.intersection(*(provenance.tested for provenance in provenances))
    tables = {config: load_table(config, cache, progress) for config in set(configs)}
    if len({table.root.resolve() for table in tables.values()}) > 1:
        shared = frozenset()  # equal names in different folders are different faces
    if not shared:
        tested = "; ".join(
            f"{candidate.name} on {config.source}, {config.split} split, "
            f"seed {candidate.experiment.seed}"
            for candidate, config in zip(candidates, configs, strict=True)
            if candidate.experiment
        )
        raise DataError(
            f"these models share no test face ({tested}): train them on the same data, split and seed, "
            "or compare them on other faces with --data"
        )
    table = tables[configs[0]]
    emotions = (EMOTIONS[label] for label in table.labels)
    faces = zip(table.paths, emotions, table.identities.tolist(), strict=True)
    rows = [row for row, face in enumerate(faces) if face in shared]
    if len(rows) < len(shared):
        raise DataError(
            f"{len(shared) - len(rows)} of the {len(shared)} test faces in {configs[0].source!r} are "
            "missing or changed: restore them, or pass other faces with --data"
        )
    warnings = []
    if len({provenance.digest for provenance in provenances}) > 1:
        most = max(len(provenance.tested) for provenance in provenances)
        warnings.append(
            f"these models had different splits: compared on the {len(rows)} test faces that all have "
            f"in common, of up to {most}"
        )
    splits = " or ".join(sorted({config.split for config in configs}))
    return SharedTestSet(
        config=configs[0],
        whole=table,
        table=table.select(rows),
        described=f"test part of {table.name}, {splits} split",
        warnings=tuple(warnings),
    )
