"""Features of a frozen backbone, computed once per face."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fer_mlops.images.arrays import Images
from fer_mlops.models.inputs import to_images
from fer_mlops.progress import Advance, ignore_progress
from fer_mlops.training import distributed


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
