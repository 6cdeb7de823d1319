"""What a stranger installs: few packages, and one sentence for each that is missing."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from fer_mlops.errors import ConfigError, ModelError, needs_extra

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
NOT_FOR_USERS = {"all", "docs", "dev"}

OPTIONAL = ["dlib", "face_recognition_models", "timm", "onnx", "onnxruntime", "onnxscript"]
OPTIONAL += ["av", "pyspark", "py4j", "psycopg", "optuna_dashboard"]
"""Modules of the extras."""


def packages_of(extra: str) -> set[str]:
    """Returns the names of the packages that an extra installs, those of its own extras too."""
    names: set[str] = set()
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == "fer-mlops":
            names = names.union(*map(packages_of, requirement.extras))
        else:
            names.add(requirement.name)
    return names


def imported_by(node: ast.AST, inside_functions: bool = False) -> Iterator[str]:
    """Yields the names of the modules that a syntax tree imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.module or ""
        elif inside_functions or not isinstance(child, ast.FunctionDef):
            yield from imported_by(child, inside_functions)


def test_every_message_about_a_missing_package_names_an_extra() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "fer_mlops").rglob("*.py"))
    pages = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    named = set(re.findall(r"(?:needs_extra|without_extra)\(\s*\"(\w+)\"", code))
    told = re.findall(r"fer-mlops\[([\w,]+)\]", pages)
    assert named >= {"face", "timm", "onnx", "video", "spark", "postgres"}
    assert named.union(*(extras.split(",") for extras in told)) <= set(EXTRAS)


def test_all_holds_every_extra_of_a_user() -> None:
    others = set(EXTRAS) - NOT_FOR_USERS
    assert packages_of("all") == set().union(*map(packages_of, others))
    assert packages_of("dev") >= packages_of("all") | packages_of("docs")


def test_a_missing_package_is_one_sentence_with_the_command() -> None:
    with (
        pytest.raises(
            ConfigError, match=r"^Spark scoring needs pyspark: pip install 'fer-mlops\[spark\]'$"
        ),
        needs_extra("spark", "Spark scoring needs pyspark"),
    ):
        raise ModuleNotFoundError
    with pytest.raises(ModelError), needs_extra("onnx", "'m.onnx' needs onnxruntime", ModelError):
        raise ImportError


def test_no_module_needs_an_optional_package_to_be_imported() -> None:
    for path in (ROOT / "fer_mlops").rglob("*.py"):
        at_import = ast.parse(path.read_text())
        at_import.body = [
            node for node in at_import.body if not isinstance(node, ast.If)
        ]  # for types only
        names = {name.split(".")[0] for name in imported_by(at_import)}
        assert not names & set(OPTIONAL), path


def test_only_the_command_line_imports_the_tuner() -> None:
    """The package itself names ``tune`` for types and imports it on first use."""
    for path in (ROOT / "fer_mlops").rglob("*.py"):
        if path.relative_to(ROOT / "fer_mlops").parts[0] not in ("tuning", "cli", "__init__.py"):
            names = imported_by(ast.parse(path.read_text()), inside_functions=True)
            assert not [name for name in names if name.startswith("fer_mlops.tuning")], path


def test_what_users_install_brings_no_tool_of_developers() -> None:
    makefile = (ROOT / "Makefile").read_text()
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"][-1]["pip"]
    users = re.findall(r"^\$\(READY\):.*\n(?:\t.*\n)*", makefile, re.MULTILINE)
    assert len(users) == 1
    assert re.findall(r"-e '(.*)'", users[0]) == [".[face]"]
    assert conda == ["-e .[face]"]
    assert re.search(r"^demo: \$\(READY\)", makefile, re.MULTILINE)
    for target in ("test", "test-long", "test-fast", "check", "format", "docs"):
        assert re.search(rf"^{target}: \$\(DEV\)", makefile, re.MULTILINE), target


def test_the_licence_the_types_and_the_citation_are_part_of_the_package() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert (ROOT / "fer_mlops" / "py.typed").is_file()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    version = re.search(r'__version__ = "(.*)"', (ROOT / "fer_mlops" / "__init__.py").read_text())
    assert version
    assert (citation["version"], citation["license"]) == (version[1], "Apache-2.0")


def test_the_hooks_run_the_tools_of_the_environment() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/") for hook in local["hooks"])


def test_ci_on_github_runs_the_script_of_ci() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run") for step in workflow["jobs"]["checks"]["steps"]]
    assert "bash .ci/run" in steps
