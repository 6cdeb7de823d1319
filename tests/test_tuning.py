"""A study: its runs, its pruning, and going on to the same total."""

from __future__ import annotations

from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState
from tiny import tiny

from fer_mlops import tuning
from fer_mlops.cache import cache_folder
from fer_mlops.config import FAMILIES
from fer_mlops.errors import ConfigError, TrackingError
from fer_mlops.recipes import flatten
from fer_mlops.tuning import SPACES, Sweep, tune, with_settings

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def sweep(world: Path, faces: Path, family: str, trials: int, **settings: object) -> Sweep:
    return tune(
        tiny(family, faces, **settings),
        num_trials=trials,
        study_name="s",
        storage_url=f"sqlite:///{world}/optuna.db",
        cache=cache_folder(),
    )


def runs_named(prefix: str) -> list[Run]:
    found = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    return [run for run in found if (run.info.run_name or "").startswith(prefix)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_search_space_is_made_of_settings(family: str, faces_folder: Path) -> None:
    trial = optuna.create_study().ask()
    settings = SPACES[family](trial)
    experiment = tiny(family, faces_folder)
    assert settings.keys() <= flatten(experiment).keys()
    assert flatten(with_settings(experiment, settings)).items() >= settings.items()


def test_a_study_is_a_parent_with_a_run_per_trial_and_goes_on_to_the_same_total(
    world: Path, faces_folder: Path
) -> None:
    first = sweep(world, faces_folder, "baseline", 2)
    again = sweep(world, faces_folder, "baseline", 4)
    assert (first.num_trials, again.num_trials) == (2, 4)
    (parent,) = runs_named("tune-s")
    trials = runs_named("trial-")
    assert len(trials) == 4
    for run in trials:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert "valid/macro_f1" in run.data.metrics
        assert not [name for name in run.data.metrics if name.startswith("test/")]
    files = {item.path for item in MlflowClient().list_artifacts(parent.info.run_id, "study")}
    assert files == {"study/history.png", "study/importances.png"}
    best = max(run.data.metrics["valid/macro_f1"] for run in trials)
    assert again.best_value >= best - 1e-9
    winner = MlflowClient().get_run(again.winner.run_id)
    assert "test/macro_f1" in winner.data.metrics
    assert again.winner.registration is not None


def test_a_pruned_trial_ends_as_killed_with_its_reason(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PruneAllButTheFirst(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            return trial.number > 0

    monkeypatch.setattr(tuning, "MedianPruner", lambda **_: PruneAllButTheFirst())
    sweep(world, faces_folder, "cnn", 3, cnn__image_size=32)
    statuses = sorted((run.info.run_name, run.info.status) for run in runs_named("trial-"))
    assert statuses == [("trial-0", "FINISHED"), ("trial-1", "KILLED"), ("trial-2", "KILLED")]
    assert "pruned at step 1" in runs_named("trial-2")[0].data.tags["pruned"]
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{world}/optuna.db")
    assert [t.state for t in study.trials].count(TrialState.PRUNED) == 2


def test_a_study_of_other_data_or_family_is_refused(world: Path, faces_folder: Path) -> None:
    sweep(world, faces_folder, "baseline", 1)
    with pytest.raises(ConfigError, match=r"study 's' exists with family 'baseline'"):
        sweep(world, faces_folder, "cnn", 1)
    with pytest.raises(ConfigError, match="data_digest"):
        sweep(world, faces_folder, "baseline", 1, data__split="random")


def test_a_storage_that_cannot_be_opened_is_one_sentence(world: Path, faces_folder: Path) -> None:
    with pytest.raises(TrackingError, match="study storage cannot be opened"):
        tune(
            tiny("baseline", faces_folder),
            num_trials=1,
            study_name="s",
            storage_url="sqlite:////nowhere/at/all.db",
            cache=cache_folder(),
        )


def test_mlflows_own_database_is_refused(world: Path, faces_folder: Path) -> None:
    with pytest.raises(ConfigError, match="a database of its own"):
        tune(
            tiny("baseline", faces_folder),
            num_trials=1,
            study_name="s",
            storage_url=f"sqlite:///{world}/mlflow.db",
            cache=cache_folder(),
        )
