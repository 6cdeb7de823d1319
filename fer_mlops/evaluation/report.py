"""Report of a classifier's scores with bootstrap intervals, overall and per emotion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.bootstrap import Units, interval, resample_people
from fer_mlops.metrics.calibration import (
    brier_of_each,
    expected_calibration_error,
    nll_of_each,
    resampled_calibration_error,
)
from fer_mlops.metrics.classification import (
    Labels,
    Scores,
    accuracy,
    balanced_accuracy,
    confusion_cells,
    confusion_counts,
    macro_f1,
    mean_over_present,
    per_class,
)
from fer_mlops.metrics.identities import describe_people
from fer_mlops.metrics.ranking import rank_faces, rank_resamples
from fer_mlops.models.calibration import Calibration, Logits

HEADLINES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "auroc",
    "average_precision",
    "nll",
    "brier",
    "ece",
)
"""Scores of a whole report, each with an interval; the last three are better when lower."""
SCORES = ("accuracy", "balanced_accuracy", "macro_f1")  # scores that models are compared by
# share of predictions of one emotion that shows a useless model, and its largest share of labels
_ONE_EMOTION, _MOST_LABELS = 0.95, 0.8
# balanced accuracy above chance from which a model is more than one emotion for every face
_LEAST_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """Score with the 95% interval of its clustered bootstrap."""

    value: float
    low: float
    """Lower end of the interval. Both ends are nan below 5 people, and if all resamples are equal, as
    when all faces are right or all wrong: such resamples show no error."""
    high: float
    """Upper end of the interval."""

    @classmethod
    def of(cls, value: float, resampled: Scores, num: int) -> Estimate:
        """Returns the estimate of a score of ``num`` people from that of each resample."""
        low, high = interval(resampled, num)
        return cls(value, low, high) if low < high else cls(value, np.nan, np.nan)

    @property
    def interval(self) -> str:
        """Interval as text, such as ``[0.860, 0.899]``."""
        return f"[{self.low:.3f}, {self.high:.3f}]" if np.isfinite(self.low) else "[–]"

    def __str__(self) -> str:
        return f"{self.value:.3f} {self.interval}"


@dataclass(frozen=True, kw_only=True)
class ClassReport:
    """Scores of one emotion; nan if it has no faces."""

    emotion: str
    support: int
    precision: float
    recall: float
    f1: Estimate
    auroc: float
    """Chance that a face of the emotion gets a higher probability for it than another face."""
    average_precision: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of a classifier on one set of faces."""

    num_faces: int
    num_people: int
    """Number of known identities."""
    num_unnamed: int = 0
    """Number of faces without a known identity."""
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    auroc: Estimate
    """Mean over emotions of each against the rest; nan where all faces are of one emotion."""
    average_precision: Estimate
    """Mean over emotions, as ``auroc``."""
    nll: Estimate
    """Mean negative log-likelihood of the true emotion, in nats."""
    brier: Estimate
    """Mean squared distance between the probabilities and the label, 0 to 2."""
    ece: Estimate
    """Expected calibration error: 15 equal-width bins of confidence (arXiv 1706.04599)."""
    classes: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are labels, columns predictions, in the order of EMOTIONS."""

    @property
    def units(self) -> Units:
        """Resampling units of the intervals: people or faces."""
        return Units(self.num_people, self.num_unnamed)

    @property
    def commonest(self) -> ClassReport:
        """Scores of the emotion with the most labels."""
        return max(self.classes, key=lambda row: row.support)

    def one_emotion(self) -> str:
        """Returns in words that almost all predictions are one emotion, though the labels are not."""
        num_labels, num_predicted = (np.sum(self.confusion, axis) for axis in (1, 0))
        most = int(num_predicted.argmax())
        is_one = num_predicted[most] >= _ONE_EMOTION * self.num_faces
        if not is_one or num_labels[most] > _MOST_LABELS * self.num_faces:
            return ""
        return f"predicts {EMOTIONS[most]} for {num_predicted[most]} of {self.num_faces}"

    def no_gain(self) -> str:
        """Returns in words that one emotion for every face would do as well; empty if it would not."""
        always, num_right = self.commonest, int(np.trace(self.confusion))
        chance = 1 / sum(row.support > 0 for row in self.classes)
        if num_right > always.support or self.balanced_accuracy.value > chance + _LEAST_GAIN:
            return ""
        return (
            f"is right for {num_right} of {self.num_faces}, and always predicting {always.emotion} for "
            f"{always.support} of {self.num_faces}"
        )

    def people(self) -> str:
        """Returns the number of faces and people in words."""
        return describe_people(self.num_faces, self.num_people, self.num_unnamed)

    def metrics(self, part: str) -> dict[str, float]:
        """Returns the scores that a run logs as metrics, such as ``test/macro_f1``."""
        # not all numbers of `as_dict`: they would bury these in MLflow's UI
        flat: dict[str, float] = {f"{part}/faces": self.num_faces}
        if self.num_people:
            flat[f"{part}/people"] = self.num_people
        for score in SCORES:
            estimate: Estimate = getattr(self, score)
            flat |= {f"{part}/{score}": estimate.value}
            flat |= {f"{part}/{score}_low": estimate.low, f"{part}/{score}_high": estimate.high}
        flat[f"{part}/ece"] = self.ece.value
        return {name: value for name, value in flat.items() if np.isfinite(value)}

    def as_dict(self) -> dict[str, object]:
        """Returns the report as plain values, for JSON; a score that does not exist is None."""
        return {str(k): plain(v) for k, v in dataclasses.asdict(self).items()}


def plain(value: object) -> object:
    """Returns nested values in JSON's types: lists for tuples, None for nan and infinity."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def evaluate(
    labels: Labels,
    probabilities: NDArray[np.float64],
    identities: NDArray[np.str_],
    *,
    seed: int = 0,
) -> Report:
    """Returns scores and intervals. People are resampled, as faces of one person are not independent.

    The interval of an emotion's F1 needs 5 people who show it.

    Args:
        labels: Label of each face, [n], n at least 1.
        probabilities: Predicted probabilities [n, 7]; rows sum to 1.
        identities: Identity of each face, [n].
        seed: Seed of the 2,000 resamples.
    """
    resamples, units = resample_people(identities, seed=seed), Units.of(identities)
    predictions = probabilities.argmax(1)
    counts = confusion_counts(labels, predictions).astype(np.float64)
    # all scores of a resample follow from its confusion counts
    drawn = resamples.totals(confusion_cells(labels, predictions))
    own, ranks = per_class(counts), rank_faces(labels, probabilities)
    drawn_f1, drawn_ranks = per_class(drawn).f1, rank_resamples(labels, probabilities, resamples)

    def of_counts(score: Callable[[Scores], Scores]) -> Estimate:
        return Estimate.of(float(score(counts)), score(drawn), units.num)

    def of_faces(values: Scores) -> Estimate:
        return Estimate.of(float(values.mean()), resamples.means(values), units.num)

    return Report(
        num_faces=len(labels),
        num_people=units.num_people,
        num_unnamed=units.num_unnamed,
        accuracy=of_counts(accuracy),
        balanced_accuracy=of_counts(balanced_accuracy),
        macro_f1=of_counts(macro_f1),
        auroc=_of_ranks(ranks.auroc, drawn_ranks.auroc, units),
        average_precision=_of_ranks(ranks.average_precision, drawn_ranks.average_precision, units),
        nll=of_faces(nll_of_each(labels, probabilities)),
        brier=of_faces(brier_of_each(labels, probabilities)),
        ece=Estimate.of(
            expected_calibration_error(labels, probabilities),
            resampled_calibration_error(labels, probabilities, resamples),
            units.num,
        ),
        classes=tuple(
            ClassReport(
                emotion=emotion,
                support=int(own.support[label]),
                precision=float(own.precision[label]),
                recall=float(own.recall[label]),
                f1=Estimate.of(
                    float(own.f1[label]), drawn_f1[:, label], resamples.count(labels == label)
                ),
                auroc=float(ranks.auroc[label]),
                average_precision=float(ranks.average_precision[label]),
            )
            for label, emotion in enumerate(EMOTIONS)
        ),
        confusion=tuple(tuple(map(int, row)) for row in counts),
    )


def _of_ranks(own: Scores, drawn: Scores, units: Units) -> Estimate:
    """Returns the mean over the emotions that can be ranked; nan, not 0, if there are none."""
    if not np.isfinite(own).any():
        return Estimate(np.nan, np.nan, np.nan)
    is_known = np.isfinite(drawn).any(1)
    return Estimate.of(float(mean_over_present(own)), mean_over_present(drawn[is_known]), units.num)


def confidence_measures(calibration: Calibration, logits: Logits, labels: Labels) -> dict[str, float]:
    """Returns measures of the calibration, by name.

    ``ece_before_temperature`` is the counterpart of ``ece``; ``answered_share`` is the share of sure
    predictions; ``answered_error`` is the error rate among them, left out if there are none.
    """
    probabilities = calibration.probabilities(logits)
    raw = dataclasses.replace(calibration, temperature=1.0).probabilities(logits)
    is_sure = calibration.is_sure(probabilities)
    measures = {
        "ece_before_temperature": expected_calibration_error(labels, raw),
        "answered_share": float(is_sure.mean()),
    }
    if is_sure.any():
        is_wrong = probabilities.argmax(1) != labels
        measures["answered_error"] = float(is_wrong[is_sure].mean())
    return measures
