"""Settings base class: checks every value and reports the first invalid one in a sentence."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from fer_mlops.config.conversion import unknown_setting
from fer_mlops.errors import ConfigError, did_you_mean

AtLeast0 = Annotated[int, Field(ge=0)]
AtLeast1 = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareBelow1 = Annotated[float, Field(ge=0, lt=1)]

_RULES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list, such as [1, 2]",
    "dict_type": 'a mapping, such as {{"0": "anger"}}',
    "dataclass_exact_type": "a section with keys of its own",
    "greater_than": "above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "below {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
    "literal_error": "one of {expected}",
}
"""Pydantic's kind of error to the rule that the value breaks."""


@dataclass(
    frozen=True,
    kw_only=True,
    slots=True,
    # strict: _read converts, and reports what it cannot; defer_build: unused sections cost no time
    config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True),
)
class Settings:
    """Base of every group of settings; an invalid value raises ConfigError."""

    section: ClassVar[str] = ""
    """Dotted prefix of the keys in error messages, such as ``training.``."""

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> object:
        kinds = _types(cls)  # type: ignore[arg-type]  # mypy compares the class's __hash__ with an object's
        return _read(value, kinds[str(info.field_name)])

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, values: Any, check: ModelWrapValidatorHandler[Settings]) -> Settings:
        try:
            return check(values)
        except ValidationError as error:
            raise ConfigError(_explain(cls, error)) from None


@cache
def _types(cls: type) -> dict[str, object]:
    return get_type_hints(cls)


def _read(value: object, kind: object) -> object:
    """Returns text, such as ``1e-3`` or ``8,16``, and YAML's numbers and lists as the setting's type."""
    # a value that cannot be converted is returned as it is, for pydantic to refuse
    if get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        item = get_args(kind)[0]
        return tuple(_read(part, item) for part in parts) if isinstance(parts, (list, tuple)) else parts
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return value
    if kind is str:
        return str(value)
    return _number(value, kind) if kind in (int, float) else value


def _number(value: str | int | float, kind: object) -> object:
    try:
        number = float(value)
    except ValueError:
        return value
    except OverflowError:  # a whole number too large for a float
        return math.inf
    return int(number) if kind is int and number.is_integer() else number


def _explain(cls: type[Settings], error: ValidationError) -> str:
    """Returns the first error as a sentence with the key, the rule and the value."""
    first = error.errors(include_url=False)[0]
    name, *rest = first["loc"]
    kind, value = first["type"], first["input"]
    if kind == "unexpected_keyword_argument":
        known = [cls.section + field for field in cls.__dataclass_fields__]
        return str(unknown_setting(f"{cls.section}{name}", known))
    if kind == "unexpected_positional_argument":
        return f"settings of {cls.__name__} are given by name, got {value!r}"
    key = f"{cls.section}{name}"
    if rest and isinstance(rest[0], str):
        key += f" of {rest[0]!r}"
    if kind not in _RULES:
        return f"{key}: {first['msg']}, got {value!r}"
    limits = {name: _plain(limit) for name, limit in first.get("ctx", {}).items()}
    hint = ""
    if kind == "literal_error" and isinstance(value, str):
        hint = did_you_mean(value, limits["expected"].split(", "))
    return f"{key} must be {_RULES[kind].format(**limits)}, got {value!r}{hint and f'; {hint}'}"


def _plain(limit: object) -> str:
    """Returns a limit, or the choices, without quotes and without a needless ``.0``."""
    return str(limit).removesuffix(".0").replace(" or ", ", ").replace("'", "")


def descriptions(cls: type) -> dict[str, str]:
    """Returns the docstring below each setting of a class, in one line."""
    source = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(source, ast.ClassDef)
    return {
        ast.unparse(setting.target): " ".join(str(ast.literal_eval(text.value)).split())
        for setting, text in pairwise(source.body)
        if isinstance(setting, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def choices(cls: type) -> dict[str, tuple[str, ...]]:
    """Returns the values that each setting with a fixed list of them may have."""
    return {name: get_args(kind) for name, kind in _types(cls).items() if get_origin(kind) is Literal}


def require(is_valid: bool, key: str, rule: str, value: object, known: Iterable[str] = ()) -> None:
    """Raises ConfigError with the key, its rule and its value unless ``is_valid``.

    The message names the value in ``known`` that is spelt most like ``value``, if there is one.
    """
    if not is_valid:
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"{key} must be {rule}, got {value!r}{hint and f'; {hint}'}")
