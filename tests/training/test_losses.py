"""What training minimises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fer_mlops.training.losses import (
    LOSSES,
    SAMPLINGS,
    after_sampling,
    class_weighted,
    cross_entropy,
    face_weights,
    focal,
    log_prior,
    logit_adjusted,
)

COUNTS = torch.tensor([60, 30, 10])


def optimum(name: str, counts: Tensor) -> Tensor:
    """Returns the logits that minimise the loss where all faces look alike [classes]."""
    loss = LOSSES[name](counts, 0.0)
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    logits = torch.zeros(1, len(counts), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def step() -> Tensor:
        solver.zero_grad()
        value = loss.compute(logits.expand(len(labels), -1), labels)
        value.backward()
        return value

    solver.step(step)  # type: ignore[no-untyped-call]
    return logits.detach()[0]


# ── one contract for every loss ──


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("counts", [[60, 30, 10], [5, 5, 5], [100, 0, 1]])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_finite_scalar_that_can_be_differentiated(
    name: str, counts: list[int], smoothing: float
) -> None:
    loss = LOSSES[name](torch.tensor(counts), smoothing)
    logits = torch.tensor([[2.0, -1.0, 0.5], [40.0, -40.0, 0.0]], requires_grad=True)
    value = loss.compute(logits, torch.tensor([0, 2]))
    value.backward()
    assert value.shape == ()
    assert 0 <= value.item() < math.inf
    assert bool(torch.isfinite(logits.grad).all())  # type: ignore[arg-type]
    assert bool(logits.grad.any())  # type: ignore[union-attr]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_as_the_true_class_gets_surer(name: str) -> None:
    loss = LOSSES[name](COUNTS, 0.0)
    labels = torch.tensor([1])
    values = [float(loss.compute(torch.tensor([[0.0, x, 0.0]]), labels)) for x in (-2, 0, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_mean_so_a_batch_said_twice_costs_the_same(name: str) -> None:
    loss = LOSSES[name](COUNTS, 0.1)
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.5, 0.0]])
    labels = torch.tensor([0, 2])
    once = loss.compute(logits, labels)
    torch.testing.assert_close(loss.compute(logits.repeat(2, 1), labels.repeat(2)), once)


@pytest.mark.parametrize("name", LOSSES)
def test_smoothing_reaches_every_loss_and_makes_being_sure_dearer(name: str) -> None:
    sure, labels = torch.tensor([[0.0, 2.0, 0.0]]), torch.tensor([1])
    plain, smooth = (LOSSES[name](COUNTS, share).compute(sure, labels) for share in (0.0, 0.1))
    assert float(smooth) > 1.2 * float(plain)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", LOSSES)
def test_a_label_said_as_probabilities_costs_the_same(name: str, smoothing: float) -> None:
    loss = LOSSES[name](COUNTS, smoothing)
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.5, 0.0], [2.0, -1.0, 0.5]])
    labels = torch.tensor([0, 2, 1])
    torch.testing.assert_close(loss.compute(logits, torch.eye(3)[labels]), loss.compute(logits, labels))


@pytest.mark.parametrize("name", LOSSES)
def test_shares_of_two_labels_cost_the_mean_of_both(name: str) -> None:
    counts = torch.tensor([5, 5, 5])  # where no class weighs more than another
    loss, logits = LOSSES[name](counts, 0.1), torch.tensor([[1.0, 0.2, -1.0]])
    one, two = (float(loss.compute(logits, torch.tensor([label]))) for label in (0, 1))
    both = float(loss.compute(logits, torch.tensor([[0.75, 0.25, 0.0]])))
    assert both == pytest.approx(0.75 * one + 0.25 * two, rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "class_weighted", "logit_adjusted"])
def test_the_natural_bias_makes_the_optimum_the_training_frequencies(name: str) -> None:
    natural = optimum(name, COUNTS) + LOSSES[name](COUNTS, 0.0).natural_bias
    torch.testing.assert_close(
        natural.softmax(0), torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("name", ["cross_entropy", "class_weighted", "logit_adjusted"])
def test_the_natural_bias_undoes_the_sampling_too(name: str, sampling: str) -> None:
    labels = torch.repeat_interleave(torch.arange(3), COUNTS)
    shown = torch.bincount(labels, face_weights(labels, sampling))
    loss = after_sampling(LOSSES[name](shown, 0.0), COUNTS, shown)
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def step() -> Tensor:
        solver.zero_grad()
        value = loss.compute(logits, (shown / shown.sum())[None])
        value.backward()
        return value

    solver.step(step)  # type: ignore[no-untyped-call]
    natural = (logits.detach()[0] + loss.natural_bias).softmax(0)
    expected = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    torch.testing.assert_close(natural, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_a_class_that_training_has_not_seen_is_not_favoured_by_sampling(name: str) -> None:
    counts, shown = torch.tensor([100, 0, 10]), torch.tensor([55.0, 0.0, 55.0])
    bias = after_sampling(LOSSES[name](shown, 0.0), counts, shown).natural_bias
    assert bool(torch.isfinite(bias).all())
    assert float(bias[1]) <= float(bias[2]) + 1e-6
    assert float(bias[2]) < float(bias[0])


@pytest.mark.parametrize("name", LOSSES)
def test_the_natural_bias_never_favours_a_class_that_training_has_not_seen(name: str) -> None:
    bias = LOSSES[name](torch.tensor([100, 0, 100]), 0.0).natural_bias
    assert bool(torch.isfinite(bias).all())
    assert float(bias[1]) <= float(bias[0])


@pytest.mark.parametrize("name", LOSSES)
def test_equal_counts_need_no_difference_in_bias(name: str) -> None:
    bias = LOSSES[name](torch.tensor([7, 7, 7, 7]), 0.0).natural_bias
    torch.testing.assert_close(bias, bias[:1].expand(4))


# ── worked by hand ──


def test_cross_entropy_of_equal_logits_is_the_log_of_the_number_of_classes() -> None:
    value = cross_entropy(torch.ones(7), 0.0).compute(torch.zeros(3, 7), torch.tensor([0, 3, 6]))
    assert float(value) == pytest.approx(math.log(7))


def test_smoothing_spreads_its_share_over_all_classes() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]])  # probabilities 3/4 and 1/4
    value = cross_entropy(torch.ones(2), 0.2).compute(logits, torch.tensor([0]))
    assert float(value) == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25))


def test_logit_adjusted_adds_the_log_prior_before_the_softmax() -> None:
    loss = logit_adjusted(torch.tensor([3, 1]), 0.0)
    for label, share in ((0, 0.75), (1, 0.25)):
        value = loss.compute(torch.zeros(1, 2), torch.tensor([label]))
        assert float(value) == pytest.approx(-math.log(share))
    torch.testing.assert_close(loss.natural_bias, torch.tensor([0.75, 0.25]).log())


def test_tau_is_the_share_of_the_log_prior_that_is_added() -> None:
    loss = logit_adjusted(torch.tensor([3, 1]), 0.0, tau=2.0)
    torch.testing.assert_close(loss.natural_bias, 2 * torch.tensor([0.75, 0.25]).log())
    value = loss.compute(torch.zeros(1, 2), torch.tensor([1]))
    assert float(value) == pytest.approx(-math.log(0.0625 / (0.5625 + 0.0625)))


def test_class_weights_are_inverse_effective_numbers_with_mean_one() -> None:
    # counts 1 and 3: effective numbers 1 and 1 + 0.999 + 0.999² = 2.997001
    total = 1 + 1 / 2.997001
    weights = [2 / total, 2 / 2.997001 / total]
    loss = class_weighted(torch.tensor([1, 3]), 0.0)
    torch.testing.assert_close(loss.natural_bias, -torch.tensor(weights).log())
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    value = loss.compute(logits, torch.tensor([0, 1]))
    by_hand = (-weights[0] * math.log(0.75) - weights[1] * math.log(0.5)) / sum(weights)
    assert float(value) == pytest.approx(by_hand, rel=1e-6)


def test_an_absent_class_does_not_change_the_weights_of_the_others() -> None:
    with_absent = class_weighted(torch.tensor([1, 0, 3]), 0.0).natural_bias
    without = class_weighted(torch.tensor([1, 3]), 0.0).natural_bias
    torch.testing.assert_close(with_absent[[0, 2]], without)


def test_focal_loss_of_even_odds_is_a_quarter_of_cross_entropy() -> None:
    value = focal(torch.ones(2), 0.0).compute(torch.zeros(1, 2), torch.tensor([0]))
    assert float(value) == pytest.approx(0.25 * math.log(2))


def test_focal_loss_of_a_batch_is_the_mean_over_its_faces() -> None:
    loss = focal(torch.ones(2), 0.1)
    logits, labels = torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    alone = [float(loss.compute(logits[i : i + 1], labels[i : i + 1])) for i in range(2)]
    assert float(loss.compute(logits, labels)) == pytest.approx(sum(alone) / 2)


def test_focal_loss_weighs_an_easy_face_less_than_a_hard_one() -> None:
    def ratio_to_cross_entropy(logit: float) -> float:
        logits, labels = torch.tensor([[logit, 0.0]]), torch.tensor([0])
        plain = cross_entropy(torch.ones(2), 0.0).compute(logits, labels)
        return float(focal(torch.ones(2), 0.0).compute(logits, labels) / plain)

    assert ratio_to_cross_entropy(math.log(9.0)) == pytest.approx(0.01, rel=1e-4)  # p = 0.9
    assert ratio_to_cross_entropy(-math.log(9.0)) == pytest.approx(0.81, rel=1e-4)  # p = 0.1


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_a_loss_that_ignores_counts_needs_no_bias(name: str) -> None:
    assert LOSSES[name](COUNTS, 0.0).natural_bias.tolist() == [0.0, 0.0, 0.0]


def test_the_log_prior_is_the_log_of_each_share() -> None:
    torch.testing.assert_close(log_prior(COUNTS), torch.tensor([0.6, 0.3, 0.1]).log())


def test_an_absent_class_counts_as_half_a_face() -> None:
    torch.testing.assert_close(log_prior(torch.tensor([2, 0])).exp(), torch.tensor([0.8, 0.2]))
