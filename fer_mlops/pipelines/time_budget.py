"""Time budget: the preset and the number of epochs that fit into the minutes a user has.

Each candidate trains some steps on random pixels, which take as long as faces. Their times and the
numbers of faces give the time of the whole command.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from fer_mlops.config import EpochExperiment, TransferExperiment, image_size
from fer_mlops.data.faces import Faces
from fer_mlops.data.loading import Data, prepare_data
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError
from fer_mlops.pipelines.step_logging import StepLogger
from fer_mlops.progress import Progress
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.training.steps import Step
from fer_mlops.training.train import train_classifier

_ROUNDS = 3  # steps of a trial; the median leaves out the first, which warms up
_PREDICTED = 16  # faces of a prediction
_LEAST_SHARE = 2 / 3  # of a preset's epochs; with fewer, a quicker preset is better
# In units of drawing one epoch's pictures in memory, so that they hold on other machines. Processor
# seconds on the drawn sample and on Muxspace, November 2026: pictures .093, end of a run 8.5 (2.5 of
# them the exit of the process), and 2.2 for 1,000 more validation and test faces.
_EPOCH_END = 2.5  # pictures, checkpoint and MLflow of an epoch
_RUN_END = 90.0  # figures, model, MLflow and exit of a run
_REPORT_FACE = 0.024  # intervals and slices, per face of a report


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Times of one candidate on this machine, in seconds."""

    train: float
    """Training step, per face."""
    predict: float
    """Prediction in float32, per face."""
    head: float
    """Training step of the frozen phase, per face."""
    pictures: float
    """Pictures of one epoch."""


@dataclass(frozen=True, kw_only=True)
class TimePlan:
    """Choice of preset and epochs, with the faces that were read to make it."""

    experiment: EpochExperiment
    preset: str
    """Name of the preset; empty for a recipe."""
    data: Data
    sentence: str
    """The choice, such as ``10 minutes here: preset best, 17 epochs (19 s each)``."""
    facts: Mapping[str, str]
    """Facts to log."""


def plan_minutes(
    minutes: float,
    candidates: Mapping[str, EpochExperiment],
    started: float,
    cache: Path,
    progress: Progress,
) -> TimePlan:
    """Returns the most thorough candidate that fits for the most part, with the epochs that fit.

    Args:
        minutes: Time from ``started`` to the end of the command.
        candidates: Experiments on the same faces by preset, from the most thorough to the quickest.
        started: Start of the command, as ``time.time()``.
        cache: Folder for decoded faces and measurements.
        progress: Called at the start of each stage.

    Raises:
        ConfigError: Not one epoch fits; the message has the least minutes that would do.
        DataError: The faces cannot be read or split.
    """
    *_, quickest = candidates.values()
    before = time.time()
    data = prepare_data(quickest, cache, progress)
    reading = time.time() - before
    advance = progress("timing the network", len(candidates))
    needs: dict[str, tuple[float, float]] = {}
    for preset, each in candidates.items():
        again = reading if image_size(each) != image_size(quickest) else 0.0
        fixed, epoch = _seconds(each, measure(each, cache), data)
        needs[preset] = again + fixed, epoch
        advance(1)
    left = 60 * minutes - (time.time() - started)
    preset, num_epochs, sentence = _choose(minutes, left, candidates, needs)
    experiment = candidates[preset]
    experiment = replace(experiment, training=replace(experiment.training, epochs=num_epochs))
    if image_size(experiment) != image_size(quickest):
        data = prepare_data(experiment, cache, progress)
    facts = {"minutes_asked": f"{minutes:g}", "minutes_choice": sentence}
    return TimePlan(experiment=experiment, preset=preset, data=data, sentence=sentence, facts=facts)


def _choose(
    minutes: float,
    left: float,
    candidates: Mapping[str, EpochExperiment],
    needs: Mapping[str, tuple[float, float]],
) -> tuple[str, int, str]:
    """Returns preset, number of epochs and the sentence that says so.

    ``left`` are the seconds that are left of the minutes; ``needs`` has those of each candidate, for
    everything but its epochs and for one epoch.
    """
    most = {preset: each.training.epochs for preset, each in candidates.items()}
    fitting = {
        preset: min(most[preset], math.floor((left - fixed) / epoch))
        for preset, (fixed, epoch) in needs.items()
    }
    *_, quickest = candidates
    preset = next((p for p in candidates if fitting[p] >= _LEAST_SHARE * most[p]), quickest)
    (fixed, epoch), num_epochs = needs[preset], fitting[preset]
    name = f"preset {preset}" if preset else "the recipe"
    asked = f"{minutes:g} minute{'s' * (minutes != 1)}"
    if num_epochs < 1:
        least = math.ceil((60 * minutes - left + fixed + epoch) / 6) / 10
        raise ConfigError(
            f"not one epoch of {name} fits into {asked} here; the least is {least:g} minutes"
        )
    epochs = f"{num_epochs} epoch{'s' * (num_epochs > 1)} ({epoch:.{int(epoch < 10)}f} s each)"
    sentence = f"{asked} here: {name}, {epochs}"
    if num_epochs == most[preset]:
        taken = (60 * minutes - left + fixed + num_epochs * epoch) / 60
        sentence += f"; all its epochs take about {taken:.1f} minutes"
        if preset != (best := next(iter(candidates))):
            fixed, epoch = needs[best]
            least = math.ceil(_LEAST_SHARE * most[best])
            needed = (60 * minutes - left + fixed + least * epoch) / 60
            sentence += f", {least} of preset {best} would take {needed:.1f}"
    return preset, num_epochs, sentence


def _seconds(experiment: EpochExperiment, times: StepTimes, data: Data) -> tuple[float, float]:
    """Returns the seconds of everything after reading but the epochs, and those of one epoch."""
    train, valid, test = (len(data.parts[part]) for part in ("train", "valid", "test"))
    # calibration, the report on the validation faces and the one on the test faces
    fixed = times.predict * (2 * valid + test)
    fixed += times.pictures * (_RUN_END + _REPORT_FACE * (valid + test))
    if isinstance(experiment, TransferExperiment) and (heads := experiment.transfer.frozen_epochs):
        passes = 2 if experiment.transfer.mirror else 1  # of a prediction; features take one
        fixed += times.predict / passes * (2 * train + valid) + heads * times.head * 2 * train
    return fixed, times.train * train + times.predict * valid + _EPOCH_END * times.pictures


def measure(experiment: EpochExperiment, cache: Path) -> StepTimes:
    """Returns the times of an experiment's own network, augmentation, loss and optimiser."""
    size, side = experiment.training.batch_size, image_size(experiment)
    training = replace(experiment.training, epochs=_ROUNDS, patience=_ROUNDS)  # of one step each
    trial = replace(experiment, training=training)
    if isinstance(trial, TransferExperiment):
        frozen_epochs = min(_ROUNDS, trial.transfer.frozen_epochs)
        trial = replace(trial, transfer=replace(trial.transfer, frozen_epochs=frozen_epochs))
    train, valid = _random_faces(size, side), _random_faces(len(EMOTIONS), side)
    logger = StepLogger(1, valid, RunLog())
    steps: dict[float, list[float]] = {1: [], 2: []}  # by phase
    pictures = []

    def on_step(step: Step) -> None:
        steps[step.metrics["train/phase"]].append(step.metrics["train/seconds_per_epoch"])
        if step.has_images:
            pictures.append(_timed(lambda: logger.write(step)))

    classifier = train_classifier(trial, train, valid, on_step=on_step, cache=cache).classifier
    few = train.pixels[:_PREDICTED]
    predictions = [_timed(lambda: classifier.scorer.logits(few)) for _ in range(_ROUNDS)]
    return StepTimes(
        train=median(steps[2]) / size,
        predict=median(predictions) / len(few),
        head=median(steps[1]) / (2 * size) if steps[1] else 0.0,
        pictures=median(pictures),
    )


def _random_faces(num: int, side: int) -> Faces:
    pixels = np.random.default_rng(0).integers(0, 256, (num, side, side), dtype=np.uint8)
    labels = np.arange(num) % len(EMOTIONS)
    return Faces(pixels=pixels, labels=labels, identities=labels.astype(np.str_))


def _timed(work: Callable[[], object]) -> float:
    """Returns the seconds that a call of ``work`` takes."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before
