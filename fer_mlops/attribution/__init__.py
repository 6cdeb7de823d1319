"""What heat maps are worth, in figures; four questions, each put to all faces at once.

inside      does a map lie on the face?
removal     does the answer hang on what it marks?
sanity      does it depend on what was learned?
hits        does it lie where the emotion was drawn? (drawn faces only)
"""

from fer_mlops.attribution.hits import Hits, hit_rates
from fer_mlops.attribution.inside import HALF_HEIGHT, HALF_WIDTH, face_ellipse, inside_ellipse
from fer_mlops.attribution.removal import Removal, remove_and_insert
from fer_mlops.attribution.report import (
    MOST_FACES,
    AttributionReport,
    measure_explanations,
)
from fer_mlops.attribution.sanity import Sanity, check_sanity, randomised, rank_correlation
from fer_mlops.attribution.words import judge_maps

__all__ = [
    "HALF_HEIGHT",
    "HALF_WIDTH",
    "MOST_FACES",
    "AttributionReport",
    "Hits",
    "Removal",
    "Sanity",
    "check_sanity",
    "face_ellipse",
    "hit_rates",
    "inside_ellipse",
    "judge_maps",
    "measure_explanations",
    "randomised",
    "rank_correlation",
    "remove_and_insert",
]
