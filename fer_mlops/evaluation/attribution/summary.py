"""Summary of an attribution report in one sentence."""

from __future__ import annotations

from fer_mlops.evaluation.attribution.report import AttributionReport

_ALIKE = 0.5
"""Rank correlation with the maps of shuffled weights above which maps do not depend on training."""
_FEW = 10
"""Number of faces below which the measures support no claim."""


def maps_are_trustworthy(report: AttributionReport) -> tuple[bool, str]:
    """Returns whether the measures support the maps, and one sentence with the reasons.

    Four conditions must hold: at least ten faces were measured; removing and inserting pixels has more
    effect in the maps' order than in a random order; shuffled weights change the maps; and on drawn
    faces, the peaks are in the emotion's regions more often than the peaks of other emotions and random
    pixels.
    """
    removal, sanity, hits = report.removal, report.sanity, report.hits
    is_good = removal.deletion_area < removal.random_area < removal.insertion_area
    sentences = [
        f"blurring what the maps mark lowers the answer {'faster' if is_good else 'no faster'} than "
        f"blurring random places (area {removal.deletion_area:.2f} against {removal.random_area:.2f}, "
        f"{report.num_faces} {'face' if report.num_faces == 1 else 'faces'})"
    ]
    if sanity:
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
