"""Several models' answers about the same faces: which is best, by how much, how sure, at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.paired import Pairing
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.evaluation.report import Estimate, plain
from fer_mlops.evaluation.speed import Speed
from fer_mlops.metrics.bootstrap import Units
from fer_mlops.metrics.identities import describe_people
from fer_mlops.models.calibration import OperatingPoint

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
DOUBT = 0.05
"""Corrected p below which a difference is called one."""
_MOST_DISPUTES = 8
"""Pictures of each model's wins over the other."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model's scores on the faces compared on, and its costs."""

    name: str
    uri: str
    run_id: str | None
    family: str
    image_size: int
    scores: Mapping[str, Estimate]
    """Accuracy, balanced accuracy and macro-F1."""
    speed: Speed
    num_bytes: int
    """Of the bundle on disk."""
    num_parameters: int
    minutes: float
    """Its training took; nan where nobody knows."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A face on which one of two models is right and the other wrong."""

    image: str
    label: str
    best: str
    """What the best model answered."""
    other: str
    gap: float
    """How much more probability the best gives the label than the other, -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """The best model, A, against another, B."""

    other: int
    """Number of B in the entries."""
    pairing: Pairing
    p_macro_f1: float
    """Corrected for all pairs of models, as is the next (Holm): which is best was read off the same
    faces. nan below 10 people."""
    p_accuracy: float
    disagreements: tuple[Disagreement, ...]
    """Those with the largest gap either way, the best's wins first."""

    @property
    def is_clear(self) -> bool:
        """Whether the difference in macro-F1 is more than chance explains."""
        return self.pairing.macro_f1.is_clear and self.p_macro_f1 < DOUBT

    @property
    def is_clear_in_accuracy(self) -> bool:
        """Whether the difference in accuracy is, by the resamples and by McNemar's test."""
        return self.pairing.accuracy.is_clear and self.p_accuracy < DOUBT


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models by macro-F1 on the same faces, best first, and each against the best."""

    faces: str
    """``test part of sample, identity split``."""
    digest: str
    """Of those faces."""
    num_faces: int
    num_people: int
    """How many are named."""
    num_unnamed: int
    """Faces whose person nothing names."""
    point: OperatingPoint
    entries: tuple[Entry, ...]
    matches: tuple[PairedResult, ...]
    """One for each entry but the first, in their order."""
    rare: Mapping[str, int]
    """Emotions with few of these faces: too few for a claim."""
    warnings: tuple[str, ...]

    @property
    def best(self) -> Entry:
        return self.entries[0]

    @property
    def units(self) -> Units:
        """What the intervals are over."""
        return Units(self.num_people, self.num_unnamed)

    def people(self) -> str:
        """Returns how many faces of how many people these are, as far as they are named."""
        return describe_people(self.num_faces, self.num_people, self.num_unnamed)

    def slugs(self) -> list[str]:
        """Returns each entry's name as part of a metric's: its family where no other has it."""
        families = [entry.family for entry in self.entries]
        if len(set(families)) == len(families):
            return families
        return ["".join(c if c.isalnum() or c in "-_." else "_" for c in e.name) for e in self.entries]

    def metrics(self) -> dict[str, float]:
        """Returns every number under the name it is tracked by, such as ``compare/cnn/macro_f1``."""
        flat: dict[str, float] = {"compare/faces": self.num_faces}
        if self.num_people:
            flat["compare/people"] = self.num_people
        slugs = self.slugs()
        for slug, entry in zip(slugs, self.entries, strict=True):
            for score, estimate in entry.scores.items():
                flat[f"compare/{slug}/{score}"] = estimate.value
                flat[f"compare/{slug}/{score}_low"] = estimate.low
                flat[f"compare/{slug}/{score}_high"] = estimate.high
            flat[f"compare/{slug}/faces_per_second"] = entry.speed.faces_per_second
            flat[f"compare/{slug}/milliseconds"] = entry.speed.milliseconds
            flat[f"compare/{slug}/megabytes"] = entry.num_bytes / 1e6
            flat[f"compare/{slug}/parameters"] = entry.num_parameters
            flat[f"compare/{slug}/minutes"] = entry.minutes
        for match in self.matches:
            part = f"best_against/{slugs[match.other]}"
            for score in SCORES:
                gap = getattr(match.pairing, score)
                flat[f"{part}/{score}"] = gap.value
                flat[f"{part}/{score}_low"] = gap.low
                flat[f"{part}/{score}_high"] = gap.high
                flat[f"{part}/{score}_probability"] = gap.probability
            flat[f"{part}/p_macro_f1"] = match.p_macro_f1
            flat[f"{part}/p_accuracy"] = match.p_accuracy
        return {name: value for name, value in flat.items() if np.isfinite(value)}

    def as_dict(self) -> dict[str, object]:
        """Returns the comparison as plain values, for JSON; a number that does not exist is None."""
        told = asdict(self)
        for one, match in zip(told["matches"], self.matches, strict=True):
            one["pairing"], one["is_clear"] = match.pairing.as_dict(), match.is_clear
        return {str(key): plain(value) for key, value in told.items()}


def disagreements_between(
    best: LabelledPredictions, other: LabelledPredictions, point: OperatingPoint
) -> tuple[Disagreement, ...]:
    """Returns faces that one has right and the other wrong, those on which they differ most."""
    rows, labels = np.arange(len(best)), best.labels
    chances = [one.probabilities(point) for one in (best, other)]
    gaps = chances[0][rows, labels] - chances[1][rows, labels]
    answered = [chance.argmax(1) for chance in chances]
    right = [predict_table == labels for predict_table in answered]
    chosen: list[int] = []
    for wins, sign in ((right[0] & ~right[1], -1), (right[1] & ~right[0], 1)):
        won = np.flatnonzero(wins)
        chosen += won[np.argsort(sign * gaps[won], kind="stable")][:_MOST_DISPUTES].tolist()
    return tuple(
        Disagreement(
            image=best.table.paths[row],
            label=EMOTIONS[labels[row]],
            best=EMOTIONS[answered[0][row]],
            other=EMOTIONS[answered[1][row]],
            gap=float(gaps[row]),
        )
        for row in chosen
    )
