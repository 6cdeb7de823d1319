"""Findings on names and faces that disagree about the person."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.face_identities import Embeddings
from fer_mlops.data.quality.findings import Example, Finding
from fer_mlops.data.table import FaceTable, listed
from fer_mlops.metrics.identities import count, is_named

# average distance of two groups of photos from which they count as two people despite one name; a little
# above 0.6, the threshold of dlib's author for single pairs
_OTHER = 0.65
_SHOWN = 3  # photos of each name in a finding


def face_findings(table: FaceTable, embeddings: Embeddings, groups: NDArray[np.int64]) -> list[Finding]:
    """Returns findings on one face under several names, and on several faces under one name.

    ``embeddings`` are from ``embed_faces``, ``groups`` from ``link_faces``.
    """
    usable = np.flatnonzero(is_named(table.identities) & (groups >= 0))
    return [
        *_many_names(table, groups, usable),
        *_many_faces(table, embeddings, groups, usable),
        *_unnamed(table, groups),
    ]


def _many_names(
    table: FaceTable, groups: NDArray[np.int64], usable: NDArray[np.int64]
) -> Iterator[Finding]:
    pairs = np.stack([groups[usable], np.unique(table.identities[usable], return_inverse=True)[1]], 1)
    group, num_names = np.unique(np.unique(pairs, axis=0)[:, 0], return_counts=True)
    mixed = group[num_names > 1]
    if not len(mixed):
        return
    examples = []
    for number, one in enumerate(mixed, start=1):
        own = usable[groups[usable] == one]
        for name in sorted(set(table.identities[own].tolist())):
            rows = own[table.identities[own] == name][:_SHOWN]
            examples += [Example(table.paths[row], f"{number}: {name}") for row in rows]
    yield Finding(
        kind="one-face-many-names",
        severity="warning",
        what=f"{count(len(mixed), 'group')} of photos look like one person under several names",
        consequence="one person can be in train and test at once, so scores are too good",
        remedy="inspect the pictures; give one person one name, or use --identities faces",
        num=len(mixed),
        examples=tuple(examples),
    )


def _many_faces(
    table: FaceTable, embeddings: Embeddings, groups: NDArray[np.int64], usable: NDArray[np.int64]
) -> Iterator[Finding]:
    names, examples = [], []
    for name in np.unique(table.identities[usable]):
        own = usable[table.identities[usable] == name]
        found, sizes = np.unique(groups[own], return_counts=True)
        several = [own[groups[own] == one] for one in found[sizes > 1]]
        apart = [
            (a, b)
            for number, a in enumerate(several)
            for b in several[:number]
            if np.sqrt(((embeddings[a][:, None] - embeddings[b]) ** 2).sum(2).mean()) > _OTHER
        ]
        if apart:
            names.append(str(name))
            for letter, rows in zip("ab", apart[0], strict=True):
                examples += [Example(table.paths[row], f"{letter}: {name}") for row in rows[:_SHOWN]]
    if not names:
        return
    yield Finding(
        kind="many-faces-one-name",
        severity="warning",
        what=f"{count(len(names), 'name')} with photos of two people: {listed(names)}",
        consequence="two people count as one, so intervals are wider than necessary",
        remedy="inspect the pictures; give each person their own name",
        num=len(names),
        examples=tuple(examples),
    )


def _unnamed(table: FaceTable, groups: NDArray[np.int64]) -> Iterator[Finding]:
    unnamed = np.flatnonzero(~is_named(table.identities) & (groups >= 0))
    found, sizes = np.unique(groups[unnamed], return_counts=True)
    several = found[sizes > 1]
    if not len(several):
        return
    own = unnamed[np.isin(groups[unnamed], several)]
    order = own[np.argsort(groups[own], kind="stable")]
    yield Finding(
        kind="unnamed-people",
        severity="warning",
        what=(
            f"{count(len(own), 'unnamed photo')} show "
            f"{count(len(several), 'person', 'people')} two times or more, by face"
        ),
        consequence="these people can be in train and test at once, so scores are too good",
        remedy="use --identities faces, which keeps each of them in one part",
        num=len(own),
        examples=tuple(Example(table.paths[row], f"group {groups[row]}") for row in order),
    )
