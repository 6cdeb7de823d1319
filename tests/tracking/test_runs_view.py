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


TAG = "mlflow.sharedViewState.fer_mlops_scores"
SCREEN = {"width": 1366, "height": 768, "deviceScaleFactor": 1, "mobile": False}


def refuse(*_: object) -> None:
    raise MlflowException("Permission denied")


def test_the_view_is_stored_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = runs_view("0")
    assert first.startswith(f"{PLAIN}&viewStateShareKey=")
    monkeypatch.delattr(MlflowClient, "set_experiment_tag")
    assert runs_view("0") == first


def test_an_account_that_may_only_read_gets_the_plain_table(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    assert runs_view("0") == PLAIN


def test_a_view_of_an_earlier_version_is_replaced(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MlflowClient().set_experiment_tag("0", TAG, '{"name": "Scores", "state": "deflate;old"}')
    with monkeypatch.context() as patched:  # an account that may only read keeps that view
        patched.setattr(MlflowClient, "set_experiment_tag", refuse)
        assert runs_view("0").startswith(f"{PLAIN}&viewStateShareKey=")
    runs_view("0")
    assert "deflate;old" not in MlflowClient().get_experiment("0").tags[TAG]


@pytest.mark.long
@needs_browser
def test_the_table_shows_scores_in_this_version_of_mlflow(world: Path, tmp_path: Path) -> None:
    client = MlflowClient()
    run = client.create_run(
        "0", run_name="mine", tags={"family": "cnn", "data": "sample", "split": "identity"}
    ).info.run_id
    client.log_metric(run, "test/macro_f1", 0.625)
    client.log_metric(run, "minutes", 1.5)
    client.create_run("0", run_name="promote v1")
    address = runs_view("0")
    server = Server(world)
    server.start()
    try:
        server.wait()
        with open_browser(tmp_path / "chromium") as browser:
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
            browser.get(server.uri + address)
            cell = (By.CSS_SELECTOR, "[role=gridcell][col-id='metrics.`test/macro_f1`']")
            shown = WebDriverWait(browser, 60).until(lambda _: browser.find_elements(*cell))
            assert [found.text for found in shown] == ["0.625"]
            headers = browser.find_elements(By.CSS_SELECTOR, "[role=columnheader]")
            places = {header.text: header.location["x"] for header in headers}
            assert places["data"] < places["test/macro_f1"] < places["minutes"] < places["family"]
            minutes = next(header for header in headers if header.text == "minutes")
            assistant = browser.find_element(By.XPATH, "//*[text()='MLflow Assistant']")
            assert minutes.location["x"] + minutes.size["width"] < assistant.location["x"]
    finally:
        server.stop()
