"""Whether the tracking server answers, and what its errors mean."""

from __future__ import annotations

import re
import shutil

import mlflow
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from fer_mlops.errors import TrackingError

_FIRST_ANSWER = 10
"""Seconds that a tracking server has for its first answer."""
_LATER = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""MLflow's codes for no answer at all, or one that may be another in a minute."""
_FEW_LETTERS = 2
_USER = re.compile(r"(\w[\w+.-]*://)(?!/)[^\s'\"]*@")
"""User and password of an address, up to the last @."""


def is_remote() -> bool:
    """Returns whether runs are tracked by a server rather than in a file of this machine."""
    return mlflow.get_tracking_uri().startswith("http")


def without_password(text: str) -> str:
    """Returns ``text`` without the user and password of any address in it.

    The tracking address's own password is left out alone, too: some libraries quote a part of a URL.
    """
    secret = _USER.match(mlflow.get_tracking_uri())
    text = _USER.sub(r"\1", text)
    if secret:
        _, _, password = secret[0].removeprefix(secret[1]).removesuffix("@").partition(":")
        for piece in re.split("[/@?#]", password):  # where a library that meets one unquoted cuts it
            text = text.replace(piece, "***") if len(piece) > _FEW_LETTERS else text
    return text


def shown_uri() -> str:
    """Returns the tracking URI as it may be shown: without user and password."""
    return _USER.sub(r"\1", mlflow.get_tracking_uri())


def reason_of(error: BaseException) -> str:
    """Returns the first line of what ``error`` says, without passwords."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][2])  # of many files, the first
    lines = str(error).strip().splitlines()
    return without_password(lines[0]) if lines else type(error).__name__


def check_server(timeout: float = _FIRST_ANSWER) -> None:
    """Returns if the tracking server answers within ``timeout`` seconds, or if there is none to ask.

    It is asked as MLflow asks it: with its certificates, tokens, users and passwords. Any HTTP answer
    will do; what the server thinks of us is seen at the first real request.

    Raises:
        TrackingError: It does not answer, or not in HTTP.
    """
    if not is_remote():
        return
    try:
        http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(mlflow.get_tracking_uri()),  # type: ignore[no-untyped-call]
            "/health",
            "GET",
            max_retries=0,
            timeout=timeout,
            raise_on_status=False,
        )
    except Exception as error:  # of an address that is none, each library below has its own
        raise TrackingError(
            f"no tracking server answers at {shown_uri()} ({_cause(error)}); start it with 'mlflow "
            "server', correct MLFLOW_TRACKING_URI, or unset it to track into this folder"
        ) from error


def _cause(error: BaseException) -> str:
    """Returns the reason at the bottom: those above it repeat the whole request."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return reason_of(error)


def is_unreachable(error: Exception) -> bool:
    """Returns whether ``error`` says that the server gave no answer, so that a later try may do.

    MLflow has no exception of its own for that, but the code INTERNAL_ERROR; a RestException is an
    answer.
    """
    if not is_remote() or not isinstance(error, MlflowException):
        return False
    return error.error_code in (_LATER[1:] if isinstance(error, RestException) else _LATER)


def refused(error: Exception) -> TrackingError:
    """Returns what to tell a user of an error that no later try would mend."""
    verb = "refused" if isinstance(error, MlflowException) else "cannot store what it is told"
    return TrackingError(f"MLflow at {shown_uri()} {verb}: {reason_of(error)}")
