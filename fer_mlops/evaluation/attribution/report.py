"""Attribution report: all measures of the maps of some faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_mlops.data.datasets.synthetic_faces import Region, region_mask
from fer_mlops.evaluation.attribution.deletion_insertion import Removal, remove_and_insert
from fer_mlops.evaluation.attribution.face_share import face_ellipse, inside_ellipse, mean_of_known
from fer_mlops.evaluation.attribution.parameter_randomization import Sanity, check_sanity
from fer_mlops.evaluation.attribution.pointing_game import Hits, hit_rates
from fer_mlops.evaluation.explanation import Method, default_method, explain
from fer_mlops.evaluation.report import plain
from fer_mlops.images.arrays import Images, take_images
from fer_mlops.metrics.bootstrap import choose_evenly
from fer_mlops.metrics.classification import Labels
from fer_mlops.metrics.identities import count
from fer_mlops.models.classifier import Classifier

MOST_FACES: dict[Method, int] = {"gradcam": 48, "occlusion": 16}
"""Number of faces measured by default; occlusion classifies each face 64 times for one map."""


@dataclass(frozen=True, kw_only=True)
class AttributionReport:
    """Measures of a classifier's heat maps on some faces; a measure that does not exist is nan."""

    method: Method
    num_faces: int
    num_blank: int
    """Faces with a blank map: nothing supports the emotion. They count only in ``removal``."""
    inside: float
    """Mean share of the map inside the face ellipse."""
    inside_uniform: float
    """The same for a uniform map: the ellipse's share of the crop."""
    removal: Removal
    sanity: Sanity | None
    """None for a classifier whose weights cannot be shuffled, such as an ONNX file."""
    hits: Hits | None
    """None for faces whose emotion has no known regions."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as plain values, for JSON; a measure that does not exist is None."""
        return {name: plain(value) for name, value in dataclasses.asdict(self).items()}


def measure_explanations(
    classifier: Classifier,
    pixels: Images,
    targets: Labels,
    *,
    layer: str | None = None,
    method: Method | None = None,
    regions: Sequence[Sequence[Region]] | None = None,
    most: int | None = None,
) -> AttributionReport:
    """Returns the measures of the maps of these faces, for their target emotions.

    Args:
        classifier: Classifier to explain; not changed.
        pixels: Prepared faces, uint8 [n, side, side], n at least 1.
        targets: Label of the emotion to explain, [n].
        layer: See ``explain``.
        method: See ``explain``.
        regions: Regions in which each face shows its target emotion, [n]; None if unknown.
        most: Largest number of faces to measure, chosen evenly over the emotions; None for MOST_FACES.

    Raises:
        ConfigError: The layer or the method does not fit the classifier.
    """
    chosen = method or default_method(classifier)
    rows = choose_evenly(targets, most or MOST_FACES[chosen], seed=0)
    faces, emotions = np.asarray(take_images(pixels, rows)), targets[rows]
    heats, _ = explain(classifier, faces, emotions, layer=layer, method=chosen)
    side = faces.shape[-1]
    hits = None
    if regions is not None:
        masks = np.stack([region_mask(regions[row], side) for row in rows])
        hits = hit_rates(heats, masks, emotions)
    inside = inside_ellipse(heats)
    return AttributionReport(
        method=chosen,
        num_faces=len(rows),
        num_blank=int(np.isnan(inside).sum()),
        inside=mean_of_known(inside),
        inside_uniform=float(face_ellipse(side).mean()),
        removal=remove_and_insert(classifier, faces, emotions, heats, seed=0),
        sanity=check_sanity(classifier, faces, emotions, heats, layer, chosen, seed=0),
        hits=hits,
    )


# rank correlation with the maps of shuffled weights above which maps do not depend on training
_ALIKE = 0.5
_FEW = 10  # number of faces below which the measures support no claim


def maps_are_trustworthy(report: AttributionReport) -> tuple[bool, str]:
    """Returns whether the measures support the maps, and one sentence with the reasons."""
    removal, sanity, hits = report.removal, report.sanity, report.hits
    # removing and inserting pixels must have more effect in the maps' order than in a random order
    is_good = removal.deletion_area < removal.random_area < removal.insertion_area
    sentences = [
        f"blurring what the maps mark lowers the answer {'faster' if is_good else 'no faster'} than "
        f"blurring random places (area {removal.deletion_area:.2f} against {removal.random_area:.2f}, "
        f"{count(report.num_faces, 'face')})"
    ]
    if sanity:
        # a nan, of maps that are blank with shuffled weights, is no likeness
        is_learned = not sanity.rank_correlation > _ALIKE
        is_good = is_good and is_learned
        sentences.append(
            f"{'little' if is_learned else 'most'} of the maps is left when the weights are shuffled "
            f"(rank correlation {round(sanity.rank_correlation, 2) + 0:.2f})"  # no -0.00
        )
    if hits:
        is_good = is_good and hits.peak > max(hits.peak_of_others, hits.peak_by_chance)
        sentences.append(
            f"the strongest place lies where the emotion was drawn on {hits.peak:.0%} of "
            f"{hits.num_faces} drawn faces ({hits.peak_by_chance:.0%} by chance, "
            f"{hits.peak_of_others:.0%} for the maps of other emotions)"
        )
    if report.num_faces < _FEW:
        is_good = False
        sentences.append("too few faces for a claim")
    return is_good, "; ".join(sentences)
