"""Training provenance: the people and faces in the data that a model was trained with."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingProvenance:
    """People and faces in the data that a model was trained with."""

    digest: str
    """Digest of the data and the split."""
    people: frozenset[str]
    """Identities in the training and validation parts."""
    tested: frozenset[tuple[str, str, str]]
    """(image, emotion, identity) of each face in the test part."""

    @classmethod
    def from_csv(cls, digest: str, text: str) -> TrainingProvenance:
        """Returns the provenance of a model from its split in the columns of ``Split.as_csv``."""
        rows = list(csv.DictReader(io.StringIO(text)))
        tested = [row for row in rows if row["part"] == "test"]
        return cls(
            digest=digest,
            people=frozenset(row["identity"] for row in rows if row["part"] != "test"),
            tested=frozenset((row["image"], row["emotion"], row["identity"]) for row in tested),
        )
