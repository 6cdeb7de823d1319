"""Options of the command line: mistyped names and values, and the settings of a sweep."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from commands import fer

from fer_mlops.cli.options import build
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.tuning.config import Plan

ROOT = Path(__file__).parents[2]

MISTYPED = [
    (["transfr"], "No such command 'transfr'. Did you mean 'transfer'?"),
    (["data", "checq"], "Did you mean 'check'?"),
    (["cnn", "--epoch", "3"], "'--epochs'"),
    (["evaluate", "--experimnt", "x"], "Did you mean '--experiment'?"),
    (["cnn", "--preset", "fsat"], "cnn has no preset 'fsat'; did you mean fast?"),
    (["all", "--cnn-preset", "fsat"], "cnn has no preset 'fsat'; did you mean fast?"),
    (["tune", "cnn", "--preset", "fsat"], "cnn has no preset 'fsat'; did you mean fast?"),
    (["cnn", "--set", "loss=focal"], "unknown setting loss; did you mean training.loss?"),
    (["cnn", "--set", "augment.loss=focal"], "augment.loss; did you mean training.loss?"),
    (["cnn", "--set", "{seeed: 1}"], "unknown setting seeed; did you mean seed?"),
    (["cnn", "--set", "training.loss=focl"], "got 'focl'; did you mean focal?"),
    (["cnn", "--set", "tuning.trials=3"], "section tuning has an effect in 'fer-mlops tune cnn' only"),
    (["cnn", "--split", "identitty"], "got 'identitty'; did you mean identity?"),
    (["transfer", "--backbone", "resnet5"], "backbone 'resnet5' is unknown; did you mean resnet50"),
    (["transfer", "--weights", "imagnet"], "a known name; did you mean imagenet?"),
    (["all", "--backbone", "dlib_fase"], "did you mean dlib_face"),
    (["tune", "transfer", "--backbone", "resnet5"], "did you mean resnet50"),
    (["tune", "cnn", "--backbone", "resnet18"], "transfer; cnn has none, got 'resnet18'"),
    (["tune", "cnn", "--set", "sampler=random"], "did you mean tuning.sampler?"),
    (["tune", "cnn", "--set", "tuning.smpler=gp"], "tuning.smpler; did you mean tuning.sampler?"),
    (["tune", "cnn", "--set", "tuning.sampler=rnadom"], "got 'rnadom'; did you mean random?"),
    (["tune", "cnn", "--set", "tuning=3"], "tuning is a section and needs keys of its own, got 3"),
    (["tune", "cnn", "--objective", "valid/f1"], "did you mean valid/macro_f1?"),
    (["run", "tuned"], "no entry point 'tuned' in MLproject; did you mean tune?"),
    (["run", "cnn", "-P", "epoch=1"], "cnn has no parameter 'epoch'; did you mean epochs?"),
    (["run", "cnn", "-P", "settings={a: "], "is not a valid YAML mapping"),
    (
        ["run", "tune", "-P", "max_failures=1"],
        "it is now a setting: -P settings='{tuning.max_failures: VALUE}'",
    ),
]


@pytest.mark.parametrize(
    ("words", "sentence"), MISTYPED, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_a_mistyped_word_names_the_nearest_one_and_leaves_nothing(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FER_MLOPS_CACHE", str(tmp_path / "cache"))
    status, _, err = fer(capfd, *words)
    assert status == 2, err
    assert sentence in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def plan_of(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> Plan:
    """Returns the plan that the command gives to the search."""
    plans: list[Plan] = []
    monkeypatch.setattr("fer_mlops.tuning.tune.tune", lambda plan, **_: plans.append(plan))
    status, _, err = fer(capfd, "tune", *words)
    assert status == 0, err
    return plans[0]


def test_a_sweep_takes_a_section_of_the_recipe_then_options_then_set(
    world: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (world / "mine.yaml").write_text(
        "training: {epochs: 3}\ntuning: {trials: 7, sampler: random, heartbeat: 5}\n"
    )
    words = ["cnn", "--recipe", "mine.yaml", "--trials", "9", "--set", "{tuning.heartbeat: 6, seed: 2}"]
    plan = plan_of(monkeypatch, capfd, *words)
    assert plan.tuning == TuningConfig(trials=9, sampler="random", heartbeat=6)
    assert (plan.experiment.seed, plan.experiment.training.epochs) == (2, 3)  # type: ignore[union-attr]
    assert plan_of(monkeypatch, capfd, "baseline").tuning == TuningConfig()


def test_the_source_and_the_weights_of_a_recipe_are_kept(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("data: {source: mine}\ntransfer: {weights: none}\n")
    options = {"recipe": str(recipe), "data": "auto", "weights": "auto"}
    built = build("transfer", options)
    assert (built.data.source, built.transfer.weights) == ("mine", "none")  # type: ignore[union-attr]


def test_the_documentation_lists_every_setting_of_a_sweep_with_its_default() -> None:
    page = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `tuning.")]
    listed = {name.strip(" `"): default.strip() for name, default in rows}
    defaults = {f"tuning.{each.name}": str(each.default) for each in dataclasses.fields(TuningConfig)}
    assert listed == {key: text.replace("inf", "none") for key, text in defaults.items()}
