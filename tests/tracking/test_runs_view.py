"""The runs table of MLflow's UI, as ``fer-mlops ui`` opens it."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import needs_browser, open_browser
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from tracking_server import Server

from fer_mlops.tracking.runs_view import runs_view

PLAIN = "/#/experiments/0/runs?workflowType=machine_learning"


def test_the_view_is_stored_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = runs_view("0")
    assert first.startswith(f"{PLAIN}&viewStateShareKey=")
    monkeypatch.delattr(MlflowClient, "set_experiment_tag")
    assert runs_view("0") == first


def test_an_account_that_may_only_read_gets_the_plain_table(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("Permission denied")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    assert runs_view("0") == PLAIN


@pytest.mark.slow
@needs_browser
def test_the_table_shows_scores_in_this_version_of_mlflow(world: Path, tmp_path: Path) -> None:
    client = MlflowClient()
    run = client.create_run("0", run_name="mine", tags={"family": "cnn"}).info.run_id
    client.log_metric(run, "test/macro_f1", 0.625)
    address = runs_view("0")
    server = Server(world)
    server.start()
    try:
        server.wait()
        with open_browser(tmp_path / "chromium") as browser:
            browser.get(server.uri + address)
            cell = (By.CSS_SELECTOR, "[role=gridcell][col-id='metrics.`test/macro_f1`']")
            shown = WebDriverWait(browser, 60).until(lambda _: browser.find_elements(*cell))
            assert [found.text for found in shown] == ["0.625"]
            headers = browser.find_elements(By.CSS_SELECTOR, "[role=columnheader]")
            places = {header.text: header.location["x"] for header in headers}
            assert places["family"] < places["test/macro_f1"]
    finally:
        server.stop()
