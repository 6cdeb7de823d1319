"""Training run: trains, evaluates, explains and registers one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fer_mlops.config import EpochExperiment, Experiment
from fer_mlops.data.faces import Faces
from fer_mlops.data.loading import Data
from fer_mlops.data.quality.report import check_before_training
from fer_mlops.evaluation.full_report import ModelEvaluation, evaluate_predictions
from fer_mlops.evaluation.predictions import LabelledPredictions, predict_table
from fer_mlops.evaluation.report import Report, confidence_measures, evaluate
from fer_mlops.models.classifier import Classifier
from fer_mlops.pipelines.evaluation_logging import log_evaluation, log_explained_faces, log_valid_report
from fer_mlops.pipelines.registration import flaw_of, next_commands, note_of, register_trained
from fer_mlops.pipelines.run_checkpoint import RunCheckpoint, learning_state
from fer_mlops.pipelines.step_logging import StepLogger
from fer_mlops.pipelines.teacher import with_fixed_teacher, with_soft_labels
from fer_mlops.progress import Progress, no_progress
from fer_mlops.reporting import plots
from fer_mlops.reporting.evaluation_plots import HeatMapSheet, one_of_each
from fer_mlops.reporting.training_page import augmented_faces, render_training
from fer_mlops.tracking.registration import Registration
from fer_mlops.tracking.registry import DIGEST_TAG
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.tracking.runs import git_commit, track_training
from fer_mlops.training import distributed
from fer_mlops.training.checkpoints import checkpoint_path
from fer_mlops.training.steps import OnStep, Step, TrainingResult
from fer_mlops.training.train import train_classifier


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Result of a training run."""

    run_id: str
    """ID of the run in MLflow; empty without MLflow."""
    experiment_id: str
    experiment: Experiment
    data: Data
    classifier: Classifier
    valid: Report
    evaluation: ModelEvaluation
    """Evaluation on the test faces."""
    heat_maps: HeatMapSheet
    """Heat maps of one test face of each emotion."""
    registration: Registration | None
    """Registered version; None without MLflow, or if ``tracking.register`` is off."""
    facts: Mapping[str, str]
    """Decisions and notes, such as the backbone and its reason, or the number of almost black faces."""
    minutes: float

    @property
    def flaw(self) -> str:
        """Reason found on the validation faces why the model gets no alias; empty if there is none."""
        return flaw_of(self.valid)

    @property
    def next_commands(self) -> tuple[str, ...]:
        """Commands that look closer at this model; empty without MLflow."""
        return next_commands(self.data, self.run_id, self.registration)

    @property
    def family(self) -> str:
        """Model family: ``baseline``, ``cnn`` or ``transfer``."""
        return self.experiment.family

    @property
    def test(self) -> Report:
        """Report on the test faces."""
        return self.evaluation.report

    @property
    def operating_points(self) -> Mapping[str, Report]:
        """Test reports at the natural and the balanced operating point."""
        return {name: report for name, report in self.evaluation.reports.items() if name != "default"}

    @property
    def predictions(self) -> LabelledPredictions:
        """Predictions on the test faces."""
        return self.evaluation.predictions

    def as_dict(self) -> dict[str, object]:
        """Returns the scores, the registered version and the notes as plain values, for JSON."""
        made = self.registration
        return {
            "run_id": self.run_id,
            "family": self.family,
            "data": self.data.table.name,
            "split": self.data.split.kind,
            "seed": self.experiment.seed,
            "minutes": self.minutes,
            "test": {point: report.as_dict() for point, report in self.evaluation.reports.items()},
            "registered": asdict(made) if made else None,
            "warning": self.flaw or None,
            "facts": dict(self.facts),
            "next": self.next_commands,
        }

    def __repr__(self) -> str:
        return f"Trained({self.family} on {self.data.table.name}, macro-F1 {self.test.macro_f1})"


def run_name(experiment: Experiment, data: Data, preset: str = "") -> str:
    """Returns the name of a training run, such as ``cnn fast · faces · seed 0``."""
    model = f"{experiment.family} {preset}".rstrip()
    return f"{model} · {data.table.name} · seed {experiment.seed}"


def run_experiment(
    experiment: Experiment,
    data: Data,
    log: RunLog | None = None,
    *,
    progress: Progress = no_progress,
    on_step: OnStep | None = None,
    checkpoint: Path | None = None,
    resume_from: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> Trained:
    """Trains, evaluates and explains one model, and logs and registers it if the log is a run's tracker.

    ``on_step`` is called after each logged step, and may raise to end the run. The file ``checkpoint``
    is written before training and after every step, and removed at the end; ``resume_from`` is its
    content. ``facts`` are further facts to log.

    Raises:
        DataError: The faces or their split have changed since the checkpoint.
    """
    experiment, log = with_fixed_teacher(experiment), log or RunLog()
    run_checkpoint = RunCheckpoint(checkpoint, experiment, data, log, resume_from)
    if not run_checkpoint.is_resumed:  # a resumed run has logged them
        with run_checkpoint.step(0):
            _log_beginning(experiment, data, log)
            log.log_facts(facts)
    train, teacher_facts = with_soft_labels(experiment, data, progress)
    log.log_facts(teacher_facts)
    step_logger = StepLogger(experiment.tracking.images_every, data.parts["valid"], log)

    def log_step(step: Step) -> None:
        # a resumed baseline repeats its first steps; they are logged already
        if step.number > run_checkpoint.last_step:
            with run_checkpoint.step(step.number, step.state):
                step_logger.write(step)
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
            resume_from=learning_state(resume_from),
        )
        progress("evaluation and heat maps", 0)
        learned = replace(learned, facts={**learned.facts, **facts})
        return _conclude(experiment, data, log, learned, run_checkpoint)


def run_tracked(
    experiment: Experiment,
    data: Data,
    *,
    progress: Progress = no_progress,
    on_step: OnStep | None = None,
    preset: str = "",
    resume: str | None = None,
    resume_from: Mapping[str, Any] | None = None,
    around: Callable[[str], AbstractContextManager[object]] = nullcontext,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> Trained:
    """Runs the experiment in an MLflow run of its own, with a checkpoint in the cache.

    ``resume`` is the ID of a run to continue, ``resume_from`` the content of its checkpoint. The context
    that ``around`` returns for the run's ID surrounds the training.

    Raises:
        TrackingError: The run cannot be stored.
        DataError: The faces or their split have changed since the checkpoint.
    """
    name = run_name(experiment, data, preset)
    with (
        track_training(experiment.tracking, name, resume=resume) as tracker,
        around(tracker.run_id),
    ):
        return run_experiment(
            experiment,
            data,
            tracker,
            progress=progress,
            on_step=on_step,
            checkpoint=checkpoint_path(data.cache, tracker.run_id),
            resume_from=resume_from,
            facts=facts,
        )


def _log_beginning(experiment: Experiment, data: Data, log: RunLog) -> None:
    """Logs settings, data, facts and findings before training."""
    findings = check_before_training(data.table, data.split, experiment.data, data.clusters)
    facts = _facts(experiment, data)
    log.log_settings(experiment)
    log.log_data(data.table, data.split)
    log.log_facts(facts)
    log.log_findings(findings)


def _conclude(
    experiment: Experiment,
    data: Data,
    log: RunLog,
    learned: TrainingResult,
    run_checkpoint: RunCheckpoint,
) -> Trained:
    """Evaluates, explains and registers the trained model; can be repeated after a kill."""
    log.stop_clock()
    classifier = learned.classifier
    valid, confidence = _evaluate_valid(classifier, data.parts["valid"])
    test = _evaluate_test(classifier, data)
    log.log_facts({**learned.facts, "test_used": "once, after every choice was made on validation"})
    log_valid_report(valid, confidence, log)
    log_evaluation(test, "test", log)
    faces = data.parts["test"]
    heat_maps = log_explained_faces(classifier, faces.pixels, faces.labels, log, "test")
    title = f"Training curves, {experiment.family}, {data.table.name}"
    log.log_text("training.html", _training_page(experiment, data, log))
    log.log_figure("training_curves.png", plots.training_curves(log.curves(), title))
    registration = register_trained(experiment, data, learned, valid, test, log)
    log.log_note(note_of(test.report, data, log.run_id, registration))
    dark: dict[str, str] = {
        note.kind: note.text for note in data.table.notes if note.kind == "almost-black"
    }
    return Trained(
        run_id=log.run_id,
        experiment_id=log.experiment_id,
        experiment=experiment,
        data=data,
        classifier=classifier,
        valid=valid,
        evaluation=test,
        heat_maps=heat_maps,
        registration=registration,
        facts={**learned.facts, **dark},
        minutes=run_checkpoint.finish(),
    )


def _training_page(experiment: Experiment, data: Data, log: RunLog) -> str:
    augmented = []
    if isinstance(experiment, EpochExperiment):
        train = data.parts["train"]
        faces = train.pixels[one_of_each(train.labels)]
        augmented = augmented_faces(experiment.augment, faces, experiment.seed)
    title = f"{experiment.family}, {data.table.name}, seed {experiment.seed}"
    facts = [f"run {log.run_id}" if log.run_id else "a run without MLflow", data.table.terms]
    return render_training(title, log.curves(), log.pictures(), augmented, facts)


def assist_experiment(
    experiment: Experiment, data: Data, *, resume_from: Mapping[str, Any] | None = None
) -> None:
    """Trains together with the first process, which owns the run and does the logging."""
    experiment = with_fixed_teacher(experiment)
    train, _ = with_soft_labels(experiment, data, no_progress)
    train_classifier(
        experiment,
        train,
        data.parts["valid"],
        on_step=lambda _: None,
        cache=data.cache,
        resume_from=learning_state(resume_from),
    )


def _facts(experiment: Experiment, data: Data) -> dict[str, str | float]:
    facts: dict[str, str | float] = {
        "family": experiment.family,
        "processes": distributed.world_size(),
        "git_commit": git_commit(),
        "data": data.table.name,
        DIGEST_TAG: data.digest(),
        "split": data.split.kind,
        "test_faces_of_known_people": data.known_people.tag(),
    }
    caution = data.known_people.caution(data.share_of_known_photos())
    if caution:
        facts["warning"] = caution
    return facts


def _evaluate_valid(classifier: Classifier, faces: Faces) -> tuple[Report, dict[str, float]]:
    """Returns the report on the validation faces, and measures of the classifier's confidence."""
    calibration, logits = classifier.calibration, classifier.scorer.logits(faces.pixels)
    confidence = confidence_measures(calibration, logits, faces.labels)
    return evaluate(faces.labels, calibration.probabilities(logits), faces.identities), confidence


def _evaluate_test(classifier: Classifier, data: Data) -> ModelEvaluation:
    pixels = data.parts["test"].pixels
    predictions = predict_table(classifier, data.table.select(data.split.test), pixels)
    described = f"test part of {data.table.name}, {data.split.kind} split"
    return evaluate_predictions(described, predictions, pixels)
