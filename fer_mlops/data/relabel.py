"""Relabelling: applies a csv of reviewed labels while loading; the data set's files do not change."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_mlops.data.csv_reader import read_csv
from fer_mlops.data.table import FaceTable, Note, composed, shorten
from fer_mlops.emotions import EMOTIONS, normalise_emotion
from fer_mlops.errors import DataError

_DROP = "drop"


def relabel(table: FaceTable, path: Path) -> FaceTable:
    """Returns the table with the labels of the csv at ``path`` (columns ``image,emotion``).

    The emotion ``drop``, or one outside the seven, leaves the face out; an empty one changes nothing.
    A note records the file's digest.

    Raises:
        DataError: The file cannot be read, or contains an unknown image or emotion.
    """
    row_of = {composed(image): row for row, image in enumerate(table.paths)}
    labels = table.labels.copy()
    dropped: set[int] = set()
    for line in read_csv(path, ("image", "emotion")):
        where = f"{path.name} line {line.number}"
        image, text = composed(line["image"]), line["emotion"]
        if image not in row_of:
            raise DataError(f"{where}: {table.name} has no image {image!r}")
        if not text:
            continue
        try:
            emotion = None if text.lower() == _DROP else normalise_emotion(text)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        if emotion is None:
            dropped.add(row_of[image])
        else:
            labels[row_of[image]] = EMOTIONS.index(emotion)
    changed = [int(row) for row in np.flatnonzero(labels != table.labels) if row not in dropped]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    names = [table.paths[row] for row in (*changed, *sorted(dropped))]
    note = Note(
        "relabelled",
        f"{path.name} (digest {digest}) changed {len(changed)} labels and left {len(dropped)} faces "
        f"out: {shorten(names)}",
        tuple(names),
    )
    votes = table.votes
    if votes is not None:
        votes = votes.copy()
        votes[changed] = np.eye(len(EMOTIONS), dtype=np.float32)[labels[changed]]
    kept = [row for row in range(len(table)) if row not in dropped]
    return replace(table, labels=labels, votes=votes).select(kept, note)
