"""What the README tells people to type is there to be typed."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click import Group

from fer_mlops.cli.main import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
INLINE = re.findall(r"`(fer-mlops [^`]*|make [a-z-]+)`", TEXT)
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines()] + INLINE


def commands(first: str) -> list[str]:
    return sorted({line for line in LINES if line.split()[:1] == [first]})


def test_the_pages_have_commands_to_check() -> None:
    assert len(commands("fer-mlops")) >= 15
    assert len(commands("make")) >= 3


@pytest.mark.parametrize("line", commands("fer-mlops"))
def test_every_command_line_shown_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    command, path = cli, ["fer-mlops"]
    while isinstance(command, Group):
        name = words.pop(0)
        assert name in command.commands, line
        command, path = command.commands[name], [*path, name]  # type: ignore[assignment]
    command.make_context(" ".join(path), words)


@pytest.mark.parametrize("line", commands("make"))
def test_every_make_target_shown_exists(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", commands("mlflow"))
def test_every_project_run_shown_has_its_entry_point_and_parameters(line: str) -> None:
    words = shlex.split(line)
    if words[1] != "run":
        return
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"][
        words[words.index("-e") + 1]
    ]
    for flag, value in itertools.pairwise(words):
        if flag == "-P":
            assert value.split("=")[0] in entry["parameters"]


def test_every_option_the_help_lists_of_presets_exists() -> None:
    from fer_mlops.config.recipes import preset_path

    for family, preset in re.findall(r"fer-mlops (?:tune )?(\w+) [^`\n]*--preset (\w+)", TEXT):
        assert preset_path(family, preset).is_file()


def test_the_map_of_the_house_names_every_room() -> None:
    chart = re.search(r"```text\nfer_mlops/\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert chart
    for path in (ROOT / "fer_mlops").iterdir():
        if path.name.startswith("__"):
            continue
        name = f"{path.name}/" if path.is_dir() else path.name
        assert name in chart.group(1) or path.stem in chart.group(1), name


def test_the_readme_is_two_screens() -> None:
    words = [word for word in (ROOT / "README.md").read_text().split() if re.search(r"\w", word)]
    assert len(words) <= 900


def test_every_file_that_the_architecture_names_exists() -> None:
    named = re.findall(r"`([\w/]+(?:\.py|\.yaml|/))`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) >= 30
    for name in named:
        assert (ROOT / "fer_mlops" / name).exists() or (ROOT / name).exists(), name


def test_every_page_has_a_place_on_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text()
    outside = re.findall(r'": "(\w+\.md)"', (ROOT / "docs" / "site_pages.py").read_text())
    placed = re.findall(r": (\w+\.md)$", site, re.MULTILINE)
    assert sorted(placed) == sorted(outside + [page.name for page in (ROOT / "docs").glob("*.md")])


def test_the_python_shown_loads_the_model_by_its_name() -> None:
    assert 'mlflow.pyfunc.load_model("models:/fer-classifier@champion")' in TEXT


def test_no_link_is_broken() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "check_links.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
