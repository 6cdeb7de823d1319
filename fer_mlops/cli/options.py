"""Command-line options, and the experiment that is built from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_mlops import CHAMPION_NAME, REGISTERED_NAME
from fer_mlops.cli.commands import Choice, Decorator, Option, option
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ModelError, nearest
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, PREVIOUS

if TYPE_CHECKING:
    from fer_mlops.config import EpochExperiment, Experiment

DATA_HELP = "a folder with one subfolder per emotion, a CSV file, a data set, or 'sample'."


SECTIONS = {"baseline": "hog_svm", "cnn": "cnn", "transfer": "transfer", "ensemble": "ensemble"}
"""Section of a recipe that describes the model of a family."""


class _Auto(click.ParamType[Any]):
    """A number or a boolean, or ``auto`` for the value of the recipe or preset."""

    def __init__(self, kind: click.ParamType[Any], name: str) -> None:
        self.kind = kind
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in (None, "auto"):
            return None
        try:
            return self.kind.convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither a {self.name} nor 'auto'", param, ctx)


class _Model(click.ParamType[Any]):
    """Names of models, with commas between them.

    ``champion`` and ``3`` stand for registered versions. An unusual name is looked up at once, so that a
    misspelt name is the first error that a user sees.
    """

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return ",".join(_full_name(word.strip()) for word in str(value).split(","))


def _full_name(word: str) -> str:
    if Path(word).exists():  # a folder may be called 3 or champion
        return word
    if word.isdecimal():
        return f"models:/{REGISTERED_NAME}/{word}"
    if word in _ALIASES:
        return f"models:/{REGISTERED_NAME}@{word}"
    scheme, colon, _ = word.partition(":")
    if colon and scheme not in _SCHEMES:
        if near := nearest(scheme, _SCHEMES):
            right = re.sub(r"^[^:]*:/*", f"{near}:/", word)
            raise ModelError(f"no model {word!r}; did you mean {right}?")
    elif scheme == "models" and not _USUAL.fullmatch(word):
        from fer_mlops.tracking.registry import check_spelling

        check_spelling(word)
    return word


_SCHEMES = ("models", "runs")
_ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)
# names whose spelling needs no look at the store, which takes seconds
_USUAL = re.compile(rf"models:/{REGISTERED_NAME}(@({'|'.join(_ALIASES)})|/(\d+|latest))/?")
MODEL = _Model()
INT, FLOAT = _Auto(click.INT, "number"), _Auto(click.FLOAT, "number")
BOOL = _Auto(click.BOOL, "boolean")


class _PresetOption(Option):
    """Option whose help names the presets of the command's family, or of cnn for ``--cnn-preset``."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        # here, as reading the folder of recipes at the import would slow down every command
        from fer_mlops.files import presets

        family = "cnn" if self.name == "cnn_preset" else ctx.command.name
        found = (
            ", ".join(presets(family))
            if family in SECTIONS
            else "; ".join(f"{each}: {', '.join(presets(each))}" for each in SECTIONS)
        )
        self.help = f"Recipe of the project: {found}."
        return super().get_help_record(ctx)


SET = option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change any setting; repeatable. '{KEY: VALUE, …}' changes several.",
)
EXPERIMENT = option(
    "--experiment",
    default="",
    section="Tracking",
    metavar="NAME",
    help="MLflow experiment (default: fer_mlops).",
)
DATA = option(
    "--data",
    default="auto",
    section="Data",
    metavar="PATH",
    help="A folder, a CSV file, a published data set, or 'sample' (default).",
)
SPLIT = option(
    "--split",
    default="auto",
    section="Data",
    metavar="KIND",
    help="identity (default): each person in one part; random: scores are too high; "
    "given: the publisher's; or a CSV file with image,part.",
)
SEED = option("--seed", type=INT, default="auto", section="Data", help="Random seed (default: 0).")
IDENTITIES = option(
    "--identities",
    type=Choice(["auto", "names", "faces", "none"]),
    default="auto",
    section="Data",
    metavar="KIND",
    help="Identify people by names (default), by names and faces, or none.",
)
ON_BAD_IMAGE = option(
    "--on-bad-image",
    type=Choice(["auto", "error", "skip"]),
    default="auto",
    section="Data",
    metavar="error|skip",
    help="Stop at an unreadable image (default), or skip it.",
)
READING = (
    IDENTITIES,
    option(
        "--identity-pattern",
        default="",
        section="Data",
        metavar="REGEX",
        help="Regular expression; its group in a path is the person.",
    ),
    option(
        "--relabel",
        default="",
        section="Data",
        metavar="FILE",
        help="CSV file of corrected labels, with image,emotion.",
    ),
    option(
        "--contempt",
        type=Choice(["auto", "drop", *EMOTIONS]),
        default="auto",
        section="Data",
        metavar="EMOTION",
        help="Drop contempt faces (default), or relabel them as this emotion.",
    ),
    ON_BAD_IMAGE,
)
SETTINGS = (
    option("--preset", cls=_PresetOption, default="", section="Training", metavar="NAME"),
    option(
        "--recipe",
        default="",
        section="Training",
        metavar="FILE|RUN_ID",
        help="YAML file of settings, or those of a run; other options override them.",
    ),
    SET,
)
CNN_PRESET = option("--cnn-preset", cls=_PresetOption, default="fast", show_default=True, metavar="NAME")
EPOCHS = option(
    "--epochs", type=INT, default="auto", section="Training", help="Largest number of training epochs."
)
FIT = (
    EPOCHS,
    option("--batch-size", type=INT, default="auto", help="Faces per optimiser step."),
    option("--learning-rate", type=FLOAT, default="auto", help="Peak learning rate."),
)
MINUTES = option(
    "--minutes",
    type=FLOAT,
    default="auto",
    help="Choose preset and epochs so that the command takes this long on this machine.",
)
IMAGE_SIZE = option(
    "--image-size",
    type=INT,
    default="auto",
    section="Training",
    help="Side of the square input, in pixels.",
)
TEACHER = option(
    "--teacher", type=MODEL, default="", metavar="MODEL", help="Trained model to distil from."
)
BACKBONE = option(
    "--backbone",
    default="auto",
    section="Training",
    metavar="NAME",
    help="auto (default: dlib_face if installed), resnet18, efficientnet_lite0, dlib_face, any other "
    "network of torchvision (resnet50), or timm:NAME.",
)
WEIGHTS = option(
    "--weights",
    default="auto",
    metavar="NAME|FILE",
    help="imagenet (default), a name of torchvision, a state dict, or none.",
)
PROCESSES = option(
    "--processes", type=INT, default="auto", help="Processes that train together (default: 1)."
)
RESUME = option("--resume", default="", metavar="RUN_ID", help="Resume a stopped run.")
REPEATS = (
    option(
        "--folds",
        type=INT,
        default="auto",
        section="Repeats",
        help="Cross-validate with this many folds.",
    ),
    option(
        "--seeds",
        type=INT,
        default="auto",
        section="Repeats",
        help="Train with this many seeds, starting at --seed.",
    ),
)
AUTO_PROMOTE = option(
    "--auto-promote",
    type=BOOL,
    is_flag=False,
    flag_value=True,
    default="auto",
    section="Tracking",
    metavar="",
    help="Promote the trained model if it passes the gate.",
)
FACES = (DATA, SPLIT, SEED, *READING)
"""Options of the data that one training run reads."""
RUN = (PROCESSES, RESUME, *REPEATS, EXPERIMENT, AUTO_PROMOTE)
"""Options of how a training run is made and followed."""


def model_option(help: str) -> Decorator:
    """Returns the option ``--model`` of a command that uses one trained model."""
    return option(
        "--model", type=MODEL, metavar="NAME", default=CHAMPION_NAME, show_default=True, help=help
    )


def is_chosen(value: object) -> bool:
    """Returns whether an option has a value; ``auto`` and empty values mean the default."""
    return value not in (None, "", "auto")


def build(family: str, options: Mapping[str, Any]) -> Experiment:
    """Returns the experiment that the options describe; ``auto`` and empty options set nothing."""
    from fer_mlops.pipelines.experiments import experiment_of

    return experiment_of(family, **_sources(family, options))


def build_timed(
    minutes: float, family: str, options: Mapping[str, Any], num_processes: int
) -> dict[str, EpochExperiment]:
    """Returns the experiments among which ``--minutes`` chooses, by preset, the most thorough first."""
    from fer_mlops.pipelines.experiments import timed_experiments

    others = {"seeds": options["seeds"] is not None, "resume": options["resume"]}
    others |= {"processes": num_processes > 1}
    return timed_experiments(minutes, family, **_sources(family, options), **others)


def build_sweep(family: str, options: Mapping[str, Any]) -> tuple[Experiment, dict[str, object]]:
    """Returns the experiment that a sweep starts from, and the values of its section ``tuning``."""
    from fer_mlops.pipelines.experiments import sweep_of

    return sweep_of(family, **_sources(family, options, is_sweep=True))


def _sources(family: str, options: Mapping[str, Any], *, is_sweep: bool = False) -> dict[str, Any]:
    """Returns the recipe or preset that the options name, and the settings by dotted key."""
    from fer_mlops.config.options import option_keys
    from fer_mlops.config.recipes import parse_assignments

    keys = option_keys(family, is_sweep=is_sweep)
    chosen = {name: value for name, value in options.items() if is_chosen(value)}
    settings = {keys[name]: value for name, value in chosen.items() if name in keys}
    # --set goes last: it overrides an option for the same setting
    settings |= parse_assignments(filter(is_chosen, options.get("assignments", ())))
    return {"settings": settings, **{n: chosen[n] for n in ("recipe", "preset") if n in chosen}}
