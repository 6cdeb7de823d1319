"""Structure: which package may import which, and that importing does nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from quick import nonsense, save_blobs
from services import publish

from fer_mlops.config import TransferConfig
from fer_mlops.models import build_network
from fer_mlops.models.backbones import BACKBONES
from fer_mlops.models.classifier import NetworkScorer

PACKAGE = Path(__file__).parent.parent / "fer_mlops"

README = PACKAGE.parent / "README.md"

_MAP = README.read_text().split("```text\nfer_mlops/\n")[1].split("experiments/")[0]
PACKAGES = [name for line in _MAP.splitlines() for name in re.findall(r"(\w+)(?:/|\.py)(?= )", line)]
"""The map in the README, in order: a package imports only from those before it."""

APART = {"training", "evaluation", "tracking"}
"""None of these imports another of them."""

EDGES = {
    "mlflow": {"tracking", "serving", "cli"},
    "optuna": {"tuning"},
    "pydantic": {"config", "models", "serving"},
    "click": {"cli"},
    "fastapi": {"serving"},
    "prometheus_client": {"serving"},
    "rich": {"cli"},
    "dlib": {"images", "data"},
    "av": {"images"},
    "onnx": {"serving"},
    "onnxruntime": {"models", "serving"},
    "pyspark": {"serving"},
    "captum": {"evaluation"},
    "matplotlib": {"reporting", "tracking", "pipelines", "tuning"},
    "jinja2": {"reporting"},
    "markupsafe": {"reporting"},
}
"""Third-party package to the only packages that import it."""

CONSTANTS = {"__version__", "REGISTERED_NAME", "CHAMPION_NAME"}
"""Names that every module may import from the package itself, which imports none of its modules."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Returns the dotted names a module imports, those inside functions too, less type checking."""
    tree = ast.parse(path.read_text())
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_package_imports_only_from_those_before_it(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    package = package_of(path)
    if package == "__main__":
        return
    allowed = set(PACKAGES[: PACKAGES.index(package)]) | CONSTANTS
    allowed -= APART if package in APART else set()
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("fer_mlops.")}
    assert ours <= allowed | {package}


def test_the_top_level_has_few_packages_and_modules() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert packages | modules == set(PACKAGES)
    assert len(packages) <= 13
    assert len(modules) <= 6


def test_a_registered_version_loads_no_data_set_and_few_modules() -> None:
    code = (
        "import sys\nimport fer_mlops.models.classifier\n"
        "print(*(m for m in sys.modules if m.startswith('fer_mlops.')))"
    )
    loaded = run_python(code, PACKAGE.parent).split()
    assert not [name for name in loaded if name.startswith(("fer_mlops.data", "fer_mlops.training"))]
    assert len(loaded) <= 22


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_third_party_package_is_imported_where_it_belongs(path: Path) -> None:
    for vendor, packages in EDGES.items():
        if any(name.split(".")[0] == vendor for name in imports_of(path)):
            assert package_of(path) in packages, f"{path.name} imports {vendor}"


def test_the_page_on_the_architecture_says_where_third_party_packages_belong() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rows = re.findall(r"(?m)^\| ([a-z0-9_, ]+)(?: \(\w+\))? \| (`.*`) \|$", page)
    listed = {
        name: set(re.findall(r"\w+", where)) for names, where in rows for name in names.split(", ")
    }
    assert listed == EDGES


def test_mlflow_is_reached_through_tracking() -> None:
    """Elsewhere only ``mlflow run`` and the server, which follows versions, know MLflow."""
    outside = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(name.split(".")[0] == "mlflow" for name in imports_of(path))
        and package_of(path) != "tracking"
    }
    assert outside == {
        "cli/mlflow_project.py",
        "serving/http/loaded_model.py",
        "serving/http/model_slots.py",
    }


def test_the_client_of_mlflow_is_made_in_one_place() -> None:
    makers = [path.name for path in MODULES if "MlflowClient(" in path.read_text()]
    assert makers == ["connection.py"]


def test_the_cache_folder_is_looked_up_where_a_call_begins_and_passed_on() -> None:
    users = [path for path in MODULES if "fer_mlops.files.cache_folder" in imports_of(path)]
    inside = [path for path in users if package_of(path) != "cli"]
    assert inside == [PACKAGE / "pipelines" / "session.py"]


def test_the_packages_inside_have_no_import_cycle() -> None:
    for folder in (path.parent for path in PACKAGE.rglob("*/__init__.py")):
        prefix = ".".join(folder.relative_to(PACKAGE.parent).parts) + "."
        graph = {
            path.stem: {
                n.removeprefix(prefix).split(".")[0] for n in imports_of(path) if n.startswith(prefix)
            }
            for path in folder.glob("*.py")
            if path.stem != "__init__"
        }
        while graph:
            free = {name for name, needs in graph.items() if not needs & graph.keys()}
            assert free, f"a cycle among {sorted(graph)} of {folder.name}"
            graph = {name: needs for name, needs in graph.items() if name not in free}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_fit_a_reader(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 330
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= 50, f"{path.name}:{node.name} has {length} lines"


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_importing_every_module_makes_no_file_and_no_noise(tmp_path: Path) -> None:
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in MODULES
        if path.stem not in ("__init__", "__main__", "registered_model")
    ]
    code = "import logging, torch\n" + "".join(f"import {name}\n" for name in names)
    seeded = "torch.manual_seed(7); a = torch.get_rng_state()\n"
    same = "assert (a == torch.get_rng_state()).all()\nassert not logging.getLogger().handlers"
    head, *rest = code.splitlines(keepends=True)
    assert run_python(head + seeded + "".join(rest) + same, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_loads_no_heavy_module_for_its_help() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom fer_mlops.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['transfer', '--help']).exit_code == 0\n"
        "print({'torch', 'mlflow', 'sklearn', 'numpy', 'optuna', 'pydantic'} & set(sys.modules))"
    )
    assert run_python(code, PACKAGE.parent).strip() == "set()"


SLOW = {
    *("sklearn", "scipy", "skimage", "pandas", "matplotlib", "optuna", "torchvision", "torch._dynamo"),
    *("mlflow", "sqlalchemy", "alembic"),
}
"""Modules that a first prediction has no time to import beside torch."""


def slow_imports_of(words: list[str], folder: Path) -> str:
    """Returns the slow modules, and torch, that a command imports; it must end well."""
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom fer_mlops.cli.main import cli\n"
        f"done = CliRunner().invoke(cli, {words!r})\nassert done.exit_code == 0, done.output\n"
        f"print(sorted(({SLOW!r} | {{'torch'}}) & set(sys.modules)))"
    )
    return run_python(code, folder).strip()


def test_a_list_of_the_versions_loads_neither_torch_nor_mlflow(world: Path) -> None:
    assert slow_imports_of(["registry", "list"], world) == "[]"


@pytest.mark.parametrize("kind", ["baseline", "cnn", "resnet18", "efficientnet_lite0"])
def test_a_prediction_of_a_registered_model_loads_only_torch(kind: str, world: Path) -> None:
    model = nonsense("baseline" if kind == "baseline" else "cnn")
    if kind in BACKBONES:
        config = TransferConfig(image_size=64, backbone=kind)
        network = NetworkScorer(build_network("transfer", config, 7), config)
        model = replace(model, family="transfer", image_size=64, scorer=network)
    model.save(world / "bundle")
    publish(world / "bundle", "champion")
    [face] = save_blobs(world / "faces", 1)
    assert slow_imports_of(["predict", f"faces/{face}"], world) == "['torch']"


def test_a_store_that_does_not_answer_refuses_training_before_torch_is_loaded(tmp_path: Path) -> None:
    code = """
import os, sys
from click.testing import CliRunner
from fer_mlops.cli.main import cli
os.environ['MLFLOW_TRACKING_URI'] = 'http://127.0.0.1:9'
for words in (
    'baseline', 'cnn', 'transfer', 'all', 'tune', 'cnn --seeds 2', 'cnn --folds 3', 'cnn --resume some',
    'cnn --processes 2',
):
    refusal = str(CliRunner().invoke(cli, words.split()).exception)
    assert refusal.startswith('no tracking server answers'), (words, refusal)
    assert 'torch' not in sys.modules, words
"""
    assert run_python(code, tmp_path) == ""
