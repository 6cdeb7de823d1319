"""The help of every command: its length, sections, presets and examples."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from commands import COMMANDS
from expert_files import install

from fer_mlops.cli.commands import MOVED, Command
from fer_mlops.cli.main import cli
from fer_mlops.cli.options import SECTIONS, build, build_sweep
from fer_mlops.cli.project_file import ENTRY_POINTS
from fer_mlops.config.conversion import keys_of
from fer_mlops.config.options import KEYS
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.files import presets
from fer_mlops.models.backbones import BACKBONES
from fer_mlops.serving.http.settings import ServeSettings

SCREEN = 50
"""Lines of one screen, 100 columns wide."""


def help_of(*words: str) -> str:
    done = CliRunner().invoke(cli, [*words, "--help"], terminal_width=98)  # click leaves 2 columns
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_one_screen(name: str) -> None:
    assert len(help_of(*name.split()).splitlines()) <= SCREEN


@pytest.mark.parametrize("name", COMMANDS)
def test_more_than_eight_options_are_in_sections(name: str) -> None:
    command = COMMANDS[name]
    options = [each for each in command.params if isinstance(each, click.Option)]
    headings = re.findall(r"^(\w[\w ]*):$", help_of(*name.split()), re.MULTILINE)
    assert headings[-1] == "Examples"
    assert (len(headings) > 2) == (len(options) > 8)


def test_every_command_is_in_a_section_with_a_whole_summary() -> None:
    text = help_of()
    for name, command in cli.commands.items():  # type: ignore[attr-defined]
        summary = command.get_short_help_str(200)
        assert len(summary) < 50
        assert re.search(rf"^  {name} +{re.escape(summary)}$", text, re.MULTILINE), name
    assert "Commands:" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_no_summary_is_cut_at_80_columns(name: str) -> None:
    *group, last = name.split()
    text = CliRunner().invoke(cli, [*group, "--help"], terminal_width=80).output
    summary = COMMANDS[name].get_short_help_str(200)
    assert re.search(rf"^  {last} +{re.escape(summary)}$", text, re.MULTILINE)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_entry_point_has_two_examples_or_three(name: str) -> None:
    _, command = ENTRY_POINTS[name]
    assert isinstance(command, Command)
    assert 2 <= len(command.examples) <= 3


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_are_understood(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    command = COMMANDS[name]
    assert isinstance(command, Command)
    assert 1 <= len(command.examples) <= 3
    for example in command.examples:
        words = shlex.split(example)
        start = ["fer-mlops", *name.split()]
        assert words[: len(start)] == start
        context = command.make_context(name, words[len(start) :])
        if name in SECTIONS:
            build(name, context.params)
        elif name == "tune":
            build_sweep(context.params["family"], context.params)


@pytest.mark.parametrize("family", SECTIONS)
def test_the_help_names_every_preset_of_the_family(family: str) -> None:
    named = ", ".join(presets(family))
    assert f"Recipe of the project: {named}." in help_of(family)
    assert f"{family}: {named}" in " ".join(help_of("tune").split())


@pytest.mark.parametrize("name", ["transfer", "tune", "all"])
def test_the_help_names_every_backbone_of_the_project(name: str) -> None:
    for backbone in ("auto", *BACKBONES):
        assert backbone in help_of(name) or backbone == "tiny"  # of the tests


def test_the_help_of_all_names_the_presets_of_cnn() -> None:
    assert f"Recipe of the project: {', '.join(presets('cnn'))}." in " ".join(help_of("all").split())


@pytest.mark.parametrize(
    ("command", "option"), [(name, option) for name, moved in MOVED.items() for option in moved]
)
def test_an_option_that_became_a_setting_names_it(command: str, option: str) -> None:
    done = CliRunner().invoke(cli, [command, option, "1"])
    key = MOVED[command][option]
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: {option} is now a setting: --set {key}=VALUE"
    known = {
        "tune": {*keys_of(TuningConfig(), "tuning."), *KEYS.values()},
        "serve": set(keys_of(ServeSettings(), "")),
    }
    assert key in known[command]
    assert option not in {flag for each in COMMANDS[command].params for flag in each.opts}
