"""Splits: train, valid and test rows of a face table."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fer_mlops.config import SPLITS, DataConfig
from fer_mlops.data.csv_reader import read_csv
from fer_mlops.data.duplicates import join
from fer_mlops.data.table import FaceTable, composed, shorten
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.metrics.identities import count

Rows = NDArray[np.int64]  # shape [n]; ascending row numbers of a FaceTable
PARTS = ("train", "valid", "test")
# most sources that are spread evenly over the parts, since otherwise the few people of one source may
# all be in test by chance; with more sources they are ignored
_MOST_SOURCES = 8
_LARGEST = 0.05  # share of a part from which one person has too much influence on its score
# a person may exceed `_LARGEST` up to this multiple of the mean number of faces per person
_LARGEST_USUAL = 3


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three disjoint sets of rows that together cover the table."""

    kind: str
    """``identity`` (no person in two parts), ``random`` (scores too good), ``given`` or ``file``."""
    train: Rows
    valid: Rows
    test: Rows

    def parts(self) -> dict[str, Rows]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def digest(self, table: FaceTable) -> str:
        """Returns 16 hexadecimal digits that change with the table or with any row's part."""
        state = hashlib.sha256(table.digest().encode())
        for name, rows in self.parts().items():
            state.update(name.encode() + np.ascontiguousarray(rows, dtype="<i8").tobytes())
        return state.hexdigest()[:16]

    def as_csv(self, table: FaceTable) -> str:
        """Returns a csv that ``--split`` reads: columns image, emotion, identity, part."""
        parts = np.empty(len(table), dtype="<U5")
        for name, rows in self.parts().items():
            parts[rows] = name
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "emotion", "identity", "part"])
        for path, label, identity, part in zip(
            table.paths, table.labels, table.identities, parts, strict=True
        ):
            writer.writerow([path, EMOTIONS[label], identity, part])
        return text.getvalue()


def split_faces(
    table: FaceTable, config: DataConfig, seed: int, clusters: NDArray[np.int64] | None = None
) -> Split:
    """Returns the split configured in ``config``, stratified by emotion.

    ``clusters`` are equal numbers [n] for near duplicates, which ``identity`` keeps in one part.

    Raises:
        DataError: An emotion has too few faces, or there are too few people, to fill three parts; or
            the given parts or the split file do not fit the faces.
    """
    if sum(num > 0 for num in table.counts().values()) < 2:
        raise DataError("all faces show one emotion; a classifier needs at least two")
    if config.split == "given":
        split = _given(table, config, seed, clusters)
    elif config.split in SPLITS:
        split = _dealt(table, config, seed, clusters)
    else:
        split = _from_file(table, Path(config.split))
    absent = np.setdiff1d(np.unique(table.labels), np.unique(table.labels[split.train]))
    if len(absent):
        named = ", ".join(EMOTIONS[label] for label in absent)
        raise DataError(
            f"no train face shows {named}, so no model can learn it; add people, or choose another "
            "--split"
        )
    for part, rows in split.parts().items():
        if not len(rows):
            raise DataError(f"no face is left for {part}; add faces or change data.{part}_share")
    return split


def groups_of(table: FaceTable, clusters: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Returns a group number for each face [n], shared by one person's faces and near duplicates."""
    ties = [table.identities] if clusters is None else [table.identities, clusters]
    edges = []
    for tie in ties:
        _, first, inverse = np.unique(tie, return_index=True, return_inverse=True)
        edges.append(np.stack([np.arange(len(table)), first[inverse]], axis=1))
    return join(len(table), *edges)


def _dealt(table: FaceTable, config: DataConfig, seed: int, clusters: NDArray[np.int64] | None) -> Split:
    for emotion, num in table.counts().items():
        if 0 < num < 3:
            raise DataError(
                f"{emotion} has {count(num, 'face')}; each emotion needs at least 3, "
                "one for each of train, valid and test: add faces or take the emotion out"
            )
    everyone = np.arange(len(table))
    groups = everyone if config.split == "random" else groups_of(table, clusters)
    num_groups = len(np.unique(groups))
    if num_groups < max(3, config.folds):
        num_people = len(np.unique(table.identities))
        joined = " (people who share a photo count as one)" if num_groups < num_people else ""
        raise DataError(
            f"{num_groups} people{joined} cannot be divided into {max(3, config.folds)} parts; add "
            "people, identify them with --identity-pattern, or use --split random, whose scores are too "
            "good"
        )
    generator = np.random.default_rng(seed)
    valid, test = config.valid_share, config.test_share
    if not config.folds:
        part = _deal(table, everyone, groups, (1 - valid - test, valid, test), generator)
        return _split(config.split, part)
    fold = _deal(table, everyone, groups, [1 / config.folds] * config.folds, generator)
    rest = np.flatnonzero(fold != config.fold)
    share = valid / (1 - 1 / config.folds)  # of the rest, for its share of the whole
    part = np.full(len(table), 2)
    part[rest] = _deal(table, rest, groups, (1 - share, share), generator)
    return _split(config.split, part)


def _given(table: FaceTable, config: DataConfig, seed: int, clusters: NDArray[np.int64] | None) -> Split:
    missing = [part for part in ("train", "test") if not (table.parts == part).any()]
    if missing:
        named = " and a ".join(missing)
        raise DataError(f"{table.name} has no {named} part of its own; use --split identity")
    nowhere = [table.paths[row] for row in np.flatnonzero(~np.isin(table.parts, PARTS))]
    if nowhere:
        raise DataError(f"{len(nowhere)} faces of {table.name} are in no given part: {shorten(nowhere)}")
    part = np.select([table.parts == name for name in PARTS], range(3))
    if not (part == 1).any():
        rows = np.flatnonzero(part == 0)
        share = config.valid_share / (1 - config.test_share)
        generator = np.random.default_rng(seed)
        part[rows] = _deal(table, rows, groups_of(table, clusters), (1 - share, share), generator)
    return _split("given", part)


def _from_file(table: FaceTable, path: Path) -> Split:
    part_of: dict[str, str] = {}
    for line in read_csv(path, ("image", "part")):
        if line["part"] not in PARTS:
            where = f"{path.name} line {line.number}"
            raise DataError(f"{where}: part must be train, valid or test, got {line['part']!r}")
        part_of[composed(line["image"])] = line["part"]
    missing = [image for image in table.paths if composed(image) not in part_of]
    if missing:
        raise DataError(
            f"split {str(path)!r} has no part for {len(missing)} of {len(table)} faces: "
            f"{shorten(missing)}"
        )
    return _split("file", np.array([PARTS.index(part_of[composed(image)]) for image in table.paths]))


def _split(kind: str, part: NDArray[np.int64]) -> Split:
    train, valid, test = (np.flatnonzero(part == number) for number in range(3))
    return Split(kind=kind, train=train, valid=valid, test=test)


def _deal(
    table: FaceTable,
    rows: Rows,
    groups: NDArray[np.int64],
    shares: Sequence[float],
    generator: Generator,
) -> NDArray[np.int64]:
    """Returns the part [n], 0 to len(shares) - 1, of each of ``rows``; no group is in two parts."""
    # sorted by path, so that the result does not depend on the order of the table's rows
    order = np.argsort(np.array(table.paths)[rows])
    ordered = rows[order]
    _, first, group = np.unique(groups[ordered], return_index=True, return_inverse=True)
    group = np.argsort(np.argsort(first))[group]  # numbered by first appearance, not by row number
    counts = np.zeros((len(first), len(EMOTIONS)), dtype=np.int64)
    np.add.at(counts, (group, table.labels[ordered]), 1)
    of_source = np.zeros((len(first), _MOST_SOURCES), dtype=np.int64)
    names, source = np.unique(table.sources[ordered], return_inverse=True)
    if len(names) <= _MOST_SOURCES:
        np.add.at(of_source, (group, source), 1)
    part_of_group = _deal_groups(counts, of_source, np.asarray(shares), generator)
    _fill_empty(counts, part_of_group, len(shares))
    parts = np.empty(len(rows), dtype=np.int64)
    parts[order] = part_of_group[group]
    return parts


def _deal_groups(
    counts: NDArray[np.int64],
    of_source: NDArray[np.int64],
    shares: NDArray[np.float64],
    generator: Generator,
) -> NDArray[np.int64]:
    """Returns the part of each group, given its faces by emotion [groups, 7] and by source.

    Groups of several faces come first, in descending size. Each goes to a random part that has room for
    all its emotions and its source, and of which it would not be a large share; if there is none, to
    the part that it overfills least. Single faces then fill up the emotions of all parts.
    """
    kinds = np.concatenate([counts, of_source], axis=1)
    target = shares[:, None] * kinds.sum(0)
    dealt = np.zeros_like(target)
    part = np.full(len(counts), -1)
    shuffled = generator.permutation(len(counts))
    sizes = counts.sum(1)
    several = shuffled[sizes[shuffled] > 1]
    largest = np.maximum(_LARGEST * shares * sizes.sum(), _LARGEST_USUAL * sizes.mean())
    largest[shares == shares.max()] = np.inf  # the largest part, train, takes anyone
    for number in several[np.argsort(-sizes[several], kind="stable")]:
        shown = kinds[number] > 0
        filled = (dealt + kinds[number])[:, shown] / np.maximum(target[:, shown], 1e-9)
        is_small = sizes[number] <= largest
        has_room = (filled <= 1).all(1) & is_small
        if has_room.any():
            weights = has_room * shares
            chosen = int(generator.choice(len(shares), p=weights / weights.sum()))
        else:
            chosen = int(np.where(is_small, filled.max(1), np.inf).argmin())
        part[number] = chosen
        dealt[chosen] += kinds[number]
    for label in range(len(EMOTIONS)):
        alone = shuffled[(sizes[shuffled] == 1) & (counts[shuffled, label] == 1)]
        room = np.maximum(target[:, label] - dealt[:, label], 0) + 1e-9  # a sum to divide by
        part[alone] = np.repeat(np.arange(len(shares)), _apportion(len(alone), room))
    return part


def _apportion(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns integers that sum to ``total``, in proportion to the weights (Hamilton's method)."""
    exact = total * weights / weights.sum()
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: total - whole.sum()]] += 1
    return np.asarray(whole)


def _fill_empty(counts: NDArray[np.int64], part: NDArray[np.int64], num_parts: int) -> None:
    """Moves groups, in place, into parts without an emotion if another part can spare it."""
    # rare emotions first: few groups show them
    for label in np.argsort((counts > 0).sum(0), kind="stable"):
        for empty in range(num_parts):
            showing = counts[:, label] > 0
            if (showing & (part == empty)).any():
                continue
            for number in np.flatnonzero(showing)[np.argsort(counts[showing].sum(1), kind="stable")]:
                others = (part == part[number]) & (np.arange(len(part)) != number)
                if (counts[others][:, counts[number] > 0].sum(0) > 0).all():
                    part[number] = empty
                    break
