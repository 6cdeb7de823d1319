"""Where and in which arithmetic: what can be said of a GPU without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from test_training import COUNTS, TINY, faces, network, train
from tiny import run, tiny
from torch import Generator, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fer_mlops.config import AugmentConfig, TrainingConfig
from fer_mlops.data.loading import prepare_data
from fer_mlops.errors import ConfigError
from fer_mlops.evaluation.report import evaluate
from fer_mlops.files import cache_folder
from fer_mlops.models import build_network
from fer_mlops.models.classifier import NetworkScorer
from fer_mlops.pipelines.reproduction import reproduction_error
from fer_mlops.tracking.registry import load_classifier
from fer_mlops.training import distributed, examples, state
from fer_mlops.training.augmentation import make_augment
from fer_mlops.training.devices import choose_device
from fer_mlops.training.examples import Examples
from fer_mlops.training.losses import LOSSES
from fer_mlops.training.state import TrainingState

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")


def test_a_crew_larger_than_the_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(ConfigError, match="2 processes need a CUDA device each"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="several processes train on CUDA or the CPU"):
        choose_device("meta")
    with pytest.raises(ConfigError, match="batches of 3 faces are too small for 2 processes"):
        TrainingState(network(), faces(), LOSSES["focal"](COUNTS, 0.0), TrainingConfig(batch_size=3), 0)


def test_float16_trains_and_resumes_to_the_same_numbers() -> None:
    config = TrainingConfig(epochs=3, batch_size=8, precision="float16", ema_decay=0.9)
    states: list[dict[str, object]] = []
    whole, expected = train(config, on_epoch=lambda epoch: states.append(epoch.state()))
    resumed, history = train(config, resume_from=states[0])
    assert [r.train_loss for r in history] == [r.train_loss for r in expected]
    assert states[0]["scaler"]
    torch.testing.assert_close(whole.state_dict(), resumed.state_dict(), rtol=0, atol=0)


def test_a_gradient_that_overflows_float16_moves_nothing_and_halves_the_scale() -> None:
    config = TrainingConfig(precision="float16", ema_decay=0.9, schedule="one_cycle")
    fitted = network()
    one = TrainingState(fitted, faces(), LOSSES["cross_entropy"](COUNTS, 0.0), config, 0)
    before = {name: weight.clone() for name, weight in fitted.named_parameters()}
    rate, scale = one.optimizers[0].param_groups[0]["lr"], one.scaler.get_scale()
    one.step(1e36 * sum((w.sum() for w in fitted.parameters()), torch.zeros(())))
    torch.testing.assert_close(dict(fitted.named_parameters()), before, rtol=0, atol=0)
    assert one.scaler.get_scale() == scale / 2
    assert one.optimizers[0].param_groups[0]["lr"] == rate
    assert one.average is not None
    assert int(one.average.n_averaged) == 0


@pytest.mark.parametrize("room", [42 * 16 * 16, 42 * 16 * 16 - 1])
def test_faces_kept_on_the_device_give_the_same_numbers(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainingConfig(epochs=2, batch_size=8, precision="float32")
    fitted, expected = train(config)
    monkeypatch.setattr(examples, "room_on", lambda _: room)
    monkeypatch.setattr(examples, "_CHUNK", 10)
    assert isinstance(faces().kept_on(CPU).inputs, torch.Tensor) == (room == 42 * 16 * 16)
    kept, history = train(config)
    assert [r.train_loss for r in history] == [r.train_loss for r in expected]
    torch.testing.assert_close(kept.state_dict(), fitted.state_dict(), rtol=0, atol=0)


def test_features_kept_on_the_device_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features = Examples(torch.rand(5, 3), torch.arange(5))
    monkeypatch.setattr(examples, "room_on", lambda _: 60)
    rows = np.array([4, 0])
    torch.testing.assert_close(features.kept_on(CPU).take(rows, CPU), features.take(rows, CPU))
    assert features.kept_on(CPU) is not features
    monkeypatch.setattr(examples, "room_on", lambda _: 59)
    assert features.kept_on(CPU) is features


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("loss_name", LOSSES)
def test_a_step_mixes_no_devices(loss_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors that say they are on a GPU and hold nothing; torch refuses to mix them with others."""
    fitted = network()
    labels = torch.arange(24) % 7
    monkeypatch.setattr(state, "face_weights", lambda *_: torch.ones(24))  # counts on the CPU
    with FakeTensorMode(allow_non_fake_inputs=True):
        move_to_fake_cuda(fitted)
        pixels = torch.zeros(24, TINY.image_size, TINY.image_size, dtype=torch.uint8, device=CUDA)
        examples = Examples(pixels, labels)
        loss = LOSSES[loss_name](torch.full((7,), 6), 0.1)
        config = TrainingConfig(optimizer="muon", schedule="one_cycle", precision="bfloat16")
        one = TrainingState(fitted, examples, loss, config, 0)
        inputs, targets = examples.take(np.arange(8), CUDA)
        inputs = make_augment(AugmentConfig(random_erasing=0.5))(inputs, Generator().manual_seed(0))
        batch_loss = loss.compute(fitted(inputs), targets)
        assert batch_loss.device == CUDA
        one.step(Backward(fitted))  # type: ignore[arg-type]
        assert all(weight.device == CUDA for weight in fitted.parameters())


def move_to_fake_cuda(fitted: nn.Module) -> None:
    for module in fitted.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(weight.shape, device=CUDA)))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype, device=CUDA))


class Backward:
    """A loss whose gradient needs no GPU."""

    def __init__(self, fitted: nn.Module) -> None:
        self.fitted = fitted

    def backward(self) -> None:
        for weight in self.fitted.parameters():
            weight.grad = torch.empty_like(weight)


def rounded(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
    """Gives a convolution its inputs with fewer digits, as TF32 does on a GPU.

    It keeps 6 bits of the mantissa, not TF32's 10, as this network has two layers only.
    """
    bits = inputs[0].detach().contiguous().view(torch.int32)
    coarse = ((bits + (1 << 16)) & ~((1 << 17) - 1)).view(torch.float32)
    return (inputs[0] + (coarse - inputs[0]).detach(),)


def test_a_network_fitted_with_fewer_digits_is_judged_and_kept_as_it_will_be_loaded(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = []

    def as_on_a_gpu(*arguments: Any) -> torch.nn.Module:
        network = build_network(*arguments)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_pre_hook(rounded)
        in_memory.append(network)
        return network

    monkeypatch.setattr("fer_mlops.training.cnn.build_network", as_on_a_gpu)
    experiment = tiny("cnn", faces_folder, training__precision="float32")
    trained = run(experiment)
    assert trained.registration is not None
    loaded = load_classifier("models:/fer-classifier/1")
    faces = prepare_data(experiment, cache_folder()).parts["valid"]
    logits = loaded.scorer.logits(faces.pixels)
    assert isinstance(trained.classifier.scorer, NetworkScorer)
    fitted = NetworkScorer(in_memory[0], trained.classifier.scorer.architecture).logits(faces.pixels)
    assert np.abs(logits - fitted).max() > 1e-5, "or this test could see nothing"
    assert trained.classifier.scorer.device.type == "cpu"
    np.testing.assert_array_equal(trained.classifier.scorer.logits(faces.pixels), logits)
    assert loaded.calibration == trained.classifier.calibration
    report = evaluate(faces.labels, loaded.predict_proba(faces.pixels), faces.identities)
    stored = mlflow.artifacts.load_dict(f"runs:/{trained.run_id}/final_valid/report.json")
    assert stored["ece"]["value"] == pytest.approx(report.ece.value, abs=1e-9)
    error, _ = reproduction_error("models:/fer-classifier/1")
    assert error is not None
    assert error < 1e-7
