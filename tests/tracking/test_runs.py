"""Runs open where they should and end as they should, whatever MLflow did before."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from tiny import tiny

from fer_mlops.errors import TrackingError
from fer_mlops.tracking import runs
from fer_mlops.tracking.connection import check_server, shown_uri
from fer_mlops.tracking.runs import RunStopped, git_commit, track
from fer_mlops.tracking.store import ensure_experiment


def test_a_fresh_folder_gets_an_experiment_with_its_own_artifacts(world: Path) -> None:
    experiment = ensure_experiment("fer_mlops")
    assert experiment.artifact_location == (world / "mlruns" / "fer_mlops").as_uri()
    assert ensure_experiment("fer_mlops").experiment_id == experiment.experiment_id


def test_parameters_that_a_project_logged_first_do_not_clash(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = ensure_experiment("fer_mlops").experiment_id
    client = MlflowClient()
    project_run = client.create_run(experiment_id).info.run_id
    client.log_param(project_run, "seed", "auto")
    client.log_param(project_run, "epochs", "5")
    monkeypatch.setenv("MLFLOW_RUN_ID", project_run)
    with track("fer_mlops", "cnn") as tracker:
        tracker.log_settings(tiny("cnn", faces_folder))
    params = client.get_run(project_run).data.params
    assert tracker.run_id == project_run
    assert (params["seed"], params["epochs"], params["training.epochs"]) == ("auto", "5", "2")


@pytest.mark.parametrize(
    ("before", "after"), [("blushing-smelt-229", "cnn · faces · seed 0"), ("mine", "mine")]
)
def test_a_project_run_loses_a_made_up_name_and_keeps_one_that_was_chosen(
    before: str, after: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = ensure_experiment("fer_mlops").experiment_id
    project_run = MlflowClient().create_run(experiment_id, run_name=before).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project_run)
    with track("fer_mlops", "cnn · faces · seed 0"):
        pass
    assert MlflowClient().get_run(project_run).info.run_name == after


def test_a_run_in_one_experiment_leaves_the_next_free_to_be_in_another(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with track("first", "cnn"):
        pass
    other = ensure_experiment("second").experiment_id
    project_run = MlflowClient().create_run(other).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project_run)
    with track("second", "cnn") as tracker:
        assert (tracker.run_id, tracker.experiment_id) == (project_run, other)


def test_a_nested_run_does_not_become_the_projects_run_again(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = ensure_experiment("fer_mlops").experiment_id
    project_run = MlflowClient().create_run(experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project_run)
    with track("fer_mlops", "all") as parent, track("fer_mlops", "cnn", nested=True) as child:
        assert parent.run_id == project_run
        assert child.run_id != project_run
    tags = MlflowClient().get_run(child.run_id).data.tags
    assert tags["mlflow.parentRunId"] == project_run


def test_a_project_run_whose_artifacts_need_a_server_is_continued_in_our_experiment(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    spoilt = client.create_experiment("made-by-mlflow-ui", artifact_location="mlflow-artifacts:/7")
    project_run = client.create_run(spoilt).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project_run)
    with track("fer_mlops", "cnn") as tracker:
        tracker.log_json("file.json", {})
    assert tracker.run_id != project_run
    assert client.get_run(project_run).data.tags["fer_mlops.continued_as"] == tracker.run_id


def test_an_experiment_whose_artifacts_need_a_server_is_refused_in_a_sentence(world: Path) -> None:
    MlflowClient().create_experiment("spoilt", artifact_location="mlflow-artifacts:/8")
    with pytest.raises(TrackingError, match=r"'spoilt' stores its artifacts through a tracking server"):
        ensure_experiment("spoilt")


@pytest.mark.parametrize(
    ("failure", "status"),
    [(None, "FINISHED"), (KeyboardInterrupt, "KILLED"), (RunStopped, "KILLED"), (OSError, "FAILED")],
)
def test_a_run_ends_with_the_status_of_how_it_ended(
    failure: type[BaseException] | None, status: str, world: Path
) -> None:
    run_id = ""
    try:
        with track("fer_mlops", "some") as tracker:
            run_id = tracker.run_id
            if failure:
                raise failure
    except (KeyboardInterrupt, RunStopped, OSError):
        pass
    assert MlflowClient().get_run(run_id).info.status == status
    assert mlflow.active_run() is None


def test_an_unreachable_server_is_one_sentence(world: Path) -> None:
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"no tracking server answers at http://127.0.0.1:9"):
        check_server()
    with pytest.raises(TrackingError), track("fer_mlops", "some"):
        pass


def test_a_password_in_the_tracking_uri_is_never_shown(world: Path) -> None:
    mlflow.set_tracking_uri("http://anna:secret@127.0.0.1:9")
    assert shown_uri() == "http://127.0.0.1:9"
    with pytest.raises(TrackingError) as caught:
        check_server()
    assert "secret" not in str(caught.value)


def test_curves_are_read_back_in_order(world: Path) -> None:
    with track("fer_mlops", "some") as tracker:
        for step in (1, 2, 3):
            tracker.log_metrics({"valid/loss": 1 / step}, step)
        assert tracker.curves() == {"valid/loss": [(1, 1.0), (2, 0.5), (3, 1 / 3)]}


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_told_in_packed_checkouts_and_worktrees_and_so_are_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, worktree = tmp_path / "checkout", tmp_path / "worktree"
    for folder in (checkout, worktree):
        (folder / "fer_mlops" / "tracking").mkdir(parents=True)
    monkeypatch.setattr(runs, "__file__", str(checkout / "fer_mlops" / "tracking" / "runs.py"))
    assert git_commit() == "unknown"
    git(checkout, "init", "-q")
    assert git_commit() == "unknown"  # no commit yet
    (checkout / "fer_mlops" / "tracking" / "runs.py").touch()
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "First")
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "pack-refs", "--all")
    (checkout / "untracked").touch()
    assert git_commit() == commit
    (checkout / "fer_mlops" / "tracking" / "runs.py").write_text("changed")
    assert git_commit() == f"{commit}-dirty"
    worktree.rename(tmp_path / "empty")
    git(checkout, "worktree", "add", "-q", str(worktree), "HEAD")
    monkeypatch.setattr(runs, "__file__", str(worktree / "fer_mlops" / "tracking" / "runs.py"))
    assert git_commit() == commit
    monkeypatch.setenv("PATH", "")
    assert git_commit() == "unknown"
