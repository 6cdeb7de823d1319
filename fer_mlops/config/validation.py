"""Checks of setting values."""

from __future__ import annotations

import re

from fer_mlops.errors import ConfigError


def require(is_valid: bool, key: str, rule: str, value: object) -> None:
    """Raises ConfigError with the key, its rule and its value unless ``is_valid``."""
    if not is_valid:
        raise ConfigError(f"{key} must be {rule}, got {value!r}")


def require_seed(seed: int) -> None:
    """Raises ConfigError if ``seed`` is outside the range that NumPy and torch accept."""
    require(0 <= seed < 2**32, "seed", "0 to 4294967295", seed)


def require_rate(max_error: float) -> None:
    """Raises ConfigError unless ``max_error`` is in (0, 1)."""
    require(0 < max_error < 1, "max_error", "in (0, 1)", max_error)


def require_pattern(pattern: str) -> None:
    """Raises ConfigError unless ``pattern`` is empty, or a regular expression with a group."""
    try:
        num_groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(
            f"data.identity_pattern {pattern!r} is not a valid regular expression: {error}"
        ) from None
    if pattern and not num_groups:
        raise ConfigError(
            f"data.identity_pattern needs a group for the person, such as '([a-z]+)_', got {pattern!r}"
        )
