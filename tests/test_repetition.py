"""One experiment on every fold in turn."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
from tiny import tiny

from fer_mlops.cache import cache_folder
from fer_mlops.crossvalidation import cross_validate

pytestmark = pytest.mark.usefixtures("world")


def test_every_face_is_judged_once_in_nested_runs_that_register_nothing(faces_folder: Path) -> None:
    done = cross_validate(tiny("baseline", faces_folder, data__folds=3), cache_folder())
    tests = [trained.test for trained in done.folds if trained.test]
    assert len(tests) == 3
    assert sum(test.num_faces for test in tests) == done.pooled.num_faces == 140
    assert done.pooled.num_people == 20
    assert np.array_equal(np.array(done.pooled.confusion), sum(np.array(t.confusion) for t in tests))
    scores = [test.macro_f1.value for test in tests]
    assert done.spread["macro_f1"] == pytest.approx((np.mean(scores), np.std(scores, ddof=1)))

    client = mlflow.MlflowClient()
    children = client.search_runs([done.experiment_id], f"tags.`mlflow.parentRunId` = '{done.run_id}'")
    assert {run.info.run_id for run in children} == {trained.run_id for trained in done.folds}
    assert sorted(run.data.params["data.fold"] for run in children) == ["0", "1", "2"]
    metrics = client.get_run(done.run_id).data.metrics
    assert metrics["folds/macro_f1_mean"] == pytest.approx(done.spread["macro_f1"][0])
    assert metrics["folds/macro_f1_sd"] == pytest.approx(done.spread["macro_f1"][1])
    report = json.loads(mlflow.artifacts.load_text(f"runs:/{done.run_id}/pooled/report.json"))
    assert report["num_faces"] == 140
    assert client.search_registered_models() == []
