"""Whether the tracking server answers, and what its errors mean."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.exceptions import MlflowException, RestException

from fer_mlops.errors import TrackingError

_FIRST_ANSWER = 10
"""Seconds that a tracking server has for its first answer."""
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""MLflow's own 7 retries would keep a training waiting for four minutes at every call; the one that
is left is made at once, for a connection that went stale between two epochs."""
_LATER = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""MLflow's codes for no answer at all, or one that may be another in a minute."""


def is_remote() -> bool:
    """Returns whether runs are tracked by a server rather than in a file of this machine."""
    return mlflow.get_tracking_uri().startswith("http")


def shown_uri() -> str:
    """Returns the tracking URI as it may be shown: without user and password."""
    return re.sub(r"//[^/@]*@", "//", mlflow.get_tracking_uri())


def check_server(timeout: float = _FIRST_ANSWER) -> None:
    """Returns if the tracking server answers within ``timeout`` seconds, or if there is none to ask.

    Raises:
        TrackingError: It does not answer.
    """
    if not is_remote():
        return
    try:
        with urllib.request.urlopen(f"{mlflow.get_tracking_uri().rstrip('/')}/health", timeout=timeout):
            return
    except urllib.error.HTTPError:
        return  # it answers; what it thinks of us is seen at the first real request
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise TrackingError(
            f"no tracking server answers at {shown_uri()} ({reason}); start it with 'mlflow server', or "
            "unset MLFLOW_TRACKING_URI to track into this folder"
        ) from error


@contextmanager
def quick_requests() -> Iterator[None]:
    """Lets MLflow give up on a request soon, unless the environment says how long it is to try."""
    ours = {name: value for name, value in _QUICK.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def is_unreachable(error: Exception) -> bool:
    """Returns whether ``error`` says that the server gave no answer, so that a later try may do.

    MLflow has no exception of its own for that, but the code INTERNAL_ERROR; a RestException is an
    answer.
    """
    if not is_remote() or not isinstance(error, MlflowException):
        return False
    return error.error_code in (_LATER[1:] if isinstance(error, RestException) else _LATER)


def refused(error: MlflowException | OSError) -> TrackingError:
    """Returns what to tell a user of an error that no later try would mend."""
    if isinstance(error, MlflowException):
        return TrackingError(f"MLflow at {shown_uri()} refused: {str(error).splitlines()[0]}")
    reason = (
        error.args[0][0][2] if isinstance(error, shutil.Error) else error
    )  # of many files, the first
    return TrackingError(f"MLflow at {shown_uri()} cannot store what it is told: {reason}")
