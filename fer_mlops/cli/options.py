"""Command-line options, and the experiment that is built from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError

if TYPE_CHECKING:
    from fer_mlops.config import Experiment

Command = Callable[..., Any]

DATA_HELP = "'sample', a folder with one subfolder per emotion, a CSV file, or a copy of Muxspace."


class _AutoNumber(click.ParamType[Any]):
    """A number, or ``auto`` for the value of the recipe or preset."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind
        self.name = "integer|auto" if kind is int else "number|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float | None:
        if value in (None, "auto"):
            return None
        try:
            return self.kind(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is neither a number nor 'auto'", param, ctx)


INT, FLOAT = _AutoNumber(int), _AutoNumber(float)

ON_BAD_IMAGE = click.option(
    "--on-bad-image",
    type=click.Choice(["auto", "error", "skip"]),
    default="auto",
    help="Stop at an unreadable image, or skip it.",
)
SET = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change any setting; repeatable.",
)
DATA = (click.option("--data", default="sample", show_default=True, help=DATA_HELP),)
SPLIT = (
    click.option(
        "--split",
        default="auto",
        help="Split of the faces: identity (default) keeps each person in one part; random gives scores "
        "that are too high; given uses the publisher's split; or a CSV file with image,part.",
    ),
    click.option("--seed", type=INT, default="auto", help="Random seed."),
)
PLACE = (
    ON_BAD_IMAGE,
    click.option("--experiment", default="", help="MLflow experiment (default: fer_mlops)."),
)
COMMON = (
    *DATA,
    *SPLIT,
    click.option("--recipe", default="", help="YAML file of settings; other options override it."),
    click.option("--preset", default="", help="Name of one of the project's recipes."),
    SET,
    *PLACE,
)
SIZE = (
    click.option("--image-size", type=INT, default="auto", help="Side of the square input, in pixels."),
)
FIT = (
    click.option("--epochs", type=INT, default="auto", help="Largest number of training epochs."),
    click.option("--batch-size", type=INT, default="auto", help="Faces per optimiser step."),
    click.option("--learning-rate", type=FLOAT, default="auto", help="Peak learning rate."),
)
TEACHER = (click.option("--teacher", default="", metavar="MODEL", help="Trained model to distil from."),)
TRANSFER = (
    click.option(
        "--backbone",
        default="auto",
        show_default=True,
        help="Backbone: efficientnet_lite0, a convolutional network of torchvision, or timm:NAME.",
    ),
    click.option(
        "--weights",
        default="imagenet",
        show_default=True,
        help="Pretrained weights: imagenet, a torchvision name, the path of a state dict, or none.",
    ),
)
READING = (
    click.option(
        "--identities",
        type=click.Choice(["auto", "names", "faces", "none"]),
        default="auto",
        help="Identify people by names (default), by names and faces, or not at all.",
    ),
    click.option(
        "--identity-pattern", default="", help="Regular expression; its group in a path is the person."
    ),
    click.option("--relabel", default="", help="CSV file of corrected labels, with image,emotion."),
    click.option(
        "--contempt",
        type=click.Choice(["auto", "drop", *EMOTIONS]),
        default="auto",
        help="Drop contempt faces (default), or relabel them as another emotion.",
    ),
)
FOLDS = (
    click.option("--folds", type=INT, default="auto", help="Cross-validate with this many folds."),
    click.option(
        "--seeds", type=INT, default="auto", help="Train with this many seeds, starting at --seed."
    ),
)
PROMOTE = (
    click.option(
        "--auto-promote",
        type=click.BOOL,
        is_flag=False,
        flag_value=True,
        default=None,
        help="Promote the model after training if it passes the gate, as fer-mlops promote does.",
    ),
)
RESUME = (click.option("--resume", default="", metavar="RUN_ID", help="Resume a stopped run."),)

PROCESSES = (
    click.option(
        "--processes", type=INT, default="auto", help="Processes that train together (default 1)."
    ),
)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Returns a decorator that adds the options; the help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


SECTIONS = {"baseline": "hog_svm", "cnn": "cnn", "transfer": "transfer"}


def is_chosen(value: object) -> bool:
    """Returns whether an option has a value; ``auto`` and empty values mean the default."""
    return value not in (None, "", "auto")


def build(family: str, options: Mapping[str, Any]) -> Experiment:
    """Returns the experiment that the options describe; ``auto`` and empty options set nothing."""
    from fer_mlops.config.recipes import build_experiment, parse_assignments, preset_path

    keys = {
        "data": "data.source",
        "split": "data.split",
        "seed": "seed",
        "on_bad_image": "data.on_bad_image",
        "identities": "data.identities",
        "identity_pattern": "data.identity_pattern",
        "relabel": "data.relabel",
        "contempt": "data.contempt",
        "folds": "data.folds",
        "experiment": "tracking.experiment",
        "image_size": f"{SECTIONS[family]}.image_size",
        "epochs": "training.epochs",
        "batch_size": "training.batch_size",
        "learning_rate": "training.learning_rate",
        "backbone": "transfer.backbone",
        "weights": "transfer.weights",
        "teacher": "training.teacher",
        "auto_promote": "tracking.auto_promote",
    }
    chosen = {name: value for name, value in options.items() if is_chosen(value)}
    settings = {keys[name]: value for name, value in chosen.items() if name in keys}
    settings |= parse_assignments(filter(is_chosen, options.get("assignments", ())))
    recipe, preset = chosen.get("recipe"), chosen.get("preset")
    if recipe and preset:
        raise ConfigError(f"--recipe {recipe} and --preset {preset} both name a recipe; give one")
    path = preset_path(family, preset) if preset else Path(recipe) if recipe else None
    return build_experiment(family, recipe=path, settings=settings)


def build_resumed(family: str, options: Mapping[str, Any], state: Mapping[str, Any]) -> Experiment:
    """Returns the checkpoint's experiment; options may repeat its settings but not change them.

    Raises:
        ConfigError: The run belongs to another family, or an option differs from the run's setting.
    """
    from fer_mlops.config.recipes import experiment_from_json, flatten

    experiment = experiment_from_json(state["settings"])
    run_id = options["resume"]
    if experiment.family != family:
        raise ConfigError(f"run {run_id} is a {experiment.family} run, not {family}")
    requested, default, own = map(flatten, (build(family, options), build(family, {}), experiment))
    for key, value in requested.items():
        if value not in (default[key], own[key]):
            raise ConfigError(
                f"run {run_id} resumes with its own {key}, {own[key]}, not {value}; leave that option "
                "out, or start a new run"
            )
    return experiment
