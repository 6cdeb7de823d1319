"""Training, evaluating, comparing and tuning from Python, as the command line does."""

from __future__ import annotations

import inspect
import json
import logging
import os
import signal
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mlflow
import numpy as np
import pytest
import torch
from expert_files import install
from lasting import lasting_store
from tiny import SETTINGS

import fer_mlops
from fer_mlops.cli.main import cli
from fer_mlops.cli.options import SECTIONS, build, build_sweep
from fer_mlops.config import CnnExperiment
from fer_mlops.config.options import settings_of
from fer_mlops.config.recipes import settings_as_json
from fer_mlops.errors import ConfigError, FerError, TrackingError
from fer_mlops.pipelines.cross_validate import Repetition
from fer_mlops.pipelines.experiments import experiment_of, resumed_experiment, sweep_of
from fer_mlops.pipelines.session import session
from fer_mlops.progress import Advance, Note, Progress, is_notebook, no_progress, notebook_progress
from fer_mlops.reporting.html import Page
from fer_mlops.tracking.queries import CONFIG_FILE, load_run_config
from fer_mlops.training.steps import Step


def options_of(command: str) -> dict[str, object]:
    """Returns the options of a command that is given none."""
    parsed = cli.commands[command].make_context(command, [])
    return dict(parsed.params)


def defaults_of(function: object) -> dict[str, object]:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


def process_state() -> list[object]:
    """Returns what a call may not change for the whole process."""
    levels = {name: logging.getLogger(name).level for name in ("alembic", "urllib3", "sqlalchemy.pool")}
    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    numbers = [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()]  # type: ignore[index]  # noqa: NPY002
    threads = torch.get_num_threads()
    return [dict(os.environ), handlers, levels, threads, list(warnings.filters), numbers, Path.cwd()]


def quick(family: str, faces: Path, **options: object) -> fer_mlops.Run:
    settings = {**SETTINGS[family], "tracking.system_metrics": False}
    return fer_mlops.train(faces, family=family, settings=settings, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", SECTIONS)
def test_the_defaults_are_those_of_the_command(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    named = {"data": defaults_of(fer_mlops.train)["data"]}
    assert experiment_of(family, settings_of(family, named)) == build(family, options_of(family))
    named = {"data": defaults_of(fer_mlops.tune)["data"]}
    of_python = sweep_of(family, settings_of(family, named, is_sweep=True))
    assert of_python == build_sweep(family, {**options_of("tune"), "family": family})


def test_the_arguments_have_the_defaults_of_the_options() -> None:
    evaluate, options = defaults_of(fer_mlops.evaluate), options_of("evaluate")
    assert {k: evaluate[k] for k in ("model", "experiment")} == {
        k: options[k] for k in ("model", "experiment")
    }
    assert evaluate["robustness"] is bool(options["robustness"]) is False
    compare, options = defaults_of(fer_mlops.compare), options_of("compare")
    assert {k: compare[k] for k in ("point", "anyway", "experiment")} == {
        k: options[k] for k in ("point", "anyway", "experiment")
    }
    tune, options = defaults_of(fer_mlops.tune), options_of("tune")
    assert (tune["folds"], tune["seeds"]) == (options["folds"], options["seeds"]) == (None, None)
    train, options = defaults_of(fer_mlops.train), options_of("cnn")
    assert {k: train[k] for k in ("folds", "seeds", "resume")} == {
        k: options[k] for k in ("folds", "seeds", "resume")
    }
    tune, options = defaults_of(fer_mlops.tune), options_of("tune")
    assert {k: tune[k] for k in ("family", "storage")} == {k: options[k] for k in ("family", "storage")}
    assert defaults_of(fer_mlops.load)["name"] == options_of_predict()["model"]


def options_of_predict() -> dict[str, object]:
    return dict(cli.commands["predict"].make_context("predict", ["face.jpg"]).params)


def test_the_package_names_its_functions_and_loads_nothing_for_them() -> None:
    code = (
        "import sys, fer_mlops\n"
        "assert {'train', 'load', 'evaluate', 'compare', 'tune', 'Run'} <= set(dir(fer_mlops))\n"
        "print(sorted(name for name in sys.modules if name.startswith('fer_mlops')))\n"
        "from fer_mlops import train, evaluate, compare, tune\n"
        "print({'torch', 'mlflow', 'sklearn', 'optuna', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['fer_mlops']", "set()"]
    with pytest.raises(AttributeError, match="no attribute 'train_all'"):
        fer_mlops.train_all  # noqa: B018


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, drawn_cache: Path, faces_folder: Path
) -> Iterator[fer_mlops.Run]:
    """A tracked run; its store is the one in use."""
    with lasting_store(tmp_path_factory.mktemp("run"), empty_store, drawn_cache):
        yield quick("cnn", faces_folder, epochs=1, training__loss="focal")


def test_a_run_predicts_as_the_model_loaded_by_its_name(run: fer_mlops.Run, faces_folder: Path) -> None:
    faces = sorted(faces_folder.rglob("*.png"))[:8]
    answers = run.predict(faces)
    assert (
        answers.probabilities.tolist() == fer_mlops.load(run.name).predict(faces).probabilities.tolist()
    )
    assert run.predict(faces[0]).emotion == answers[0].emotion
    assert run.trained.experiment.training.loss == "focal"  # type: ignore[union-attr]
    assert run.trained.experiment.training.epochs == 1  # type: ignore[union-attr]
    stored = mlflow.MlflowClient().get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert stored.data.metrics["test/macro_f1"] == run.scores.macro_f1.value


def test_a_run_is_explained_and_shown(run: fer_mlops.Run, tmp_path: Path) -> None:
    page = run.explain(out=tmp_path / "looks", method="occlusion")
    assert (tmp_path / "looks" / "index.html").read_text() == page
    assert run.name in run.report
    assert run._repr_html_() == run.report._repr_html_()
    shown = (run, run.trained, run.trained.classifier, run.predictor, run.report, page)
    assert all(len(repr(one)) < 200 for one in shown), shown
    with pytest.raises(ConfigError, match="target must be one of anger"):
        run.explain(target="joy")
    with pytest.raises(ConfigError, match="method must be gradcam or occlusion, got 'lime'"):
        run.explain(method="lime")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="version 1 is champion already"):
        run.promote()


def test_runs_are_compared_and_the_better_one_promoted(run: fer_mlops.Run, faces_folder: Path) -> None:
    other = quick("baseline", faces_folder)
    found = fer_mlops.compare([run, other])
    assert {entry.run_id for entry in found.comparison.entries} == {run.id, other.id}
    assert repr(found) == f"Compared({found.verdict})"
    assert found.verdict in found.page
    assert other.promote(gate=strict_gate()).outcome == "challenger"
    with pytest.raises(ConfigError, match="at least two different models"):
        fer_mlops.compare([run, run])


def strict_gate() -> Path:
    Path("gate.yaml").write_text("macro_f1_floor: 1.0\n")
    return Path("gate.yaml")


def test_a_run_is_evaluated_on_its_own_faces(run: fer_mlops.Run) -> None:
    judged = run.evaluate()
    assert judged.results[0].report == run.scores
    assert judged.judgements == judged.results  # the former names
    assert judged.results[0].answers is judged.results[0].predictions
    assert len(repr(judged)) < 200
    stored = mlflow.MlflowClient().search_runs([judged.experiment_id])
    assert any((one.info.run_name or "").startswith("evaluate") for one in stored)


def test_a_run_without_mlflow_leaves_no_trace(world: Path, faces_folder: Path) -> None:
    (world / "mlflow.db").unlink()
    quick("cnn", faces_folder, epochs=1, track=False)  # imports that change the process come first
    before = process_state()
    run = quick("cnn", faces_folder, epochs=1, track=False)
    assert process_state() == before
    assert list(world.iterdir()) == []
    assert (run.id, run.name) == ("", "")
    assert "macro-F1" in run.report
    with pytest.raises(ConfigError, match="registered no version; train with track=True"):
        run.promote()
    with pytest.raises(ConfigError, match="its test scores are in 'report'"):
        run.evaluate()
    with pytest.raises(ConfigError, match="so its model has no name"):
        fer_mlops.compare([run, "runs:/abc"])


def test_a_stopped_run_is_resumed_with_its_own_settings(world: Path, faces_folder: Path) -> None:
    def stop(_: str, __: int) -> Advance:
        def advance(_: int, note: Note | None = None) -> None:
            if note and note().startswith("epoch 2/"):
                raise KeyboardInterrupt

        return advance

    with pytest.raises(KeyboardInterrupt) as stopped:
        quick("cnn", faces_folder, epochs=2, seed=3, progress=stop)
    run_id = str(stopped.value).removesuffix("'").rpartition(" ")[2]
    with pytest.raises(ConfigError, match="resumes with its own seed, 3, not 4"):
        fer_mlops.train(resume=run_id, seed=4)
    with pytest.raises(ConfigError, match=f"run {run_id} is a cnn run, not transfer"):
        fer_mlops.train(family="transfer", resume=run_id)
    run = fer_mlops.train(resume=run_id)
    assert run.id == run_id
    assert run.trained.experiment.seed == 3
    history = mlflow.MlflowClient().get_metric_history(run_id, "valid/macro_f1")
    assert [point.step for point in history] == [1, 2]


@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_only_a_removed_setting_with_an_effect_keeps_a_run_from_being_repeated(
    world: Path, rho: float
) -> None:
    settings = json.loads(settings_as_json(CnnExperiment()))
    settings["training"]["sam_rho"] = rho
    text = json.dumps(settings)
    with mlflow.start_run() as started:
        mlflow.log_text(text, CONFIG_FILE)
    run_id = started.info.run_id
    assert load_run_config(run_id) == CnnExperiment()
    for repeat in (
        lambda: experiment_of("cnn", {}, recipe=f"runs:/{run_id}"),
        lambda: resumed_experiment(run_id, {"settings": text}, CnnExperiment()),
    ):
        if rho:
            with pytest.raises(
                ConfigError, match=r"^training\.sam_rho was removed: .*; delete it, or sta"
            ):
                repeat()
        else:
            assert repeat() == CnnExperiment()


@pytest.mark.parametrize("repeats", [{"folds": 3}, {"seeds": 2}], ids=["folds", "seeds"])
def test_folds_and_seeds_give_the_scores_of_every_run(
    repeats: dict[str, int], world: Path, faces_folder: Path
) -> None:
    settings = {**SETTINGS["baseline"], "tracking.system_metrics": False, "tracking.images_every": 0}
    done = fer_mlops.train(faces_folder, family="baseline", settings=settings, **repeats)
    assert isinstance(done, Repetition)
    assert {done.repeats.kind: len(done.trained)} == repeats
    assert len(repr(done)) < 200
    assert mlflow.MlflowClient().search_registered_models() == []


def test_a_tracked_run_leaves_the_process_as_it_was(world: Path, faces_folder: Path) -> None:
    before = process_state()
    quick("baseline", faces_folder)
    assert process_state() == before
    assert mlflow.active_run() is None


BAD: list[tuple[dict[str, object], str]] = [
    ({"family": "cn"}, "there is no family 'cn'; did you mean cnn?"),
    ({"epocs": 3}, "unknown setting epocs; did you mean training.epochs?"),
    ({"epochs": "many"}, "training.epochs must be a whole number, got 'many'"),
    ({"training__loss": "focl"}, "did you mean focal?"),
    ({"settings": {"training.loss": "focl"}}, "did you mean focal?"),
    ({"preset": "fastt"}, "did you mean fast?"),
    ({"preset": "fast", "recipe": "mine.yaml"}, "give one"),
    ({"folds": 3, "track": False}, "folds needs MLflow; train with track=True"),
    ({"folds": 3, "seeds": 2}, "both repeat the training; give one"),
    ({"seeds": 1}, "must be 2 or more, for a spread, got 1"),
    ({"resume": "0" * 32}, "0" * 32),
    ({"resume": "0" * 32, "seeds": 2}, "resume continues one run, and seeds starts several"),
    ({"auto_promote": True, "track": False}, "train with track=True"),
    ({"data": "nowhere"}, "no data set or path 'nowhere'"),
]


@pytest.mark.parametrize(("options", "sentence"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_a_mistake_is_one_sentence_and_starts_no_run(
    world: Path, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(FerError) as raised:
        fer_mlops.train(**options)  # type: ignore[arg-type]
    assert sentence in str(raised.value)
    assert not mlflow.MlflowClient().search_runs(
        [one.experiment_id for one in mlflow.MlflowClient().search_experiments()]
    )


@pytest.mark.parametrize("call", ["train", "evaluate", "compare"])
def test_the_store_is_asked_before_a_face_or_a_model_is_read(call: str, world: Path) -> None:
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    calls = {
        "train": lambda: fer_mlops.train("no/faces"),
        "evaluate": lambda: fer_mlops.evaluate("no/model", "no/faces"),
        "compare": lambda: fer_mlops.compare(["no/model", "no/other"], data="no/faces"),
    }
    with pytest.raises(TrackingError, match="no tracking server answers"):
        calls[call]()


def test_an_open_run_is_refused(world: Path, faces_folder: Path) -> None:
    with mlflow.start_run() as opened, pytest.raises(TrackingError, match=opened.info.run_id):
        quick("baseline", faces_folder)


@pytest.mark.slow
def test_a_sweep_returns_the_winner_as_a_run(world: Path, faces_folder: Path, empty_study: Path) -> None:
    (world / "optuna.db").write_bytes(empty_study.read_bytes())
    (world / "space.yaml").write_text(
        "family: cnn\nspace:\n  training.learning_rate: {low: 0.001, high: 0.1}\n"
    )
    sweep = fer_mlops.tune(
        faces_folder,
        settings=SETTINGS["cnn"],
        space="space.yaml",
        trials=2,
        epochs=1,
        tuning__finalists=0,
    )
    assert sweep is not None
    assert sweep.run is not None
    assert sweep.run.id == sweep.winner_run
    assert len(repr(sweep)) < 200


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pretends that this process runs a notebook; returns what it displays."""
    shown: list[str] = []

    class Handle:
        def update(self, value: object) -> None:
            shown.append(value._repr_html_())  # type: ignore[attr-defined]

    def display(value: object, display_id: bool) -> Handle:
        shown.append(value._repr_html_())  # type: ignore[attr-defined]
        return Handle()

    package, inside = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.get_ipython = lambda: types.SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    package.version_info = (9, 0)  # type: ignore[attr-defined]  # matplotlib asks for it
    inside.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", inside)
    return shown


def test_progress_is_shown_in_notebooks_only(
    world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str], notebook: list[str]
) -> None:
    quick("cnn", faces_folder, track=False)
    assert any("training: epoch 2/2, loss " in line for line in notebook)
    assert capfd.readouterr() == ("", "")


def test_progress_is_lines_on_standard_error_in_a_script_unless_a_caller_wants_none(
    world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scores = {"valid/loss": 1.0, "valid/accuracy": 0.5, "valid/macro_f1": 0.25}
    step = SimpleNamespace(has_images=True, summary=lambda run: Step.summary(epoch, run))
    epoch: Any = SimpleNamespace(name="epoch 1/2", metrics=scores)

    def work(progress: Progress | None) -> None:
        with session(progress) as here:
            here.progress("reading faces", 2)(2)
            here.on_step("seed 1", cast(Step, step))
            here.progress("evaluation", 0)

    work(no_progress)
    assert capfd.readouterr() == ("", "")
    work(None)
    assert capfd.readouterr() == (
        "",
        "reading faces: 2/2\n"
        "seed 1: epoch 1/2  valid loss 1.000  valid accuracy 0.500  valid macro-F1 0.250\n"
        "evaluation: done\n",
    )


def test_a_bar_escapes_its_name_and_reaches_its_end(notebook: list[str]) -> None:
    advance = notebook_progress("<b>", 3)
    advance(1)
    advance(2)
    assert '<progress value="3" max="3"></progress> &lt;b&gt;: 3/3' in notebook[-1]


def test_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_notebook()
    package = types.ModuleType("IPython")
    package.get_ipython = lambda: types.SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    assert not is_notebook()


def test_a_page_is_shown_in_a_frame_that_runs_nothing() -> None:
    shown = Page('<p class="a">')._repr_html_()
    assert 'srcdoc="&lt;p class=&quot;a&quot;&gt;"' in shown
    assert shown.startswith("<iframe sandbox ")


@pytest.mark.long
def test_the_notebook_runs_from_its_first_cell_to_its_last(world: Path, notebook: list[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
    cells = [cell for cell in json.loads(page.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        assert cell["outputs"] == []
        exec("".join(cell["source"]), names)
    assert isinstance(names["run"], fer_mlops.Run)
    assert (world / "explanations" / "index.html").is_file()
    assert notebook
