"""Search spaces: read from YAML, check against the known settings, suggest values.

A space names settings by their dotted keys. Each has a range (``low``, ``high``, ``step``, ``log``) or
``choices``. With ``when``, a setting is tuned only if other settings have certain values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import yaml

from fer_mlops.config import Experiment
from fer_mlops.config.conversion import current_key, unknown_setting
from fer_mlops.config.recipes import Scalar, build_experiment, flatten
from fer_mlops.errors import ConfigError, did_you_mean
from fer_mlops.files import recipes_folder

if TYPE_CHECKING:
    from optuna.trial import Trial

Settings = dict[str, Scalar]
_FIXED = {
    "data.": "trials must be evaluated on the same faces",
    "tracking.": "it changes no score",
    "seed": "the best of several seeds is luck; --seeds takes the mean of several",
    "training.device": "it changes no score",
}
"""Prefixes of keys that cannot be tuned, and the reasons."""
_FIELDS = ("low", "high", "step", "log", "choices", "when")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """Allowed values of one setting."""

    key: str
    choices: tuple[Scalar, ...] = ()
    """Empty for a range."""
    low: float = 0
    high: float = 0
    step: float = 0
    """Distance between values of a range; 0 for a continuous range."""
    log: bool = False
    is_whole: bool = False
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """Conditions: other settings, and their values with which this setting is tuned."""

    def suggest(self, trial: Trial) -> Scalar:
        """Returns the value that the study's sampler chooses."""
        if self.choices:
            return cast("Scalar", trial.suggest_categorical(self.key, self.choices))
        if self.is_whole:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return int(trial.suggest_int(self.key, low, high, step=step, log=self.log))
        step_or_any = self.step or None
        return float(trial.suggest_float(self.key, self.low, self.high, step=step_or_any, log=self.log))

    def holds(self, value: Scalar) -> bool:
        """Returns whether the sampler could choose ``value``."""
        if self.choices:
            return value in self.choices
        if not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / (self.step or 1)
        return not self.step or abs(steps - round(steps)) < 1e-9

    def values(self) -> list[Scalar]:
        """Returns every value, for a grid.

        Raises:
            ConfigError: The range is continuous.
        """
        if self.choices:
            return list(self.choices)
        step = self.step or (1 if self.is_whole and not self.log else 0)
        if not step:
            raise ConfigError(f"a grid needs choices or a step for {self.key}")
        count = int((self.high - self.low) / step + 1e-9) + 1
        values = [self.low + i * step for i in range(count)]
        return [int(value) if self.is_whole else value for value in values]

    def is_active(self, settings: Mapping[str, Scalar]) -> bool:
        """Returns whether the other settings meet the conditions of this one."""
        return all(settings.get(key) in values for key, values in self.when.items())


@dataclass(frozen=True, kw_only=True)
class Space:
    """Parameters of a family, in order of their dependencies."""

    family: str
    parameters: tuple[Parameter, ...]

    def suggest(self, trial: Trial, base: Mapping[str, Scalar]) -> Settings:
        """Returns the settings that the sampler chooses; ``base`` holds the fixed settings."""
        chosen: Settings = {}
        for parameter in self.parameters:
            if parameter.is_active({**base, **chosen}):
                chosen[parameter.key] = parameter.suggest(trial)
        return chosen

    def start(self, base: Mapping[str, Scalar]) -> Settings | None:
        """Returns the values of ``base`` as a point of the space, or None if they lie outside it."""
        active = [parameter for parameter in self.parameters if parameter.is_active(base)]
        inside = all(parameter.holds(base[parameter.key]) for parameter in active)
        return {parameter.key: base[parameter.key] for parameter in active} if inside else None

    def grid(self) -> dict[str, list[Scalar]]:
        """Returns every value of every parameter.

        Raises:
            ConfigError: A parameter is continuous, or depends on another.
        """
        for parameter in self.parameters:
            if parameter.when:
                raise ConfigError(
                    f"a grid takes no conditions, and {parameter.key} has one; choose another sampler"
                )
        return {parameter.key: parameter.values() for parameter in self.parameters}

    def as_json(self) -> str:
        """Returns the space as text that is equal for equal spaces."""
        parameters = sorted((asdict(parameter) for parameter in self.parameters), key=lambda p: p["key"])
        return json.dumps({"family": self.family, "parameters": parameters}, sort_keys=True)


def shown(value: Scalar) -> str:
    """Returns a setting as text, floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def with_settings(experiment: Experiment, settings: Mapping[str, Scalar]) -> Experiment:
    """Returns the experiment with dotted settings replaced; raises ConfigError if one is invalid."""
    return build_experiment(experiment.family, settings={**flatten(experiment), **settings})


def default_space(family: str) -> Path:
    """Returns the file of the family's default space."""
    return recipes_folder() / f"tune-{family}.yaml"


def read_space(path: Path, experiment: Experiment) -> Space:
    """Reads a space from a file and checks every value.

    Raises:
        ConfigError: The file cannot be read or has an invalid entry; the message names the line.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        tree = loader.construct_document(root) if root else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the space {str(path)!r}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the space {str(path)!r} is not valid YAML: {reason}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("space"), dict) or not tree["space"]:
        raise ConfigError(
            f"the space {str(path)!r} needs a section 'space:' of settings, such as "
            "'training.learning_rate: {low: 0.0005, high: 0.01, log: true}'"
        )
    if surplus := sorted(set(map(str, tree)) - {"family", "space"}):
        raise ConfigError(f"{path}: unknown section {surplus[0]!r}; known here: family, space")
    if tree.get("family", experiment.family) != experiment.family:
        raise ConfigError(f"{path} is a space for {tree['family']!r}, not {experiment.family!r}")
    assert root is not None
    # the document has the values, and its nodes the line numbers
    entries = next(value for key, value in root.value if key.value == "space").value
    lines = [(current_key(str(key.value)), key.start_mark.line + 1) for key, _ in entries]
    return _Reader(path, experiment, tree["space"]).read(lines)


def _text(value: object) -> object:
    """Returns a list as comma-separated text, as ``flatten`` does."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


class _Reader:
    """Checks the entries of one file."""

    def __init__(self, path: Path, experiment: Experiment, entries: Mapping[str, object]) -> None:
        self.path, self.experiment = path, experiment
        self.entries = {current_key(str(key)): entry for key, entry in entries.items()}
        self.base = flatten(experiment)

    def read(self, lines: list[tuple[str, int]]) -> Space:
        found: dict[str, Parameter] = {}
        for key, line in lines:
            try:
                if key in found:
                    raise ConfigError(f"{key} appears twice")
                found[key] = self._parameter(key, self.entries[key])
            except ConfigError as error:
                raise ConfigError(f"{self.path}, line {line}: {error}") from None
        try:
            return Space(family=self.experiment.family, parameters=self._ordered(found))
        except ConfigError as error:
            raise ConfigError(f"{self.path}: {error}") from None

    def _parameter(self, key: str, entry: object) -> Parameter:
        self._require_known(key)
        for start, reason in _FIXED.items():
            if key.startswith(start):
                raise ConfigError(f"{key} cannot be tuned: {reason}")
        if not isinstance(entry, dict):
            raise ConfigError(f"{key} needs {{low: …, high: …}} or {{choices: […]}}, got {entry!r}")
        for name in map(str, entry):
            if name not in _FIELDS:
                hint = did_you_mean(name, _FIELDS, otherwise=f"known here: {', '.join(_FIELDS)}")
                raise ConfigError(f"{key} has an unknown field {name!r}; {hint}")
        when = self._conditions(key, entry.get("when", {}))
        if "choices" in entry:
            return self._choice(key, entry, when)
        return self._range(key, entry, when)

    def _require_known(self, key: str) -> None:
        if key not in self.base:
            raise unknown_setting(key, list(self.base))

    def _choice(
        self, key: str, entry: Mapping[str, object], when: dict[str, tuple[Scalar, ...]]
    ) -> Parameter:
        choices = entry["choices"]
        if set(entry) - {"choices", "when"}:
            raise ConfigError(f"{key} has choices and a range; give one")
        if not isinstance(choices, list) or len(choices) < 2:
            raise ConfigError(
                f"{key} needs two or more choices, got {choices!r}; a fixed value belongs in a recipe"
            )
        values = tuple(self._value(key, choice) for choice in choices)
        if len(set(values)) < len(values):
            raise ConfigError(f"{key} has a choice twice: {choices!r}")
        return Parameter(key=key, choices=values, when=when)

    def _range(
        self, key: str, entry: Mapping[str, object], when: dict[str, tuple[Scalar, ...]]
    ) -> Parameter:
        current = self.base[key]
        if isinstance(current, (bool, str)):
            raise ConfigError(f"{key} is not a number; use {{choices: […]}}")
        if "low" not in entry or "high" not in entry:
            raise ConfigError(f"{key} needs low and high, or choices")
        low, high = (self._value(key, entry[name]) for name in ("low", "high"))
        assert not isinstance(low, str)
        assert not isinstance(high, str)
        log = entry.get("log", False)
        if not isinstance(log, bool):
            raise ConfigError(f"{key}: log must be true or false, got {log!r}")
        if not low < high:
            raise ConfigError(f"{key} has an empty range: low {low} is not below high {high}")
        if log and low <= 0:
            raise ConfigError(f"{key}: a log scale needs low above 0, got {low}")
        step = self._step(key, entry["step"], high - low, log) if "step" in entry else 0
        whole = isinstance(current, int)
        if whole and step != int(step):
            raise ConfigError(f"{key} is a whole number, so its step must be one, got {step}")
        return Parameter(key=key, low=low, high=high, step=step, log=log, is_whole=whole, when=when)

    def _step(self, key: str, step: object, width: float, log: bool) -> float:
        if isinstance(step, bool) or not isinstance(step, (int, float)) or not 0 < step <= width:
            raise ConfigError(f"{key}: step must be a number above 0 and within the range, got {step!r}")
        if log:
            raise ConfigError(f"{key}: a log scale cannot have a step")
        return float(step)

    def _value(self, key: str, value: object) -> Scalar:
        """Returns ``value`` as the setting stores it, if needed beside another setting's choice."""
        try:
            return self._beside(key, value, {})
        except ConfigError:
            for other, entry in self.entries.items():
                choices = (
                    entry.get("choices") if isinstance(entry, dict) and other in self.base else None
                )
                for choice in choices if isinstance(choices, list) and other != key else ():
                    with suppress(ConfigError):
                        return self._beside(key, value, {other: _text(choice)})
            raise

    def _beside(self, key: str, value: object, others: Mapping[str, object]) -> Scalar:
        settings = {**self.base, **others, key: _text(value)}
        return flatten(build_experiment(self.experiment.family, settings=settings))[key]

    def _conditions(self, key: str, when: object) -> dict[str, tuple[Scalar, ...]]:
        if not isinstance(when, dict):
            raise ConfigError(
                f"{key}: when must be a mapping, such as {{training.loss: focal}}, got {when!r}"
            )
        conditions = {}
        for name, wanted in when.items():
            other = current_key(str(name))
            self._require_known(other)
            values = wanted if isinstance(wanted, list) else [wanted]
            conditions[other] = tuple(self._value(other, value) for value in values)
        return conditions

    def _ordered(self, found: Mapping[str, Parameter]) -> tuple[Parameter, ...]:
        """Returns the parameters, each after those that its conditions name."""
        for parameter in found.values():
            for other, values in parameter.when.items():
                known = found[other].choices if other in found else ()
                if known and not set(values) & set(known):
                    raise ConfigError(
                        f"{parameter.key} is never tuned: {other} is never "
                        f"{' or '.join(map(str, values))}"
                    )
        left, order = dict(found), list[Parameter]()
        while left:
            free = [p for p in left.values() if not left.keys() & p.when.keys()]
            if not free:
                raise ConfigError(f"the conditions of {' and '.join(left)} depend on each other")
            order += free
            for parameter in free:
                del left[parameter.key]
        return tuple(order)
