"""Comparison of several models on the same faces: scores, paired differences, certainty and cost."""

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

DOUBT = 0.05  # corrected p below which a difference is significant
_MOST_DISPUTES = 8  # number of faces shown for each model's wins over the other


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Scores of one model on the shared faces, and its costs."""

    name: str
    uri: str
    run_id: str | None
    family: str
    image_size: int
    scores: Mapping[str, Estimate]
    """Accuracy, balanced accuracy and macro-F1."""
    speed: Speed
    num_bytes: int
    """Size of the bundle on disk, in bytes."""
    num_parameters: int
    minutes: float
    """Training time in minutes; nan if unknown."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A face that only the best model or only another model classifies correctly."""

    image: str
    label: str
    best: str
    """Prediction of the best model."""
    other: str
    """Prediction of the other model."""
    gap: float
    """Probability of the label by the best model minus that by the other, -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """Paired comparison of the best model (A) with another (B)."""

    other: int
    """Index of B in the entries."""
    pairing: Pairing
    p_macro_f1: float
    """p-value of the difference in macro-F1; nan below 10 people. Holm-corrected for all pairs of
    models, as the best model was chosen on the same faces."""
    p_accuracy: float
    """The same for the difference in accuracy."""
    disagreements: tuple[Disagreement, ...]
    """Faces with the largest gap in either direction, wins of the best model first."""

    @property
    def is_clear(self) -> bool:
        """Whether the difference in macro-F1 is significant."""
        return self.pairing.macro_f1.is_clear and self.p_macro_f1 < DOUBT

    @property
    def is_clear_in_accuracy(self) -> bool:
        """Whether the difference in accuracy is significant by the resamples and by McNemar's test."""
        return self.pairing.accuracy.is_clear and self.p_accuracy < DOUBT


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models on the same faces, best macro-F1 first, and the best against each other model."""

    faces: str
    """Description of the faces, such as ``test part of sample, identity split``."""
    digest: str
    """Digest of the faces."""
    num_faces: int
    num_people: int
    """Number of known identities."""
    num_unnamed: int
    """Number of faces without a known identity."""
    operating_point: OperatingPoint
    entries: tuple[Entry, ...]
    matches: tuple[PairedResult, ...]
    """One for each entry but the first, in their order."""
    rare: Mapping[str, int]
    """Number of faces of each emotion that has too few for a claim."""
    warnings: tuple[str, ...]

    @property
    def best(self) -> Entry:
        return self.entries[0]

    @property
    def units(self) -> Units:
        """Resampling units of the intervals: people or faces."""
        return Units(self.num_people, self.num_unnamed)

    def people(self) -> str:
        """Returns the number of faces and people in words."""
        return describe_people(self.num_faces, self.num_people, self.num_unnamed)

    def slugs(self) -> list[str]:
        """Returns each entry's name for use in metric names: its family if all families differ."""
        families = [entry.family for entry in self.entries]
        if len(set(families)) == len(families):
            return families
        # other characters are refused in names of metrics
        return ["".join(c if c.isalnum() or c in "-_." else "_" for c in e.name) for e in self.entries]

    def metrics(self) -> dict[str, float]:
        """Returns the scores that a run logs as metrics, such as ``compare/cnn/macro_f1``."""
        flat: dict[str, float] = {"compare/faces": self.num_faces}
        if self.num_people:
            flat["compare/people"] = self.num_people
        slugs = self.slugs()
        for slug, entry in zip(slugs, self.entries, strict=True):
            for score, estimate in entry.scores.items():
                flat[f"compare/{slug}/{score}"] = estimate.value
            flat[f"compare/{slug}/milliseconds"] = entry.speed.milliseconds
            flat[f"compare/{slug}/megabytes"] = entry.num_bytes / 1e6
        for match in self.matches:
            part = f"best_against/{slugs[match.other]}"
            gap = match.pairing.macro_f1
            flat |= {f"{part}/macro_f1": gap.value, f"{part}/macro_f1_probability": gap.probability}
            flat |= {f"{part}/macro_f1_low": gap.low, f"{part}/macro_f1_high": gap.high}
            flat[f"{part}/p_macro_f1"] = match.p_macro_f1
        return {name: value for name, value in flat.items() if np.isfinite(value)}

    def as_dict(self) -> dict[str, object]:
        """Returns the comparison as plain values, for JSON; a number that does not exist is None."""
        fields = asdict(self)
        for record, match in zip(fields["matches"], self.matches, strict=True):
            record["pairing"], record["is_clear"] = match.pairing.as_dict(), match.is_clear
        return {str(key): plain(value) for key, value in fields.items()}


def disagreements_between(
    best: LabelledPredictions, other: LabelledPredictions, operating_point: OperatingPoint
) -> tuple[Disagreement, ...]:
    """Returns the faces with the largest gap among those that exactly one model classifies correctly."""
    rows, labels = np.arange(len(best)), best.labels
    probabilities = [model.probabilities(operating_point) for model in (best, other)]
    gaps = probabilities[0][rows, labels] - probabilities[1][rows, labels]
    predicted = [table.argmax(1) for table in probabilities]
    right = [predictions == labels for predictions in predicted]
    chosen: list[int] = []
    for wins, sign in ((right[0] & ~right[1], -1), (right[1] & ~right[0], 1)):
        won = np.flatnonzero(wins)
        chosen += won[np.argsort(sign * gaps[won], kind="stable")][:_MOST_DISPUTES].tolist()
    return tuple(
        Disagreement(
            image=best.table.paths[row],
            label=EMOTIONS[labels[row]],
            best=EMOTIONS[predicted[0][row]],
            other=EMOTIONS[predicted[1][row]],
            gap=float(gaps[row]),
        )
        for row in chosen
    )
