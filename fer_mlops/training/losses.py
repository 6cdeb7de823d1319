"""Losses and samplings: one function or number each, and one line in LOSSES or SAMPLINGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Compute = Callable[[Tensor, Tensor], Tensor]
"""Takes logits [n, classes] and labels [n] or class probabilities [n, classes]; returns the mean
loss, a scalar."""


@dataclass(frozen=True)
class Loss:
    """A loss, and the bias that corrects its logits to the training frequencies."""

    compute: Compute
    natural_bias: Tensor
    """[classes]; the network's logits plus this bias are log-odds under the training frequencies."""


def log_prior(counts: Tensor) -> Tensor:
    """Returns the log of each class's share of the training faces [classes]."""
    # an absent class counts as half a face, so that its log is finite
    filled = counts.double().clamp(min=0.5)
    return (filled / filled.sum()).log().float()


def cross_entropy(counts: Tensor, smoothing: float) -> Loss:
    """Returns plain cross-entropy."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)

    return Loss(compute, torch.zeros(len(counts)))


def class_weighted(counts: Tensor, smoothing: float) -> Loss:
    """Returns cross-entropy weighted by the inverse effective number of faces (arXiv 1901.05555)."""
    beta = 0.999
    # clamped, as a class without faces would divide by zero; its weight is set to 0 below
    effective = (1 - beta ** counts.double().clamp(min=1)) / (1 - beta)
    weights = torch.where(counts > 0, 1 / effective, 0.0)
    weights = (weights / weights.sum() * (counts > 0).sum()).float()

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        of = weights.to(logits)
        if targets.ndim == 1:  # torch normalises by the weights for labels, but not for probabilities
            return F.cross_entropy(logits, targets, weight=of, label_smoothing=smoothing)
        total = F.cross_entropy(logits, targets, weight=of, label_smoothing=smoothing, reduction="sum")
        return total / (targets @ of).sum()

    # The weighted optimum is p(y|x) w(y), so the natural logits subtract log w.
    log_weights = torch.where(counts > 0, weights.clamp(min=1e-6).log(), -log_prior(counts))
    return Loss(compute, -log_weights)


def logit_adjusted(counts: Tensor, smoothing: float, tau: float = 1.0) -> Loss:
    """Returns cross-entropy of logits plus tau times the log prior (arXiv 2007.07314, equation 10)."""
    prior = tau * log_prior(counts)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits + prior.to(logits), targets, label_smoothing=smoothing)

    return Loss(compute, prior)


def focal(counts: Tensor, smoothing: float) -> Loss:
    """Returns focal loss with gamma 2 (arXiv 1708.02002), which gives easy faces less weight."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 2:  # the mean of each label's loss, weighted by its share
            log_shares = logits.log_softmax(dim=1)
            smooth = smoothing * log_shares.mean(dim=1, keepdim=True)
            costs = -(1 - smoothing) * log_shares - smooth
            return (targets * (1 - log_shares.exp()) ** 2 * costs).sum(dim=1).mean()
        each = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
        sure = logits.softmax(dim=1).gather(1, targets[:, None])[:, 0]
        return ((1 - sure) ** 2 * each).mean()

    return Loss(compute, torch.zeros(len(counts)))


def after_sampling(loss: Loss, counts: Tensor, shown: Tensor) -> Loss:
    """Returns a loss on sampled faces, with the natural bias of all training faces.

    Args:
        loss: Loss made for the counts ``shown``.
        counts: Number of training faces of every class [classes].
        shown: Expected number of sampled faces of every class [classes].
    """
    # if sampling changes the class frequencies, log-odds shift by the change of the log prior
    shift = log_prior(counts) - log_prior(shown)
    shift = torch.where(counts > 0, shift, shift[counts > 0].min())
    return Loss(loss.compute, loss.natural_bias + shift)


def distilled(loss: Loss, weight: float, temperature: float) -> Loss:
    """Returns ``loss`` combined with the distance to a teacher (Hinton et al., arXiv 1503.02531).

    Targets are class shares followed by the teacher's softened probabilities, [n, 2 * classes]; for
    labels [n] only ``loss`` is computed.
    """

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 1:
            return loss.compute(logits, targets)
        # (1 - w) loss + w T^2 KL(teacher || student), both under the training frequencies and softened
        shares, teacher = targets.chunk(2, dim=1)
        own = ((logits + loss.natural_bias.to(logits)) / temperature).log_softmax(dim=1)
        distance = temperature**2 * F.kl_div(own, teacher, reduction="batchmean")
        return (1 - weight) * loss.compute(logits, shares) + weight * distance

    return Loss(compute, loss.natural_bias)


LOSSES: dict[str, Callable[[Tensor, float], Loss]] = {
    "cross_entropy": cross_entropy,
    "class_weighted": class_weighted,
    "logit_adjusted": logit_adjusted,
    "focal": focal,
}
"""Loss by name; each function takes the number of training faces of every class [classes] and the
label smoothing."""


SAMPLINGS: dict[str, float] = {
    "natural": 1.0,
    "square_root": 0.5,
    "balanced": 0.0,
}
"""Exponent q: a class's share of the sampled faces is proportional to its size to the power q (arXiv
1910.09217)."""


def face_weights(labels: Tensor, sampling: str) -> Tensor:
    """Returns the expected draws of each face per epoch, float64 [n]; they sum to n."""
    counts = torch.bincount(labels).double()
    weights = counts[labels] ** (SAMPLINGS[sampling] - 1)
    return weights * (len(labels) / weights.sum())
