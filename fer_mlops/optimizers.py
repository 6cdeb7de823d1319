"""What moves the weights: one line in OPTIMIZERS each."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from fer_mlops.config import TrainingConfig

_ROUNDS = 3
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Coefficients of the quintic Newton-Schulz step (Keller Jordan, Muon, 2024)."""


class Muon(Optimizer):
    """Momentum whose update is turned towards an orthogonal matrix (Keller Jordan, Muon, 2024).

    For convolutions that a batch norm follows: their scale says nothing, so it is held at the square
    root of their number of filters, and the step size alone says how far the directions turn.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(momentum, group["momentum"])  # Nesterov's
                weight.mul_(len(weight) ** 0.5 / (weight.norm() + 1e-12))
                turned = orthogonalise(ahead.reshape(len(ahead), -1))
                weight.add_(turned.view_as(weight), alpha=-group["lr"])


def orthogonalise(matrix: Tensor) -> Tensor:
    """Returns [rows, columns] with its singular values brought near 1, by Newton-Schulz steps."""
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.T if is_tall else x


def _adamw(network: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    return [AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)]


def _muon(network: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """AdamW for the first convolution, norms and linear layers, Muon for the other convolutions."""
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    turned = [weight for weight in trained if weight.ndim == 4 and weight.shape[1] > 1]
    others = [weight for weight in trained if not (weight.ndim == 4 and weight.shape[1] > 1)]
    groups = [
        {"params": [w for w in others if w.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in others if w.ndim <= 1], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))
    return [adamw, Muon(turned, lr=config.muon_learning_rate)] if turned else [adamw]


OPTIMIZERS: dict[str, Callable[[nn.Module, TrainingConfig], list[Optimizer]]] = {
    "adamw": _adamw,
    "muon": _muon,
}
"""Each returns optimizers that together move every trained weight."""
