"""--minutes: preset and epochs that fit into a user's time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from commands import fer
from tiny import SETTINGS, tiny

import fer_mlops
from fer_mlops.config.recipes import build_experiment, preset_path
from fer_mlops.errors import ConfigError
from fer_mlops.files import cache_folder
from fer_mlops.pipelines import time_budget
from fer_mlops.pipelines.experiments import timed_experiments
from fer_mlops.pipelines.time_budget import StepTimes, TimePlan, measure, plan_minutes
from fer_mlops.progress import no_progress


def epochs_of(family: str, preset: str) -> int:
    experiment = build_experiment(family, recipe=preset_path(family, preset))
    return experiment.training.epochs  # type: ignore[union-attr,no-any-return]


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, StepTimes]:
    """Times of every candidate: 1 s for the step of a face, nothing for the rest; may be changed."""
    found = {"all": StepTimes(train=1.0, predict=0.0, head=0.0, pictures=0.0)}
    monkeypatch.setattr(time_budget, "measure", lambda *_: found["all"])
    return found


def plan(faces: Path, epochs: Mapping[str, int], seconds: float, family: str = "cnn") -> TimePlan:
    """Returns the plan for candidates with these numbers of epochs, with ``seconds`` left."""
    candidates: dict[str, Any] = {
        preset: tiny(family, faces, training__epochs=num) for preset, num in epochs.items()
    }
    return plan_minutes(seconds / 60, candidates, time.time(), cache_folder(), no_progress)


@pytest.fixture
def epoch(faces_folder: Path, times: dict[str, StepTimes]) -> int:
    """Seconds of an epoch: the number of training faces."""
    return len(plan(faces_folder, {"fast": 1}, 1e6).data.parts["train"])


def test_more_time_than_the_best_preset_needs_is_not_used(faces_folder: Path, epoch: int) -> None:
    slack = 20  # seconds for reading and planning in this test
    chosen = plan(faces_folder, {"best": 24, "fast": 12}, 24 * epoch + slack)
    assert (chosen.preset, chosen.experiment.training.epochs) == ("best", 24)
    asked, needed = (24 * epoch + slack) / 60, 24 * epoch / 60
    sentence = f"{asked:g} minutes here: preset best, 24 epochs ({epoch} s each)"
    assert chosen.sentence.startswith(f"{sentence}; all its epochs take about ")
    assert float(chosen.sentence.split()[-2]) == pytest.approx(needed, abs=0.5)
    assert chosen.facts == {"minutes_asked": f"{asked:g}", "minutes_choice": chosen.sentence}


@pytest.mark.parametrize(
    ("time_for", "expected"),
    [
        (23.9, "preset best, 23 epochs"),
        (16.9, "preset best, 16 epochs"),
        (15.9, "preset fast, 12 epochs"),
        (5.9, "preset fast, 5 epochs"),
        (1.9, "preset fast, 1 epoch"),
    ],
)
def test_less_time_gives_fewer_epochs_or_the_quicker_preset(
    time_for: float, expected: str, faces_folder: Path, epoch: int
) -> None:
    chosen = plan(faces_folder, {"best": 24, "fast": 12}, time_for * epoch)
    assert f"minutes here: {expected} ({epoch} s each)" in chosen.sentence
    is_whole = "12 epochs" in expected
    assert ("; all its epochs take about" in chosen.sentence) == is_whole
    assert (", 16 of preset best would take " in chosen.sentence) == is_whole
    if is_whole:
        assert float(chosen.sentence.split()[-1]) == pytest.approx(16 * epoch / 60, abs=0.5)
    preset, num_epochs = chosen.preset, chosen.experiment.training.epochs
    assert f"preset {preset}, {num_epochs} epoch" in expected


def test_too_little_time_names_the_least_minutes(faces_folder: Path, epoch: int) -> None:
    message = r"^not one epoch of preset fast fits into 1 minute here; the least is .* minutes$"
    with pytest.raises(ConfigError, match=message) as error:
        plan(faces_folder, {"best": 24, "fast": 12}, 60)
    least = float(str(error.value).split()[-2])
    assert plan(faces_folder, {"best": 24, "fast": 12}, 60 * least).experiment.training.epochs == 1


def test_the_time_since_the_start_counts(faces_folder: Path, epoch: int) -> None:
    candidates: Any = {"": tiny("cnn", faces_folder, training__epochs=9)}
    late = time.time() - 4 * epoch
    chosen = plan_minutes(8.5 * epoch / 60, candidates, late, cache_folder(), no_progress)
    assert chosen.experiment.training.epochs == 4
    assert "the recipe, 4 epochs" in chosen.sentence


def test_what_follows_training_counts(
    faces_folder: Path, epoch: int, times: dict[str, StepTimes]
) -> None:
    data = plan(faces_folder, {"fast": 1}, 1e6).data
    train, valid, test = (len(data.parts[part]) for part in ("train", "valid", "test"))
    times["all"] = StepTimes(train=1.0, predict=0.5, head=0.25, pictures=2.0)
    fixed, each = time_budget._seconds(tiny("cnn", faces_folder), times["all"], data)  # type: ignore[arg-type]
    assert fixed == pytest.approx(valid + 0.5 * test + 2 * (90 + 0.024 * (valid + test)))
    assert each == train + 0.5 * valid + 5
    transfer: Any = tiny("transfer", faces_folder, transfer__frozen_epochs=3, transfer__mirror=True)
    frozen, _ = time_budget._seconds(transfer, times["all"], data)
    assert frozen - fixed == pytest.approx(0.25 * (2 * train + valid) + 3 * 0.25 * 2 * train)


def test_faces_are_read_again_for_another_image_size(
    faces_folder: Path, times: dict[str, StepTimes]
) -> None:
    candidates: Any = {
        "best": tiny("cnn", faces_folder, cnn__image_size=40),
        "fast": tiny("cnn", faces_folder),
    }
    chosen = plan_minutes(1e6, candidates, time.time(), cache_folder(), no_progress)
    assert chosen.data.parts["train"].pixels.shape[1:] == (40, 40)


@pytest.mark.parametrize("family", ["cnn", "transfer"])
def test_a_trial_measures_every_part(family: str, faces_folder: Path) -> None:
    experiment: Any = tiny(family, faces_folder, training__patience=1, training__batch_size=8)
    measured = measure(experiment, cache_folder())
    assert min(measured.train, measured.predict, measured.pictures) > 0
    assert (measured.head > 0) == (family == "transfer")


def test_the_candidates_are_the_presets_unless_one_is_named() -> None:
    for family in ("cnn", "transfer"):
        presets = timed_experiments(3, family, {"seed": 4})
        assert list(presets) == ["best", "fast"]
        for preset, experiment in presets.items():
            assert experiment.training.epochs == epochs_of(family, preset)
            assert experiment.seed == 4
    assert list(timed_experiments(3, "cnn", {}, preset="tuned")) == ["tuned"]
    recipe = str(preset_path("cnn", "course"))
    assert list(timed_experiments(3, "cnn", {}, recipe=recipe)) == [""]


@pytest.mark.parametrize(
    ("minutes", "family", "options", "message"),
    [
        (0, "cnn", {}, "minutes must be more than 0, got 0"),
        (float("nan"), "cnn", {}, "minutes must be more than 0, got nan"),
        (3, "baseline", {}, "minutes works for cnn and transfer, not baseline"),
        (3, "ensemble", {}, "minutes works for cnn and transfer, not ensemble"),
        (3, "cnn", {"settings": {"training.epochs": 3}}, "minutes and epochs do not go together"),
        (3, "cnn", {"settings": {"data.folds": 3}}, "minutes plans one training, and folds start"),
        (3, "cnn", {"seeds": 3}, "minutes plans one training, and seeds start several; leave one out"),
        (3, "transfer", {"processes": True}, "minutes plans one process"),
        (3, "transfer", {"resume": "0123"}, "a resumed run keeps its number of epochs"),
        (3, "cnn", {"settings": {"training.teacher": "x"}}, "minutes and teacher do not go together"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    minutes: float, family: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        timed_experiments(minutes, family, **{"settings": {}, **options})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "3"], "minutes and epochs do not go together"),
        (["--set", "training.epochs=3"], "minutes and epochs do not go together"),
        (["--folds", "3"], "minutes and folds"),
        (["--seeds", "3"], "minutes and seeds"),
        (["--processes", "2"], "minutes and processes"),
        (["--resume", "0" * 32], "minutes and resume"),
    ],
)
def test_the_command_refuses_them_before_anything_starts(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, errors = fer(capfd, "cnn", "--minutes", "3", *words)
    assert status == 2
    assert message in errors


def test_the_chosen_epochs_are_the_settings_of_the_run(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        time_budget, "measure", lambda *_: StepTimes(train=0.5, predict=0, head=0, pictures=0)
    )
    settings = {key: value for key, value in SETTINGS["cnn"].items() if key != "training.epochs"}
    run = fer_mlops.train(
        faces_folder,
        family="cnn",
        settings={**settings, "tracking.system_metrics": False},
        minutes=3,
        progress=no_progress,
    )
    stored = mlflow.get_run(run.id).data
    num_epochs = run.trained.experiment.training.epochs
    assert 1 <= num_epochs < epochs_of("cnn", "fast")
    assert stored.params["training.epochs"] == str(num_epochs)
    assert stored.tags["minutes_asked"] == "3"
    assert stored.tags["minutes_choice"].startswith(f"3 minutes here: preset fast, {num_epochs} epoch")
    assert run.trained.facts["minutes_choice"] == stored.tags["minutes_choice"]
