"""A report on heat maps, made up."""

from __future__ import annotations

from fer_mlops.evaluation.attribution.deletion_insertion import Removal
from fer_mlops.evaluation.attribution.parameter_randomization import Sanity
from fer_mlops.evaluation.attribution.pointing_game import Hits
from fer_mlops.evaluation.attribution.report import AttributionReport


def report_on_maps(
    *, num_faces: int = 10, deletion_area: float = 0.2, likeness: float = 0.1, peak: float = 0.8
) -> AttributionReport:
    """Returns the report of good maps, unless told otherwise."""
    return AttributionReport(
        method="gradcam",
        num_faces=num_faces,
        num_blank=0,
        inside=0.7,
        inside_uniform=0.5,
        removal=Removal(
            shares=(0.0, 0.5, 1.0),
            deletion=(0.9, 0.2, 0.1),
            insertion=(0.1, 0.7, 0.9),
            random_deletion=(0.9, 0.6, 0.1),
            deletion_area=deletion_area,
            insertion_area=0.7,
            random_area=0.5,
            deletion_wins=1.0,
            insertion_wins=1.0,
        ),
        sanity=Sanity(
            randomised=(0.5, 1.0),
            cascade=(0.4, likeness),
            rank_correlation=likeness,
            similarity=0.1,
        ),
        hits=Hits(
            num_faces=9, peak=peak, peak_by_chance=0.1, peak_of_others=0.3, mass=0.5, by_emotion={}
        ),
    )
