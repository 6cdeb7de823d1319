"""The few trials that are judged again before one of them wins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from sweeps import plan_of, runs_named, study_in, sweep, untrained

from fer_mlops.cli.main import cli
from fer_mlops.data.loading import Data, prepare_data
from fer_mlops.errors import ConfigError
from fer_mlops.files import cache_folder
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.finalists import FOLDS
from fer_mlops.tuning.trial_fit import Fit

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def _quick_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    monkeypatch.setattr("fer_mlops.tuning.retrain.run_experiment", untrained)


class _Judges:
    """Stands in for the fits of finalists: tells a value for each, and who was asked."""

    def __init__(self, values: Iterator[float], stop_at: int = -1) -> None:
        self.values, self.stop_at = values, stop_at
        self.asked = 0

    def run(self, *_: Any, **__: Any) -> float:
        if self.asked == self.stop_at:
            raise KeyboardInterrupt
        self.asked += 1
        return next(self.values)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fer_mlops.tuning.finalists.Fit", lambda *_: self)


def _ranked(world: Path) -> list[int]:
    trials = study_in(world).trials
    return [t.number for t in sorted(trials, key=lambda t: t.value or 0.0, reverse=True)]


@pytest.mark.draws
def test_the_best_over_folds_wins_not_the_best_trial(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(world, faces_folder, "baseline", 4, first_trial="sampler")
    best, second, *_ = _ranked(world)
    judges = _Judges(iter([0.1, 0.2, 0.3, 0.4, 0.5, 0.9]))
    judges.use(monkeypatch)
    done = sweep(world, faces_folder, "baseline", 4, first_trial="sampler", finalists=2)
    assert judges.asked == 2 * FOLDS
    assert done.best_trial == best
    assert [one.trial.number for one in done.finalists] == [second, best]
    assert done.finalists[0].values == (0.4, 0.5, 0.9)
    assert done.finalists[0].spread.mean == pytest.approx(0.6)
    assert done.finalists[0].spread.deviation == pytest.approx(np.std([0.4, 0.5, 0.9], ddof=1))
    assert done.winner_settings == study_in(world).trials[second].user_attrs["settings"]
    assert runs_named(f"winner-baseline-trial-{second:03d}")[0].info.run_id == done.winner_run
    (parent,) = runs_named("tune-s")
    assert parent.data.tags["winner_trial"] == str(second)
    history = MlflowClient().get_metric_history(parent.info.run_id, "final/valid/macro_f1")
    assert {point.step: round(point.value, 6) for point in history} == {best: 0.2, second: 0.6}
    told = json.loads(mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/study/finalists.json"))
    assert [row["trial"] for row in told] == [second, best]
    assert f"trial {second}" in parent.data.tags["mlflow.note.content"]
    assert "0.6000 ± 0.2646" in parent.data.tags["mlflow.note.content"]


def test_the_settings_a_study_began_with_are_always_among_the_finalists(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(world, faces_folder, "baseline", 4)
    study = study_in(world)
    monkeypatch.setattr(  # the start is behind the others
        "fer_mlops.tuning.finalists._value", lambda trial: 0.0 if trial.number == 0 else 0.5
    )
    _Judges(iter([0.1] * FOLDS + [0.2] * FOLDS)).use(monkeypatch)
    done = sweep(world, faces_folder, "baseline", 4, finalists=1)
    assert [one.is_start for one in done.finalists] == [True, False]
    assert done.finalists[0].trial.number == 0
    assert done.finalists[0].name == "trial 0 (the start)"
    assert study.trials[done.finalists[1].trial.number].params != study.trials[0].params


def test_finals_that_were_cut_off_go_on_where_they_were(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(world, faces_folder, "baseline", 2, first_trial="sampler")
    _Judges(iter([0.1, 0.2, 0.3, 0.4]), stop_at=4).use(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        sweep(world, faces_folder, "baseline", 2, first_trial="sampler", finalists=2)
    assert [run.info.status for run in runs_named("final-")].count("KILLED") == 1
    judges = _Judges(iter([0.5, 0.6]))
    judges.use(monkeypatch)
    done = sweep(world, faces_folder, "baseline", 2, first_trial="sampler", finalists=2)
    assert judges.asked == 2
    assert [one.values for one in done.finalists] == [(0.4, 0.5, 0.6), (0.1, 0.2, 0.3)]
    runs = [run for run in runs_named("final-") if run.info.status == "FINISHED"]
    assert len(runs) == 2 * FOLDS
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {runs_named("tune-s")[0].info.run_id}


@pytest.mark.slow
def test_finalists_are_judged_on_every_face_of_train_and_valid_and_on_none_of_test(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Data] = []
    run = Fit.run

    def spy(self: Fit, data: Data, *words: Any, **options: Any) -> float:
        judged.append(data)
        return run(self, data, *words, **options)

    plan = plan_of(world, faces_folder, "cnn", 2, finalists=2)
    sweep(world, faces_folder, "cnn", 1)
    monkeypatch.setattr("fer_mlops.tuning.finalists.Fit.run", spy)
    assert sweep(world, faces_folder, "cnn", 1, finalists=2).finalists == ()
    sweep(world, faces_folder, "cnn", 2)
    judged.clear()
    done = sweep(world, faces_folder, "cnn", 2, finalists=2)
    assert len(done.finalists) == 2
    assert len(judged) == 2 * FOLDS
    data = prepare_data(plan.experiment, cache_folder())
    pool = sorted(str(data.table.paths[i]) for i in [*data.split.train, *data.split.valid])
    seen = sorted(str(one.table.paths[i]) for one in judged for i in one.split.valid)
    assert seen == sorted(2 * pool)
    runs = runs_named("final-")
    values = [value for one in done.finalists for value in one.values]
    assert sorted(run.data.metrics["objective"] for run in runs) == sorted(values)
    assert not [name for run in runs for name in run.data.metrics if name.startswith("test/")]


def test_finalists_and_folds_are_one_too_many(world: Path, faces_folder: Path) -> None:
    with pytest.raises(ConfigError, match="give one"):
        plan_of(world, faces_folder, "baseline", 1, finalists=2, folds=3)


@pytest.mark.parametrize(
    ("words", "finalists"), [([], 2), (["--folds", "3"], 0), (["--set", "tuning.finalists=0"], 0)]
)
def test_two_finalists_are_judged_unless_asked_otherwise(
    words: list[str], finalists: int, world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr("fer_mlops.tuning.tune.tune", lambda plan, **_: plans.append(plan))
    done = CliRunner().invoke(cli, ["tune", "baseline", "--data", str(faces_folder), *words])
    assert done.exit_code == 0, done.output
    assert [plan.tuning.finalists for plan in plans] == [finalists]
