"""Features of a frozen backbone, cached on disk under a digest of everything that they depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fer_mlops.errors import DataError
from fer_mlops.files import locked, whole
from fer_mlops.images.arrays import Images
from fer_mlops.models.base import to_images
from fer_mlops.models.ensemble import Ensemble
from fer_mlops.models.transfer import TransferNetwork
from fer_mlops.progress import Advance, ignore_progress
from fer_mlops.training import distributed

_VERSION = 1
_ROWS = 4096  # number of faces read at a time
# largest size of all features together, in bytes; above it the least recently used are removed
_MOST_BYTES = 4 * 2**30


def cached_features(
    cache: Path,
    parts: Sequence[str],
    compute: Callable[[], Tensor],
    on_found: Callable[[], None] = lambda: None,
) -> Tensor:
    """Returns features float32 [n, features] from the cache, or computes and stores them.

    If several processes of this machine need the same features, one computes them and the others wait.
    All files together take at most 4 GiB.

    Args:
        cache: Folder for the files.
        parts: Everything that the features depend on, as text.
        compute: Computes the features.
        on_found: Called if the features are in the cache.

    Raises:
        DataError: The cache cannot be written.
    """
    key = hashlib.sha256("\0".join((str(_VERSION), *parts)).encode()).hexdigest()[:24]
    path = cache / f"features-{key}.npy"
    found = _found(path)
    if found is None:
        with ExitStack() as lock:
            try:
                lock.enter_context(locked(path))
            except OSError as error:
                raise _unwritable(path, error) from error
            found = _found(path)  # another process may have stored it while this one waited
            if found is None:
                return _keep(path, compute())
    on_found()
    return found


def _found(path: Path) -> Tensor | None:
    try:
        features = torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError):  # missing, or damaged and to be computed again
        return None
    with suppress(OSError):  # the cache may be read-only
        os.utime(path)  # the least recently used are removed
    return features


def _keep(path: Path, features: Tensor) -> Tensor:
    """Writes ``features`` to ``path`` and returns them."""
    try:
        _make_room(path.parent, _MOST_BYTES - features.nbytes)
        with whole(path) as aside, aside.open("wb") as file:
            np.save(file, features.numpy())
    except OSError as error:
        raise _unwritable(path, error) from error
    return features


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write features to {str(path.parent)!r}: {error.strerror}; free space or set "
        "FER_MLOPS_CACHE to another folder"
    )


def digest_of_weights(network: nn.Module) -> str:
    """Returns a digest of the network's weights and its input scaling, without ``head``."""
    state = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if not name.startswith("head."):
            values = tensor.detach().cpu().contiguous()
            state.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
            state.update(values.numpy().tobytes())
    return state.hexdigest()


def digest_of_pixels(pixels: Images) -> str:
    """Returns a digest of faces uint8 [n, side, side] and their order."""
    state = hashlib.sha256(str(tuple(pixels.shape)).encode())
    for start in range(0, len(pixels), _ROWS):
        state.update(np.ascontiguousarray(pixels[start : start + _ROWS]).tobytes())
    return state.hexdigest()


def _make_room(cache: Path, most: int) -> None:
    """Removes the least recently used features until the rest take at most ``most`` bytes."""
    found = []
    for file in cache.glob("features-*.npy"):
        with suppress(FileNotFoundError):  # another process may remove files at the same time
            found.append((file.stat().st_mtime, file.stat().st_size, file))
    total = sum(size for _, size, _ in found)
    for _, size, file in sorted(found):
        if total <= most:
            break
        file.unlink(missing_ok=True)
        total -= size


class Embed(nn.Module):
    """A network with a method ``embed``, up to its features."""

    def __init__(self, network: TransferNetwork | Ensemble) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)


@torch.inference_mode()
def frozen_features(
    backbone: nn.Module,
    pixels: Images,
    *,
    device: torch.device,
    batch_size: int = 64,
    mirrored: bool = False,
    arithmetic: torch.dtype = torch.float32,
    advance: Advance = ignore_progress,
) -> Tensor:
    """Returns the backbone's features of each face, float32 [n, features] on the CPU.

    The processes of a process group share the work.

    Args:
        backbone: Takes faces [n, 1, side, side] in [0, 1]; put in evaluation mode.
        pixels: Gray faces, uint8 [n, side, side].
        device: Device to compute on.
        batch_size: Number of faces at a time.
        mirrored: Whether to flip every face left to right first.
        arithmetic: Data type of the forward pass.
        advance: Called with the number of faces just finished.
    """
    backbone.eval()
    parts = []
    for start in range(0, len(pixels), batch_size):
        batch = to_images(pixels[start : start + batch_size], device)
        with torch.autocast(device.type, arithmetic, enabled=arithmetic != torch.float32):
            features = distributed.forward(backbone, batch.flip(3) if mirrored else batch)
        parts.append(features.float().cpu())
        advance(len(batch))
    return torch.cat(parts)
