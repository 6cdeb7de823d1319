"""What a finished study hands over: the run that tells of it, and a winner trained once."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from sweeps import plan_of, runs_named, study_in, sweep
from tiny import SETTINGS

from fer_mlops.config.recipes import flatten
from fer_mlops.errors import ConfigError, ModelError, TrackingError
from fer_mlops.files import cache_folder
from fer_mlops.pipelines import train
from fer_mlops.pipelines.experiments import experiment_of
from fer_mlops.tracking.queries import load_run_config
from fer_mlops.tracking.version_list import list_versions
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.search_space import with_settings
from fer_mlops.tuning.study import TrialRecord
from fer_mlops.tuning.tune import Sweep, tune

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.slow,
]


def test_a_study_is_a_parent_with_a_run_per_trial_and_goes_on_to_the_same_total(
    world: Path, faces_folder: Path
) -> None:
    told: list[tuple[int, str, int]] = []

    def on_trial(trial: TrialRecord, best: TrialRecord | None, _: str) -> None:
        assert best
        told.append((trial.number, trial.state, best.number))

    first = tune(plan_of(world, faces_folder, "baseline", 2), cache=cache_folder(), on_trial=on_trial)
    again = sweep(world, faces_folder, "baseline", 4)
    assert first
    assert first.winner
    assert [number for number, *_ in told] == [0, 1]
    assert (first.num_trials, again.num_trials) == (2, 4)
    (parent,) = runs_named("tune-s")
    assert parent.info.status == "FINISHED"
    trials = runs_named("trial-")
    assert [run.info.run_name for run in trials] == [f"trial-00{i}" for i in range(4)]
    for run in trials:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["state"] == "COMPLETE"
        assert "hog_svm.gamma" in run.data.params
        assert run.data.metrics["objective"] == run.data.metrics["valid/macro_f1"]
        assert not [name for name in run.data.metrics if name.startswith("test/")]
    values = {t.number: t.value for t in study_in(world).trials}
    client = MlflowClient()
    best = client.get_metric_history(parent.info.run_id, "best/valid/macro_f1")
    courses = {point.step: point.value for point in best}
    assert courses == {i: max(values[j] for j in range(i + 1)) for i in range(4)}  # type: ignore[type-var]
    assert again.best_value == max(values.values())  # type: ignore[type-var]
    artifacts = client.list_artifacts(parent.info.run_id, "study")
    files = {Path(item.path).stem for item in artifacts}
    pictures = "history intermediate_values importances parallel_coordinates slices timeline"
    assert files == set(pictures.split())
    winner = client.get_run(again.winner_run)
    assert "test/macro_f1" in winner.data.metrics
    assert winner.data.tags["winner_of"] == "s"
    assert parent.data.tags["winner_run"] == again.winner_run
    assert again.winner_run in parent.data.tags["mlflow.note.content"]


def test_a_winner_is_trained_once_for_each_best_trial(world: Path, faces_folder: Path) -> None:
    first = sweep(world, faces_folder, "baseline", 1)
    again = sweep(world, faces_folder, "baseline", 1)
    assert first.winner
    assert first.winner.registration
    assert again.winner is None
    assert again.winner_run == first.winner_run
    assert len(runs_named("winner-")) == 1
    _check_recipe_of_winner(first, plan_of(world, faces_folder, "baseline", 1))


def _check_recipe_of_winner(done: Sweep, plan: Plan) -> None:
    """Checks that every way to name the winner's recipe gives exactly the winner's settings."""
    settings = with_settings(plan.experiment, done.winner_settings)
    assert load_run_config(done.winner_run) == settings
    Path("winner.yaml").write_text(done.winner_recipe)
    flat = mlflow.artifacts.load_text(f"runs:/{done.run_id}/best_settings.json")
    Path("flat.json").write_text(flat)
    changes = {"hog_svm.c": 3.0}
    for name in ("winner.yaml", f"runs:/{done.winner_run}", done.winner_run, f"runs:/{done.run_id}"):
        assert experiment_of("baseline", {}, recipe=name) == settings
        assert experiment_of("baseline", changes, recipe=name) == with_settings(settings, changes)
    assert (
        flatten(experiment_of("baseline", {}, recipe="flat.json")).items()
        >= done.winner_settings.items()
    )
    logged = mlflow.artifacts.load_text(f"runs:/{done.run_id}/winner.yaml")
    assert logged == done.winner_recipe
    with pytest.raises(ConfigError, match=f"run {done.run_id} is a baseline run, not cnn"):
        experiment_of("cnn", {}, recipe=done.run_id)
    with pytest.raises(ModelError, match="no run 'nothing'"):
        experiment_of("cnn", {}, recipe="runs:/nothing")


@pytest.mark.parametrize(
    ("room", "name"),
    [("fer_mlops.tuning.retrain", "_train"), ("fer_mlops.pipelines.train", "register_trained")],
    ids=["its run has ended", "its model is registered"],
)
def test_a_winner_whose_process_stopped_late_is_neither_trained_nor_tested_again(
    room: str, name: str, world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(room)
    real, tested = getattr(module, name), Counter[str]()
    evaluate_test = train._evaluate_test
    monkeypatch.setattr(
        train, "_evaluate_test", lambda *words: (tested.update(["test"]), evaluate_test(*words))[1]
    )

    def stopped(*words: object, **options: object) -> None:
        real(*words, **options)
        raise TrackingError("the storage is away")

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stopped)
        with pytest.raises(TrackingError, match="the storage is away"):
            sweep(world, faces_folder, "baseline", 1)
    again = sweep(world, faces_folder, "baseline", 1)
    assert again.winner is None
    (run,) = runs_named("winner-")
    assert (run.info.run_id, run.info.status) == (again.winner_run, "FINISHED")
    assert tested == {"test": 1}
    assert [one.run_id for one in list_versions()] == [again.winner_run]
    (parent,) = runs_named("tune-s")
    assert parent.data.metrics["winner/test/macro_f1"] == run.data.metrics["test/macro_f1"]
    assert (
        f"test macro-F1 {run.data.metrics['test/macro_f1']:.3f} ["
        in parent.data.tags["mlflow.note.content"]
    )
    assert not list((cache_folder() / "checkpoints").glob(f"{again.winner_run}*"))


@pytest.mark.long
def test_a_winner_whose_process_was_killed_after_its_run_is_taken_as_it_is(
    world: Path, faces_folder: Path
) -> None:
    settings = SETTINGS["baseline"] | {"tracking.system_metrics": False}
    words = ["tune", "baseline", "--data", str(faces_folder), "--study", "s", "--trials", "1"]
    words += ["--set", "tuning.finalists=0", "--storage", f"sqlite:///{world}/optuna.db"]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    moments = json.dumps([["fer_mlops.tuning.retrain", "_train", 1, "after"]])
    script = [sys.executable, str(Path(__file__).parents[1] / "dying.py"), moments]
    done = subprocess.run([*script, *words], cwd=world, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 1" in done.stdout
    (run,) = runs_named("winner-")
    assert f"the winner was already trained, in run {run.info.run_id}" in done.stdout
    assert run.info.status == runs_named("tune-s")[0].info.status == "FINISHED"
    assert [one.run_id for one in list_versions()] == [run.info.run_id]
