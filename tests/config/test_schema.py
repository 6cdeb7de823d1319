"""The recipes' JSON schema, and the settings that the docs name, are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fer_mlops.config import FAMILIES
from fer_mlops.config.conversion import REMOVED, RENAMED, fill, keys_of
from fer_mlops.config.recipes import build_experiment, build_sweep, flatten
from fer_mlops.config.schema import SCHEMA_FILE, recipe_schema
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.files import recipes_folder

ROOT = recipes_folder().parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUNING_KEYS = set(keys_of(TuningConfig(), "tuning."))
KNOWN = {key for family in FAMILIES for key in flatten(FAMILIES[family]())} | TUNING_KEYS


def schema_settings(family: str) -> dict[str, Any]:
    """Returns the schema of every setting of a family by dotted key."""
    schema = recipe_schema()
    found = {}
    for name, part in schema["$defs"][FAMILIES[family].__name__]["properties"].items():
        section = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        for key, setting in section.get("properties", {"": section}).items():
            found[f"{name}.{key}".rstrip(".")] = setting
    return found


def test_the_schema_file_is_up_to_date() -> None:
    text = (recipes_folder() / SCHEMA_FILE).read_text()
    assert json.loads(text) == json.loads(json.dumps(recipe_schema())), (
        "run: python -m fer_mlops.config.schema"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_schema_has_every_setting_with_its_default_and_description(family: str) -> None:
    settings = schema_settings(family)
    assert settings.pop("family")["const"] == family
    assert settings.keys() == flatten(FAMILIES[family]()).keys() | TUNING_KEYS
    assert all(setting["description"] for setting in settings.values())
    stated = {key: setting["default"] for key, setting in settings.items() if "default" in setting}
    without = {"data.labels", "tuning.timeout", "tuning.latency_budget"}  # an empty mapping, no limit
    assert settings.keys() - stated.keys() == without
    experiment, tuning = build_sweep(family, settings=stated)
    assert experiment == FAMILIES[family]()
    assert fill(TuningConfig(), tuning) == TuningConfig()


def test_the_schema_forbids_unknown_settings_and_states_limits() -> None:
    assert all(part["additionalProperties"] is False for part in recipe_schema()["$defs"].values())
    settings = schema_settings("transfer")
    assert settings["training.epochs"]["minimum"] == 1
    assert settings["training.epochs"]["default"] == 6
    assert settings["data.on_bad_image"]["enum"] == ["error", "skip"]


@pytest.mark.parametrize("path", sorted(recipes_folder().glob("*-*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_names_its_schema_and_has_only_settings_of_it(path: Path) -> None:
    if path.stem.startswith("tune-"):
        return
    text = path.read_text()
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    recipe = yaml.safe_load(text)
    settings = schema_settings(recipe["family"])
    for section, values in recipe.items():
        keys = [f"{section}.{name}" for name in values] if isinstance(values, dict) else [section]
        assert set(keys) <= settings.keys()


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_the_docs_name_only_settings_that_exist(path: Path) -> None:
    sections = {key.split(".")[0] for key in KNOWN if "." in key}
    named = re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_0-9]+)(?=[`=])", path.read_text())
    former = {**RENAMED, **REMOVED} if path.name == "training.md" else {}
    assert set(named) - {"training.csv", "training.html"} <= KNOWN | former.keys()  # files


def test_the_table_of_options_in_the_docs_states_their_defaults() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    text = text.split("\n## Settings\n")[1].split("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([a-z_.0-9]+)` \| `?([\w.]+)`? \| `?([\w.]+)", text)
    assert len(rows) == 3
    for key, off, tried in rows:
        assert build_experiment("cnn", settings={key: yaml.safe_load(off)}) == FAMILIES["cnn"](), key
        assert build_experiment("cnn", settings={key: yaml.safe_load(tried)}) != FAMILIES["cnn"](), key


def test_the_table_of_former_names_in_the_docs_is_complete() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    assert dict(re.findall(r"(?m)^\| `([a-z_.]+)` \| `([a-z_.]+)` \|$", text)) == RENAMED


def test_the_table_of_removed_settings_in_the_docs_is_complete() -> None:
    text = (ROOT / "docs" / "training.md").read_text().partition("\n## Removed settings")[2]
    rows = re.findall(r"(?m)^\| `([a-z_.]+)`(?:, formerly `([a-z_.]+)`)? \| (\d) \|", text)
    assert {name: int(off) for *names, off in rows for name in names if name} == REMOVED
