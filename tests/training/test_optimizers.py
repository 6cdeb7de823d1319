"""What moves the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_mlops.config import CnnConfig, TrainingConfig
from fer_mlops.models import build_network
from fer_mlops.training.optimizers import OPTIMIZERS, Muon, orthogonalise


def small() -> nn.Module:
    torch.manual_seed(0)
    return build_network("cnn", CnnConfig(image_size=16, widths=(4, 8), depths=(1, 1), hidden=0), 7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_moves_every_weight_once(name: str) -> None:
    network = small()
    optimizers = OPTIMIZERS[name](network, TrainingConfig(optimizer=name))  # type: ignore[arg-type]
    held = [w for o in optimizers for group in o.param_groups for w in group["params"]]
    assert len(held) == len({id(weight) for weight in held}) == len(list(network.parameters()))
    before = [weight.detach().clone() for weight in network.parameters()]
    network(torch.rand(4, 1, 16, 16)).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    for weight, old in zip(network.parameters(), before, strict=True):
        assert not torch.equal(weight, old)


def test_muon_takes_the_convolutions_after_the_first_and_nothing_else() -> None:
    network = small()
    adamw, muon = OPTIMIZERS["muon"](network, TrainingConfig(optimizer="muon"))
    assert isinstance(muon, Muon)
    assert [tuple(weight.shape) for weight in muon.param_groups[0]["params"]] == [(8, 4, 3, 3)]
    decay = {len(w.shape): g["weight_decay"] for g in adamw.param_groups for w in g["params"]}
    assert decay == {4: 0.01, 2: 0.01, 1: 0.0}


def test_weights_that_stand_still_are_left_alone() -> None:
    network = small()
    for weight in network.parameters():
        weight.requires_grad_(weight.ndim == 1)
    for name in OPTIMIZERS:
        held = OPTIMIZERS[name](network, TrainingConfig(optimizer=name))  # type: ignore[arg-type]
        assert all(w.ndim == 1 for o in held for group in o.param_groups for w in group["params"])


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 8)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_has_singular_values_near_one(
    shape: tuple[int, int],
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    turned = orthogonalise(matrix)
    assert turned.shape == shape
    values = torch.linalg.svdvals(turned)
    assert 0.3 < values.min() <= values.max() < 1.4
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest = left @ right
    assert torch.nn.functional.cosine_similarity(turned.flatten(), nearest.flatten(), dim=0) > 0.95


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 8)])
def test_steps_taken_on_squares_are_newton_schulz_steps(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = matrix / matrix.norm()
    for _ in range(3):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    torch.testing.assert_close(orthogonalise(matrix), x, rtol=1e-4, atol=1e-5)


def test_muon_turns_weights_against_the_gradient_and_holds_their_scale() -> None:
    weight = nn.Parameter(torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)))
    target = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    target *= 8**0.5 / target.norm()
    muon = Muon([weight], lr=0.05)
    distances = []
    for _ in range(60):
        muon.zero_grad()
        distance = (weight - target).square().sum()
        distance.backward()
        muon.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < 0.1 * distances[1]
    assert float(weight.detach().norm()) == pytest.approx(8**0.5, rel=0.1)
