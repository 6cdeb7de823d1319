"""Recipes: fill an experiment from a preset or recipe file, then from options and ``--set key=value``.

A recipe is a YAML file with the experiment's sections plus ``family``; a preset is a recipe that ships
with the project, ``experiments/<family>-<preset>.yaml``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path

import yaml

from fer_mlops.config import FAMILIES, Experiment
from fer_mlops.config.conversion import REMOVED, RENAMED, fill, keys_of
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.errors import ConfigError, did_you_mean, no_such
from fer_mlops.files import presets, recipes_folder

Scalar = str | int | float | bool
Tree = dict[str, object]
TUNING = "tuning"
"""Section of a recipe that only sweeps have; the experiment of a trial does not include it."""
_MOST_SHOWN = 20  # more would bury the scores in MLflow's table
_MAIN = (
    *("seed", "data.source", "data.split", "hog_svm.image_size", "cnn.image_size"),
    *("transfer.image_size", "transfer.backbone", "training.epochs", "training.batch_size"),
    *("training.learning_rate", "training.optimizer", "training.loss"),
)


def preset_path(family: str, preset: str) -> Path:
    """Returns the recipe file of a preset.

    Raises:
        ConfigError: The family has no such preset; the message lists its presets.
    """
    path = recipes_folder() / f"{family}-{preset}.yaml"
    if not path.is_file():
        known = presets(family)
        hint = did_you_mean(preset, known, otherwise=f"it has: {', '.join(known)}")
        raise ConfigError(f"{family} has no preset {preset!r}; {hint}")
    return path


def read_settings(path: Path, name: str = "settings file") -> Tree:
    """Returns the mapping in a YAML file.

    Raises:
        ConfigError: The file is missing or is no YAML mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(no_such(name, path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {name} {str(path)!r}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        reason = " ".join(str(error).split())
        raise ConfigError(f"{name} {str(path)!r} is not valid YAML: {reason}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{name} {str(path)!r} must be a mapping, such as 'key: value'")
    return tree


def read_recipe(path: Path, family: str) -> Tree:
    """Returns the settings in a recipe file by section; the file may name them by dotted key too.

    Raises:
        ConfigError: The file is missing, is not a YAML mapping, or belongs to another family.
    """
    tree = read_settings(path, "recipe")
    tree = {key: {} if value is None else value for key, value in tree.items()}  # all lines are comments
    stated = tree.pop("family", family)
    if stated != family:
        raise ConfigError(f"recipe {str(path)!r} is for {stated!r}, not {family!r}")
    sections = {key: value for key, value in tree.items() if "." not in str(key)}
    return _with(sections, {key: value for key, value in tree.items() if key not in sections})


def parse_assignments(texts: Iterable[str]) -> Tree:
    """Returns the settings of several ``--set`` by dotted key; later ones override earlier ones.

    Args:
        texts: ``section.key=value``, whose value is read as YAML, or a YAML mapping such as
            ``{training.loss: focal, seed: 1}``. A section in the mapping may hold a mapping itself.

    Raises:
        ConfigError: The ``=`` is missing, or the text is not valid YAML.
    """
    settings: Tree = {}
    for text in texts:
        for key, value in _pairs(text):
            if isinstance(value, dict) and "." not in key:
                settings |= {f"{key}.{name}": inner for name, inner in value.items()}
            else:
                settings[key] = value
    return settings


def _pairs(text: str) -> list[tuple[str, object]]:
    if text.lstrip().startswith("{"):
        try:
            tree = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text!r} is not a valid YAML mapping") from error
        return [(str(key), value) for key, value in tree.items()]
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set needs key=value, such as training.epochs=5, got {text!r}")
    try:
        return [(key.strip(), yaml.safe_load(value))]
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key.strip()}: {value!r} is not a valid YAML value") from error


def merge_settings(
    family: str, *, recipe: Path | Tree | None = None, settings: Mapping[str, object] | None = None
) -> Tree:
    """Returns a recipe with ``settings`` applied, by section.

    ``settings`` has values by dotted key, such as ``training.epochs``; they override the recipe.

    Raises:
        ConfigError: The recipe cannot be read, or a key goes below a value.
    """
    tree = read_recipe(recipe, family) if isinstance(recipe, Path) else deepcopy(recipe or {})
    return _with(tree, settings or {})


def _with(tree: Tree, settings: Mapping[str, object]) -> Tree:
    """Returns ``tree``, by section, after setting values by dotted key in it."""
    for key, value in settings.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            inner = node.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{section} is a value, not a section, so {key} cannot be set")
            node = inner
        node[name] = value
    return tree


def build_experiment(
    family: str, *, recipe: Path | Tree | None = None, settings: Mapping[str, object] | None = None
) -> Experiment:
    """Returns the family's experiment with a recipe and ``settings``, as ``merge_settings`` takes them.

    Raises:
        ConfigError: A key is unknown, or a value is of the wrong type or out of range.
    """
    tree = merge_settings(family, recipe=recipe, settings=settings)
    if TUNING in tree:
        raise ConfigError(
            f"the section {TUNING} has an effect in 'fer-mlops tune {family}' only; leave it out"
        )
    return fill(FAMILIES[family](), tree)


def build_sweep(
    family: str, *, recipe: Path | Tree | None = None, settings: Mapping[str, object] | None = None
) -> tuple[Experiment, Tree]:
    """Returns the experiment that a sweep starts from, and the values of the section ``tuning``.

    Raises:
        ConfigError: A key is unknown, or a value is of the wrong type or out of range.
    """
    tree = merge_settings(family, recipe=recipe, settings=settings)
    tuning = tree.pop(TUNING, {})
    if not isinstance(tuning, dict):
        raise ConfigError(f"{TUNING} is a section and needs keys of its own, got {tuning!r}")
    own_keys = keys_of(TuningConfig(), f"{TUNING}.")
    return fill(FAMILIES[family](), tree, others=own_keys), tuning


def settings_as_json(experiment: Experiment) -> str:
    """Returns every setting as JSON, the form in which a run and its checkpoint keep them."""
    return json.dumps({"family": experiment.family, **dataclasses.asdict(experiment)}, indent=2)


def recipe_tree(experiment: Experiment) -> Tree:
    """Returns the recipe of the experiment: the settings that differ from the defaults, by section."""

    def tree_of(one: Experiment) -> Tree:
        plain: Tree = json.loads(json.dumps(dataclasses.asdict(one)))  # YAML has no tuples
        return plain

    tree, default = tree_of(experiment), tree_of(FAMILIES[experiment.family]())
    changed: Tree = {}
    for key, value in tree.items():
        standard = default[key]
        if isinstance(value, dict) and isinstance(standard, dict):
            value = {name: inner for name, inner in value.items() if inner != standard[name]}
        if value not in (standard, {}):  # {}: a section without changes
            changed[key] = value
    return changed


def recipe_text(experiment: Experiment) -> str:
    """Returns the recipe of the experiment as YAML."""
    tree = {"family": experiment.family, **recipe_tree(experiment)}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def experiment_from_json(text: str, *, to_repeat: bool = True) -> Experiment:
    """Returns the experiment from the JSON of ``settings_as_json``; former keys are read too.

    Removed settings are left out; ``to_repeat`` makes one that had an effect an error.

    Raises:
        ConfigError: A key is unknown or was removed, or a value is invalid.
    """
    tree = json.loads(text)
    family = tree.pop("family")
    # a run or a checkpoint of an earlier version; not through current_key, which would log each
    for former, key in RENAMED.items():
        section, _, name = former.partition(".")
        if name in tree.get(section, {}):
            tree[section][key.removeprefix(f"{section}.")] = tree[section].pop(name)
    if not to_repeat:
        for section, _, name in (key.partition(".") for key in REMOVED):
            tree.get(section, {}).pop(name, None)
    return fill(FAMILIES[family](), tree)


def flatten(experiment: Experiment) -> dict[str, Scalar]:
    """Returns every setting under its dotted key; tuples become comma-separated text."""
    flat: dict[str, Scalar] = {}
    for key, value in dataclasses.asdict(experiment).items():
        if isinstance(value, dict):
            for name, inner in value.items():
                flat[f"{key}.{name}"] = _plain(inner)
        else:
            flat[key] = value
    return flat


def main_settings(experiment: Experiment, first: Iterable[str] = ()) -> dict[str, Scalar]:
    """Returns the settings that MLflow shows as parameters, at most 20.

    They are ``first``, the usual ones, then those that differ from the defaults.
    """
    flat, default = flatten(experiment), flatten(FAMILIES[experiment.family]())
    changed = [key for key, value in flat.items() if value != default[key]]
    fold = ["data.fold"] if flat["data.folds"] else []
    keys = dict.fromkeys(key for key in (*first, *fold, *_MAIN, *changed) if key in flat)
    chosen = list(keys)[: _MOST_SHOWN - 1]
    return {"family": experiment.family, **{key: flat[key] for key in flat if key in chosen}}


def _plain(value: object) -> Scalar:
    """Returns a setting as a single string, number or boolean."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    assert isinstance(value, Scalar)
    return value
