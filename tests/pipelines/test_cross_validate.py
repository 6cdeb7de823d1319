"""One recipe on every fold in turn, or with several seeds."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
from commands import fer
from tiny import tiny

from fer_mlops.config.experiments import check_seeds
from fer_mlops.errors import ConfigError
from fer_mlops.evaluation.repeats import Spread, spread_of
from fer_mlops.files import cache_folder
from fer_mlops.pipelines.candidates import latest_runs
from fer_mlops.pipelines.cross_validate import cross_validate
from fer_mlops.progress import Advance, ignore_progress


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
    stages: list[str] = []
    lines: list[str] = []

    def progress(name: str, _: int) -> Advance:
        stages.append(name)
        return ignore_progress

    done = cross_validate(
        tiny("baseline", faces_folder, data__folds=3, tracking__images_every=0),
        cache_folder(),
        progress,
        lambda run, step: lines.append(f"{run}: {step.name}"),
    )
    assert {"fold 0: HOG features", "fold 2: HOG features"} <= set(stages)
    assert {"fold 0: training set 2/2", "fold 2: training set 2/2"} <= set(lines)
    tests = [trained.test for trained in done.trained]
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


@pytest.mark.draws
def test_seeds_are_nested_runs_of_their_own_splits_that_compare_shows_again(
    world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = ["hog_svm.components=20", "hog_svm.fractions=[1.0]", "tracking.images_every=0"]
    words = [word for setting in small for word in ("--set", setting)]
    words += ["--data", str(faces_folder), "--seed", "5", "--seeds", "2"]
    code, out, err = fer(capfd, "baseline", *words)
    assert code == 0, err
    found = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    parent, *children = sorted(found, key=lambda each: each.info.start_time)
    assert [child.data.params["seed"] for child in children] == ["5", "6"]
    assert [child.data.tags["repeat"] for child in children] == ["seed 5", "seed 6"]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert len({child.data.tags["data_digest"] for child in children}) == 2
    client = mlflow.MlflowClient()
    assert client.search_registered_models() == []
    assert latest_runs("fer_mlops") == []
    for part, name in (("test", "seeds"), ("test_natural", "seeds_natural")):
        scores = [child.data.metrics[f"{part}/balanced_accuracy"] for child in children]
        mean, reach = np.mean(scores), 12.7062 * np.std(scores, ddof=1) / np.sqrt(2)  # t(0.975, 1)
        assert parent.data.metrics[f"{name}/balanced_accuracy_mean"] == pytest.approx(mean)
        if name == "seeds":
            high = parent.data.metrics[f"{name}/balanced_accuracy_high"]
            assert high == pytest.approx(mean + reach, abs=1e-4)
    assert len(parent.data.metrics) <= 30
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"repeats.json", "repeats.png"} <= files

    line = next(line for line in out.splitlines() if line.startswith("  macro f1") and "±" in line)
    code, out, err = fer(capfd, "compare", "--parent", parent.info.run_id, "--out", "seeds")
    assert code == 0, err
    assert line in out
    assert "baseline, 2 seeds" in (world / "seeds" / "comparison.html").read_text()
    code, _, err = fer(capfd, "compare", "--parent", parent.info.run_id, "--data", str(faces_folder))
    assert code == 2
    assert "--data has no effect on seeds or folds" in err


def test_what_cannot_be_repeated_is_refused(faces_folder: Path) -> None:
    with pytest.raises(ConfigError, match="must be 2 or more, for a spread, got 1"):
        check_seeds(tiny("cnn", faces_folder), 1)
    with pytest.raises(ConfigError, match="--seeds 2 and --folds 3 both repeat"):
        check_seeds(tiny("cnn", faces_folder, data__folds=3), 2)
