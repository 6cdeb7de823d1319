"""Several processes train one network: to the numbers of one process, and end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
import together
import torch

from fer_mlops.cli.launch import check_processes
from fer_mlops.errors import ConfigError
from fer_mlops.processes import LOST
from fer_mlops.tracking.alias_lock import find_version

pytestmark = pytest.mark.slow
NUM = 2
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
"""Sums of float32 in another order."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], list[int]]:
    """What two processes computed, each, and their exit statuses."""
    folder = tmp_path_factory.mktemp("crew")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    here = Path(__file__).parents[1]
    path = os.pathsep.join(map(str, (here.parent, here, os.environ.get("PYTHONPATH", ""))))
    env = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, here / "together.py", folder],
            env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(NUM)},
        )
        for rank in range(NUM)
    ]
    try:
        codes = [process.wait(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return folder, [torch.load(folder / f"{rank}.pt") for rank in range(NUM)], codes


@pytest.mark.parametrize("case", ["plain", "muon", "batch norm"])
def test_all_processes_end_with_the_same_weights_and_numbers(shared: Any, case: str) -> None:
    _, (first, second), _ = shared
    torch.testing.assert_close(first[case], second[case], rtol=0, atol=0)


@pytest.mark.parametrize(("case", "config"), [("plain", together.PLAIN), ("muon", together.MUON)])
def test_they_are_those_of_one_process(shared: Any, case: str, config: Any) -> None:
    alone = together.fitted(together.without_batch_norm(), config)
    torch.testing.assert_close(shared[1][0][case], alone, **TOLERANCE)


def test_a_resumed_crew_ends_with_the_numbers_of_one_that_was_not_killed(shared: Any) -> None:
    for results in shared[1]:
        torch.testing.assert_close(results["resumed"], results["batch norm"], rtol=0, atol=0)


def test_every_face_is_trained_on_once_an_epoch_by_one_process(shared: Any) -> None:
    first, second = (results["seen"] for results in shared[1])
    assert abs(len(first) - len(second)) <= together.NUM // 9  # a face a batch
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(together.NUM))


def test_features_of_a_frozen_backbone_are_shared_out_and_come_together(shared: Any) -> None:
    for results in shared[1]:
        torch.testing.assert_close(results["embedded"], together.embedded(), **TOLERANCE)


def test_processes_that_start_from_other_weights_are_told_so(shared: Any) -> None:
    for results in shared[1]:
        assert results["unlike"].startswith("process 1 has other faces or weights than process 0")


def test_a_process_that_dies_is_noticed_at_once(shared: Any) -> None:
    folder, _, codes = shared
    assert codes[1] == 9
    assert (folder / "lost.txt").read_text() == LOST


def start(faces: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fer_mlops", "cnn", "--processes", "2", "--data", str(faces)]
    command += ["--set", "cnn.image_size=32", "--set", "cnn.widths=8,16", "--set", "cnn.depths=1,1"]
    command += ["--set", "tracking.system_metrics=false", *words]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
def test_several_processes_make_one_run_and_one_model(world: Path, faces_folder: Path) -> None:
    process = start(faces_folder, "--epochs", "2")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out.count("registered fer-classifier version 1 (") == 1
    (found,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert found.info.status == "FINISHED"
    assert found.data.tags["processes"] == "2"


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_as_failed_in_one_sentence(
    rank: int, world: Path, faces_folder: Path
) -> None:
    endless = ["--epochs", "9000", "--set", "training.patience=9000", "--set", "tracking.images_every=0"]
    process = start(faces_folder, *endless)
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and process.poll() is None:
            found = mlflow.search_runs(search_all_experiments=True, output_format="list")
            if found and "train/loss" in found[0].data.metrics:
                break
            time.sleep(0.5)
        workers = psutil.Process(process.pid).children()
        (chosen,) = (w for w in workers if w.environ().get("RANK") == str(rank))
        chosen.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        process.terminate()
    assert process.returncode == 1
    said = [line for line in err.splitlines() if line.startswith("fer-mlops: ")]
    (found_run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    sentence = (
        LOST
        if rank
        else f"process 0 was killed by SIGKILL; continue with --resume {found_run.info.run_id}"
    )
    assert said == [f"fer-mlops: {sentence}"], err
    assert "Traceback" not in err
    assert found_run.info.status == "FAILED"
    assert find_version("champion") is None


@pytest.mark.parametrize(
    ("number", "command", "repeats", "sentence"),
    [
        (2, "baseline", False, "baseline runs as one process, got 2"),
        (2, "cnn", True, "folds and seeds are trained in one process, got 2"),
        (0, "cnn", False, "--processes must be 1 or more, got 0"),
    ],
)
def test_processes_that_cannot_be_are_refused(
    number: int, command: str, repeats: bool, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check_processes(number, command, repeats)
