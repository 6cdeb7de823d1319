"""A study: its runs, its pruning, its ends, and going on to the same total."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import optuna
import pytest
from expert_files import install
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from sweeps import SPACES, plan_of, runs_named, study_in, sweep, untrained

from fer_mlops.config import FAMILIES
from fer_mlops.config.recipes import flatten
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.data.loading import prepare_data
from fer_mlops.errors import ConfigError, TrackingError, TrainingError
from fer_mlops.files import cache_folder
from fer_mlops.progress import Advance, ignore_progress
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.training.checkpoints import checkpoint_path
from fer_mlops.training.steps import Step
from fer_mlops.tuning import objective as trials_room
from fer_mlops.tuning import trial_fit as fits_room
from fer_mlops.tuning.locks import StudyLocks
from fer_mlops.tuning.samplers import make_pruner, make_sampler
from fer_mlops.tuning.search_space import Space, with_settings
from fer_mlops.tuning.study import _bind_settings, end_orphans, records_of
from fer_mlops.tuning.trial_data import TrialFaces
from fer_mlops.tuning.trial_fit import Fit, StepScore
from fer_mlops.tuning.tune import tune
from fer_mlops.tuning.workers import storage_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.usefixtures("_quick_winner"),
]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def _quick_winner(world: Path, empty_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains no winner (test_retrain.py does), and finds Optuna's tables made."""
    shutil.copy(empty_study, world / "optuna.db")
    monkeypatch.setattr("fer_mlops.tuning.retrain.run_experiment", untrained)


class _PruneFrom(optuna.pruners.BasePruner):
    """Prunes every trial from a number on, at a step or later."""

    def __init__(self, first: int, step: int) -> None:
        self.first, self.step = first, step

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        assert trial.last_step is not None
        return trial.number >= self.first and trial.last_step >= self.step


def prune_from(first: int, monkeypatch: pytest.MonkeyPatch, step: int = 1) -> None:
    monkeypatch.setattr("fer_mlops.tuning.study.make_pruner", lambda _: _PruneFrom(first, step))


# ── the runs ──


def test_the_first_trial_is_the_recipes_own_settings_unless_the_sampler_is_to_say(
    world: Path, faces_folder: Path
) -> None:
    sweep(world, faces_folder, "baseline", 1)
    assert study_in(world).trials[0].params == {"hog_svm.c": 10.0, "hog_svm.gamma": 1.0}
    sweep(world, faces_folder, "baseline", 1, study_name="t", first_trial="sampler")
    other = optuna.load_study(study_name="t", storage=f"sqlite:///{world}/optuna.db")
    assert other.trials[0].params != {"hog_svm.c": 10.0, "hog_svm.gamma": 1.0}


def test_a_pruned_trial_ends_as_killed_with_its_epoch_and_reason(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune_from(1, monkeypatch)
    monkeypatch.setenv("FER_MLOPS_CACHE", str(world / "cache"))
    sweep(world, faces_folder, "cnn", 3, pruner="halving")
    runs = runs_named("trial-")
    assert [run.info.status for run in runs] == ["FINISHED", "KILLED", "KILLED"]
    assert [run.data.tags["state"] for run in runs] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert runs[1].data.tags["pruned"].startswith("epoch 1: valid/macro_f1 0.")
    assert runs[1].data.tags["pruned"].endswith("not among the best third")
    assert [t.state for t in study_in(world).trials].count(TrialState.PRUNED) == 2
    assert not list((cache_folder() / "checkpoints").glob("*.pt"))


def test_halving_ends_trials_after_a_third_and_nowhere_else(world: Path, faces_folder: Path) -> None:
    sweep(world, faces_folder, "cnn", 7, pruner="halving", training__epochs=3)
    trials = study_in(world).trials
    assert {(t.state, len(t.intermediate_values)) for t in trials} == {
        (TrialState.COMPLETE, 3),
        (TrialState.PRUNED, 1),
    }
    at_a_third = [t.intermediate_values[1] for t in trials]
    assert trials[int(np.argmax(at_a_third))].state == TrialState.COMPLETE


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_trial_is_pruned_at_its_last_step(
    seeds: int, world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = 2
    prune_from(0, monkeypatch, step=seeds * epochs)
    sweep(world, faces_folder, "cnn", 1, seeds=seeds, training__epochs=epochs)
    assert [t.state for t in study_in(world).trials] == [TrialState.COMPLETE]
    prune_from(1, monkeypatch, step=seeds * epochs - 1)
    sweep(world, faces_folder, "cnn", 2, seeds=seeds, training__epochs=epochs)
    assert study_in(world).trials[1].state == TrialState.PRUNED


# ── folds and seeds ──


def test_several_fits_give_a_trial_their_mean_and_a_run_each(world: Path, faces_folder: Path) -> None:
    sweep(world, faces_folder, "baseline", 1, seeds=2)
    (trial_run,) = (run for run in runs_named("trial-") if "seed" not in str(run.info.run_name))
    fits = [run for run in runs_named("trial-") if "seed" in str(run.info.run_name)]
    assert [run.info.run_name for run in fits] == [
        "trial-000 fold 0, seed 0",
        "trial-000 fold 0, seed 1",
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in fits} == {trial_run.info.run_id}
    assert [run.data.params["seed"] for run in fits] == ["0", "1"]
    values = [run.data.metrics["valid/macro_f1"] for run in fits]
    (trial,) = study_in(world).trials
    assert trial.value == pytest.approx(np.mean(values))
    assert sorted(trial.intermediate_values) == [1, 2, 3, 4]  # two steps for each fit
    assert trial.intermediate_values[4] == pytest.approx(np.mean(values))  # the running mean


@pytest.mark.parametrize("split", ["identity", "random"])
def test_folds_divide_train_and_valid_by_people_and_leave_the_test_part_alone(
    world: Path, faces_folder: Path, split: str
) -> None:
    plan = plan_of(world, faces_folder, "baseline", 1, data__split=split)
    data = prepare_data(plan.experiment, cache_folder())
    faces = TrialFaces(plan.experiment, data, cache_folder(), 3)
    test = {data.table.paths[row] for row in data.split.test}
    judged: list[str] = []
    for fold in range(3):
        seen = faces.of(plan.experiment, fold)
        assert seen.parts.keys() == {"train", "valid"}
        train, valid = ([seen.table.paths[i] for i in seen.split.parts()[p]] for p in ("train", "valid"))
        assert not test & {*train, *valid}
        assert len(train) + len(valid) == len(data.table) - len(test)
        if split == "identity":
            people = [set(part.identities) for part in seen.parts.values()]
            assert not people[0] & people[1]
        judged += valid
    assert sorted(judged) == sorted(set(data.table.paths) - test)  # each face judges once


# ── the value of a fit ──


def value_of(scores: list[float], keep: str, faces: Path, world: Path, **changes: Any) -> float:
    plan = plan_of(world, faces, "cnn", 1, training__keep_weights=keep, **changes)
    fit = Fit(plan.experiment, plan.tuning.objective, plan.is_better)
    fit.scores = [StepScore(number, 2, score) for number, score in enumerate(scores, 1)]
    return fit.value()


def test_a_fits_value_is_that_of_the_weights_it_would_keep(world: Path, faces_folder: Path) -> None:
    assert value_of([0.2, 0.5, 0.4], "best", faces_folder, world) == 0.5
    assert value_of([0.2, 0.5, 0.4], "last", faces_folder, world) == 0.4
    assert value_of([0.2, 0.5, 0.4], "best", faces_folder, world, objective="valid/loss") == 0.2
    plan = plan_of(world, faces_folder, "transfer", 1)
    fit = Fit(plan.experiment, plan.tuning.objective, plan.is_better)
    fit.scores = [StepScore(1, 1, 0.9), StepScore(2, 2, 0.3), StepScore(3, 2, 0.2)]
    assert fit.value() == 0.3  # of the network that fine-tuning ends with, not of the frozen head


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reports_every_objective_at_every_step(
    family: str, world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_mlops.training.train import train_classifier

    install(world, monkeypatch)
    plan = plan_of(world, faces_folder, family, 1)
    cache = cache_folder()
    parts = prepare_data(plan.experiment, cache).parts
    steps: list[Step] = []
    train_classifier(plan.experiment, parts["train"], parts["valid"], on_step=steps.append, cache=cache)
    assert steps
    objectives = set(get_args(get_type_hints(TuningConfig)["objective"]))
    assert all(objectives <= step.metrics.keys() for step in steps)


# ── the latency budget ──


def test_a_trial_over_the_latency_budget_is_ended_and_cannot_win(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter([9.0, 3.0])
    monkeypatch.setattr(trials_room, "latency_ms", lambda *_: next(asked))
    done = sweep(world, faces_folder, "cnn", 2, latency_budget=5.0)
    over, within = study_in(world).trials
    assert (over.state, over.constraints) == (TrialState.PRUNED, {"latency_ms": 4.0})
    assert (within.state, within.constraints) == (TrialState.COMPLETE, {"latency_ms": -2.0})
    assert done.best_trial == 1
    assert [one.state for one in records_of(study_in(world))] == ["over budget", "complete"]
    first, second = runs_named("trial-")
    assert first.data.tags["pruned"] == "epoch 1: 9.0 ms for one face is over the budget of 5 ms"
    assert second.data.metrics["latency_ms"] == 3.0


def test_no_trial_within_the_budget_is_one_sentence(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials_room, "latency_ms", lambda *_: 9.0)
    with pytest.raises(
        TrainingError, match="no trial of study 's' was completed within the latency budget"
    ):
        sweep(world, faces_folder, "baseline", 1, latency_budget=5.0)


def test_latency_is_measured_on_one_thread_and_leaves_the_others_as_they_were(
    world: Path, faces_folder: Path
) -> None:
    import torch

    from fer_mlops.evaluation.speed import latency_ms
    from fer_mlops.training.train import train_classifier

    plan = plan_of(world, faces_folder, "cnn", 1, training__epochs=1)
    parts = prepare_data(plan.experiment, cache_folder()).parts
    learned = train_classifier(
        plan.experiment, parts["train"], parts["valid"], on_step=lambda _: None, cache=cache_folder()
    )
    threads = torch.get_num_threads()
    assert 0 < latency_ms(learned.classifier, parts["valid"].pixels) < 1000
    assert torch.get_num_threads() == threads


# ── trials that fail ──


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    """Lets the fits fail whose number, from 0, ``fails`` says."""
    real, count = fits_room.train_classifier, iter(range(1000))

    def train_classifier(*words: Any, **options: Any) -> Any:
        if fails(next(count)):
            raise RuntimeError("a shape that cannot be\nand more")
        return real(*words, **options)

    monkeypatch.setattr(fits_room, "train_classifier", train_classifier)


def test_a_trial_that_fails_says_why_and_the_study_goes_on(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lambda number: number == 0)
    done = sweep(world, faces_folder, "baseline", 2)
    assert done.num_trials == 2  # the failed one does not count
    failed, *others = study_in(world).trials
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["error"] == "RuntimeError: a shape that cannot be"
    assert [t.state for t in others] == [TrialState.COMPLETE, TrialState.COMPLETE]
    run = runs_named("trial-000")[0]
    assert (run.info.status, run.data.tags["state"]) == ("FAILED", "FAIL")
    assert run.data.tags["error"] == "RuntimeError: a shape that cannot be"


def test_too_many_failures_in_a_row_stop_the_study_and_it_can_go_on_later(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, lambda _: True)
        with pytest.raises(
            TrainingError, match=r"^the last 2 trials of study 's' failed, trial 1 with: Runt"
        ):
            sweep(world, faces_folder, "baseline", 3, max_failures=2)
    assert runs_named("tune-s")[0].info.status == "FAILED"
    assert sweep(world, faces_folder, "baseline", 2, max_failures=2).num_trials == 2


# ── ends and beginnings ──


@contextlib.contextmanager
def stopped_after_a_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Presses Ctrl-C after the first step of every fit inside the block."""
    real = fits_room.train_classifier

    def train_classifier(*words: Any, **options: Any) -> Any:
        def stop(step: Step) -> None:
            options["on_step"](step)
            raise KeyboardInterrupt

        return real(*words, **{**options, "on_step": stop})

    with monkeypatch.context() as patch:
        patch.setattr(fits_room, "train_classifier", train_classifier)
        yield


def test_ctrl_c_ends_all_runs_and_the_same_command_takes_the_trial_up_again(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        stopped_after_a_step(monkeypatch),
        pytest.raises(KeyboardInterrupt, match="run the same command again to continue the study"),
    ):
        sweep(world, faces_folder, "cnn", 1)
    assert {run.info.status for run in (*runs_named("tune-"), *runs_named("trial-"))} == {"KILLED"}
    assert runs_named("trial-")[0].data.tags["state"] == "STOPPED"
    sweep(world, faces_folder, "cnn", 1)
    stopped, again = study_in(world).trials
    assert (stopped.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert again.params == stopped.params
    (run,) = runs_named("trial-")
    assert (run.info.status, run.data.tags["is_retried"]) == ("FINISHED", "True")
    history = MlflowClient().get_metric_history(run.info.run_id, "valid/macro_f1")
    assert [point.step for point in history] == [1, 2]  # none missing, none twice
    assert sorted(again.intermediate_values) == [1, 2]


def test_a_trial_goes_on_from_the_checkpoint_of_a_dead_worker(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits_room, "KEEP_EVERY", 0.0)
    whole = sweep(world, faces_folder, "cnn", 1, study_name="whole")
    with stopped_after_a_step(monkeypatch), pytest.raises(KeyboardInterrupt):
        sweep(world, faces_folder, "cnn", 1)
    (run,) = (run for run in runs_named("trial-") if run.info.status == "KILLED")
    assert checkpoint_path(cache_folder(), run.info.run_id).is_file()
    begun_at: list[object] = []
    real = fits_room.train_classifier

    def resumed(*words: Any, **options: Any) -> Any:
        begun_at.append(options["resume_from"]["steps_before"] if options["resume_from"] else None)
        return real(*words, **options)

    monkeypatch.setattr(fits_room, "train_classifier", resumed)
    done = sweep(world, faces_folder, "cnn", 1)
    assert begun_at == [0]  # it had a checkpoint to go on from
    assert done.best_value == whole.best_value
    assert sorted(study_in(world).trials[-1].intermediate_values) == [1, 2]
    assert not checkpoint_path(cache_folder(), run.info.run_id).exists()


def test_a_tracking_server_that_is_gone_stops_the_study_and_no_trial_counts_as_failed(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_classifier(*_: Any, **__: Any) -> Any:
        raise TrackingError("the tracking server has not answered for 10 minutes")

    with monkeypatch.context() as patch:
        patch.setattr(fits_room, "train_classifier", train_classifier)
        with pytest.raises(TrackingError, match="has not answered"):
            sweep(world, faces_folder, "baseline", 1)
    assert [t.state for t in study_in(world).trials] == [TrialState.FAIL, TrialState.WAITING]
    assert "error" not in study_in(world).trials[0].user_attrs


def test_runs_that_nobody_will_go_on_with_are_ended_by_the_next_start(
    world: Path, faces_folder: Path
) -> None:
    sweep(world, faces_folder, "baseline", 1)
    (parent,) = runs_named("tune-s")
    client = MlflowClient()
    orphan = client.create_run(
        parent.info.experiment_id,
        start_time=1,
        run_name="trial-orphan",
        tags={"mlflow.parentRunId": parent.info.run_id},
    )
    sweep(world, faces_folder, "baseline", 1)
    ended = client.get_run(orphan.info.run_id)
    assert (ended.info.status, ended.data.tags["ended"]) == ("FAILED", "its worker is gone")


@pytest.mark.parametrize("is_finalist", [False, True])
def test_what_another_machine_trains_at_the_end_is_no_orphan(
    is_finalist: bool, world: Path, faces_folder: Path
) -> None:
    sweep(world, faces_folder, "baseline", 1)
    (parent,) = runs_named("tune-s")
    client = MlflowClient()
    tags = {"mlflow.parentRunId": parent.info.run_id}
    if is_finalist:
        tags["worker"] = "elsewhere:1:theirs"
    run = client.create_run(parent.info.experiment_id, start_time=1, tags=tags)
    study = study_in(world)
    if not is_finalist:
        study.set_user_attr("winner begun", {"trial": 0, "run": run.info.run_id})
    storage = storage_of(plan_of(world, faces_folder, "baseline", 1))
    theirs, ours = (StudyLocks(storage, "s", f"elsewhere:1:{name}") for name in ("theirs", "ours"))
    tracker = Tracker(parent.info.run_id, parent.info.experiment_id)
    assert theirs.take("winner")
    assert end_orphans(study, tracker, ours, 60) == 0
    theirs.drop("winner")
    assert end_orphans(study, tracker, ours, 60) == 1


def test_no_trial_starts_after_the_time_is_up(world: Path, faces_folder: Path) -> None:
    with pytest.raises(TrainingError, match="no trial of study 's'"):
        sweep(world, faces_folder, "baseline", 5, timeout=1e-9)
    assert [t.state for t in study_in(world).trials] == [TrialState.WAITING]  # the recipe's own


def test_who_runs_out_of_time_leaves_the_winner_to_those_who_go_on(
    world: Path, faces_folder: Path
) -> None:
    sweep(world, faces_folder, "baseline", 1)
    plan = plan_of(world, faces_folder, "baseline", 9, timeout=1e-9)
    with StudyLocks(storage_of(plan), "s", "elsewhere:1:abc").present():
        assert tune(plan, cache=cache_folder()) is None
        assert runs_named("tune-s")[0].info.status == "RUNNING"  # it is theirs now


def test_two_at_once_share_the_trials_and_one_of_them_trains_the_winner(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(world, faces_folder, "baseline", 1)
    sweep(world, faces_folder, "baseline", 1)
    study_in(world).set_user_attr("winner", {})
    other = StudyLocks(storage_of(plan), "s", "elsewhere:1:abc")
    assert other.take("winner")

    def finish() -> None:
        study_in(world).set_user_attr("winner", {"trial": 0, "run": "theirs"})
        other.drop("winner")

    threading.Timer(1.5, finish).start()
    said: list[str] = []

    def progress(name: str, _: int) -> Advance:
        said.append(name)
        return ignore_progress

    done = tune(plan, cache=cache_folder(), progress=progress)
    assert done
    assert (done.winner, done.winner_run) == (None, "theirs")
    assert "elsewhere:1:abc trains the winner" in said


# ── what is refused ──


def test_a_study_of_something_else_is_refused(world: Path, faces_folder: Path) -> None:
    sweep(world, faces_folder, "baseline", 1)

    def again(message: str, family: str = "baseline", **changes: Any) -> None:
        with pytest.raises(ConfigError, match=message):
            sweep(world, faces_folder, family, 1, **changes)

    again(r"study 's' exists with family 'baseline', not 'cnn'", "cnn")
    again("exists with data_digest", data__split="random")
    again("exists with direction 'maximize', not 'minimize'", direction="minimize")
    again("exists with objective 'valid/macro_f1', not", objective="valid/accuracy")
    again(
        "exists with another space",
        space=Space(family="baseline", parameters=SPACES["baseline"].parameters[:1]),
    )
    study = study_in(world)
    space = study.user_attrs["space"]
    study.set_user_attr("space", space.replace("hog_svm.c", "augment.erase"))
    again("has trials with the former setting augment.erase, now augment.random_erasing; choose another")
    study.set_user_attr("space", space.replace("hog_svm.c", "augment.mixup"))
    again("has trials with the former setting augment.mixup, which was removed; choose another")
    study.set_user_attr("space", space)
    again("exists with hog_svm.components '20', not '30'", hog_svm__components=30)
    again("exists with fits of a trial '0 folds, 1 seeds'", seeds=2)
    again("exists with latency budget 'inf ms'", latency_budget=5.0)
    assert len(study_in(world).trials) == 1
    assert sweep(world, faces_folder, "baseline", 1, sampler="random", pruner="none").num_trials == 1


def test_the_settings_of_a_study_are_compared_under_their_former_names_too(
    world: Path, faces_folder: Path
) -> None:
    plan = plan_of(world, faces_folder, "cnn", 1)
    keep = plan.experiment.training.keep_weights  # type: ignore[union-attr]
    _bind_settings(optuna.create_study(), plan, json.dumps({"training.keep": keep}))
    with pytest.raises(ConfigError, match=r"exists with training\.keep_weights 'neither', not"):
        _bind_settings(optuna.create_study(), plan, '{"training.keep": "neither"}')


def test_a_study_whose_trials_used_a_removed_setting_needs_another_name(
    world: Path, faces_folder: Path
) -> None:
    plan = plan_of(world, faces_folder, "cnn", 1)
    _bind_settings(optuna.create_study(), plan, '{"training.sam_rho": 0.0}')
    with pytest.raises(
        ConfigError, match=r"former setting training\.sam_rho, which was removed; choose"
    ):
        _bind_settings(optuna.create_study(), plan, '{"training.sam_rho": 0.05}')


def test_a_study_that_optuna_made_for_something_else_is_refused(world: Path, faces_folder: Path) -> None:
    storage = f"sqlite:///{world}/optuna.db"
    foreign = optuna.create_study(study_name="s", storage=storage, direction="maximize")
    foreign.tell(foreign.ask(), 0.5)
    with pytest.raises(ConfigError, match="study 's' was not created by fer_mlops"):
        sweep(world, faces_folder, "baseline", 2)
    optuna.create_study(study_name="t", storage=storage, directions=["minimize", "maximize"])
    with pytest.raises(ConfigError, match="exists with direction 'minimize and maximize'"):
        sweep(world, faces_folder, "baseline", 2, study_name="t")


def test_a_study_of_another_tracking_server_is_refused(world: Path, faces_folder: Path) -> None:
    sweep(world, faces_folder, "baseline", 1)
    study_in(world).set_user_attr("parent_run", "0" * 32)
    with pytest.raises(
        ConfigError, match=r"study 's' belongs to run 0+, which does not exist at sqlite"
    ):
        sweep(world, faces_folder, "baseline", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "valid/macro-f1"}, "did you mean valid/macro_f1?"),
        ({"objective": "test/macro_f1"}, "tuning.objective must be one of valid/macro_f1"),
        ({"folds": 2}, "tuning.folds must be 0, or 3 or more, got 2"),
        ({"workers": 0}, "tuning.workers must be 1 or more"),
        ({"latency_budget": 0.0}, "tuning.latency_budget must be above 0"),
        ({"sampler": "grid"}, "a grid needs choices or a step for hog_svm.c"),
        ({"data__folds": 3}, "data.folds must be 0 for a sweep"),
    ],
)
def test_a_plan_that_cannot_be_is_one_sentence(
    changes: dict[str, Any], message: str, world: Path, faces_folder: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(world, faces_folder, "baseline", 1, **changes)
    assert message in str(caught.value)


def test_mlflows_own_database_is_refused(world: Path, faces_folder: Path) -> None:
    with pytest.raises(ConfigError, match="a database of its own"):
        sweep(world, faces_folder, "baseline", 1, storage_url=f"sqlite:///{world}/mlflow.db")


# ── samplers and pruners ──


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "random"])
def test_a_sampler_draws_other_points_for_every_trial_and_the_same_ones_again(
    name: str, world: Path, faces_folder: Path
) -> None:
    plan = plan_of(world, faces_folder, "cnn", 1, sampler=name)

    def draw() -> list[dict[str, Any]]:
        study = optuna.create_study(direction="maximize")
        points = []
        for number in range(14):  # past the first ones, which all samplers draw at random
            study.sampler = make_sampler(plan, number)
            trial = study.ask()
            points.append(plan.space.suggest(trial, flatten(plan.experiment)))
            study.tell(trial, math.sin(number))
        return points

    points = draw()
    assert len({str(point) for point in points}) == 14
    assert draw() == points


def test_a_grid_ends_when_every_point_was_tried(world: Path, faces_folder: Path) -> None:
    space = SPACES["baseline"].__class__(
        family="baseline",
        parameters=(
            SPACES["baseline"].parameters[0].__class__(key="hog_svm.c", choices=(1.0, 10.0, 30.0)),
        ),
    )
    done = sweep(world, faces_folder, "baseline", 50, sampler="grid", space=space)
    assert done.num_trials == 3
    assert sorted(t.params["hog_svm.c"] for t in study_in(world).trials) == [1.0, 10.0, 30.0]


def test_pruners_leave_the_first_third_of_a_fit_alone(world: Path, faces_folder: Path) -> None:
    halving = make_pruner(plan_of(world, faces_folder, "cnn", 1, training__epochs=24, pruner="halving"))
    assert isinstance(halving, optuna.pruners.SuccessiveHalvingPruner)
    assert (halving._min_resource, halving._reduction_factor) == (8, 3)
    median = make_pruner(plan_of(world, faces_folder, "cnn", 1, training__epochs=25, pruner="median"))
    assert isinstance(median, optuna.pruners.MedianPruner)
    assert median._n_warmup_steps == 9
    hyperband = make_pruner(
        plan_of(world, faces_folder, "cnn", 1, training__epochs=24, pruner="hyperband", seeds=2)
    )
    assert isinstance(hyperband, optuna.pruners.HyperbandPruner)
    assert (hyperband._min_resource, hyperband._max_resource) == (8, 48)
    none = make_pruner(plan_of(world, faces_folder, "cnn", 1, pruner="none"))
    assert isinstance(none, optuna.pruners.NopPruner)


def test_settings_replace_those_of_the_experiment(world: Path, faces_folder: Path) -> None:
    experiment = plan_of(world, faces_folder, "cnn", 1).experiment
    changed = with_settings(experiment, {"cnn.hidden": 7})
    assert {k: v for k, v in flatten(changed).items() if flatten(experiment)[k] != v} == {
        "cnn.hidden": 7
    }
