"""The command line's options, and what they make of an experiment."""

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

DATA_HELP = "'sample', a folder with one subfolder per emotion, a csv, or a copy of Muxspace."


class _AutoNumber(click.ParamType[Any]):
    """A number, or ``auto`` for what the recipe or preset says."""

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
    help="Stop at an unreadable image, or leave it out.",
)
SET = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; repeatable."
)
DATA = (click.option("--data", default="sample", show_default=True, help=DATA_HELP),)
SPLIT = (
    click.option(
        "--split",
        default="auto",
        help="identity (default) keeps each person in one part; random flatters; given: the "
        "publisher's own; or a csv with image,part.",
    ),
    click.option("--seed", type=INT, default="auto", help="Start of every random choice."),
)
PLACE = (
    ON_BAD_IMAGE,
    click.option("--experiment", default="", help="MLflow experiment, if not fer_mlops."),
)
COMMON = (
    *DATA,
    *SPLIT,
    click.option("--recipe", default="", help="YAML file of settings, read first."),
    click.option("--preset", default="", help="One of the project's own recipes, by name."),
    SET,
    *PLACE,
)
SIZE = (click.option("--image-size", type=INT, default="auto", help="Side of a face in pixels."),)
FIT = (
    click.option("--epochs", type=INT, default="auto", help="Most passes over the faces."),
    click.option("--batch-size", type=INT, default="auto", help="Faces per step."),
    click.option("--learning-rate", type=FLOAT, default="auto", help="Peak step size."),
)
TEACHER = (click.option("--teacher", default="", metavar="MODEL", help="Trained model to learn from."),)
TRANSFER = (
    click.option(
        "--backbone",
        default="auto",
        show_default=True,
        help="efficientnet_lite0, any convolutional one of torchvision, or timm:NAME.",
    ),
    click.option(
        "--weights",
        default="imagenet",
        show_default=True,
        help="imagenet, torchvision's name for weights, a state dict's path, none.",
    ),
)
READING = (
    click.option(
        "--identities",
        type=click.Choice(["auto", "names", "faces", "none"]),
        default="auto",
        help="Tell people apart by names (default), by names and faces, or not at all.",
    ),
    click.option("--identity-pattern", default="", help="Regex whose group in a path is the person."),
    click.option("--relabel", default="", help="Reviewed csv with image,emotion to apply."),
    click.option(
        "--contempt",
        type=click.Choice(["auto", "drop", *EMOTIONS]),
        default="auto",
        help="Drop contempt faces (default), or count them as another emotion.",
    ),
)
FOLDS = (
    click.option("--folds", type=INT, default="auto", help="Cross-validate in so many parts."),
    click.option("--seeds", type=INT, default="auto", help="Train so many times, from --seed on."),
)
PROMOTE = (
    click.option(
        "--auto-promote",
        type=click.BOOL,
        is_flag=False,
        flag_value=True,
        default=None,
        help="Take the version through the gate at the end, as fer-mlops promote does.",
    ),
)
RESUME = (click.option("--resume", default="", metavar="RUN_ID", help="Go on with a killed run."),)

PROCESSES = (
    click.option("--processes", type=INT, default="auto", help="Train in so many at once (default 1)."),
)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Returns a decorator that adds the options, in this order in the help."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


SECTIONS = {"baseline": "hog_svm", "cnn": "cnn", "transfer": "transfer"}


def is_chosen(value: object) -> bool:
    """Returns whether an option says something: ``auto`` and nothing leave it to the defaults."""
    return value not in (None, "", "auto")


def build(family: str, options: Mapping[str, Any]) -> Experiment:
    """Returns the experiment that the options ask for; ``auto`` and empty ones set nothing."""
    from fer_mlops.config.recipes import build_experiment, parse_assignment, preset_path

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
    settings.update(parse_assignment(text) for text in options.get("assignments", ()) if is_chosen(text))
    recipe, preset = chosen.get("recipe"), chosen.get("preset")
    if recipe and preset:
        raise ConfigError(f"--recipe {recipe} and --preset {preset} both name a recipe; give one")
    path = preset_path(family, preset) if preset else Path(recipe) if recipe else None
    return build_experiment(family, recipe=path, settings=settings)


def build_resumed(family: str, options: Mapping[str, Any], state: Mapping[str, Any]) -> Experiment:
    """Returns the checkpoint's experiment; options may repeat its settings, but not change them.

    Raises:
        ConfigError: The run is of another family, or an option asks for another setting than it has.
    """
    from fer_mlops.config.recipes import experiment_from_json, flatten

    experiment = experiment_from_json(state["settings"])
    run_id = options["resume"]
    if experiment.family != family:
        raise ConfigError(f"run {run_id} is a {experiment.family} run, not {family}")
    asked, default, own = map(flatten, (build(family, options), build(family, {}), experiment))
    for key, value in asked.items():
        if value not in (default[key], own[key]):
            raise ConfigError(
                f"run {run_id} goes on with its own {key}, {own[key]}, not {value}; leave that option "
                "out, or start a new run"
            )
    return experiment
