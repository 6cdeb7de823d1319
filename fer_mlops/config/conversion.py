"""Settings filled by name from a tree of values, with a hint for unknown names."""

from __future__ import annotations

import dataclasses
import logging
import typing
from collections.abc import Mapping, Sequence
from functools import cache

from fer_mlops.errors import ConfigError, nearest

T = typing.TypeVar("T")

RENAMED = {
    "training.adjustment": "training.logit_adjustment_tau",
    "training.keep": "training.keep_weights",
    "augment.erase": "augment.random_erasing",
    "waits": "wait_for_model",  # of the service
}
"""Former key of a setting to its key now; runs, recipes and ``--set`` may have the former one."""
REMOVED = {
    "augment.mixup": 0,
    "augment.cutmix": 0,
    "augment.progressive_resize_start": 1,
    "augment.start_size": 1,
    "training.deferred_share": 0,
    "training.defer": 0,
    "training.sam_rho": 0,
    "training.sharpness": 0,
}
"""Removed setting, by each of its names, to its value when off, which older recipes and runs hold."""
_log = logging.getLogger(__name__)


def fill(default: T, tree: Mapping[str, object], prefix: str = "", *, others: Sequence[str] = ()) -> T:
    """Returns a copy of the settings ``default`` with the values in ``tree``.

    Args:
        default: Settings whose values apply where ``tree`` has none.
        tree: Values by field name; nested settings are mappings.
        prefix: Dotted prefix of the keys in error messages, such as ``training.``.
        others: More dotted keys that the error for an unknown key may suggest.

    Raises:
        ConfigError: A key is unknown or was removed, or a value is of the wrong type or out of range.
    """
    return _fill(default, tree, prefix, [*keys_of(default, prefix), *others])


def _fill(default: T, tree: Mapping[str, object], prefix: str, known: list[str]) -> T:
    names = {field.name for field in dataclasses.fields(default)}  # type: ignore[arg-type]
    changes: dict[str, object] = {}
    for name, value in tree.items():
        key = current_key(f"{prefix}{name}")
        name = key.removeprefix(prefix)
        if is_off(key, value):
            continue
        if name not in names:
            raise unknown_setting(key, known)
        current = getattr(default, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{key} is a section and needs keys of its own, got {value!r}")
            value = _fill(current, value, f"{key}.", known)
        changes[name] = value
    try:
        return dataclasses.replace(default, **changes)  # type: ignore[type-var]
    except ConfigError as error:
        # a section names its keys by its usual place, such as training., and may stand elsewhere
        section = getattr(default, "section", prefix)
        raise ConfigError(prefix + str(error).removeprefix(section)) from None


@cache
def current_key(key: str) -> str:
    """Returns the key of a setting; a former key is logged, once a process."""
    if key in RENAMED:
        _log.warning("%s is now %s; the former name still works", key, RENAMED[key])
    return RENAMED.get(key, key)


def is_off(key: str, value: object) -> bool:
    """Returns whether a removed setting has the value that had no effect."""
    return key in REMOVED and value == REMOVED[key]


def keys_of(default: object, prefix: str) -> list[str]:
    """Returns the dotted key of every setting, in its order."""
    keys = []
    for field in dataclasses.fields(default):  # type: ignore[arg-type]
        value, key = getattr(default, field.name), f"{prefix}{field.name}"
        keys += keys_of(value, f"{key}.") if dataclasses.is_dataclass(value) else [key]
    return keys


def unknown_setting(key: str, known: Sequence[str]) -> ConfigError:
    """Returns the error for a key that is not among the dotted keys ``known``, with the nearest one."""
    if key in REMOVED:
        return ConfigError(
            f"{key} was removed: no measurement showed a gain; delete it, or start a new run without it"
        )
    section, dot, name = key.rpartition(".")
    prefix = section + dot
    siblings = {each.removeprefix(prefix).split(".")[0] for each in known if each.startswith(prefix)}
    by_name = {each.rpartition(".")[2]: each for each in known}
    near = by_name.get(name) or by_name.get(nearest(name, by_name))
    if name not in by_name and (sibling := nearest(name, siblings)):
        near = prefix + sibling
    hint = f"did you mean {near}?" if near else f"known here: {', '.join(sorted(siblings))}"
    return ConfigError(f"unknown setting {key}; {hint}")
