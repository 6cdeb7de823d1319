"""Optimizers: one line in OPTIMIZERS each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.optimizer import ParamsT

from fer_mlops.config import TrainingConfig

_ROUNDS = 3
# coefficients of the quintic Newton-Schulz step (Keller Jordan, Muon, 2024)
_A, _B, _C = 3.4445, -4.7750, 2.0315


@runtime_checkable
class Pretrained(Protocol):
    """A pretrained network: the scale of its weights matters, and its parts have their own rates."""

    rates: Mapping[str, float]
    """Factor on the step size of parameters, by name; 1 for parameters without an entry."""


class Muon(Optimizer):
    """Momentum with orthogonalised updates (Keller Jordan, Muon, 2024).

    For convolutions followed by batch norm. Their scale has no effect, so their norm is held at the
    square root of the number of filters, and the step size alone sets how far the directions turn.

    Args:
        params: Weights of two dimensions or more, or groups of them.
        lr: Step size for weights of the norm above; it is scaled with the norm of others.
        keeps_scale: Whether to hold each weight's norm at its value in the first step instead, as for
            pretrained weights under frozen batch statistics, whose scale matters.
    """

    def __init__(self, params: ParamsT, lr: float, keeps_scale: bool = False) -> None:
        super().__init__(params, {"lr": lr, "momentum": 0.9})
        self.keeps_scale = keeps_scale

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                    norm = float(weight.norm()) if self.keeps_scale else len(weight) ** 0.5
                    state["scale"] = norm / len(weight) ** 0.5
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(momentum, group["momentum"])  # Nesterov's
                scale = state["scale"]
                # first the norm, then the turn: so the step size is relative to the norm that is held
                weight.mul_(scale * len(weight) ** 0.5 / (weight.norm() + 1e-12))
                turned = orthogonalise(ahead.reshape(len(ahead), -1))
                weight.add_(turned.view_as(weight), alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Returns the matrix [rows, columns] with singular values near 1, by Newton-Schulz steps."""
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    # the square of the shorter side is the smaller one
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    # Each step multiplies by a polynomial of the matrix's square. So all steps work on the squares, and
    # the far larger matrix is multiplied only once, which halves the work.
    square = x @ x.T
    whole = factor = _polynomial(square)
    for _ in range(_ROUNDS - 1):
        square = factor @ square @ factor  # polynomials of one matrix commute
        factor = _polynomial(square)
        whole = factor @ whole
    x = whole @ x
    return x.T if is_tall else x


def _polynomial(square: Tensor) -> Tensor:
    """Returns a + b S + c S^2 of a symmetric matrix S."""
    result = torch.addmm(square, square, square, beta=_B, alpha=_C)
    result.diagonal().add_(_A)
    return result


def _groups(network: nn.Module, learning_rate: float, **options: float) -> list[dict[str, Any]]:
    """Returns parameter groups of the trained weights by learning rate, highest first."""
    rates = network.rates if isinstance(network, Pretrained) else {}
    weights: dict[float, list[Tensor]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            weights.setdefault(rates.get(name, 1.0), []).append(weight)
    return [
        {"params": weights[rate], "lr": learning_rate * rate, **options}
        for rate in sorted(weights, reverse=True)
    ]


def _only(groups: list[dict[str, Any]], is_meant: Callable[[Tensor], bool]) -> list[dict[str, Any]]:
    """Returns the groups with only the weights that ``is_meant`` selects, without empty groups."""
    fewer = [{**group, "params": [w for w in group["params"] if is_meant(w)]} for group in groups]
    return [group for group in fewer if group["params"]]


def _adamw(network: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    groups = _groups(network, config.learning_rate)
    # fused: one kernel for all tensors of a group
    return [AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)]


def _muon(network: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """Returns AdamW for the first convolution, norms and linear layers, Muon for other convolutions."""

    def is_turned(weight: Tensor) -> bool:
        return weight.ndim == 4 and weight.shape[1] > 3  # excludes first and depthwise convolutions

    decayed = _groups(network, config.learning_rate, weight_decay=config.weight_decay)
    others = _groups(network, config.learning_rate, weight_decay=0.0)
    groups = [
        *_only(decayed, lambda w: w.ndim > 1 and not is_turned(w)),
        *_only(others, lambda w: w.ndim <= 1),
    ]
    adamw = AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    turned = _only(_groups(network, config.muon_learning_rate), is_turned)
    keeps_scale = isinstance(network, Pretrained)
    return (
        [adamw, Muon(turned, config.muon_learning_rate, keeps_scale=keeps_scale)] if turned else [adamw]
    )


OPTIMIZERS: dict[str, Callable[[nn.Module, TrainingConfig], list[Optimizer]]] = {
    "adamw": _adamw,
    "muon": _muon,
}
"""Optimizer by name; each function returns optimizers that together update every trained weight."""
