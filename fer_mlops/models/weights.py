"""Weights files, downloaded and read without running any code in them."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import torch
from torch import Tensor, nn

from fer_mlops.errors import ModelError, WeightsError

StateDict = Mapping[str, Tensor]
# largest size of a weights file, in bytes; the largest published backbone has 2.6 GB
_MOST_BYTES = 4 << 30
_DOWNLOAD_TIMEOUT = 20.0  # seconds without a byte after which a download counts as failed
# part of a published file's name: the beginning of its SHA-256 digest
_DIGEST = re.compile(r"-([0-9a-f]{8,})\.pth?$")


def cached_file(url: str) -> Path:
    """Returns the path of a published file in torch's cache, whether or not it is there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def download(url: str) -> Path:
    """Returns the path of a published file in torch's cache, after downloading it if needed.

    Raises:
        OSError: The file cannot be downloaded.
        WeightsError: The download does not have the digest in the file's name.
    """
    path = cached_file(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # torch's downloader waits forever for a server that stops sending, and its only timeout would apply
    # to every connection of this process
    with (
        urlopen(url, timeout=_DOWNLOAD_TIMEOUT) as sent,
        tempfile.TemporaryDirectory(dir=path.parent) as aside,
    ):
        whole = Path(aside) / path.name
        with whole.open("wb") as file:
            shutil.copyfileobj(sent, file)
        with whole.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        named = _DIGEST.search(path.name)
        if named and not digest.startswith(named[1]):
            raise WeightsError(
                f"{url} sent a file of another digest than in its name: {digest[:16]}; try again later"
            )
        whole.replace(path)
    return path


def read_state_dict(path: Path) -> StateDict:
    """Returns the tensors of a weights file, without running any code in it.

    Raises:
        WeightsError: The file is missing or is not a state dict.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises any exception for a damaged file
        lines = str(error).splitlines() or [type(error).__name__]
        reason = getattr(error, "strerror", None) or lines[0]
        raise WeightsError(f"cannot read weights from {str(path)!r}: {reason}") from error
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise WeightsError(f"{str(path)!r} is not a state dict (a mapping of names to tensors)")
    return weights


def fill_network(network: nn.Module, path: Path) -> None:
    """Loads the state dict at ``path`` into ``network``; names, shapes and types must match exactly.

    Its tensors are replaced, not written to, as they may be on torch's ``meta`` device.

    Raises:
        ModelError: The file is not a state dict, or belongs to another network.
    """
    num_bytes = _checked_size(path)
    try:
        weights = read_state_dict(path)
    except WeightsError as error:
        raise ModelError(str(error)) from error
    expected = network.state_dict()
    wrong = [name for name, tensor in expected.items() if not _fits(weights.get(name), tensor)]
    wrong += [name for name in weights if name not in expected]
    if wrong:
        raise ModelError(
            f"{path.name} holds the weights of another network: {len(wrong)} tensors are missing, "
            f"unknown or of another shape or type, such as {wrong[0]!r:.80}"
        )
    if sum(tensor.nbytes for tensor in weights.values()) > num_bytes:
        raise ModelError(f"{path.name} is damaged: its tensors are larger than the file")
    infinite = [name for name, t in weights.items() if not bool(torch.isfinite(t).all())]
    if infinite:
        raise ModelError(f"{path.name} has values that are not finite, in {infinite[0]!r}")
    network.load_state_dict(weights, assign=True)


def _checked_size(path: Path) -> int:
    """Returns the size of a weights file; raises ModelError if it is too large or no such archive."""
    num_bytes = path.stat().st_size
    if num_bytes > _MOST_BYTES:
        raise ModelError(f"{path.name} has {num_bytes:,} bytes, more than the limit of {_MOST_BYTES:,}")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{path.name} is not a weights file: {error}") from error
    if unpacked > num_bytes:  # torch.save does not compress, so this file would fill the memory
        raise ModelError(
            f"{path.name} is not a weights file: {num_bytes:,} bytes unpack to {unpacked:,}"
        )
    return num_bytes


def _fits(given: Tensor | None, expected: Tensor) -> bool:
    return (
        given is not None
        and given.shape == expected.shape
        and given.dtype == expected.dtype
        and given.layout == torch.strided
        and given.device.type == "cpu"
    )
