"""What a setting may be."""

from __future__ import annotations

import re

from fer_mlops.errors import ConfigError


def require(is_valid: bool, key: str, rule: str, value: object) -> None:
    """Raises ConfigError, naming the key, its rule and its value, unless ``is_valid``."""
    if not is_valid:
        raise ConfigError(f"{key} must be {rule}, got {value!r}")


def require_seed(seed: int) -> None:
    """Raises ConfigError where NumPy and torch would not take ``seed``."""
    require(0 <= seed < 2**32, "seed", "0 to 4294967295", seed)


def require_rate(max_error: float) -> None:
    """Raises ConfigError where ``max_error`` is no share between none and all."""
    require(0 < max_error < 1, "max_error", "in (0, 1)", max_error)


def require_pattern(pattern: str) -> None:
    """Raises ConfigError unless ``pattern`` is empty, or a regular expression with a group."""
    try:
        num_groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(
            f"data.identity_pattern {pattern!r} is no regular expression: {error}"
        ) from None
    if pattern and not num_groups:
        raise ConfigError(
            f"data.identity_pattern needs a group for the person, such as '([a-z]+)_', got {pattern!r}"
        )
