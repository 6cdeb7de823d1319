"""Two classifiers on the same faces: 2,000 resamples of their people, at once and one at a time."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from machine import describe
from sklearn.metrics import f1_score

from fer_mlops.data.table import FaceTable
from fer_mlops.evaluation.paired import pair
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.metrics.bootstrap import NUM_RESAMPLES
from fer_mlops.models.calibration import Calibration

AIM = 2.0
"""Seconds for 2,000 faces."""
_SAMPLED = 50
"""Resamples that the loop does; its time is multiplied."""


def make_answers(num_faces: int, num_people: int) -> list[LabelledPredictions]:
    """Returns the answers of two classifiers, right about 85 and 82 of 100 faces."""
    generator = np.random.default_rng(0)
    labels = generator.choice(7, num_faces, p=[0.02, 0.02, 0.01, 0.41, 0.49, 0.02, 0.03])
    texts = np.array([""] * num_faces)
    table = FaceTable(
        name="drawn",
        root=Path(),
        paths=tuple(map(str, range(num_faces))),
        labels=labels,
        identities=generator.integers(0, num_people, num_faces).astype(str),
        sources=texts,
        parts=texts,
    )
    plain = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)
    made = []
    for share in (0.85, 0.82):
        given = np.where(
            generator.random(num_faces) < share, labels, generator.integers(0, 7, num_faces)
        )
        logits = np.eye(7, dtype=np.float32)[given]
        made.append(LabelledPredictions(table=table, logits=logits, calibration=plain))
    return made


def loop(one: LabelledPredictions, two: LabelledPredictions) -> float:
    """Returns seconds of 2,000 macro-F1 differences by scikit-learn, one resample at a time."""
    people, person = np.unique(one.identities, return_inverse=True)
    rows_of = [np.flatnonzero(person == number) for number in range(len(people))]
    given = [each.logits.argmax(1) for each in (one, two)]
    generator = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(_SAMPLED):
        drawn = generator.integers(0, len(people), len(people))
        rows = np.concatenate([rows_of[number] for number in drawn])
        for predict_table in given:
            f1_score(one.labels[rows], predict_table[rows], average="macro", zero_division=0)
    return (time.perf_counter() - start) * NUM_RESAMPLES / _SAMPLED


def main() -> None:
    """Prints the median of several pairings, and the loop's time beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--people", type=int, default=1400)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    one, two = make_answers(chosen.faces, chosen.people)
    pair(one, two)
    seconds, loops = [], []
    for _ in range(chosen.rounds):
        start = time.perf_counter()
        pair(one, two)
        seconds.append(time.perf_counter() - start)
        loops.append(loop(one, two))
    ours, theirs = float(np.median(seconds)), float(np.median(loops))
    print(describe())
    size = f"{chosen.faces} faces of {chosen.people} people"
    print(f"{size}, {NUM_RESAMPLES} resamples, {chosen.rounds} rounds")
    print(f"pair: {ours:.3f} s [{min(seconds):.3f}, {max(seconds):.3f}], aim {AIM} s")
    print(
        f"macro-F1 alone, by scikit-learn in a loop: {theirs:.1f} s, {theirs / ours:.0f} times as long"
    )


if __name__ == "__main__":
    main()
