"""Model card of a registered version (Mitchell et al., arXiv 1810.03993), made from its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fer_mlops.evaluation.full_report import ModelEvaluation
from fer_mlops.evaluation.report import Report
from fer_mlops.evaluation.slices import Slice
from fer_mlops.metrics.classification import FEW
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting.evaluation_page import mistakes_of
from fer_mlops.reporting.html import render

USE = (
    "Research, teaching, and products that sort pictures of consenting adults by visible expression. It "
    "takes a crop of one face and returns seven calibrated probabilities."
)
NOT_FOR = (
    "Inferring what a person feels, intends or deserves. The EU AI Act bans inferring emotions at work "
    "and in education (Art. 5(1)(f)); elsewhere people must be informed (Art. 50(3))."
)
_MOST_SLICES = 6
_MOST_TEXT = 4900  # longest card in characters; MLflow accepts 5,000 as a version's description


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Origin of a model, in words."""

    name: str
    """Registered name, with the version number if known."""
    run_id: str
    data: str
    """Name, terms of use and digest of the data."""
    split: str
    """Kind of the split, and how many test faces show a person who is also in the training data."""
    weights: str
    """Training data and licence of the pretrained weights; empty without pretrained weights."""
    caution: str
    """Reason why the scores may be too good, in one sentence; empty if there is none."""


@dataclass(frozen=True)
class ModelCard:
    """Model card in two formats."""

    markdown: str
    """Card of at most 4,900 characters, without images."""
    html: str
    """Model card with images of known failures."""


def make_card(classifier: Classifier, evaluation: ModelEvaluation, origin: Origin) -> ModelCard:
    """Returns the card of a version."""
    sections = [
        ("Intended use", [USE]),
        ("Not for", [NOT_FOR]),
        ("Data", [origin.data, *([f"Pretrained weights: {origin.weights}."] if origin.weights else [])]),
        ("Split", [origin.split]),
        ("Calibration", [_calibration(evaluation)]),
        ("Known limits", _limits(evaluation)),
        ("Load it", [f'`mlflow.pyfunc.load_model("models:/{origin.name}")`']),
    ]
    side = classifier.image_size
    facts = f"{classifier.family}, gray faces of {side} × {side} px"
    return ModelCard(
        _markdown(origin, facts, evaluation, sections)[:_MOST_TEXT],
        _html(origin, facts, evaluation, sections),
    )


def _scores(evaluation: ModelEvaluation) -> list[list[str]]:
    rows = []
    for operating_point, report in evaluation.reports.items():
        scores = (report.accuracy, report.balanced_accuracy, report.macro_f1)
        rows.append([operating_point, *map(str, scores), f"{report.ece.value:.3f}"])
    return rows


_COLUMNS = ("point", "accuracy", "balanced accuracy", "macro-F1", "ECE")
_CLASS_COLUMNS = ("emotion", "n", "recall", "F1")


def _classes(report: Report) -> list[list[str]]:
    rows = []
    for row in report.classes:
        mark = " *" if row.support < FEW else ""
        scores = [f"{row.recall:.3f}", str(row.f1)] if row.support else ["–", "–"]
        rows.append([f"{row.emotion}{mark}", str(row.support), *scores])
    return rows


def _calibration(evaluation: ModelEvaluation) -> str:
    report, confidence = evaluation.report, evaluation.confidence
    text = (
        f"Temperature {evaluation.predictions.calibration.temperature:.2f}, fitted on validation: "
        f"calibration error {report.ece.value:.3f}, before {confidence['ece_before_temperature']:.3f}."
    )
    if "answered_error" in confidence:
        text += (
            f" {confidence['answered_share']:.0%} of the test faces get a sure prediction "
            f"(confidence from {evaluation.predictions.calibration.threshold:.2f}); "
            f"{confidence['answered_error']:.1%} of these predictions are wrong."
        )
    return text


def _limits(evaluation: ModelEvaluation) -> list[str]:
    few = [row.emotion for row in evaluation.report.classes if row.support < FEW]
    limits = []
    if few:
        limits.append(f"Fewer than {FEW} test faces of {', '.join(few)}: no claim about these.")
    worse = sorted(
        (part for part in evaluation.slices.slices if part.gap.value < 0 and part.is_significant),
        key=lambda part: part.gap.value,
    )
    limits += [_worse(part) for part in worse[:_MOST_SLICES]]
    if not worse:
        num = evaluation.slices.num_tested
        limits.append(
            f"None of the {num} tested slices does significantly worse at equal emotions."
            if num
            else "No slice has enough faces and people to be tested: whether one does worse is unknown."
        )
    traits = sorted({part.trait for part in evaluation.slices.slices})
    limits.append(f"Slices evaluated: {', '.join(traits) or 'none'}. No other audit was made.")
    return limits


def _worse(part: Slice) -> str:
    return (
        f"{part.trait} {part.value} (n = {part.num_faces}): accuracy {-part.gap.value:.3f} lower than "
        f"that of other faces at equal emotions, corrected p {part.adjusted_p:.3f}."
    )


def _markdown(
    origin: Origin,
    facts: str,
    evaluation: ModelEvaluation,
    sections: Sequence[tuple[str, Sequence[str]]],
) -> str:
    report = evaluation.report
    lines = [f"# {origin.name}", "", f"{facts}. Run `{origin.run_id}`.", ""]
    if origin.caution:
        lines += [f"**{origin.caution}**", ""]
    lines += [f"## Scores: {evaluation.faces}", ""]
    lines += [f"{report.people()}. {report.units.description}", ""]
    lines += _as_markdown(_COLUMNS, _scores(evaluation))
    lines += ["", "## Emotion by emotion", ""]
    lines += _as_markdown(_CLASS_COLUMNS, _classes(report))
    for title, text in sections:
        lines += ["", f"## {title}", "", *text]
    return "\n".join(lines) + "\n"


def _as_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _html(
    origin: Origin,
    facts: str,
    evaluation: ModelEvaluation,
    sections: Sequence[tuple[str, Sequence[str]]],
) -> str:
    return render(
        "model_card.html",
        command="model card",
        title=origin.name,
        mood="warning" if origin.caution else "note",
        about=facts,
        caution=origin.caution,
        evaluation=evaluation,
        score_columns=_COLUMNS,
        scores=_scores(evaluation),
        class_columns=_CLASS_COLUMNS,
        classes=_classes(evaluation.report),
        sections=sections,
        mistakes=mistakes_of(evaluation),
        facts=[f"run {origin.run_id}"],
    )
