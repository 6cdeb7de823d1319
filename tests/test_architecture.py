"""The house's rules, held by a test: who may import whom, and that importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fer_mlops"

ROOMS = (
    "errors",
    "emotions",
    "progress",
    "cache",
    "files",
    "pages",
    "config",
    "recipes",
    # data
    "images",
    "datasets",
    "workers",
    "face_finding",
    "films",
    "pixels",
    "duplicates",
    "splits",
    # learning
    "augment",
    "losses",
    "metrics",
    "resampling",
    "confidence",
    "ranking",
    "crew",
    "devices",
    "features",
    "calibration",
    "models",
    "face_identities",
    "optimizers",
    "sampling",
    "session",
    "memory",
    "training",
    "checkpoints",
    "classifier",
    "onnx_model",
    "learning",
    "preparation",
    # judgement
    "answers",
    "evaluation",
    "pairing",
    "doctor",
    "slices",
    "robustness",
    "explanation",
    "attribution",
    "figures",
    # the outside world
    "server",
    "database",
    "store",
    "ending",
    "outbox",
    "tracker",
    "tracking",
    "aliases",
    "registry",
    "reporting",
    "prediction",
    "asking",
    "answer_lines",
    "distillation",
    "keeper",
    "experiment",
    "judging",
    "looking",
    "repetition",
    "comparison",
    "promotion",
    "onnx_export",
    "scoring",
    "suite",
    "tuning",
    "serving",
    "project",
    "console",
    "options",
    "data_commands",
    "judgement_commands",
    "registry_commands",
    "predict_commands",
    "launching",
    "train_command",
    "tune_command",
    "serve_command",
    "cli",
    "__main__",
)
"""Top to bottom: a room imports only from those before it, and from itself."""

EDGES = {
    "mlflow": {
        "server",
        "database",
        "store",
        "ending",
        "outbox",
        "tracker",
        "tracking",
        "aliases",
        "registry",
        "comparison",
        "judging",
        "promotion",
        "tuning",
        "scoring",
        "serving",
        "project",
        "cli",
    },
    "optuna": {"tuning"},
    "click": {
        "options",
        "data_commands",
        "judgement_commands",
        "registry_commands",
        "tune_command",
        "serve_command",
        "predict_commands",
        "cli",
    },
    "fastapi": {"serving"},
    "prometheus_client": {"serving"},
    "rich": {"console"},
    "dlib": {"face_finding", "face_identities"},
    "av": {"films"},
    "onnx": {"onnx_export"},
    "onnxruntime": {"onnx_model", "onnx_export"},
    "pyspark": {"scoring"},
    "captum": {"explanation"},
    "matplotlib": {"figures", "tracker", "reporting", "repetition", "comparison"},
}
"""Who may know a vendor."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
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
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    room = room_of(path)
    own = ROOMS.index(room)
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("fer_mlops.")}
    upward = {other for other in ours - {"__version__", room} if ROOMS.index(other) > own}
    assert not upward, f"{room} imports {upward}, which stand below it"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_vendor_is_known_at_its_edge_only(path: Path) -> None:
    for vendor, rooms in EDGES.items():
        if any(name.split(".")[0] == vendor for name in imports_of(path)):
            assert room_of(path) in rooms, f"{path.name} imports {vendor}"


def test_the_packages_inside_have_no_import_cycle() -> None:
    for folder in (path.parent for path in PACKAGE.glob("*/__init__.py")):
        prefix = f"fer_mlops.{folder.name}."
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
        "import sys\nfrom click.testing import CliRunner\nfrom fer_mlops.cli import cli\n"
        "assert CliRunner().invoke(cli, ['transfer', '--help']).exit_code == 0\n"
        "print({'torch', 'mlflow', 'sklearn', 'numpy', 'optuna'} & set(sys.modules))"
    )
    assert run_python(code, PACKAGE.parent).strip() == "set()"


def test_a_list_of_the_versions_loads_nothing_that_trains(world: Path) -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom fer_mlops.cli import cli\n"
        "done = CliRunner().invoke(cli, ['registry', 'list'])\n"
        "assert done.exit_code == 0 and 'version' in done.output, done.output\n"
        "print({'torch', 'torchvision', 'sklearn', 'skimage', 'matplotlib'} & set(sys.modules))"
    )
    assert run_python(code, world).strip() == "set()"
