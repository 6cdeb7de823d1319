"""Choice of arithmetic: by the device, and on a CPU by timing the network itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from expert_files import install
from test_training import TINY, network
from tiny import tiny
from torch import Tensor, nn

from fer_mlops.config import TrainingConfig
from fer_mlops.data.loading import prepare_data
from fer_mlops.errors import ConfigError
from fer_mlops.files import cache_folder
from fer_mlops.training import arithmetic, distributed
from fer_mlops.training.arithmetic import with_arithmetic
from fer_mlops.training.steps import Step
from fer_mlops.training.train import train_classifier

FASTER = "measured: bfloat16 takes 0.50 times as long as float32"


class _Elsewhere(nn.Module):
    """A network on a device that this machine need not have."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        yield type("Weight", (), {"device": torch.device(self.kind)})


def chosen(cache: Path, precision: str = "auto", on: nn.Module | None = None, **kept: str) -> str:
    training = TrainingConfig(precision=precision)  # type: ignore[arg-type]
    settled, facts = with_arithmetic(training, on or network(), TINY.image_size, cache, kept)
    assert facts["arithmetic"] == settled.precision
    return f"{facts['arithmetic']}, {facts['arithmetic_reason']}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[torch.dtype, float]:
    """Seconds that a step takes on a processor with bfloat16 instructions; may be changed."""
    seconds = {torch.float32: 2.0, torch.bfloat16: 1.0}
    monkeypatch.setattr(arithmetic, "_has_bfloat16", lambda: True)
    monkeypatch.setattr(arithmetic, "_seconds", lambda _, __, dtype: seconds[dtype])
    monkeypatch.setattr(arithmetic, "_SECONDS", 0.0)
    return seconds


@pytest.mark.parametrize(
    ("kind", "is_native", "expected"),
    [("cuda", True, "bfloat16"), ("cuda", False, "float16"), ("mps", False, "float32")],
)
def test_auto_is_the_fastest_arithmetic_of_a_gpu(
    kind: str, is_native: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return is_native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert chosen(tmp_path, on=_Elsewhere(kind)).startswith(f"{expected}, ")
    named = chosen(tmp_path, "float32", _Elsewhere(kind))
    assert named == "float32, named by training.precision"


def test_float16_without_gradient_scaling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs CUDA or the CPU, not mps"):
        chosen(tmp_path, "float16", _Elsewhere("mps"))


@pytest.mark.parametrize("flag", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_a_cpu_is_timed_only_if_it_has_the_instructions(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(arithmetic, "_measure", lambda *_: 0.5)
    assert chosen(tmp_path) == "float32, this processor has no bfloat16 instructions"
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(torch.cpu, flag, lambda: True)
    assert chosen(tmp_path) == f"bfloat16, {FASTER}"


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, "bfloat16"), (5.6, "float32")])
def test_the_faster_of_two_steps_decides(
    seconds: float, expected: str, tmp_path: Path, clock: dict[torch.dtype, float]
) -> None:
    clock[torch.bfloat16] = seconds
    reason = f"measured: bfloat16 takes {seconds / 2:.2f} times as long as float32"
    assert chosen(tmp_path) == f"{expected}, {reason}"


def test_a_measurement_is_kept_for_networks_of_one_shape(
    tmp_path: Path, clock: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(tmp_path) == f"bfloat16, {FASTER}"
    clock[torch.bfloat16] = 4.0
    assert chosen(tmp_path) == f"bfloat16, {FASTER}"
    other = nn.Sequential(nn.Flatten(), nn.Linear(256, 7))
    assert chosen(tmp_path, on=other).startswith("float32, ")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 97)
    assert chosen(tmp_path).startswith("float32, ")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"-1", b"{"])
def test_a_damaged_measurement_is_repeated(
    content: bytes, tmp_path: Path, clock: dict[torch.dtype, float]
) -> None:
    chosen(tmp_path)
    (file,) = tmp_path.glob("arithmetic-*.json")
    file.write_bytes(content)
    clock[torch.bfloat16] = 3.0
    assert chosen(tmp_path).startswith("float32, ")
    assert file.read_bytes() == b"1.5"


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, clock: dict[torch.dtype, float]
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert chosen(tmp_path / "file") == f"bfloat16, {FASTER}"


def test_other_processes_take_the_choice_of_the_first(
    tmp_path: Path, clock: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(value: Tensor) -> list[Tensor]:
        assert value == 0, "only the first process measures"
        return [torch.tensor(0.5), value]

    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "gather", gather)
    assert chosen(tmp_path) == f"bfloat16, {FASTER}"
    assert not list(tmp_path.iterdir())


def test_timing_changes_neither_weights_nor_random_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "_has_bfloat16", lambda: True)
    monkeypatch.setattr(arithmetic, "_SECONDS", 0.0)
    timed, fresh = network(), network()
    before = torch.get_rng_state()
    assert "measured: bfloat16 takes" in chosen(tmp_path, on=timed)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(timed.state_dict(), fresh.state_dict(), rtol=0, atol=0)
    assert all(weight.grad is None for weight in timed.parameters())


@pytest.mark.parametrize("family", ["cnn", "transfer", "ensemble"])
def test_a_resumed_run_keeps_its_arithmetic(
    family: str,
    faces_folder: Path,
    clock: dict[torch.dtype, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, monkeypatch)
    experiment = tiny(family, faces_folder)
    data = prepare_data(experiment, cache_folder())
    steps: list[Step] = []
    parts = (data.parts["train"], data.parts["valid"])
    begun = train_classifier(experiment, *parts, on_step=steps.append, cache=data.cache)
    assert begun.facts["arithmetic"] == "bfloat16"
    assert begun.facts["arithmetic_reason"] == FASTER
    for file in data.cache.glob("arithmetic-*.json"):
        file.unlink()
    clock[torch.bfloat16] = 4.0
    assert steps[0].state is not None
    state = steps[0].state()
    resumed = train_classifier(
        experiment, *parts, on_step=lambda _: None, cache=data.cache, resume_from=state
    )
    assert resumed.facts == begun.facts
    state["facts"] = {k: v for k, v in state["facts"].items() if not k.startswith("arithmetic")}
    earlier = train_classifier(
        experiment, *parts, on_step=lambda _: None, cache=data.cache, resume_from=state
    )
    assert earlier.facts["arithmetic"] == "float32", "a checkpoint of an earlier version has none"
