"""Findings on people and photos that are in train and test at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fer_mlops.config import SPLITS, DataConfig
from fer_mlops.data.quality.findings import Cell, Example, Finding, Listing
from fer_mlops.data.splits import Split, split_faces
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.metrics.identities import count, is_by_face, is_named

_FEW_FACES = 10
_MUCH = 1 / 3  # share of an emotion's faces from which one person dominates it


@dataclass(frozen=True, slots=True)
class _Leak:
    """Test faces [n test] of a split whose person or photo is also in train."""

    person: NDArray[np.bool_]
    person_and_emotion: NDArray[np.bool_]
    photo: NDArray[np.bool_]
    is_named: NDArray[np.bool_]
    """For unnamed faces it is unknown whether train has their person."""


def split_kind(config: DataConfig) -> str:
    """Returns the kind of a split: its setting, or ``file`` for a csv's path."""
    return config.split if config.split in SPLITS else "file"


@dataclass(frozen=True, kw_only=True)
class KnownPeople:
    """Share of the test part that shows people from train, as far as faces have a named person."""

    share: float
    """Share of the named test faces, 0 to 1; nan if no test face is named."""
    num_test: int
    num_train: int
    unnamed_test: int
    """Test faces without a named person."""
    unnamed_train: int
    by_face: int = 0
    """Test faces whose person is identified by face only."""

    def tag(self) -> str:
        """Returns the share, and the number of faces for which it is unknown."""
        if not self.num_test:
            return "no test face"
        if self.unnamed_test == self.num_test:
            return f"unknown: {self._nobody()}"
        unknown = f"; {self._nobody()}" if self._nobody() else ""
        by_face = f"; {self.by_face:,} test faces identified by face only" if self.by_face else ""
        return f"{self.share:.3f}{' of the named' if unknown else ''}{unknown}{by_face}"

    def sentence(self) -> str:
        """Returns the same in a sentence or two."""
        if not self.by_face:
            return self._share()
        return (
            f"{self._share()} People of {self.by_face:,} of the {self.num_test:,} test faces are "
            "identified by face only, which can miss photos of one person."
        )

    def _share(self) -> str:
        unknown = self._nobody()
        if self.unnamed_test == self.num_test:
            return f"The share of test faces that show a person from train is unknown: {unknown}."
        if unknown:
            return (
                f"{self.share:.0%} of the test faces that name a person show one from train; for the "
                f"others it is unknown: {unknown}."
            )
        return f"{self.share:.0%} of the test faces show a person from train."

    def caution(self, copies: float = 0.0) -> str:
        """Returns why test scores may be too high; empty if there is no reason.

        ``copies`` is the share of the test faces that are near duplicates of photos in train.
        """
        reasons = []
        if self.share > 0:
            reasons.append(f"Optimistic: {self.sentence()}")
        elif self.num_test and (self._nobody() or self.by_face):
            reasons.append(f"Perhaps optimistic: {self.sentence()}")
        if copies > 0:
            reasons.append(
                f"Optimistic: {copies:.1%} of the test faces are near duplicates of photos in train."
            )
        return " ".join(reasons)

    def _nobody(self) -> str:
        if self.unnamed_test == self.num_test and self.unnamed_train == self.num_train:
            return "nobody is named"
        parts = (self.unnamed_test, self.num_test, "test"), (self.unnamed_train, self.num_train, "train")
        counts = [f"{some:,} of {num:,} {part} faces" for some, num, part in parts if some]
        return f"{' and '.join(counts)} name nobody" if counts else ""


def find_known_people(table: FaceTable, split: Split) -> KnownPeople:
    """Returns how many test faces show people from train, and how many are unnamed."""
    test, train = table.identities[split.test], table.identities[split.train]
    named = test[is_named(test)]
    return KnownPeople(
        share=float(np.isin(named, train).mean()) if len(named) else float("nan"),
        num_test=len(test),
        num_train=len(train),
        unnamed_test=len(test) - len(named),
        unnamed_train=int((~is_named(train)).sum()),
        by_face=int(is_by_face(test).sum()),
    )


def make_splits(
    table: FaceTable, config: DataConfig, seed: int, clusters: NDArray[np.int64] | None
) -> tuple[dict[str, Split], list[Finding]]:
    """Returns every kind of split that can be made, and a finding if that of ``config`` cannot.

    ``clusters`` are equal numbers [n] for near duplicates; None if unknown.
    """
    own = split_kind(config)
    kinds = ["random", "identity"]
    if (table.parts == "test").any() and (table.parts == "train").any():
        kinds.append("given")
    splits, findings = {}, []
    for kind in dict.fromkeys([*kinds, own]):
        # folds belong to the chosen split; the others are only compared with it
        other = replace(config, split=kind, folds=0, fold=0) if kind != own else config
        try:
            splits[kind] = split_faces(table, other, seed, clusters)
        except DataError as error:
            if kind == own:
                findings.append(
                    Finding(
                        kind="no-split",
                        severity="error",
                        what=str(error),
                        consequence=f"the {kind} split cannot be made, so training stops",
                        remedy="",
                        num=len(table),
                    )
                )
    return splits, findings


def leak_findings(
    table: FaceTable, splits: Mapping[str, Split], chosen: str, clusters: NDArray[np.int64] | None
) -> list[Finding]:
    """Returns findings on test faces whose person or photo is in train.

    ``chosen`` is the kind of split used for scores; of the others, only random gets a note.
    """
    findings = []
    for kind, split in splits.items():
        leak = _find_leak(table, split, clusters)
        is_chosen = kind == chosen
        if leak.person.any() and (is_chosen or kind == "random"):
            findings.append(_known_people(table, kind, split, leak, is_chosen=is_chosen))
        if leak.photo.any() and is_chosen:
            rows = split.test[leak.photo]
            findings.append(
                Finding(
                    kind="copies-across-parts",
                    severity="warning",
                    what=f"the {kind} split has {count(len(rows), 'test face')} whose photo is in train",
                    consequence="the model can remember these photos, so scores are too good",
                    remedy="delete the copies, or use --split identity, which keeps them in one part",
                    num=len(rows),
                    examples=tuple(Example(table.paths[row], "test") for row in rows),
                )
            )
    return [*findings, *_one_person(table)]


def _known_people(table: FaceTable, kind: str, split: Split, leak: _Leak, *, is_chosen: bool) -> Finding:
    known, both = leak.person.mean(), leak.person_and_emotion.mean()
    rows = split.test[leak.person_and_emotion]
    return Finding(
        kind="known-people",
        severity="warning" if is_chosen else "note",
        what=(
            f"a {kind} split has {known:.0%} of its test faces from people who are also in train, "
            f"{both:.0%} with the same emotion"
        ),
        consequence="scores on it measure how well people are recognised, not expressions",
        remedy="use --split identity" if is_chosen else "keep --split identity",
        num=int(leak.person.sum()),
        examples=tuple(Example(table.paths[row], str(table.identities[row])) for row in rows),
    )


def _one_person(table: FaceTable) -> Iterator[Finding]:
    """Returns a finding on emotions with a large share of faces from one person."""
    dominated, examples = [], []
    for label, emotion in enumerate(EMOTIONS):
        rows = np.flatnonzero(table.labels == label)
        if len(rows) < _FEW_FACES:
            continue
        people, sizes = np.unique(table.identities[rows], return_counts=True)
        share, person = sizes.max() / len(rows), str(people[sizes.argmax()])
        if share >= _MUCH:
            dominated.append(
                f"{share:.0%} of {emotion} is {person!r}, of {count(len(people), 'person', 'people')}"
            )
            own = rows[table.identities[rows] == person][:4]
            examples += [Example(table.paths[row], emotion) for row in own]
    if not dominated:
        return
    yield Finding(
        kind="one-person",
        severity="warning",
        what="one person dominates an emotion: " + "; ".join(dominated),
        consequence="the model learns that person's face instead of the emotion",
        remedy="collect the emotion from many more people",
        num=len(dominated),
        examples=tuple(examples),
    )


def leak_listing(
    table: FaceTable, splits: Mapping[str, Split], clusters: NDArray[np.int64] | None
) -> Listing:
    """Returns the share of each emotion's test faces that are known from train, by kind of split."""
    columns = ["emotion"]
    for kind in splits:
        columns += [f"{kind}: person", f"{kind}: person + emotion"]
        columns += [f"{kind}: photo"] if clusters is not None else []
    leaks = {kind: _find_leak(table, split, clusters) for kind, split in splits.items()}
    rows: list[tuple[Cell, ...]] = []
    for label, emotion in ((-1, "all"), *enumerate(EMOTIONS)):
        cells: list[Cell] = [emotion]
        for kind, leak in leaks.items():
            labels = table.labels[splits[kind].test]
            own = np.full(len(labels), True) if label < 0 else labels == label
            named = own & leak.is_named  # of others it is unknown whether train has their person
            shares = [leak.person[named], leak.person_and_emotion[named]]
            shares += [leak.photo[own]] if clusters is not None else []
            cells += [float(share.mean()) if len(share) else -1 for share in shares]
        rows.append(tuple(cells))
    return Listing(
        title="Test faces known from train",
        about=(
            "Share of test faces whose person, person with the same emotion, or photo (a near "
            "duplicate) is also in train. A clean split has none. The shares of people count named "
            "faces only."
        ),
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _find_leak(table: FaceTable, split: Split, clusters: NDArray[np.int64] | None) -> _Leak:
    _, people = np.unique(table.identities, return_inverse=True)
    both = people * len(EMOTIONS) + table.labels

    def known(values: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.isin(values[split.test], values[split.train])

    named = is_named(table.identities[split.test])
    photo = np.zeros(len(named), dtype=bool) if clusters is None else known(clusters)
    return _Leak(known(people) & named, known(both) & named, photo, named)
