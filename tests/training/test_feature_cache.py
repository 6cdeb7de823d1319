"""Features on disk: computed once for all they depend on, and never half there."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from rivals import at_once
from tiny import tiny, train

from fer_mlops.config import TransferConfig
from fer_mlops.data.loading import prepare_data
from fer_mlops.errors import DataError
from fer_mlops.files import cache_folder
from fer_mlops.models.hog import Vectors, hog_vectors
from fer_mlops.models.transfer import TransferNetwork
from fer_mlops.pipelines.train import run_experiment
from fer_mlops.training import baseline, transfer
from fer_mlops.training import feature_cache as kept_module
from fer_mlops.training.feature_cache import (
    cached_features,
    digest_of_pixels,
    digest_of_weights,
    frozen_features,
)


def test_it_is_computed_once_for_equal_parts(tmp_path: Path) -> None:
    calls = []

    def compute() -> torch.Tensor:
        calls.append(1)
        return torch.arange(6.0).view(3, 2)

    first = cached_features(tmp_path, ("a", "b"), compute)
    again = cached_features(tmp_path, ("a", "b"), compute)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert len(calls) == 1
    cached_features(tmp_path, ("ab", ""), compute)
    assert len(calls) == 2


def test_of_several_that_want_it_at_once_one_computes_and_the_others_wait(tmp_path: Path) -> None:
    calls = []

    def compute() -> torch.Tensor:
        calls.append(1)
        time.sleep(0.3)
        return torch.ones(2, 2)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_features(tmp_path, ("a",), compute), range(4)))
    assert len(calls) == 1
    assert all(tensor.sum() == 4 for tensor in found)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".lock", ".npy"]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"no array"])
def test_a_damaged_file_is_made_again(damage: bytes, tmp_path: Path) -> None:
    cached_features(tmp_path, ("a",), lambda: torch.ones(2, 2))
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(damage)
    assert cached_features(tmp_path, ("a",), lambda: torch.ones(2, 2)).sum() == 4
    assert np.load(file).sum() == 4


def test_a_cache_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="FER_MLOPS_CACHE"):
        cached_features(tmp_path / "file" / "cache", ("a",), lambda: torch.ones(1, 1))


KILLED = """
import sys, time
from pathlib import Path
import numpy, torch
from fer_mlops.training.feature_cache import cached_features
def save(file, array):
    file.write(b"half"); file.flush(); print("writing", flush=True); time.sleep(60)
numpy.save = save
cached_features(Path(sys.argv[1]), ("a",), lambda: torch.ones(2, 2))
"""


def test_what_a_killed_process_was_writing_is_not_taken_for_features(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(list(tmp_path.glob(f".unfinished-{platform.node()}-{process.pid}-*"))) == 1
    assert cached_features(tmp_path, ("a",), lambda: torch.ones(2, 2)).sum() == 4
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".lock", ".npy"]


def test_processes_that_need_the_same_features_at_once_compute_them_once(tmp_path: Path) -> None:
    def need(number: int) -> tuple[float, bool]:
        computed = []

        def compute() -> torch.Tensor:
            computed.append(number)
            time.sleep(0.5)  # longer than the others need to ask
            return torch.full((2, 2), float(number))

        return float(cached_features(tmp_path, ("a",), compute).sum()), bool(computed)

    outcomes = at_once(need)
    assert sum(computed for _, computed in outcomes) == 1
    assert len({total for total, _ in outcomes}) == 1


def test_another_living_process_may_go_on_writing(tmp_path: Path) -> None:
    other = tmp_path / f".unfinished-{platform.node()}-{os.getppid()}-x"
    other.mkdir()
    cached_features(tmp_path, ("a",), lambda: torch.ones(2, 2))
    assert other.exists()


def test_those_not_asked_for_for_longest_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def ask(name: str) -> None:
        def compute() -> torch.Tensor:
            calls.append(name)
            return torch.ones(25, 10)  # 1,000 bytes and a header of 128

        cached_features(tmp_path, (name,), compute)
        for file in tmp_path.glob("*.npy"):  # as if a minute had passed
            os.utime(file, (file.stat().st_mtime - 60,) * 2)

    monkeypatch.setattr(kept_module, "_MOST_BYTES", 2500)
    for name in ("a", "b", "a", "c", "a"):  # b is older than a when c needs room
        ask(name)
    assert calls == ["a", "b", "c"]
    ask("b")
    assert calls == ["a", "b", "c", "b"]
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_digests_change_with_the_backbone_and_the_faces_and_not_with_the_head() -> None:
    network = TransferNetwork("tiny", TransferConfig(backbone="tiny"), 7)
    before = digest_of_weights(network)
    with torch.no_grad():
        network.head[1].weight.add_(1)
        assert digest_of_weights(network) == before
        network.mean.add_(1)
    assert digest_of_weights(network) != before
    faces = np.zeros((5, 4, 4), np.uint8)
    assert digest_of_pixels(faces) == digest_of_pixels(faces.copy())
    assert digest_of_pixels(faces) != digest_of_pixels(faces[:4])
    assert digest_of_pixels(faces) != digest_of_pixels(faces.reshape(20, 2, 2))


def test_a_second_run_of_one_backbone_on_the_same_faces_skips_its_pass(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_MLOPS_CACHE", str(world / "cache"))
    passes: list[int] = []

    def counted(*args: object, **options: object) -> torch.Tensor:
        passes.append(1)
        return frozen_features(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(transfer, "frozen_features", counted)
    experiment = tiny("transfer", faces_folder, tracking__images_every=0)
    first = train(experiment)
    stored = sorted(cache_folder().glob("features-*.npy"))
    assert len(passes) == len(stored) == 3
    again = train(experiment)
    assert len(passes) == 3
    assert sorted(cache_folder().glob("features-*.npy")) == stored
    assert again.test == first.test


@pytest.mark.parametrize("family", ["baseline", "transfer"])
def test_features_are_kept_in_the_cache_that_the_faces_were_read_into(
    family: str, world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_MLOPS_CACHE", str(world / "default"))
    experiment = tiny(family, faces_folder, tracking__images_every=0)
    data = prepare_data(experiment, world / "named")
    run_experiment(experiment, data)
    assert list((world / "named").glob("features-*.npy"))
    assert not (world / "default").exists()


def test_trials_of_the_baseline_with_equal_histograms_compute_them_once(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_MLOPS_CACHE", str(world / "cache"))
    passes: list[int] = []

    def counted(*args: object, **options: object) -> Vectors:
        passes.append(1)
        return hog_vectors(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(baseline, "hog_vectors", counted)
    quiet = {"tracking__images_every": 0}
    first = train(tiny("baseline", faces_folder, **quiet))
    assert len(passes) == 2  # of train and of valid; the test faces' are taken by the model
    assert train(tiny("baseline", faces_folder, **quiet)).test == first.test
    train(tiny("baseline", faces_folder, hog_svm__c=3.0, hog_svm__gamma=2.0, **quiet))
    assert len(passes) == 2
    for changed in ({"cells": [16]}, {"orientations": 7}, {"mirror": False}):
        ((key, value),) = changed.items()
        train(tiny("baseline", faces_folder, **{f"hog_svm__{key}": value}, **quiet))
    assert len(passes) == 8
