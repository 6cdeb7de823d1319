"""What training minimises: one function per loss, one line in LOSSES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Compute = Callable[[Tensor, Tensor], Tensor]
"""Takes logits [n, classes] and labels [n]; returns the mean loss, a scalar."""


@dataclass(frozen=True)
class Loss:
    """A loss, and what turns the logits it trains into those of the training distribution."""

    compute: Compute
    natural_bias: Tensor
    """[classes]; added to the network's logits it gives log-odds under the training frequencies."""


def log_prior(counts: Tensor) -> Tensor:
    """Returns the log of each class's share of the training faces [classes].

    An absent class counts as half a face, so that its log is finite.
    """
    filled = counts.double().clamp(min=0.5)
    return (filled / filled.sum()).log().float()


def cross_entropy(counts: Tensor, smoothing: float) -> Loss:
    """Plain cross-entropy."""

    def compute(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    return Loss(compute, torch.zeros(len(counts)))


def class_weighted(counts: Tensor, smoothing: float) -> Loss:
    """Cross-entropy weighted by the inverse effective number of faces (arXiv 1901.05555)."""
    beta = 0.999
    effective = (1 - beta ** counts.double().clamp(min=1)) / (1 - beta)
    weights = torch.where(counts > 0, 1 / effective, 0.0)
    weights = (weights / weights.sum() * (counts > 0).sum()).float()

    def compute(logits: Tensor, labels: Tensor) -> Tensor:
        device_weights = weights.to(logits)
        return F.cross_entropy(logits, labels, weight=device_weights, label_smoothing=smoothing)

    # The weighted optimum is p(y|x) w(y), so the natural logits take log w away again.
    log_weights = torch.where(counts > 0, weights.clamp(min=1e-6).log(), -log_prior(counts))
    return Loss(compute, -log_weights)


def logit_adjusted(counts: Tensor, smoothing: float) -> Loss:
    """Cross-entropy of logits plus the log prior (arXiv 2007.07314, equation 10, tau 1)."""
    prior = log_prior(counts)

    def compute(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits + prior.to(logits), labels, label_smoothing=smoothing)

    return Loss(compute, prior)


def focal(counts: Tensor, smoothing: float) -> Loss:
    """Focal loss with gamma 2 (arXiv 1708.02002): easy faces weigh less."""

    def compute(logits: Tensor, labels: Tensor) -> Tensor:
        each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        sure = logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]
        return ((1 - sure) ** 2 * each).mean()

    return Loss(compute, torch.zeros(len(counts)))


LOSSES: dict[str, Callable[[Tensor, float], Loss]] = {
    "cross_entropy": cross_entropy,
    "class_weighted": class_weighted,
    "logit_adjusted": logit_adjusted,
    "focal": focal,
}
"""Each takes the training count of every class [classes] and the label smoothing."""
