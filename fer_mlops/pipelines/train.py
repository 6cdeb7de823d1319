"""Training run: trains, evaluates, explains and registers one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fer_mlops.config import Experiment, TransferExperiment
from fer_mlops.data.faces import Faces
from fer_mlops.data.loading import Data
from fer_mlops.data.quality.leakage import find_known_people
from fer_mlops.data.quality.report import check_before_training
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.evaluation.explanation import explain
from fer_mlops.evaluation.full_report import ModelEvaluation, evaluate_predictions
from fer_mlops.evaluation.predictions import LabelledPredictions, predict_table
from fer_mlops.evaluation.report import Report, confidence_metrics, evaluate
from fer_mlops.images.reading import as_png
from fer_mlops.metrics.classification import confusion_counts
from fer_mlops.models.backbones import find_backbone
from fer_mlops.models.classifier import Classifier
from fer_mlops.pipelines.evaluation_logging import log_explained_faces, log_judged, log_report
from fer_mlops.pipelines.run_checkpoint import RunCheckpoint
from fer_mlops.pipelines.teacher import with_answers, with_fixed_teacher
from fer_mlops.progress import Progress, no_progress
from fer_mlops.reporting import plots
from fer_mlops.reporting.evaluation_plots import one_of_each
from fer_mlops.reporting.model_card import Origin, make_card
from fer_mlops.tracking.alias_lock import REGISTERED_NAME
from fer_mlops.tracking.registry import DIGEST_TAG, SCORE_TAG, Registration, describe, register
from fer_mlops.tracking.runs import git_commit
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.training import distributed
from fer_mlops.training.steps import OnStep, Step, TrainingResult
from fer_mlops.training.train import train_classifier

_EXAMPLES = 8
"""Number of validation faces stored with a model, with its predictions."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Result of a training run."""

    run_id: str
    experiment_id: str
    family: str
    classifier: Classifier
    valid: Report
    test: Report
    points: Mapping[str, Report]
    """Test reports at the natural and the balanced operating point."""
    answers: LabelledPredictions
    """Predictions on the test faces."""
    registration: Registration | None
    facts: Mapping[str, str]
    """Decisions and notes, such as the backbone and its reason, or the number of almost black faces."""
    minutes: float


def run_experiment(
    experiment: Experiment,
    data: Data,
    tracker: Tracker,
    *,
    progress: Progress = no_progress,
    on_step: OnStep | None = None,
    checkpoint: Path | None = None,
    resume_from: Mapping[str, Any] | None = None,
) -> Trained:
    """Trains, evaluates, explains and registers one model; logs everything to the tracker's run.

    Args:
        experiment: Family and settings.
        data: Result of ``prepare_data`` for the same experiment.
        tracker: Open run.
        progress: Called at the start of each stage.
        on_step: Called after each logged step; may raise to end the run.
        checkpoint: Checkpoint file, written before training and after every step, removed at the end.
        resume_from: Content of a checkpoint, to resume the same run.

    Raises:
        DataError: The faces or their split have changed since the checkpoint.
    """
    experiment = with_fixed_teacher(experiment)
    if resume_from and resume_from["digest"] != data.digest():
        raise DataError(
            f"run {tracker.run_id} cannot resume: the faces or their split have changed since it "
            "started; restore them, or start a new run"
        )
    tracker.patience = 60 * experiment.tracking.wait_minutes
    run_checkpoint = RunCheckpoint(checkpoint, experiment, data, tracker, resume_from)
    if resume_from is None:
        with tracker.outbox.together():
            _log_beginning(experiment, data, tracker)
            run_checkpoint.save(0, None)
    else:
        tracker.go_on(resume_from["tracker"])
    train, taught = with_answers(experiment, data, data.cache, progress)
    tracker.log_facts(taught)
    step_logger = _StepLogger(
        experiment, data.parts["valid"], tracker, is_blank=not tracker.has_pictures
    )

    def log_step(step: Step) -> None:
        # a resumed baseline repeats its first steps; they are logged already
        if step.number > run_checkpoint.last_step:
            with tracker.outbox.together():
                step_logger.write(step)
                run_checkpoint.save(step.number, step.state)
        if on_step:
            on_step(step)

    with run_checkpoint.locked():
        learned = train_classifier(
            experiment,
            train,
            data.parts["valid"],
            on_step=log_step,
            progress=progress,
            cache=data.cache,
            resume_from=resume_from["learning"] if resume_from else None,
        )
        return _conclude(experiment, data, tracker, learned, run_checkpoint)


def _log_beginning(experiment: Experiment, data: Data, tracker: Tracker) -> None:
    """Logs settings, data, facts and findings before training."""
    tracker.log_settings(experiment)
    tracker.log_data(data.table, data.split)
    tracker.log_facts(_facts(experiment, data))
    tracker.log_findings(check_before_training(data.table, data.split, experiment.data, data.clusters))


def _conclude(
    experiment: Experiment,
    data: Data,
    tracker: Tracker,
    learned: TrainingResult,
    run_checkpoint: RunCheckpoint,
) -> Trained:
    """Evaluates, explains and registers the trained model; can be repeated after a kill."""
    tracker.stop_clock()
    classifier = learned.classifier
    tracker.log_facts(learned.facts)
    valid = _evaluate_valid(classifier, data.parts["valid"], tracker)
    judged = _evaluate_test(classifier, data, tracker)
    tracker.log_figure("training_curves.png", plots.training_curves(tracker.curves(), experiment.family))
    tracker.log_facts({"test_used": "once, after every choice was made on validation"})
    registration = _register(experiment, data, learned, valid, judged, tracker)
    minutes = run_checkpoint.minutes()
    if not (run_checkpoint.is_resumed and tracker.has_metric("minutes")):
        tracker.log_metrics({"minutes": minutes})
    tracker.finish()
    run_checkpoint.discard()
    return Trained(
        run_id=tracker.run_id,
        experiment_id=tracker.experiment_id,
        family=experiment.family,
        classifier=classifier,
        valid=valid,
        test=judged.report,
        points={p: r for p, r in judged.reports.items() if p != "default"},
        answers=judged.answers,
        registration=registration,
        facts={**learned.facts, **_darkness(data)},
        minutes=minutes,
    )


def assist_experiment(
    experiment: Experiment, data: Data, *, resume_from: Mapping[str, Any] | None = None
) -> None:
    """Trains together with the first process, which owns the run and does the logging."""
    experiment = with_fixed_teacher(experiment)
    train, _ = with_answers(experiment, data, data.cache, no_progress)
    learned = resume_from["learning"] if resume_from else None
    valid = data.parts["valid"]
    train_classifier(
        experiment, train, valid, on_step=lambda _: None, cache=data.cache, resume_from=learned
    )


def _facts(experiment: Experiment, data: Data) -> dict[str, str | float]:
    known = find_known_people(data.table, data.split)
    facts: dict[str, str | float] = {
        "family": experiment.family,
        "processes": distributed.world_size(),
        "git_commit": git_commit(),
        "data": data.table.name,
        DIGEST_TAG: data.digest(),
        "split": data.split.kind,
        "test_faces_of_known_people": known.tag(),
    }
    caution = _caution(data)
    if caution:
        facts["warning"] = caution
    return facts


def _caution(data: Data) -> str:
    """Returns the reasons why test scores may be too high; empty if there are none."""
    said = [find_known_people(data.table, data.split).caution()]
    copies = data.share_of_known_photos()
    if copies > 0:
        said.append(
            f"Optimistic: {copies:.1%} of the test faces are near duplicates of photos in train."
        )
    return " ".join(filter(None, said))


def _darkness(data: Data) -> dict[str, str]:
    return {note.kind: note.text for note in data.table.notes if note.kind == "almost-black"}


class _StepLogger:
    """Logs each step's metrics, and pictures of validation faces."""

    def __init__(
        self, experiment: Experiment, valid: Faces, tracker: Tracker, *, is_blank: bool
    ) -> None:
        self.every = experiment.tracking.images_every
        self.valid, self.tracker = valid, tracker
        self.rows = one_of_each(valid.labels)
        self.matrices = plots.ConfusionPictures(dots_per_inch=80) if self.every else None
        self.is_blank = is_blank

    def write(self, step: Step) -> None:
        self.tracker.log_metrics(step.metrics, step.number)
        if self.matrices is None or not step.has_images or step.number % self.every:
            return
        counts = confusion_counts(self.valid.labels, step.probabilities.argmax(1))
        picture = self.matrices.draw(counts.tolist(), f"validation, step {step.number}")
        # MLflow's slider opens at step 0 and would be empty, so the first pictures are logged there too
        steps = (0, step.number) if self.is_blank else (step.number,)
        self.is_blank = False
        self._log_picture("confusion_matrix/valid", picture, steps)
        pixels, labels = self.valid.pixels[self.rows], self.valid.labels[self.rows]
        heats, method = explain(step.classifier, pixels, labels)
        for face, label, heat in zip(pixels, labels, heats, strict=True):
            key = f"{method}/{EMOTIONS[label]}"
            self._log_picture(key, plots.overlay(face, heat), steps)

    def _log_picture(self, key: str, picture: Image.Image, steps: tuple[int, ...]) -> None:
        for number in steps:
            self.tracker.log_picture(key, picture, number)


def _evaluate_valid(classifier: Classifier, faces: Faces, tracker: Tracker) -> Report:
    """Returns the report on the validation faces and logs its numbers and figures."""
    calibration, logits = classifier.calibration, classifier.scorer.logits(faces.pixels)
    tracker.log_metrics(confidence_metrics(calibration, logits, faces.labels, "final_valid"))
    report = evaluate(faces.labels, calibration.probabilities(logits), faces.identities)
    log_report(report, "final_valid", tracker)
    return report


def _evaluate_test(classifier: Classifier, data: Data, tracker: Tracker) -> ModelEvaluation:
    """Evaluates the classifier on the test faces and logs the results with some heat maps."""
    faces = data.parts["test"]
    table = data.table.select(data.split.test)
    described = f"test part of {data.table.name}, {data.split.kind} split"
    judged = evaluate_predictions(
        described, predict_table(classifier, table, faces.pixels), faces.pixels
    )
    log_judged(judged, "test", tracker)
    log_explained_faces(classifier, faces.pixels, faces.labels, tracker, "test")
    return judged


def _register(
    experiment: Experiment,
    data: Data,
    learned: TrainingResult,
    valid: Report,
    judged: ModelEvaluation,
    tracker: Tracker,
) -> Registration | None:
    """Logs the bundle; also registers it with a card if ``tracking.register`` is set."""
    examples = [as_png(face) for face in data.parts["valid"].pixels[:_EXAMPLES]]
    scores = {**valid.metrics("final_valid"), **judged.report.metrics("test")}
    model_id = tracker.log_classifier(learned.classifier, examples, scores)
    if not experiment.tracking.register:
        return None
    tags = {
        "family": experiment.family,
        "data": data.table.name,
        "split": data.split.kind,
        DIGEST_TAG: data.digest(),
        SCORE_TAG: f"{valid.macro_f1.value:.6f}",
        "test_macro_f1": f"{judged.report.macro_f1.value:.6f}",
        "test_n": str(judged.report.num_faces),
    }
    registration = tracker.ask(lambda: register(model_id, tags))
    origin = _origin(experiment, data, learned, registration.version, tracker.run_id)
    card = make_card(learned.classifier, judged, origin)
    tracker.log_text("model_card.html", card.html)
    tracker.ask(lambda: describe(registration.version, card.markdown))
    tracker.log_facts(registration.facts)
    return registration


def _origin(
    experiment: Experiment, data: Data, learned: TrainingResult, version: int, run_id: str
) -> Origin:
    """Returns the model's origin for its card, in words."""
    known = find_known_people(data.table, data.split)
    counts = ", ".join(f"{part} {len(rows):,}" for part, rows in data.split.parts().items())
    weights = experiment.transfer.weights if isinstance(experiment, TransferExperiment) else "none"
    lineage = find_backbone(learned.facts["backbone"]).lineage_of(weights) if weights != "none" else ""
    copies = f"{data.share_of_known_photos():.1%} of the test faces are near duplicates of train's."
    return Origin(
        name=f"{REGISTERED_NAME}/{version}",
        run_id=run_id,
        data=f"{data.table.name}: {len(data.table):,} faces; data and split {data.digest()}. "
        f"{data.table.terms}",
        split=f"{data.split.kind}, seed {experiment.seed}: {counts}. {known.sentence()} {copies} Every "
        "choice was made on validation; the test part was used once.",
        weights=lineage,
        caution=_caution(data),
    )
