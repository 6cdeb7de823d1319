"""FaceTable to train, valid and test rows."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from fer_mlops.config import DataConfig
from fer_mlops.datasets.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError

Rows = NDArray[np.int64]
"""Shape [n]; ascending row numbers of a FaceTable."""
_MOST_FOLDS = 12


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three disjoint sets of rows that together are the table."""

    kind: str
    """``identity`` (no person in two parts) or ``random`` (scores flatter)."""
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


def split_faces(table: FaceTable, config: DataConfig, seed: int) -> Split:
    """Returns the split that ``config`` asks for, stratified by emotion.

    Raises:
        DataError: An emotion has too few faces, or there are too few people, to fill three parts.
    """
    for emotion, count in table.counts().items():
        if 0 < count < 3:
            raise DataError(
                f"{emotion} has {count} face{'s' if count > 1 else ''}; each emotion needs at least 3, "
                "one for each of train, valid and test: add faces or take the emotion out"
            )
    if sum(count > 0 for count in table.counts().values()) < 2:
        raise DataError("all faces show one emotion; a classifier needs at least two")
    try:
        split = (_identity if config.split == "identity" else _random)(table, config, seed)
    except ValueError as error:  # scikit-learn's; raised when parts are smaller than the emotions
        raise DataError(
            f"{len(table)} faces are too few to divide by emotion into train, valid and test; add faces"
        ) from error
    absent = [
        EMOTIONS[label]
        for label in np.setdiff1d(np.unique(table.labels), np.unique(table.labels[split.train]))
    ]
    if absent:
        raise DataError(
            f"too few people show {', '.join(absent)}, so training would have none; add people or "
            "use --split random, whose scores flatter"
        )
    return split


def _random(table: FaceTable, config: DataConfig, seed: int) -> Split:
    everything = np.arange(len(table))
    rest, test = train_test_split(
        everything, test_size=config.test_share, stratify=table.labels, random_state=seed
    )
    share = config.valid_share / (1 - config.test_share)
    train, valid = train_test_split(
        rest, test_size=share, stratify=table.labels[rest], random_state=seed
    )
    return Split(kind="random", train=np.sort(train), valid=np.sort(valid), test=np.sort(test))


def _identity(table: FaceTable, config: DataConfig, seed: int) -> Split:
    rest, test = _hold_out(table, np.arange(len(table)), config.test_share, seed)
    share = config.valid_share / (1 - config.test_share)
    train, valid = _hold_out(table, rest, share, (seed + 1) % 2**32)
    return Split(kind="identity", train=train, valid=valid, test=test)


def _hold_out(table: FaceTable, rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Returns the rows kept and the rows held out, no person in both.

    Of the folds that scikit-learn's StratifiedGroupKFold deals, the one (for a share such as 2/5, the
    two) whose emotions come nearest to ``share`` of each is held out: with few people in an emotion,
    folds differ much.
    """
    small = Fraction(1, round(1 / share))
    part = min(small, Fraction(share).limit_denominator(_MOST_FOLDS), key=lambda f: abs(f - share))
    labels, people = table.labels[rows], table.identities[rows]
    num_people = len(np.unique(people))
    if num_people < part.denominator:
        raise DataError(
            f"{num_people} people cannot be divided into {part.denominator} parts; add people or use "
            "--split random, whose scores flatter"
        )
    dealer = StratifiedGroupKFold(part.denominator, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # it warns of emotions with fewer faces than folds
        warnings.simplefilter("ignore", UserWarning)
        folds = [held for _, held in dealer.split(rows, labels, people)]
    wanted = np.bincount(labels, minlength=len(EMOTIONS)) * share

    def error(held: Rows) -> float:
        counts = np.bincount(labels[held], minlength=len(EMOTIONS))
        return float((np.abs(counts - wanted) / np.sqrt(np.maximum(wanted, 1))).sum())

    candidates = (np.concatenate(some) for some in combinations(folds, part.numerator))
    held = np.sort(min(candidates, key=error))
    return np.delete(rows, held), rows[held]


def share_of_known_people(table: FaceTable, split: Split) -> float:
    """Returns the share of test faces whose person is also in train, 0 to 1."""
    return float(np.isin(table.identities[split.test], table.identities[split.train]).mean())
