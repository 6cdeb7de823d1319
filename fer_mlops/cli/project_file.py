"""Text of MLproject: the parameters of each entry point are the options of its command.

``python -m fer_mlops.cli.project_file > MLproject`` writes the file.
"""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

import click

from fer_mlops.cli.data import check_data
from fer_mlops.cli.evaluate import compare, evaluate
from fer_mlops.cli.options import FLOAT, INT
from fer_mlops.cli.registry import promote
from fer_mlops.cli.train import baseline, cnn, ensemble, run_everything, transfer
from fer_mlops.cli.tune import tune

ENTRY_POINTS: dict[str, tuple[str, click.Command]] = {
    "baseline": ("baseline", baseline),
    "cnn": ("cnn", cnn),
    "transfer": ("transfer", transfer),
    "ensemble": ("ensemble", ensemble),
    "all": ("all", run_everything),
    "tune": ("tune", tune),
    "check": ("data check --track", check_data),
    "evaluate": ("evaluate", evaluate),
    "compare": ("compare", compare),
    "promote": ("promote", promote),
}
"""Words that start each command, and the command."""
_LEFT_OUT = {"experiment", "resume"}  # mlflow run has its own experiment and makes a run of its own
_TYPES: dict[click.ParamType[Any], str] = {INT: "int", FLOAT: "float"}
_HEAD = """\
# Written by: python -m fer_mlops.cli.project_file > MLproject
# auto: the value in the preset or recipe, else the default in fer_mlops/config/.
# Set any other setting with -P settings='{training.loss: focal, seed: 1}'
name: fer_mlops
conda_env: conda.yaml
entry_points:
"""


def project_text() -> str:
    """Returns the content of MLproject."""
    return _HEAD + "\n".join(_entry(name) for name in ENTRY_POINTS)


def _entry(name: str) -> str:
    words, command = ENTRY_POINTS[name]
    parameters, parts = [], [f"python -m fer_mlops {words}"]
    for option in command.params:
        key = parameter_of(option)
        if not key:
            continue
        kind = _TYPES.get(option.type, "string")
        parameters.append(f"      {key}: {{type: {kind}, default: {_default(option)}}}")
        is_argument = isinstance(option, click.Argument)
        parts.append(f"{{{key}}}" if is_argument else f"{option.opts[0]} {{{key}}}")
    lines = textwrap.wrap(" ".join(parts), 110, break_on_hyphens=False, break_long_words=False)
    text = "\n".join(f"      {line}" for line in lines)
    return "\n".join([f"  {name}:", "    parameters:", *parameters, f"    command: >-\n{text}\n"])


def parameter_of(option: click.Parameter) -> str:
    """Returns the name of the parameter for an option; empty if the entry point has none for it."""
    if isinstance(option, click.Argument):
        return "data" if option.name == "source" else str(option.name)
    is_file = isinstance(option.type, click.Path)
    if option.name in _LEFT_OUT or is_file or getattr(option, "is_flag", False):
        return ""
    name = option.opts[0].removeprefix("--").replace("-", "_")
    return "settings" if name == "set" else name


def _default(option: click.Parameter) -> str:
    """Returns the option's default as YAML; ``auto`` stands for every default that sets nothing."""
    if option.name == "source":
        return "sample"
    value = option.default[0] if isinstance(option.default, tuple) else option.default
    if not isinstance(value, str) or not value:
        return "auto"
    return value if re.fullmatch(r"[\w/.]+", value) else json.dumps(value)


if __name__ == "__main__":
    print(project_text(), end="")
