"""The log of a run without MLflow: what a pipeline needs, in memory."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from expert_files import install
from tiny import tiny

from fer_mlops.config import FAMILIES
from fer_mlops.data.loading import prepare_data
from fer_mlops.pipelines.train import run_experiment
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.tracking.tracker import Tracker


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_without_mlflow_has_scores_and_curves_and_stores_nothing(
    family: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    faces_folder: Path,
    drawn_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path_factory.mktemp("experts"), monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    experiment, log = tiny(family, faces_folder), RunLog()
    trained = run_experiment(experiment, prepare_data(experiment, drawn_cache), log)
    assert (trained.run_id, trained.registration) == ("", None)
    assert log.metrics["test/macro_f1"] == trained.test.macro_f1.value
    assert log.metrics["test_natural/macro_f1"] == trained.operating_points["natural"].macro_f1.value
    assert log.facts["test_used"].startswith("once")
    steps = {"baseline": 2, "cnn": 2, "transfer": 3, "ensemble": 2}[family]
    assert [step for step, _ in log.curves()["valid/loss"]] == list(range(1, steps + 1))
    assert list(tmp_path.iterdir()) == []


def test_a_log_in_memory_resumes_with_its_curves() -> None:
    log, again = RunLog(), RunLog()
    log.log_metrics({"valid/loss": 0.5}, 1)
    again.restore(log.state())
    again.log_metrics({"valid/loss": 0.25}, 2)
    assert again.curves() == {"valid/loss": [(1, 0.5), (2, 0.25)]}


IN_MEMORY = {"log_note", "log_findings", "log_json", "curves", "pictures"}
"""Methods that use the others, so that the tracker has them from the log."""


@pytest.mark.draws  # with the log_figure of the tracker, which other tests replace
def test_the_tracker_stores_all_that_the_log_drops() -> None:
    public = {name for name, _ in inspect.getmembers(RunLog, inspect.isfunction) if name[0] != "_"}
    assert public - vars(Tracker).keys() == IN_MEMORY
    for name in public - IN_MEMORY:
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (RunLog, Tracker))
        assert list(ours.parameters) == list(theirs.parameters), name
