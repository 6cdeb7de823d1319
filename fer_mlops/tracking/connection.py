"""Connection to the tracking server: reachability check and error messages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from requests import Response

from fer_mlops.errors import TrackingError

MISSING = "RESOURCE_DOES_NOT_EXIST"
"""MLflow's error code of a run, model, version or alias that does not exist."""
FIRST_ANSWER = 10  # seconds to wait for the first response of a tracking server
# MLflow's error codes after which a later try may succeed; the first also means no response at all
_LATER = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
_FEW_LETTERS = 2
# user and password of an address, up to the last @
_USER = re.compile(r"(\w[\w+.-]*://)(?!/)[^\s'\"]*@")


def client(uri: str | None = None) -> MlflowClient:
    """Returns a client of the tracking store at ``uri``, by default the one in use."""
    return MlflowClient(uri)


def store_uri() -> str:
    """Returns the address of the tracking store in use."""
    return mlflow.get_tracking_uri()


def use_store(uri: str) -> None:
    """Makes this process use the tracking store at ``uri``."""
    mlflow.set_tracking_uri(uri)


def is_remote() -> bool:
    """Returns whether runs are tracked on a server rather than in a file on this machine."""
    return mlflow.get_tracking_uri().startswith("http")


def without_password(text: str) -> str:
    """Returns ``text`` without the user and password of any address in it."""
    secret = _USER.match(mlflow.get_tracking_uri())
    text = _USER.sub(r"\1", text)
    if secret:  # removed even outside an address, as some libraries quote only a part of a URL
        _, _, password = secret[0].removeprefix(secret[1]).removesuffix("@").partition(":")
        for piece in re.split("[/@?#]", password):  # libraries split a URL at these unless quoted
            text = text.replace(piece, "***") if len(piece) > _FEW_LETTERS else text
    return text


def shown_uri() -> str:
    """Returns the tracking URI without user and password, for messages."""
    return _USER.sub(r"\1", mlflow.get_tracking_uri())


def reason_of(error: BaseException) -> str:
    """Returns the first line of an error's message, without passwords."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][2])  # the reason for the first of many files
    lines = str(error).strip().splitlines()
    return without_password(lines[0]) if lines else type(error).__name__


def check_server(timeout: float = FIRST_ANSWER) -> None:
    """Raises TrackingError unless the tracking server responds within ``timeout`` seconds.

    Does nothing without a server.
    """
    if not is_remote():
        return
    try:
        # any HTTP response counts; whether the server accepts the credentials shows at the first request
        get_page("/health", timeout)
    except Exception as error:  # each library below raises its own error for an invalid address
        raise TrackingError(
            f"no tracking server answers at {shown_uri()} ({_cause(error)}); start it with 'mlflow "
            "server', correct MLFLOW_TRACKING_URI, or unset it to track into this folder"
        ) from error


def get_page(path: str, timeout: float) -> Response:
    """Returns the server's response to a GET request with MLflow's certificates and credentials."""
    response: Response = http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(mlflow.get_tracking_uri()),  # type: ignore[no-untyped-call]
        path,
        "GET",
        max_retries=0,
        timeout=timeout,
        raise_on_status=False,
    )
    return response


def _cause(error: BaseException) -> str:
    """Returns the reason of the innermost cause: the outer errors repeat the whole request."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return reason_of(error)


def is_unreachable(error: Exception) -> bool:
    """Returns whether ``error`` means that the server did not respond: a later try may succeed."""
    # MLflow has no exception for that, only the code INTERNAL_ERROR; a RestException is a response
    if not is_remote() or not isinstance(error, MlflowException):
        return False
    return error.error_code in (_LATER[1:] if isinstance(error, RestException) else _LATER)


def refused(error: Exception) -> TrackingError:
    """Returns the TrackingError for an error that no later try would fix."""
    verb = "refused" if isinstance(error, MlflowException) else "cannot store the data"
    return TrackingError(f"MLflow at {shown_uri()} {verb}: {reason_of(error)}")


@contextmanager
def our_errors() -> Iterator[None]:
    """Raises a TrackingError instead of an error of MLflow."""
    try:
        yield
    except MlflowException as error:
        raise refused(error) from error
