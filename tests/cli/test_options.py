"""Options of the command line: mistyped names and values, and the settings of a sweep."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from commands import fer

from fer_mlops.cli.options import MODEL, build
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.tuning.config import Plan

ROOT = Path(__file__).parents[2]

MISTYPED = [
    (["transfr"], "No such command 'transfr'. Did you mean 'transfer'?"),
    (
        ["traain"],
        "No such command 'traain'. Train with one of: baseline, cnn, transfer, ensemble, all, tune.",
    ),
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
    (["cnn", "--set", "training.device=cpuu"], "'cpuu' cannot be used here; did you mean cpu?"),
    (["cnn", "--set", "training.device=cudda:1"], "did you mean cuda?"),
    (["baseline", "--identities", "namse"], "Did you mean names?"),
    (["init", "--family", "transfr"], "Did you mean transfer?"),
    (["run", "cn"], "no entry point 'cn' in MLproject; did you mean cnn?"),
    (
        ["run", "cnn", "-P", "prset=fast"],  # codespell:ignore
        "cnn has no parameter 'prset'; did you mean preset?",
    ),
    (["run", "cnn", "-P", "preset=fsat"], "cnn has no preset 'fsat'; did you mean fast?"),
    (["run", "all", "-P", "cnn_preset=fsat"], "cnn has no preset 'fsat'; did you mean fast?"),
    (["run", "tune", "-P", "preset=fsat"], "cnn has no preset 'fsat'; did you mean fast?"),
    (["run", "tune", "-P", "family=cn"], "Did you mean cnn?"),
    (["run", "cnn", "-P", "epochs=many"], "cnn: Invalid value for '--epochs': 'many' is neither"),
    (["run", "cnn", "-P", "settings=training.los=focal"], "did you mean training.loss?"),
    (["run", "cnn", "-P", "settings={training.device: cpuu}"], "did you mean cpu?"),
    (["run", "cnn", "-P", "minutes=3", "-P", "epochs=2"], "minutes and epochs do not go together"),
    (["run", "check", "-P", "contempt=sadnes"], "Did you mean sadness?"),
    (["run", "transfer", "-P", "backbone=resnet5"], "did you mean resnet50"),
    (
        ["run", "tune", "-P", "max_failures=1"],
        "it is now a setting: -P settings='{tuning.max_failures: VALUE}'",
    ),
]

NEAR = "did you mean models:/fer-classifier@champion?"
MISTYPED_MODELS = [
    (["predict", "a.png", "--model", "models:/fer-classifer@champion"], NEAR),
    (["predict", "a.png", "--model", "models:/fer-classifier@champ"], NEAR),
    (["predict", "a.png", "--model", "model:/fer-classifier@champion"], NEAR),
    (["predict", "a.png", "--model", "models:/fer_classifier/2"], "models:/fer-classifier/2?"),
    (["predict", "a.png", "--model", "run:/0123"], "did you mean runs:/0123?"),
    (["score", "photos", "--out", "o", "--model", "models:/fer-classifier@chllenger"], "@challenger?"),
    (["export", "--onnx", "a.onnx", "--model", "models:/fer-classifer@champion"], NEAR),
    (["explain", "a.png", "--model", "models:/fer-classifer@champion"], NEAR),
    (["evaluate", "--model", "models:/fer-classifier@champoin"], NEAR),
    (["compare", "--models", "models:/fer-classifier/1,models:/fer-classifer@champion"], NEAR),
    (["serve", "--model", "models:/fer-classifier@champ"], NEAR),
    (["cnn", "--teacher", "models:/fer-classifer@champion"], NEAR),
    (["data", "check", "faces", "--model", "models:/fer-classifer@champion"], NEAR),
    (["run", "evaluate", "-P", "model=models:/fer-classifer@champion"], NEAR),
    (["run", "cnn", "-P", "teacher=models:/fer-classifer@champion"], NEAR),
]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty, without a store or a cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FER_MLOPS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "sentence"), MISTYPED, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_a_mistyped_word_names_the_nearest_one_and_leaves_nothing(
    words: list[str], sentence: str, nowhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, err = fer(capfd, *words)
    assert status == 2, err
    assert sentence in err
    assert "Traceback" not in err
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"), MISTYPED_MODELS, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_a_mistyped_model_names_the_nearest_one_and_leaves_nothing(
    words: list[str], sentence: str, nowhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mlflow.set_tracking_uri(None)
    status, _, err = fer(capfd, *words)
    assert status == 1, err
    assert sentence in err
    assert err.count("\n") == 1
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize("entry_point", ["cnn", "check", "evaluate"])
def test_missing_data_of_a_project_run_is_told_before_the_run_begins(
    entry_point: str, nowhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (nowhere / "faces").mkdir()
    status, _, err = fer(capfd, "run", entry_point, "-P", "data=faecs")
    assert status == 1
    assert f"no data set or path 'faecs'; did you mean {str(nowhere / 'faces')!r}?" in err
    assert [path.name for path in nowhere.iterdir()] == ["faces"]


def test_the_names_and_aliases_of_the_store_are_suggested(
    world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = mlflow.MlflowClient()
    client.create_registered_model("faces-of-clowns")
    client.create_model_version("faces-of-clowns", world.as_uri())
    client.set_registered_model_alias("faces-of-clowns", "production", "1")
    name = "models:/faces-of-clowns@production"
    for wrong in ("models:/faces-of-clown@production", "models:/faces-of-clowns@produce"):
        status, _, err = fer(capfd, "predict", "a.png", "--model", wrong)
        assert (status, f"; did you mean {name}?" in err) == (1, True), err
    _, _, err = fer(capfd, "predict", "a.png", "--model", name)
    assert "did you mean" not in err  # a name of one's own is taken as it is
    client.create_registered_model("fer-classifier")
    client.create_model_version("fer-classifier", world.as_uri())
    client.set_registered_model_alias("fer-classifier", "champion", "1")
    _, _, err = fer(capfd, "registry", "show", "champ")
    assert "no version with the alias 'champ'; did you mean champion?" in err


def test_a_mistyped_word_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    loads_torch = {"--backbone", "--weights", "backbone=resnet5"}  # the names are torchvision's
    rows = [words for words, _ in [*MISTYPED, *MISTYPED_MODELS] if not loads_torch & set(words)]
    code = f"""
import sys
from click.testing import CliRunner
from fer_mlops.cli.main import cli
for words in {rows!r}:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code or done.exception, words
    assert 'torch' not in sys.modules, words
    assert 'mlflow' not in sys.modules or any('model' in w or 'teacher' in w for w in words), words
"""
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("3", "models:/fer-classifier/3"),
        ("champion", "models:/fer-classifier@champion"),
        ("1,previous", "models:/fer-classifier/1,models:/fer-classifier@previous"),
        ("runs:/ab", "runs:/ab"),
        ("model.onnx", "model.onnx"),
    ],
)
def test_a_number_or_an_alias_is_a_registered_version(given: str, meant: str, world: Path) -> None:
    assert MODEL.convert(given, None, None) == meant
    (world / "3").mkdir()
    assert MODEL.convert("3", None, None) == "3"
