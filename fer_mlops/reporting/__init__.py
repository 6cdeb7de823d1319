"""What is said of a trained model: to MLflow, on a page, on the card of a registered version."""

from fer_mlops.reporting.card import Card, Origin, make_card
from fer_mlops.reporting.judged import POINTS, Judged, confident_mistakes, judge_answers
from fer_mlops.reporting.page import render_page
from fer_mlops.reporting.telling import explain_faces, log_judged, log_report, one_of_each

__all__ = [
    "POINTS",
    "Card",
    "Judged",
    "Origin",
    "confident_mistakes",
    "explain_faces",
    "judge_answers",
    "log_judged",
    "log_report",
    "make_card",
    "one_of_each",
    "render_page",
]
