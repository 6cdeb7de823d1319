"""A trained model judged and explained again: on its own test faces, or on others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fer_mlops.config import DataConfig, Experiment
from fer_mlops.errors import ConfigError, DataError, ModelError
from fer_mlops.evaluation import Report
from fer_mlops.experiment import explain_faces, judge_faces
from fer_mlops.learning import Faces
from fer_mlops.preparation import divide_faces, read_faces, take_faces
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.recipes import experiment_from_json
from fer_mlops.registry import DIGEST_TAG, load_classifier, run_of
from fer_mlops.tracking import CONFIG_FILE, Tracker


@dataclass(frozen=True)
class Judged:
    """A model's report on some faces, and which faces those were."""

    report: Report
    faces: str
    """``test part of sample`` or ``all of other-set``."""


def experiment_of(run_id: str) -> Experiment:
    """Returns the settings a run was made with.

    Raises:
        ModelError: The run does not exist or holds no settings.
    """
    try:
        text = mlflow.artifacts.load_text(f"runs:/{run_id}/{CONFIG_FILE}")
    except (MlflowException, OSError) as error:
        raise ModelError(f"run {run_id!r} holds no {CONFIG_FILE} of fer_mlops") from error
    return experiment_from_json(text)


def judge(
    name: str, source: str | None, tracker: Tracker, cache: Path, begin: Begin = begin_silently
) -> Judged:
    """Evaluates and explains the model ``name`` into the tracker's run.

    Without ``source``, or with the data the model was trained on, only its test part is used; any
    other data is used whole.

    Raises:
        ModelError: There is no such model.
        ConfigError: ``name`` is a folder, so that ``source`` must be given, and is not.
        DataError: The data cannot be read.
    """
    classifier = load_classifier(name, for_gradients=True)
    faces, described = _faces(name, source, classifier.image_size, cache, begin)
    tracker.log_facts({"model": name, "family": classifier.family, "faces": described})
    report = judge_faces(classifier, faces, "evaluate", tracker)
    explain_faces(classifier, faces, tracker, "evaluate")
    return Judged(report, described)


def _faces(name: str, source: str | None, side: int, cache: Path, begin: Begin) -> tuple[Faces, str]:
    """Returns the faces to judge on, none of which the model was trained on if that is known."""
    run_id = run_of(name)
    trained_on = experiment_of(run_id) if run_id else None
    if source is None and trained_on is None:
        raise ConfigError(f"{name!r} is a folder, which does not tell its data: pass --data")
    config = trained_on.data if trained_on else DataConfig()
    if source is not None:
        config = replace(config, source=source)
    table, pixels = read_faces(config, side, cache, begin)
    rows, described = np.arange(len(table)), f"all of {table.name}"
    if trained_on and run_id:
        try:
            split = divide_faces(table, config, trained_on.seed, cache, begin)
            stated = MlflowClient().get_run(run_id).data.tags.get(DIGEST_TAG)
            if split.digest(table) == stated:
                rows, described = split.test, f"test part of {table.name}"
        except DataError:
            pass  # other data, too small to be split like the model's own: used whole
    return take_faces(table, pixels, rows), described
