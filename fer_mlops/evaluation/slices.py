"""Slices: scores of faces that share a trait, compared with all other faces at equal emotions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.file_info import FileRecord
from fer_mlops.data.table import FaceTable
from fer_mlops.evaluation.report import Estimate, plain
from fer_mlops.metrics.bootstrap import LEAST_FOR_P, Resamples, Units, holm, p_of, resample_people
from fer_mlops.metrics.classification import FEW, Labels, Scores, accuracy, confusion_cells, macro_f1

_MOST_VALUES = 12  # largest number of values of a trait; the rest become `other`
# smallest number of people outside the slice who show an emotion, for its recall there to count
_NUM_FOR_RECALL = 5
# mean difference of colour channels from which an image counts as coloured, not gray saved as RGB
_COLOURED = 3.0


@dataclass(frozen=True)
class Trait:
    """A property that divides faces into slices."""

    name: str
    values: NDArray[np.str_]
    """Value of each face, [n]; empty if unknown."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Scores of the faces that share one value of a trait."""

    trait: str
    value: str
    num_faces: int
    num_people: int
    """Number of known identities."""
    num_unnamed: int
    """Number of faces without a known identity."""
    accuracy: Estimate
    macro_f1: Estimate
    """Macro-F1 over the slice's own emotions; not comparable between slices with different emotions."""
    gap: Estimate
    """Accuracy of the slice minus the accuracy that the other faces would have with the slice's share of
    each emotion (direct standardisation); below 0 the slice does worse. Only faces of emotions that at
    least 5 people outside show are compared; nan below 30 such faces."""
    p_value: float
    """Two-sided p-value of no gap (Student's t); nan without a gap, or below 10 people inside or
    outside."""
    adjusted_p: float
    """p-value corrected for the number of slices that have one (Holm, Scandinavian Journal of Statistics
    6, 1979)."""

    @property
    def why_no_p(self) -> str:
        """Reason for a missing p-value; empty if there is one."""
        if np.isfinite(self.p_value):
            return ""
        if np.isfinite(self.gap.value) or self.num_people + self.num_unnamed < LEAST_FOR_P:
            return f"fewer than {LEAST_FOR_P} people to compare"
        return f"fewer than {FEW} faces to compare"

    @property
    def is_significant(self) -> bool:
        """Whether the gap is significant at the 5% level, corrected for all slices."""
        return self.adjusted_p < 0.05


@dataclass(frozen=True)
class Slices:
    """All slices of one set of faces, trait by trait."""

    slices: tuple[Slice, ...]

    @property
    def worst(self) -> Slice | None:
        """Slice with the lowest gap; None if no slice has one."""
        known = [part for part in self.slices if np.isfinite(part.gap.value)]
        return min(known, key=lambda part: part.gap.value, default=None)

    @property
    def worst_gap(self) -> float:
        """Largest loss of accuracy of a slice at equal emotions, 0 to 1; 0 if no slice does worse, nan
        if no slice has a gap."""
        return max(0.0, -self.worst.gap.value) if self.worst else float("nan")

    @property
    def num_tested(self) -> int:
        """Number of slices with a p-value."""
        return sum(np.isfinite(part.p_value) for part in self.slices)

    def as_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return {"worst_gap": plain(self.worst_gap), "slices": plain(dataclasses.asdict(self)["slices"])}


def traits_of(table: FaceTable, records: Sequence[FileRecord]) -> tuple[Trait, ...]:
    """Returns the traits of the faces: source, resolution, colour, brightness and the table's columns.

    Brightness and numeric columns are divided into thirds of these faces. A text column whose values
    are mostly unique, such as addresses and captions, is divided by the values that many faces share.
    A trait with only one value is left out.
    """
    # with fixed bounds, resolution means the same for every data set
    shorter = np.array([min(r.width, r.height) for r in records])
    sides = np.select([shorter < 64, shorter < 128], ["under 64 px", "64 to 127 px"], "128 px and more")
    colour = np.where(np.array([r.chroma for r in records]) >= _COLOURED, "colour", "gray")
    brightness = np.array([r.brightness for r in records])
    first, second = np.quantile(brightness, [1 / 3, 2 / 3])
    light = np.select([brightness <= first, brightness <= second], ["dark", "medium"], "bright")
    found = [
        Trait("source", table.sources),
        Trait("resolution", sides),
        Trait("colour", colour),
        Trait("brightness", light),
        *(Trait(name, _divided(values)) for name, values in table.columns.items()),
    ]
    return tuple(trait for trait in found if len(set(trait.values.tolist()) - {""}) > 1)


def _divided(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Returns a column's values: thirds for numbers, and ``other`` for texts that few faces share."""
    known, counts = np.unique(values[values != ""], return_counts=True)
    if len(known) <= _MOST_VALUES and counts.sum() >= 2 * len(known):
        return values
    try:
        numbers = np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        frequent = known[np.argsort(-counts, kind="stable")][: _MOST_VALUES - 1]
        shared = np.intersect1d(frequent, known[counts >= FEW])
        return np.where((values == "") | np.isin(values, shared), values, "other")
    if not np.isfinite(numbers).any():
        return np.full_like(values, "")
    first, second = np.nanquantile(numbers, [1 / 3, 2 / 3])
    names = [f"up to {first:g}", f"{first:g} to {second:g}"]
    shown = np.select([numbers <= first, numbers <= second], names, f"over {second:g}")
    return np.where(np.isnan(numbers), "", shown)


def slice_faces(
    labels: Labels,
    probabilities: NDArray[np.float64],
    identities: NDArray[np.str_],
    traits: Sequence[Trait],
    *,
    seed: int = 0,
) -> Slices:
    """Returns the scores of every slice, with intervals over people.

    ``labels`` and ``identities`` have shape [n], ``probabilities`` [n, 7].
    """
    resamples = resample_people(identities, seed=seed)
    cells = confusion_cells(labels, probabilities.argmax(1))
    drawn = resamples.totals(cells)
    slices = [
        _slice(trait.name, value, trait.values == value, identities, cells, drawn, resamples)
        for trait in traits
        for value in sorted(set(trait.values.tolist()) - {""})
    ]
    adjusted = holm(np.array([part.p_value for part in slices]))
    return Slices(
        tuple(
            dataclasses.replace(part, adjusted_p=float(p))
            for part, p in zip(slices, adjusted, strict=True)
        )
    )


def _slice(
    trait: str,
    value: str,
    is_inside: NDArray[np.bool_],
    identities: NDArray[np.str_],
    cells: Scores,
    drawn_all: Scores,
    resamples: Resamples,
) -> Slice:
    own, rest = cells[is_inside].sum(0), cells[~is_inside].sum(0)
    drawn = resamples.totals(cells * is_inside[:, None, None])
    shows = np.asarray(cells.any(2))
    others = [resamples.count(~is_inside & shows[:, label]) for label in range(len(own))]
    compares = (own.sum(1) > 0) & (np.array(others) >= _NUM_FOR_RECALL)
    gap, p_value = Estimate(np.nan, np.nan, np.nan), np.nan
    if own.sum(1)[compares].sum() >= FEW:
        does = shows[:, compares].any(1)
        num = min(resamples.count(does & is_inside), resamples.count(does & ~is_inside))
        moved = _gap(drawn, drawn_all - drawn, compares)
        gap = Estimate.of(float(_gap(own, rest, compares)), moved, num)
        p_value = p_of(gap.value, moved, num, least_error=_least_error(own, rest, compares))
    units = Units.of(identities[is_inside])
    drawn = drawn[drawn.any((1, 2))]  # a resample may contain no face of the slice
    return Slice(
        trait=trait,
        value=value,
        num_faces=int(is_inside.sum()),
        num_people=units.num_people,
        num_unnamed=units.num_unnamed,
        accuracy=Estimate.of(float(accuracy(own)), accuracy(drawn), units.num),
        macro_f1=Estimate.of(float(macro_f1(own)), macro_f1(drawn), units.num),
        gap=gap,
        p_value=p_value,
        adjusted_p=p_value,
    )


def _gap(own: Scores, rest: Scores, compares: NDArray[np.bool_]) -> Scores:
    """Returns the gap: the slice's accuracy minus the mean recall of the other faces for its emotions.

    ``own`` and ``rest`` are the confusion counts of the slice and of all other faces, [..., 7, 7];
    ``compares`` is whether an emotion is in the slice and shown by enough people outside, [7].
    """
    own, rest = own[..., compares, :], rest[..., compares, :]
    places = np.flatnonzero(compares)
    rows = np.arange(len(places))
    faces, others = own.sum(-1), rest.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may lack an emotion
        difference = own[..., rows, places] - faces * rest[..., rows, places] / others
        counted = np.where(others > 0, faces, 0)
        return np.asarray(np.where(others > 0, difference, 0).sum(-1) / counted.sum(-1))


def _least_error(own: Scores, rest: Scores, compares: NDArray[np.bool_]) -> float:
    """Returns the standard error of a gap under independent faces and no true gap.

    It is a lower bound for the error of the resamples, which is 0 if, say, all thirty faces are right.
    """
    faces, others = own.sum(1)[compares], rest.sum(1)[compares]
    hits = (np.diagonal(own) + np.diagonal(rest))[compares]
    # pooled over both sides, with two right and two wrong faces added (Agresti and Coull, The American
    # Statistician 52, 1998)
    recall = (hits + 2) / (faces + others + 4)
    variance = recall * (1 - recall) * (1 / faces + 1 / others)
    return float(np.sqrt(((faces / faces.sum()) ** 2 * variance).sum()))
