"""One recipe on every fold in turn, or with several seeds."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
from tiny import tiny

from fer_mlops.cache import cache_folder
from fer_mlops.comparison import repeats_of
from fer_mlops.errors import ConfigError
from fer_mlops.repetition import Spread, check_seeds, cross_validate, repeat_seeds, spread_of


def test_an_interval_is_that_of_students_t() -> None:
    # t(0.975, 2) = 4.302653 in any table; the deviation of 1, 2, 3 is 1
    spread = spread_of([0.1, 0.2, 0.3])
    reach = 4.302653 * 0.1 / np.sqrt(3)
    assert spread.num == 3
    assert (spread.mean, spread.deviation) == pytest.approx((0.2, 0.1))
    assert (spread.low, spread.high) == pytest.approx((0.2 - reach, 0.2 + reach), abs=1e-6)
    assert str(Spread(3, 0.5, 0.1, 0.4, 0.6)) == "0.500 ± 0.100 [0.400, 0.600]"


@pytest.mark.usefixtures("world")
def test_every_face_is_judged_once_in_nested_runs_that_register_nothing(faces_folder: Path) -> None:
    done = cross_validate(
        tiny("baseline", faces_folder, data__folds=3, tracking__images_every=0), cache_folder()
    )
    tests = [trained.test for trained in done.trained if trained.test]
    assert len(tests) == 3
    assert done.pooled
    assert sum(test.num_faces for test in tests) == done.pooled.num_faces == 140
    assert done.pooled.num_people == 20
    assert np.array_equal(np.array(done.pooled.confusion), sum(np.array(t.confusion) for t in tests))
    scores = [test.macro_f1.value for test in tests]
    spread = done.repeats.spread("macro_f1")
    assert (spread.mean, spread.deviation) == pytest.approx((np.mean(scores), np.std(scores, ddof=1)))

    client = mlflow.MlflowClient()
    children = client.search_runs([done.experiment_id], f"tags.`mlflow.parentRunId` = '{done.run_id}'")
    assert {run.info.run_id for run in children} == {trained.run_id for trained in done.trained}
    assert sorted(run.data.params["data.fold"] for run in children) == ["0", "1", "2"]
    metrics = client.get_run(done.run_id).data.metrics
    assert metrics["folds/macro_f1_mean"] == pytest.approx(spread.mean)
    assert metrics["folds/macro_f1_sd"] == pytest.approx(spread.deviation)
    assert metrics["folds/macro_f1_low"] == pytest.approx(spread.low)
    report = json.loads(mlflow.artifacts.load_text(f"runs:/{done.run_id}/pooled/report.json"))
    assert report["num_faces"] == 140
    assert client.search_registered_models() == []


@pytest.mark.usefixtures("world")
def test_every_seed_has_a_split_and_a_nested_run_of_its_own(faces_folder: Path) -> None:
    done = repeat_seeds(
        tiny("baseline", faces_folder, seed=5, tracking__images_every=0), 2, cache_folder()
    )
    client = mlflow.MlflowClient()
    children = [client.get_run(trained.run_id).data for trained in done.trained]
    assert [child.params["seed"] for child in children] == ["5", "6"]
    assert [child.tags["repeat"] for child in children] == ["seed 5", "seed 6"]
    assert {child.tags["mlflow.parentRunId"] for child in children} == {done.run_id}
    assert len({child.tags["data_digest"] for child in children}) == 2
    assert client.search_registered_models() == []
    parent = client.get_run(done.run_id).data.metrics
    for point, name in (("test", "seeds"), ("test_natural", "seeds_natural")):
        scores = [child.metrics[f"{point}/balanced_accuracy"] for child in children]
        assert parent[f"{name}/balanced_accuracy_mean"] == pytest.approx(np.mean(scores))
        # t(0.975, 1) = 12.7062
        reach = 12.7062 * np.std(scores, ddof=1) / np.sqrt(2)
        high = parent[f"{name}/balanced_accuracy_high"]
        assert high == pytest.approx(np.mean(scores) + reach, abs=1e-4)
    assert "seeds_balanced/macro_f1_sd" in parent
    assert repeats_of(done.run_id) == done.repeats
    assert repeats_of(done.trained[0].run_id) is None
    files = {item.path for item in client.list_artifacts(done.run_id)}
    assert {"repeats.json", "repeats.png"} <= files


def test_what_cannot_be_repeated_is_refused(faces_folder: Path) -> None:
    with pytest.raises(ConfigError, match="must be 2 or more, for a spread, got 1"):
        check_seeds(tiny("cnn", faces_folder), 1)
    with pytest.raises(ConfigError, match="--seeds 2 and --folds 3 both repeat"):
        check_seeds(tiny("cnn", faces_folder, data__folds=3), 2)
