"""Weights on disk: read without running any code that a file brings."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fer_mlops.errors import ModelError, WeightsError

StateDict = Mapping[str, Tensor]
_MOST_BYTES = 4 << 30
"""Size of a weights file that is still read; the largest published backbone has 2.6 GB."""


def read_state_dict(path: Path) -> StateDict:
    """Returns the tensors of a weights file, without running any code in it.

    Raises:
        WeightsError: The file is missing or is no state dict.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whatever way its reader has
        lines = str(error).splitlines() or [type(error).__name__]
        reason = getattr(error, "strerror", None) or lines[0]
        raise WeightsError(f"cannot read weights from {str(path)!r}: {reason}") from error
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise WeightsError(f"{str(path)!r} is no state dict (a mapping of names to tensors)")
    return weights


def fill_network(network: nn.Module, path: Path) -> None:
    """Gives ``network`` the weights that ``path`` holds for exactly this network.

    Args:
        network: May be on torch's ``meta`` device: its tensors are replaced, not written to.
        path: A state dict as ``torch.save`` writes it.

    Raises:
        ModelError: The file is no state dict, or one of another network.
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
        raise ModelError(f"{path.name} has values that are no finite numbers, in {infinite[0]!r}")
    network.load_state_dict(weights, assign=True)


def _checked_size(path: Path) -> int:
    """Returns the size of a weights file.

    Raises:
        ModelError: It is too large, no archive of ``torch.save``, or one that is larger once unpacked.
    """
    num_bytes = path.stat().st_size
    if num_bytes > _MOST_BYTES:
        raise ModelError(f"{path.name} has {num_bytes:,} bytes, at most {_MOST_BYTES:,} are read")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{path.name} is no file of weights: {error}") from error
    if unpacked > num_bytes:
        raise ModelError(
            f"{path.name} is no file of weights: {num_bytes:,} bytes unpack to {unpacked:,}"
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
