"""What the figures say of a classifier's maps, in one sentence."""

from __future__ import annotations

from fer_mlops.evaluation.attribution.report import AttributionReport

_ALIKE = 0.5
"""Rank correlation with the maps of shuffled weights from which they count as not learned."""
_FEW = 10
"""Faces below which the figures are no ground for a claim."""


def maps_are_trustworthy(report: AttributionReport) -> tuple[bool, str]:
    """Returns whether the figures speak for the maps, which takes ten faces, and one sentence on why.

    They do when pixels go, and come, with more effect in the maps' order than in a random one, when
    shuffled weights change the maps, and when those of drawn faces peak on what was drawn for the
    emotion more often than those of other emotions do.
    """
    removal, sanity, hits = report.removal, report.sanity, report.hits
    is_good = removal.deletion_area < removal.random_area < removal.insertion_area
    said = [
        f"blurring what the maps mark lowers the answer {'faster' if is_good else 'no faster'} than "
        f"blurring random places (area {removal.deletion_area:.2f} against {removal.random_area:.2f}, "
        f"{report.num_faces} {'face' if report.num_faces == 1 else 'faces'})"
    ]
    if sanity:
        is_learned = not sanity.rank_correlation > _ALIKE
        is_good = is_good and is_learned
        said.append(
            f"{'little' if is_learned else 'most'} of the maps is left when the weights are shuffled "
            f"(rank correlation {round(sanity.rank_correlation, 2) + 0:.2f})"  # no -0.00
        )
    if hits:
        is_good = is_good and hits.peak > max(hits.peak_of_others, hits.peak_by_chance)
        said.append(
            f"the strongest place lies where the emotion was drawn on {hits.peak:.0%} of "
            f"{hits.num_faces} drawn faces ({hits.peak_by_chance:.0%} by chance, "
            f"{hits.peak_of_others:.0%} for the maps of other emotions)"
        )
    if report.num_faces < _FEW:
        is_good = False
        said.append("too few faces for a claim")
    return is_good, "; ".join(said)
