"""Scores of faces that share a trait, held against all other faces at equal emotions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.datasets.table import FaceTable, Labels
from fer_mlops.doctor.records import FileRecord
from fer_mlops.evaluation import FEW, Estimate, plain
from fer_mlops.metrics import Scores, confusion_cells, confusion_counts, macro_f1
from fer_mlops.resampling import Resamples, bootstrap_p, holm, interval, resample_people

_MOST_VALUES = 12
"""Of a trait; the rest become ``other``."""
_NUM_FOR_RECALL = 5
"""Faces of an emotion outside the slice from which its recall there is a measure."""
_COLOURED = 3.0
"""Mean difference of colour channels from which a picture is no gray one saved in colour."""


@dataclass(frozen=True)
class Trait:
    """Something that divides faces."""

    name: str
    values: NDArray[np.str_]
    """Of each face [n]; empty where unknown."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The faces that share one value of a trait."""

    trait: str
    value: str
    num_faces: int
    num_people: int
    accuracy: Estimate
    macro_f1: Estimate
    """Over the emotions that the slice has: not to be compared between slices of other emotions."""
    gap: Estimate
    """Accuracy less what the other faces would have with the slice's share of each emotion (direct
    standardisation); below 0 the slice is served worse. nan where fewer than 30 faces compare."""
    p_value: float
    """Chance of a gap this far from 0 by the bootstrap, if there were none; nan without a gap."""
    adjusted_p: float
    """Corrected for the number of slices (Holm, Scandinavian Journal of Statistics 6, 1979)."""

    @property
    def is_significant(self) -> bool:
        """Whether the gap is more than chance at the 5 % level, all slices looked at."""
        return self.adjusted_p < 0.05


@dataclass(frozen=True)
class Slices:
    """All slices of one set of faces, trait by trait."""

    slices: tuple[Slice, ...]

    @property
    def worst(self) -> Slice | None:
        """The slice with the lowest gap, None where none compares."""
        known = [one for one in self.slices if np.isfinite(one.gap.value)]
        return min(known, key=lambda one: one.gap.value, default=None)

    @property
    def worst_gap(self) -> float:
        """How far accuracy falls in the worst slice at equal emotions, 0 to 1; 0 where none falls."""
        return max(0.0, -self.worst.gap.value) if self.worst else 0.0

    def metrics(self, part: str) -> dict[str, float]:
        """Returns numbers under the names they are tracked by."""
        flat = {f"{part}/worst_slice_gap": self.worst_gap}
        for one in self.slices:
            key = f"{one.trait} {one.value}".replace(
                "/", "|"
            )  # a slash would begin a section of its own
            flat[f"{part}/slice_accuracy/{key}"] = one.accuracy.value
            if np.isfinite(one.gap.value):
                flat[f"{part}/slice_gap/{key}"] = one.gap.value
        return flat

    def as_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return {"worst_gap": self.worst_gap, "slices": plain(dataclasses.asdict(self)["slices"])}


def traits_of(table: FaceTable, records: Sequence[FileRecord]) -> tuple[Trait, ...]:
    """Returns what can divide the faces: their files' properties, their source, their columns.

    Resolution has fixed bounds, so that it means the same everywhere; brightness and columns of
    numbers are divided into thirds of these faces. A trait with one value divides nothing and is
    left out.

    Args:
        table: n faces.
        records: Of their files, row for row.
    """
    shorter = np.array([min(r.width, r.height) for r in records])
    sides = np.select([shorter < 64, shorter < 128], ["under 64 px", "64 to 127 px"], "128 px and more")
    colour = np.where(np.array([r.chroma for r in records]) >= _COLOURED, "colour", "gray")
    found = [
        Trait("source", table.sources),
        Trait("resolution", sides),
        Trait("colour", colour),
        Trait("brightness", _thirds(np.array([r.brightness for r in records]), "dark", "bright")),
        *(Trait(name, _divided(values)) for name, values in table.columns.items()),
    ]
    return tuple(trait for trait in found if len(set(trait.values.tolist()) - {""}) > 1)


def _thirds(numbers: Scores, low: str, high: str) -> NDArray[np.str_]:
    first, second = np.nanquantile(numbers, [1 / 3, 2 / 3])
    return np.select([numbers <= first, numbers <= second], [low, "medium"], high)


def _divided(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Returns a column's values, thirds of its numbers, or its most frequent values and ``other``."""
    known = sorted(set(values.tolist()) - {""})
    if len(known) <= _MOST_VALUES:
        return values
    try:
        numbers = np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        frequent = sorted(known, key=lambda value: -int((values == value).sum()))[: _MOST_VALUES - 1]
        return np.where((values == "") | np.isin(values, frequent), values, "other")
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

    Args:
        labels: [n].
        probabilities: [n, 7].
        identities: Whose face each is, [n].
        traits: What to slice by.
        seed: Of the resamples.
    """
    resamples = resample_people(identities, seed=seed)
    predictions = probabilities.argmax(1)
    slices = [
        _slice(trait.name, value, trait.values == value, labels, predictions, resamples)
        for trait in traits
        for value in sorted(set(trait.values.tolist()) - {""})
    ]
    adjusted = holm(np.array([one.p_value for one in slices]))
    return Slices(
        tuple(
            dataclasses.replace(one, adjusted_p=float(p))
            for one, p in zip(slices, adjusted, strict=True)
        )
    )


def _slice(
    trait: str,
    value: str,
    is_inside: NDArray[np.bool_],
    labels: Labels,
    predictions: Labels,
    resamples: Resamples,
) -> Slice:
    cells = confusion_cells(labels, predictions)
    inside, outside = cells * is_inside[:, None, None], cells * ~is_inside[:, None, None]
    own = confusion_counts(labels[is_inside], predictions[is_inside]).astype(np.float64)
    rest = confusion_counts(labels[~is_inside], predictions[~is_inside]).astype(np.float64)
    drawn, drawn_rest = resamples.totals(inside), resamples.totals(outside)
    compares = rest.sum(1) >= _NUM_FOR_RECALL
    gap, p_value = Estimate(np.nan, np.nan, np.nan), np.nan
    if own.sum(1)[compares].sum() >= FEW:
        moved = _gap(drawn, drawn_rest, compares)
        gap = Estimate(float(_gap(own, rest, compares)), *interval(moved))
        p_value = bootstrap_p(moved)
    return Slice(
        trait=trait,
        value=value,
        num_faces=int(is_inside.sum()),
        num_people=len(np.unique(resamples.person[is_inside])),
        accuracy=Estimate(float(_accuracy(own)), *interval(_accuracy(drawn))),
        macro_f1=Estimate(float(macro_f1(own)), *interval(macro_f1(drawn))),
        gap=gap,
        p_value=p_value,
        adjusted_p=p_value,
    )


def _accuracy(counts: Scores) -> Scores:
    """Returns accuracy, nan for a resample that drew no face of the slice."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.trace(counts, axis1=-2, axis2=-1) / counts.sum((-2, -1)))


def _gap(own: Scores, rest: Scores, compares: NDArray[np.bool_]) -> Scores:
    """Returns the mean over the slice's faces of being right less the rest's recall of their emotion.

    Args:
        own: Confusion counts of the slice, [..., 7, 7].
        rest: Of all other faces, [..., 7, 7].
        compares: Emotions of which the rest has faces enough, [7].
    """
    own, rest = own[..., compares, :], rest[..., compares, :]
    places = np.flatnonzero(compares)
    rows = np.arange(len(places))
    faces, others = own.sum(-1), rest.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = own[..., rows, places] - faces * rest[..., rows, places] / others
        counted = np.where(others > 0, faces, 0)
        return np.asarray(np.where(others > 0, difference, 0).sum(-1) / counted.sum(-1))
