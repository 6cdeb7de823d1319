"""What a run needs to go on after it was killed."""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from rivals import at_once

from fer_mlops.errors import TrainingError
from fer_mlops.pipelines.run_checkpoint import read_checkpoint
from fer_mlops.training.checkpoints import claim, load_checkpoint, save_checkpoint

STATE = {
    "epoch": 3,
    "network": {"weight": torch.arange(6, dtype=torch.float32).view(2, 3)},
    "generator": torch.Generator().manual_seed(5).get_state(),
    "history": [{"loss": 0.5, "name": "first"}, {"loss": 0.25, "name": "second"}],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "run" / "checkpoint.pt"


def names_in(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


def disk_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every write stop halfway."""

    def write_half(_: Mapping[str, object], target: Path) -> None:
        target.write_bytes(b"half of a checkp")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", write_half)


def test_what_was_saved_is_loaded_to_the_last_bit(path: Path) -> None:
    save_checkpoint(path, STATE)
    loaded = load_checkpoint(path)
    assert list(loaded) == list(STATE)
    assert loaded["epoch"] == 3
    assert loaded["history"] == STATE["history"]
    assert torch.equal(loaded["network"]["weight"], torch.arange(6.0).view(2, 3))
    again = torch.Generator()
    again.set_state(loaded["generator"])
    drawn = torch.rand(3, generator=again)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_saving_makes_the_folder_replaces_and_leaves_nothing_beside(path: Path) -> None:
    save_checkpoint(path, {"epoch": 1})
    save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 2}
    assert names_in(path.parent) == ["checkpoint.pt"]


def test_a_write_that_fails_keeps_the_former_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(path, {"epoch": 1})
    disk_full(monkeypatch)
    with pytest.raises(TrainingError) as caught:
        save_checkpoint(path, {"epoch": 2})
    message = str(caught.value)
    assert message.startswith(f"cannot write the checkpoint {str(path)!r}: ")
    assert "No space left on device" in message
    assert message.endswith("set FER_MLOPS_CACHE to another folder, then continue with --resume")
    assert load_checkpoint(path) == {"epoch": 1}
    assert names_in(path.parent) == ["checkpoint.pt"]


def test_a_kill_in_the_middle_of_a_write_keeps_the_former_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(path, {"epoch": 1})

    def killed(_: Mapping[str, object], target: Path) -> None:
        target.write_bytes(b"half of a checkp")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1}
    save_checkpoint(path, {"epoch": 3})  # what the kill left beside is no hindrance
    assert load_checkpoint(path) == {"epoch": 3}


def test_a_first_write_that_fails_leaves_no_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_full(monkeypatch)
    with pytest.raises(TrainingError):
        save_checkpoint(path, {"epoch": 1})
    assert names_in(path.parent) == []


def test_a_folder_that_cannot_be_made_is_refused_with_the_way_out(tmp_path: Path) -> None:
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("not a folder")
    with pytest.raises(TrainingError, match="set FER_MLOPS_CACHE to another folder"):
        save_checkpoint(in_the_way / "checkpoint.pt", {"epoch": 1})


def test_a_missing_checkpoint_is_refused_by_name(path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        load_checkpoint(path)
    reason = "the run is finished, was started elsewhere, or was never started"
    assert str(caught.value) == f"no checkpoint at {str(path)!r}: {reason}"


@pytest.mark.parametrize("content", [b"", b"hello", b"not a checkpoint", b"\0" * 100, b"0ops", b"Jo"])
def test_a_file_that_is_no_checkpoint_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"cannot read the checkpoint {str(path)!r}: ")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_checkpoint_is_refused(share: float, path: Path) -> None:
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(TrainingError, match=r"^cannot read the checkpoint "):
        load_checkpoint(path)


@pytest.mark.parametrize("name", [b"epoch", b"network"])
def test_a_checkpoint_with_a_damaged_name_is_refused(name: bytes, path: Path) -> None:
    save_checkpoint(path, STATE)
    content = bytearray(path.read_bytes())
    content[content.index(name)] = 0xFF  # no longer text
    path.write_bytes(bytes(content))
    with pytest.raises(TrainingError, match=r"^cannot read the checkpoint "):
        load_checkpoint(path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


def test_loading_runs_no_code_that_the_file_brings(tmp_path: Path) -> None:
    path, target = tmp_path / "checkpoint.pt", tmp_path / "written"
    torch.save({"epoch": Trap(target)}, path)
    with pytest.raises(TrainingError):
        load_checkpoint(path)
    assert not target.exists()


def test_a_pickle_from_elsewhere_runs_no_code_either(tmp_path: Path) -> None:
    path, target = tmp_path / "checkpoint.pt", tmp_path / "written"
    path.write_bytes(pickle.dumps(Trap(target)))
    with warnings.catch_warnings():  # torch wonders about the protocol
        warnings.simplefilter("ignore")
        with pytest.raises(TrainingError):
            load_checkpoint(path)
    assert not target.exists()


def test_a_checkpoint_that_is_no_mapping_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(TrainingError, match="it is not a mapping"):
        load_checkpoint(path)


TRACKER = {"entries": [], "curves": {}, "last_step": 0, "has_pictures": False}
LEARNING = {"phase": 1, "steps_before": 0, "facts": {}, "fit": {}}


@pytest.mark.parametrize("change", [{"settings": None}, {"step": "1"}, {"tracker": []}])
def test_a_checkpoint_of_something_else_than_a_run_is_refused(
    change: dict[str, object], path: Path
) -> None:
    whole = {
        **{"settings": "{}", "digest": "", "step": 0, "learning": LEARNING, "minutes": 0.0},
        "tracker": TRACKER,
    }
    save_checkpoint(path, whole)
    assert read_checkpoint(path) == whole
    save_checkpoint(path, {**whole, **change})
    with pytest.raises(TrainingError, match=f"not one of a run, '{next(iter(change))}' is missing"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"tracker": {}}, "entries"),
        ({"tracker": {**TRACKER, "curves": []}}, "curves"),
        ({"learning": {"fit": {}}}, "phase"),
        ({"learning": {**LEARNING, "fit": None}}, "fit"),
    ],
)
def test_a_checkpoint_whose_parts_have_other_contents_is_refused(
    change: dict[str, object], name: str, path: Path
) -> None:
    whole = {"settings": "{}", "digest": "", "step": 0, "learning": None, "minutes": 0.0}
    save_checkpoint(path, {**whole, "tracker": TRACKER, **change})
    with pytest.raises(TrainingError, match=f"not one of a run, '{name}' is missing"):
        read_checkpoint(path)


def test_of_processes_that_claim_a_checkpoint_at_once_one_owns_it(path: Path) -> None:
    def own(number: int) -> int:
        with claim(path):
            time.sleep(1)  # longer than the others need to ask
            return number

    outcomes = at_once(own, 4)
    (owner,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
    refusals = [str(outcome) for number, outcome in enumerate(outcomes) if number != owner]
    sentence = "run checkpoint is being trained by another process; stop that process first"
    assert refusals == [sentence] * 3
    with claim(path):  # the lock ends with its owner
        pass


def test_processes_that_save_at_once_leave_one_whole_checkpoint(path: Path) -> None:
    def save(number: int) -> None:
        for _ in range(10):
            save_checkpoint(path, {"number": number, "weight": torch.full((1000,), float(number))})

    assert at_once(save) == [None] * 3
    saved = load_checkpoint(path)
    assert saved["weight"].tolist() == [saved["number"]] * 1000
    assert names_in(path.parent) == ["checkpoint.pt"]
