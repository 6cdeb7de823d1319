"""The MLflow project: its entry points are the command line's, and its environments start."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

import mlflow
import pytest
import yaml
from click import Choice, Command, Group
from mlflow import MlflowClient

from fer_mlops.cli.data import data
from fer_mlops.cli.main import cli
from fer_mlops.cli.mlflow_project import choose_env_manager, project_folder, run_project
from fer_mlops.cli.project_file import project_text
from fer_mlops.errors import ConfigError
from fer_mlops.tracking.alias_lock import find_version

ROOT = Path(__file__).parents[2]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())


def test_the_entry_points_are_there() -> None:
    expected = {
        "check",
        "baseline",
        "cnn",
        "transfer",
        "ensemble",
        "tune",
        "all",
        "evaluate",
        "compare",
        "promote",
    }
    assert set(PROJECT["entry_points"]) == expected
    assert PROJECT["conda_env"] == "conda.yaml"
    assert not {"python_env", "docker_env"} & PROJECT.keys()


def test_mlproject_is_what_the_options_of_the_commands_make_it() -> None:
    assert (ROOT / "MLproject").read_text() == project_text(), (
        "run: python -m fer_mlops.cli.project_file > MLproject"
    )


@pytest.mark.parametrize("name", PROJECT["entry_points"])
def test_every_parameter_is_an_option_of_the_command_and_the_defaults_fit(name: str) -> None:
    entry = PROJECT["entry_points"][name]
    words = entry["command"].replace("data check", "check").split()
    assert words[:4] == ["python", "-m", "fer_mlops", name]
    used = set(re.findall(r"{(\w+)}", entry["command"]))
    assert used == set(entry["parameters"])
    assert isinstance(cli, Group)
    command = data.commands["check"] if name == "check" else cli.commands[name]
    assert isinstance(command, Command)
    arguments = [
        word.format(**{key: value["default"] for key, value in entry["parameters"].items()})
        for word in words[4:]
    ]
    context = command.make_context(name, arguments)
    assert context.params


def test_every_option_of_a_training_command_can_be_set_from_the_project() -> None:
    for name in ("baseline", "cnn", "transfer", "tune"):
        options = {p.opts[0].removeprefix("--").replace("-", "_") for p in cli.commands[name].params}  # type: ignore[attr-defined]
        own = {
            "set",
            "experiment",
            "resume",
            "json",
        }  # `settings`, mlflow's --experiment-name; a run of its own
        assert options - own <= set(PROJECT["entry_points"][name]["parameters"])


def test_conda_yaml_has_python_and_pip_alone_outside_pips_section() -> None:
    tree = yaml.safe_load((ROOT / "conda.yaml").read_text())
    names = [d if isinstance(d, str) else next(iter(d)) for d in tree["dependencies"]]
    assert names == ["python=3.11", "pip", "pip"]


def test_the_checkout_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_folder() == ROOT


def asked_of_mlflow(monkeypatch: pytest.MonkeyPatch, entry: str, *parameters: str) -> dict[str, str]:
    """Returns the parameters with which MLflow is asked to run an entry point."""
    asked: dict[str, str] = {}
    monkeypatch.setattr(mlflow.projects, "run", lambda *_, parameters, **__: asked.update(parameters))
    run_project(entry, parameters, "local", "fer_mlops")
    return asked


def test_paths_are_meant_from_where_the_user_stands(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world / "faces").mkdir()
    for name in ("mine.yaml", "split.csv", "new.csv"):
        (world / name).write_text("seed: 1")
    asked = asked_of_mlflow(
        monkeypatch,
        "cnn",
        *("data=faces", "recipe=mine.yaml", "split=split.csv", "relabel=./new.csv", "seed=1"),
        *("teacher=models:/fer-classifier@champion", "settings=cnn.hidden=8"),
    )
    assert asked == {
        "data": str(world / "faces"),
        "recipe": str(world / "mine.yaml"),
        "split": str(world / "split.csv"),
        "relabel": str(world / "new.csv"),
        "seed": "1",
        "teacher": "models:/fer-classifier@champion",
        "settings": "cnn.hidden=8",
    }
    assert asked_of_mlflow(monkeypatch, "cnn", "preset=fast") == {"preset": "fast"}
    asked = asked_of_mlflow(
        monkeypatch, "tune", "settings={data.relabel: new.csv, seed: 1, tuning.sampler: random}"
    )
    told = {"data.relabel": str(world / "new.csv"), "seed": 1, "tuning.sampler": "random"}
    assert yaml.safe_load(asked["settings"]) == told
    asked = asked_of_mlflow(monkeypatch, "evaluate", "data=csv:faces", "out=page", "model=faces")
    assert asked == {
        "data": f"csv:{world / 'faces'}",
        "out": str(world / "page"),
        "model": str(world / "faces"),
    }
    models = asked_of_mlflow(
        monkeypatch, "compare", "models=faces, models:/fer-classifier/1", "data=sample"
    )
    assert models == {"models": f"{world / 'faces'},models:/fer-classifier/1", "data": "sample"}


def test_databases_are_meant_from_where_the_user_stands(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked_of_mlflow(monkeypatch, "tune") == {"storage": f"sqlite:///{world / 'optuna.db'}"}
    asked = asked_of_mlflow(monkeypatch, "tune", "storage=sqlite:///deep/optuna.db")
    assert asked == {"storage": f"sqlite:///{world / 'deep' / 'optuna.db'}"}
    other = "postgresql://anna@db/optuna"
    assert asked_of_mlflow(monkeypatch, "tune", f"storage={other}") == {"storage": other}
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    asked_of_mlflow(monkeypatch, "cnn")
    assert mlflow.get_tracking_uri() == f"sqlite:///{world / 'mlflow.db'}"


def test_a_password_among_the_parameters_is_refused_and_not_shown(world: Path) -> None:
    with pytest.raises(ConfigError, match="would show as a parameter") as caught:
        run_project("tune", ["storage=postgresql://anna:secret@db/optuna"], "local", "fer_mlops")
    assert "secret" not in str(caught.value)
    assert mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list") == []


@pytest.fixture
def conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in conda: it notes what it is asked and activates this environment."""
    folder = tmp_path / "conda" / "bin"
    folder.mkdir(parents=True)
    log = tmp_path / "conda.log"
    (folder / "conda").write_text(
        f"""#!/bin/sh
echo "conda $*" >> {log}
[ "$1 $2" = "env list" ] && echo '{{"envs": []}}'
exit 0
"""
    )
    here = Path(sys.executable).parent
    (folder / "activate").write_text(f'echo "activate $1" >> {log}\nexport PATH="{here}:$PATH"\n')
    for file in folder.iterdir():
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
    for name in ("CONDA_EXE", "MLFLOW_CONDA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


QUICK = "settings=tracking.system_metrics=false"


def test_conda_is_chosen_where_it_is_and_local_elsewhere(
    conda: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_env_manager() == "conda"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert choose_env_manager() == "local"


@pytest.mark.long
def test_the_project_runs_with_conda(conda: Path, world: Path, faces_folder: Path) -> None:
    run_project("baseline", [f"data={faces_folder}", "image_size=48", QUICK], "auto", "fer_mlops")
    asked = conda.read_text()
    assert re.search(r"conda env create -n mlflow-\w+ --file .*conda.yaml", asked)
    assert re.search(r"activate mlflow-\w+", asked)
    check_one_finished_run()


@pytest.mark.slow
def test_the_project_runs_locally(world: Path, faces_folder: Path) -> None:
    run_project("baseline", [f"data={faces_folder}", "image_size=48", QUICK], "local", "fer_mlops")
    check_one_finished_run()


def check_one_finished_run() -> None:
    (found,) = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    assert found.info.status == "FINISHED"
    assert found.data.params["image_size"] == "48"  # as the project logged it
    assert found.data.params["hog_svm.image_size"] == "48"  # as we do
    assert found.data.metrics["test/faces"] == 28
    champion = find_version("champion")
    assert champion is not None
    assert MlflowClient().get_run(found.info.run_id).data.tags["alias"] == "champion"


def test_a_choice_of_the_command_line_is_a_choice_there_too() -> None:
    families = next(p for p in cli.commands["tune"].params if p.name == "family")  # type: ignore[attr-defined]
    assert isinstance(families.type, Choice)
    assert PROJECT["entry_points"]["tune"]["parameters"]["family"]["default"] in families.type.choices
