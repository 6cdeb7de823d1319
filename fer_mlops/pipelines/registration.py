"""Registration of a trained model: bundle, version and model card; the run's description."""

from __future__ import annotations

from fer_mlops import REGISTERED_NAME
from fer_mlops.config import EnsembleExperiment, Experiment, TransferExperiment
from fer_mlops.data.loading import Data
from fer_mlops.data.table import as_argument
from fer_mlops.evaluation.full_report import ModelEvaluation
from fer_mlops.evaluation.report import Report
from fer_mlops.images.reading import as_png
from fer_mlops.models.backbones import find_backbone
from fer_mlops.models.experts import find_expert
from fer_mlops.reporting.model_card import Origin, make_card
from fer_mlops.tracking.alias_lock import FLAW_TAG
from fer_mlops.tracking.model_names import DRAWN, SCORE_TAG, is_drawn
from fer_mlops.tracking.registration import Registration, describe, register
from fer_mlops.tracking.registry import DIGEST_TAG
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.training.steps import TrainingResult

_EXAMPLES = 8  # number of validation faces stored with a model, with its predictions


def register_trained(
    experiment: Experiment,
    data: Data,
    learned: TrainingResult,
    valid: Report,
    test: ModelEvaluation,
    log: RunLog,
) -> Registration | None:
    """Stores the bundle; also registers it with a card if ``tracking.register`` is set.

    Returns:
        Registered version; None if there is none.
    """
    flaw = {FLAW_TAG: reason} if (reason := flaw_of(valid)) else {}
    log.log_facts(flaw)
    examples = [as_png(face) for face in data.parts["valid"].pixels[:_EXAMPLES]]
    scores = {"final_valid/macro_f1": valid.macro_f1.value, **test.report.metrics("test")}
    name = f"{experiment.family}-{data.table.name}"
    model_id = log.log_classifier(learned.classifier, examples, scores, name)
    if model_id is None or not experiment.tracking.register:
        return None
    tags = {
        "family": experiment.family,
        "data": data.table.name,
        "split": data.split.kind,
        DIGEST_TAG: data.digest(),
        SCORE_TAG: f"{valid.macro_f1.value:.6f}",
        "test_macro_f1": f"{test.report.macro_f1.value:.6f}",
        "test_n": str(test.report.num_faces),
        **flaw,
    }
    registration = log.ask(lambda: register(model_id, tags))  # the card needs the version's number
    origin = _origin(experiment, data, learned, registration.version, log.run_id)
    card = make_card(learned.classifier, test, origin)
    log.log_text("model_card.html", card.html)
    log.ask(lambda: describe(registration.version, card.markdown))
    log.log_facts(registration.facts)
    return registration


def flaw_of(valid: Report) -> str:
    """Returns the reason found on the validation faces why a model gets no alias; else empty."""
    found = valid.one_emotion() or valid.no_gain()
    return f"this model {found} validation faces: train longer, or on more faces" if found else ""


def _origin(
    experiment: Experiment, data: Data, learned: TrainingResult, version: int, run_id: str
) -> Origin:
    """Returns the model's origin for its card, in words."""
    known = data.known_people
    counts = ", ".join(f"{part} {len(rows):,}" for part, rows in data.split.parts().items())
    copies = data.share_of_known_photos()
    drawn = f"{DRAWN[0].upper()}{DRAWN[1:]}." if is_drawn({"data": data.table.name}) else ""
    return Origin(
        name=f"{REGISTERED_NAME}/{version}",
        run_id=run_id,
        data=f"{data.table.name}: {len(data.table):,} faces; data and split {data.digest()}. "
        f"{data.table.terms}",
        split=f"{data.split.kind}, seed {experiment.seed}: {counts}. {known.sentence()} "
        f"{copies:.1%} of the test faces are near duplicates of train's. Every "
        "choice was made on validation; the test part was used once.",
        weights=_lineage(experiment, learned),
        caution=" ".join(filter(None, (known.caution(copies), drawn))),
    )


def _lineage(experiment: Experiment, learned: TrainingResult) -> str:
    """Returns training data and licence of the published weights; empty if there are none."""
    match experiment:
        case TransferExperiment() if experiment.transfer.weights != "none":
            return find_backbone(learned.facts["backbone"]).lineage_of(experiment.transfer.weights)
        case EnsembleExperiment():
            experts = {name: find_expert(name) for name in experiment.ensemble.experts}
            return "; ".join(f"{name} ({e.licence}): {e.lineage}" for name, e in experts.items())
    return ""


def note_of(test: Report, data: Data, run_id: str, registration: Registration | None) -> str:
    """Returns the run's description in Markdown."""
    lines = [
        f"**Test macro-F1 {test.macro_f1}** on {test.people()} of *{data.table.name}*, "
        f"{data.split.kind} split."
    ]
    if registration:
        version = f"{REGISTERED_NAME} version {registration.version}"
        lines.append(f"- **Model**: {version} ({registration.alias}): {registration.reason}.")
    lines.append("- **Pages**: `training.html`" + ", `model_card.html`" * bool(registration))
    lines += [f"- **Next**: `{command}`" for command in next_commands(data, run_id, registration)]
    return "\n".join([lines[0], "", *lines[1:]])


def next_commands(data: Data, run_id: str, registration: Registration | None) -> tuple[str, ...]:
    """Returns commands that explain and evaluate the trained model; empty without MLflow."""
    if not run_id:
        return ()
    version = f"models:/{REGISTERED_NAME}/{registration.version}" if registration else ""
    model = version or f"runs:/{run_id}"
    face = as_argument(data.table, int(data.split.test[0]))
    return (
        f"fer-mlops explain {face} --model {model}",
        f"fer-mlops evaluate --model {model} --out report",
    )
