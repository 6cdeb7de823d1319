"""Findings on photos that occur more than once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.file_info import FileRecord
from fer_mlops.data.quality.findings import Example, Finding
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.identities import count

Groups = list[NDArray[np.int64]]  # rows of each photo that occurs twice or more


@dataclass(frozen=True, slots=True)
class _Sort:
    """Names of one kind of copies in messages."""

    kind: str
    one: str
    many: str
    same: str


_IDENTICAL = _Sort("identical-files", "file is stored", "files are stored", "byte-identical files")
_NEAR = _Sort("near-duplicates", "photo is stored", "photos are stored", "near duplicates")


def copy_findings(
    table: FaceTable, records: Sequence[FileRecord], clusters: NDArray[np.int64] | None
) -> list[Finding]:
    """Returns findings on byte-identical files and on near duplicates, also across labels and people.

    ``records`` are empty if the files were not read; ``clusters`` are equal numbers [n] for near
    duplicates, None if unknown.
    """
    digests = np.array([record.digest for record in records])
    identical = groups_of_equal(digests)
    findings = [*_say(table, identical, _IDENTICAL)]
    if clusters is not None:
        near = groups_of_equal(clusters)
        if len(records):
            # byte-identical files have a finding of their own
            near = [rows for rows in near if len(set(digests[rows])) > 1]
        findings += _say(table, near, _NEAR)
    return findings


def groups_of_equal(values: NDArray[np.generic]) -> Groups:
    """Returns the rows of each value that occurs twice or more, in the order of their first rows."""
    if not len(values):
        return []
    _, inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))


def _say(table: FaceTable, groups: Groups, sort: _Sort) -> Iterator[Finding]:
    if not groups:
        return
    num_files = sum(map(len, groups))
    yield Finding(
        kind=sort.kind,
        severity="warning",
        what=(
            f"{count(len(groups), sort.one, sort.many)} under two or more file names "
            f"({count(num_files, 'image')})"
        ),
        consequence=(
            "a photo in train and test at once makes scores too good; each copy counts as evidence"
        ),
        remedy="delete the copies; --split identity keeps the copies it finds in one part",
        num=len(groups),
        examples=_examples(table, groups),
    )
    torn = [rows for rows in groups if len(set(table.labels[rows])) > 1]
    if torn:
        yield Finding(
            kind=f"{sort.kind}-across-labels",
            severity="warning",
            what=f"{count(len(torn), 'photo')} with two emotions among {sort.same}",
            consequence="at most one label is right, so any prediction is wrong for one copy",
            remedy="choose one emotion with a csv for --relabel, and delete the copies",
            num=len(torn),
            examples=_examples(table, torn),
        )
    strange = [rows for rows in groups if len(set(table.identities[rows])) > 1]
    if strange:
        yield Finding(
            kind=f"{sort.kind}-across-people",
            severity="warning",
            what=f"{count(len(strange), 'photo')} of two people at once among {sort.same}",
            consequence="one name is wrong, so a split cannot keep that person out of test",
            remedy="give both the same identity, or delete one",
            num=len(strange),
            examples=_examples(table, strange, is_about_people=True),
        )


def _examples(table: FaceTable, groups: Groups, *, is_about_people: bool = False) -> tuple[Example, ...]:
    examples = []
    for number, rows in enumerate(groups, start=1):
        for row in rows:
            name = table.identities[row] if is_about_people else EMOTIONS[table.labels[row]]
            examples.append(Example(table.paths[row], f"{number}: {name}"))
    return tuple(examples)
