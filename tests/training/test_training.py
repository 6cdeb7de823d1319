"""The loop: what it ends with, what it repeats, and how it goes on."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from fer_mlops.config import AugmentConfig, CnnConfig, TrainingConfig
from fer_mlops.errors import ConfigError, TrainingError
from fer_mlops.models import build_network
from fer_mlops.progress import Note
from fer_mlops.training.augmentation import make_augment
from fer_mlops.training.devices import choose_device
from fer_mlops.training.examples import Examples
from fer_mlops.training.loop import Epoch, fit, validate
from fer_mlops.training.losses import Loss, cross_entropy, logit_adjusted
from fer_mlops.training.state import EpochResult

TINY = CnnConfig(image_size=16, widths=(8, 8), depths=(1, 1), hidden=8, dropout=0.3)
COUNTS = torch.full((7,), 6)


def faces(seed: int = 0) -> Examples:
    generator = np.random.default_rng(seed)
    labels = np.arange(42) % 7
    pixels = generator.integers(0, 120, (42, 16, 16)).astype(np.uint8)
    for row, label in enumerate(labels):
        pixels[row, 2 * label : 2 * label + 2] += 100
    return Examples(pixels, torch.from_numpy(labels))


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network("cnn", TINY, 7)


def train(config: TrainingConfig, **options: object) -> tuple[nn.Module, list[EpochResult]]:
    fitted = network()
    history = fit(
        fitted, faces(), faces(1), logit_adjusted(COUNTS, 0.1), config, seed=5,
        **{"augment": make_augment(AugmentConfig(random_erasing=0.5)), **options},  # type: ignore[arg-type]
    )  # fmt: skip
    return fitted, history


@pytest.mark.parametrize("schedule", ["plateau", "one_cycle"])
def test_the_same_seed_gives_the_same_numbers(schedule: str) -> None:
    config = TrainingConfig(epochs=3, batch_size=8, schedule=schedule, ema_decay=0.9)  # type: ignore[arg-type]
    (one, first), (two, second) = train(config), train(config)
    assert [r.train_loss for r in first] == [r.train_loss for r in second]
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_another_seed_gives_other_numbers() -> None:
    config = TrainingConfig(epochs=1, batch_size=8)
    loss = cross_entropy(COUNTS, 0.0)
    losses = {fit(network(), faces(), faces(1), loss, config, seed=s)[0].train_loss for s in (1, 2)}
    assert len(losses) == 2


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["plateau", "one_cycle"])
def test_going_on_from_a_state_is_bit_identical(stop: int, schedule: str) -> None:
    config = TrainingConfig(epochs=4, batch_size=8, schedule=schedule, ema_decay=0.9, patience=9)  # type: ignore[arg-type]
    states: list[dict[str, object]] = []
    whole, expected = train(config, on_epoch=lambda epoch: states.append(epoch.state()))
    resumed, history = train(config, resume_from=states[stop - 1])
    assert [r.valid_loss for r in history] == [r.valid_loss for r in expected]
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"network": {}},
        {"network": None},
        {"optimizers": []},
        {"optimizers": [{}]},
        {"order": torch.zeros(3)},
        {"dropout": 3},
        {"history": [{"loss": 1.0}]},
        {"average": {"n_averaged": torch.zeros(())}},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_a_state_of_something_else_is_refused_in_one_sentence(change: dict[str, object]) -> None:
    config = TrainingConfig(epochs=1, batch_size=8, ema_decay=0.9)
    states: list[dict[str, object]] = []
    train(config, on_epoch=lambda epoch: states.append(epoch.state()))
    with pytest.raises(
        TrainingError, match=r"^the checkpoint does not fit .*; start a new run$"
    ) as caught:
        train(config, resume_from={**states[0], **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sampling", ["square_root", "balanced"])
def test_every_sampling_goes_on_bit_identical(sampling: str) -> None:
    config = TrainingConfig(
        epochs=4,
        batch_size=8,
        optimizer="muon",
        ema_decay=0.9,
        sampling=sampling,  # type: ignore[arg-type]
    )
    states: list[dict[str, object]] = []
    whole, expected = train(config, on_epoch=lambda epoch: states.append(epoch.state()))
    resumed, history = train(config, resume_from=states[1])
    assert [r.valid_loss for r in history] == [r.valid_loss for r in expected]
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("sampling", ["square_root", "balanced"])
def test_every_sampling_changes_the_numbers(sampling: str) -> None:
    plain, changed = (
        train(TrainingConfig(epochs=2, batch_size=8, sampling=chosen))[1][-1].train_loss  # type: ignore[arg-type]
        for chosen in ("natural", sampling)
    )
    assert plain != changed


def test_it_ends_with_the_weights_of_its_best_epoch() -> None:
    seen: list[tuple[float, dict[str, torch.Tensor]]] = []

    def keep(epoch: Epoch) -> None:
        weights = {k: v.clone() for k, v in epoch.network.state_dict().items()}
        seen.append((epoch.result.valid_macro_f1, weights))

    fitted, _ = train(TrainingConfig(epochs=6, batch_size=8, learning_rate=0.02), on_epoch=keep)
    best = max(seen, key=lambda pair: pair[0])[1]
    for name, tensor in fitted.state_dict().items():
        torch.testing.assert_close(tensor, best[name], rtol=0, atol=0)


def test_it_stops_after_patience_epochs_without_a_better_score() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(7))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            answer = torch.zeros(len(images), 7) + 0 * self.weight
            answer[:, 0] = 1
            return answer

    config = TrainingConfig(epochs=50, batch_size=8, patience=3)
    done: list[int] = []
    history = fit(
        Stubborn(), faces(), faces(1), cross_entropy(COUNTS, 0.0), config, seed=0,
        advance=lambda count, _=None: done.append(count),
    )  # fmt: skip
    assert len(history) == 4
    assert sum(done) == 50 * 84  # the bar ends


def test_every_batch_is_reported_with_its_epoch_and_loss() -> None:
    states: list[dict[str, object]] = []
    notes: list[str] = []
    done: list[int] = []

    def advance(count: int, note: Note | None = None) -> None:
        done.append(count)
        if note:
            notes.append(re.sub(r"\d+ faces/s", "N faces/s", note()))

    config = TrainingConfig(epochs=2, batch_size=21)
    _, (first, _) = train(config, on_epoch=lambda epoch: states.append(epoch.state()), advance=advance)
    assert done == [0, 21, 21, 42, 21, 21, 42, 0]
    assert notes[1] == f"epoch 1/2, loss {first.train_loss:.3f}, N faces/s"
    assert notes[2].startswith("epoch 2/2, loss ")
    done.clear()
    train(config, resume_from=states[0], advance=advance)
    assert done == [84, 21, 21, 42, 0]


def test_a_plateau_halves_the_learning_rate_after_three_epochs_without_a_better_score() -> None:
    class Stuck(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(images), 7) + 0 * self.weight

    config = TrainingConfig(epochs=8, batch_size=42, learning_rate=1.0, patience=8)
    history = fit(Stuck(), faces(), faces(1), cross_entropy(COUNTS, 0.0), config, seed=0)
    assert [one.learning_rate for one in history] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_the_reported_loss_is_the_mean_over_faces_not_over_batches() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(images), 7) + 0 * self.weight

    def size_of_batch(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.tensor(float(len(labels))) + 0 * logits.sum()

    config = TrainingConfig(epochs=1, batch_size=20)  # 42 faces: three batches of 14
    loss = Loss(size_of_batch, torch.zeros(7))
    history = fit(Fixed(), faces(), faces(1), loss, config, seed=0)
    assert history[0].train_loss == 14.0


def test_a_loss_that_is_no_number_ends_in_a_sentence_with_the_rate() -> None:
    def broken(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.sum() * float("nan")

    with pytest.raises(TrainingError, match=r"epoch 1 is nan; lower training.learning_rate \(0.001\)"):
        fit(network(), faces(), faces(1), Loss(broken, torch.zeros(7)), TrainingConfig(), seed=0)


def test_validation_scores_are_those_of_natural_logits() -> None:
    fitted = network().eval()
    loss = logit_adjusted(torch.tensor([1000, 1, 1, 1, 1, 1, 1]), 0.0)
    outcome = validate(fitted, faces(1), loss)
    assert outcome.accuracy == pytest.approx(6 / 42)  # all called the frequent emotion


def test_validation_computes_in_the_arithmetic_of_training() -> None:
    seen: list[torch.dtype] = []

    class Spy(torch.nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            logits = super().forward(inputs)
            seen.append(logits.dtype)
            return logits

    spied = torch.nn.Sequential(torch.nn.Flatten(), Spy(faces().inputs[0].size, 7))
    for precision in ("bfloat16", "float32"):
        seen.clear()
        config = TrainingConfig(epochs=1, precision=precision)  # type: ignore[arg-type]
        fit(spied, faces(), faces(1), cross_entropy(COUNTS, 0.0), config, seed=0)
        assert set(seen) == {getattr(torch, precision)}


def test_global_randomness_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fitted = network()
    torch.set_rng_state(before)
    fit(fitted, faces(), faces(1), cross_entropy(COUNTS, 0.0), TrainingConfig(epochs=1), seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_bfloat16_trains_on_the_cpu() -> None:
    _, history = train(TrainingConfig(epochs=2, batch_size=8, precision="bfloat16"))
    assert np.isfinite(history[-1].train_loss)


def test_a_device_that_is_not_there_is_refused_in_a_sentence() -> None:
    assert choose_device("cpu").type == "cpu"
    for name in ("cuda:9", "toaster"):
        with pytest.raises(ConfigError, match="cannot be used here"):
            choose_device(name)


def test_a_validation_loss_that_is_no_number_ends_in_a_sentence() -> None:
    class Bursting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(7))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            answer = torch.zeros(len(images), 7) + self.weight
            return answer if self.training else answer * float("nan")

    with pytest.raises(
        TrainingError, match=r"the validation loss of epoch 1 is nan; lower training.lea"
    ):
        fit(Bursting(), faces(), faces(1), cross_entropy(COUNTS, 0.0), TrainingConfig(), seed=0)


class Hungry(nn.Module):
    """A network on a device whose memory holds so many faces."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.weight, self.most = nn.Parameter(torch.zeros(7)), most

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.zeros(len(images), 7) + self.weight


@pytest.mark.parametrize(
    ("batch_size", "remedy"), [(64, "try --batch-size 21, a smaller"), (3, "a smaller")]
)
def test_a_full_memory_ends_in_a_sentence_that_says_what_to_do(batch_size: int, remedy: str) -> None:
    config = TrainingConfig(epochs=1, batch_size=batch_size)
    with pytest.raises(TrainingError) as caught:
        fit(Hungry(1), faces(), faces(1), cross_entropy(COUNTS, 0.0), config, seed=0)
    size = min(batch_size, 42)
    assert str(caught.value) == (
        f"a step of {size} faces does not fit into the memory of cpu; {remedy} --image-size or "
        "--set training.device=cpu"
    )


def test_a_fit_leaves_the_settings_of_its_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("malloc is set for the whole process, which a library does not own")

    monkeypatch.setattr("ctypes.CDLL", refuse)
    train(TrainingConfig(epochs=1, batch_size=8))
