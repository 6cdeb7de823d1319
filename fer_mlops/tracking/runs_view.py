"""Runs table of MLflow's UI, opened with the scores as its columns."""

from __future__ import annotations

import base64
import json
import time
import zlib

from mlflow.exceptions import MlflowException

from fer_mlops.tracking.connection import client, is_remote, shown_uri

_KEY = "fer_mlops_scores"
# experiment tag in which MLflow 3.17 stores a shared view of the runs table
_TAG = f"mlflow.sharedViewState.{_KEY}"
# columns in their order, with their widths in pixels
_WIDTHS = {
    "attributes.`Date`": 160,
    "tags.`family`": 90,
    "tags.`data`": 110,
    "tags.`split`": 90,
    "metrics.`test/macro_f1`": 130,
    "metrics.`test/balanced_accuracy`": 190,
    "metrics.`test/accuracy`": 130,
    "metrics.`test/faces`": 100,
    "metrics.`minutes`": 90,
    "attributes.`Models`": 160,
}


def runs_address(experiment_id: str, port: int = 5000) -> str:
    """Returns the whole address of the runs table, on the server or as ``fer-mlops ui`` opens it."""
    server = shown_uri().rstrip("/") if is_remote() else f"http://127.0.0.1:{port}"
    return f"{server}{runs_view(experiment_id)}"


def runs_view(experiment_id: str) -> str:
    """Returns the address of the runs table, without scheme and host; its columns are the scores."""
    address = f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    store = client()
    try:
        if _TAG not in store.get_experiment(experiment_id).tags:
            store.set_experiment_tag(experiment_id, _TAG, _shared_view())
    except MlflowException:  # an account that may only read gets the plain table
        return address
    return f"{address}&viewStateShareKey={_KEY}"


def _shared_view() -> str:
    """Returns the view in the format of MLflow's UI, which MLflow does not document."""
    state = {"selectedColumns": list(_WIDTHS), "columnOrder": list(_WIDTHS), "columnWidths": _WIDTHS}
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = time.time_ns() // 1_000_000
    view = {"name": "Scores", "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    return json.dumps(view)
