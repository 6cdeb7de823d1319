"""Runs table of MLflow's UI, opened with the scores as its columns."""

from __future__ import annotations

import base64
import json
import time
import zlib
from urllib.parse import quote

from mlflow.exceptions import MlflowException

from fer_mlops.tracking.connection import client, is_remote, shown_uri

_KEY = "fer_mlops_scores"
# experiment tag in which MLflow 3.17 stores a shared view of the runs table
_TAG = f"mlflow.sharedViewState.{_KEY}"
# end of every address: without it, MLflow opens its pages for language models
_MODEL_TRAINING = "?workflowType=machine_learning"
# Columns in their order, with their widths in pixels. Those up to the minutes fit a screen of 1366
# pixels beside MLflow's assistant. The second is the date: MLflow always shows it, pinned to the left;
# this width leaves the mark of success or failure.
_WIDTHS = {
    "attributes.`Run Name`": 190,
    "runDateAndNestInfo": 44,
    "tags.`data`": 68,
    "metrics.`test/macro_f1`": 110,
    "metrics.`test/balanced_accuracy`": 104,
    "metrics.`test/accuracy`": 104,
    "metrics.`minutes`": 66,
    "tags.`family`": 90,
    "tags.`split`": 90,
    "metrics.`test/faces`": 100,
    "attributes.`Models`": 160,
}
# filter of the runs that train models, sweeps included: only they have both tags
_TRAINED = "tags.family != '' and tags.data != ''"


def runs_address(experiment_id: str, port: int = 5000) -> str:
    """Returns the whole address of the runs table, on the server or as ``fer-mlops ui`` opens it."""
    server = shown_uri().rstrip("/") if is_remote() else f"http://127.0.0.1:{port}"
    return f"{server}{runs_view(experiment_id)}"


def runs_view(experiment_id: str) -> str:
    """Returns the address of the runs table, without scheme and host; its columns are the scores."""
    address = f"/#/experiments/{experiment_id}/runs{_MODEL_TRAINING}"
    store, stored = client(), ""
    try:
        stored = store.get_experiment(experiment_id).tags.get(_TAG, "")
        if _state() not in stored:  # an earlier version stored another view
            store.set_experiment_tag(experiment_id, _TAG, _shared_view())
    except MlflowException:  # an account that may only read, or a server that is away
        if not stored:
            return address
    return f"{address}&viewStateShareKey={_KEY}"


def run_link(experiment_id: str, run_id: str) -> str:
    """Returns the address of a run's page for a link in a description, without scheme and host."""
    return f"#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}{_MODEL_TRAINING}"


def _shared_view() -> str:
    """Returns the view in the format of MLflow's UI, which MLflow does not document."""
    now = time.time_ns() // 1_000_000
    view = {"name": "Scores", "createdAt": now, "updatedAt": now, "state": _state()}
    return json.dumps(view)


def _state() -> str:
    """Returns columns and filter as MLflow's UI packs them."""
    state = {
        "selectedColumns": list(_WIDTHS),
        "columnOrder": list(_WIDTHS),
        "columnWidths": _WIDTHS,
        "searchFilter": _TRAINED,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return f"deflate;{packed}"
