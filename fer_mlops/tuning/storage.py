"""Study storage: opens the study's database and waits for it during outages."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from fer_mlops.errors import ConfigError, FerError, TrackingError, without_extra
from fer_mlops.tracking.connection import store_uri

Answer = TypeVar("Answer")
MOST_RETRIES = 2
"""Most retries of a trial whose worker died."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0  # seconds between two requests to an unavailable storage
_HASTE = 5.0  # longest wait after Ctrl-C, in seconds
_OPENINGS = 3  # attempts to open a new database, which two processes may be creating at once
# the methods that Optuna calls in a study with one objective; each is repeated during an outage
_QUESTIONS = (
    "create_new_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_create_new_trial",
    "_set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "get_trial_user_attrs",
    "get_trial_system_attrs",
    "get_trial_id_from_study_id_trial_number",
    "_get_trials",
)
_log = logging.getLogger(__name__)


def retry(study: Study, trial: FrozenTrial) -> None:
    """Queues a trial of a dead worker again, with its parameters and its run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES)(study, trial)


class PatientStorage(RDBStorage):
    """A storage that repeats requests for ``patience`` seconds while its database is unavailable."""

    def __init__(self, url: URL, *, heartbeat: int, grace: int, patience: float) -> None:
        self.patience, self.heartbeat, self.grace = patience, heartbeat, grace
        self.shown = shown_url(url)
        self.was_interrupted = self._is_reported = False
        self._away_at = float("-inf")
        arguments = {"timeout": 60} if url.get_backend_name() == "sqlite" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(
                url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
                engine_kwargs={"pool_pre_ping": True, "connect_args": arguments},
                heartbeat_interval=heartbeat,
                grace_period=grace,
                heartbeat_stale_trial_callback=retry,
            )

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Returns the result of ``question``, repeated while the database is unavailable.

        Raises:
            TrackingError: The database stayed unavailable for ``patience`` seconds.
        """
        with self.hastened():
            return self._ask(question)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        patience = self.patience
        deadline = time.monotonic() + patience
        pause = _FIRST_PAUSE
        while True:
            try:
                result = question()
                self._is_reported = False
                return result
            except (OptunaError, SQLAlchemyError) as error:
                if not is_away(error):
                    raise
                reason = reason_of(error)
                if not self._is_reported:
                    self._is_reported = True
                    _log.warning(
                        "the study storage at %s does not respond; retrying (%s)", self.shown, reason
                    )
            self._away_at = now = time.monotonic()
            if now >= deadline:
                self.patience = 0.0  # do not wait again while the run is being ended
                raise TrackingError(
                    f"the study storage at {self.shown} has not responded for {patience / 60:g} "
                    f"minutes ({reason}); finished trials are safe; run the same command to continue"
                )
            time.sleep(min(pause, deadline - now))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def record_heartbeat(self, trial_id: int) -> None:
        try:
            super().record_heartbeat(trial_id)
        except (OptunaError, SQLAlchemyError) as error:
            if not is_away(error):
                raise
            self._away_at = time.monotonic()  # not asked again: the next heartbeat comes soon

    def hurry(self) -> None:
        """Shortens the wait for the storage, because the user has pressed Ctrl-C."""
        self.patience = min(self.patience, _HASTE)

    @contextmanager
    def hastened(self) -> Iterator[None]:
        """Calls ``hurry`` if Ctrl-C arrives inside the context."""
        try:
            yield
        except KeyboardInterrupt:
            self.was_interrupted = True
            self.hurry()
            raise

    def close(self) -> None:
        """Closes the database connections."""
        self.remove_session()
        self.engine.dispose()

    def was_away_lately(self) -> bool:
        """Returns whether a missing heartbeat may be due to a storage outage."""
        return time.monotonic() - self._away_at < self.grace

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        if self.was_away_lately():
            return []
        stale: list[int] = self.ask(functools.partial(super()._get_stale_trial_ids, study_id))
        return stale


def _patiently(name: str) -> Callable[..., Any]:
    original = getattr(RDBStorage, name)

    @functools.wraps(original)
    def ask(self: PatientStorage, *words: Any, **options: Any) -> Any:
        return self.ask(lambda: original(self, *words, **options))

    return ask


for _name in _QUESTIONS:
    setattr(PatientStorage, _name, _patiently(_name))


def is_away(error: BaseException | None) -> bool:
    """Returns whether the error means that the database is unavailable, so that a retry may work."""
    while error is not None:
        if isinstance(error, (OperationalError, InterfaceError)):
            return "already exists" not in str(error)  # SQLite reports an existing table this way
        error = error.__cause__
    return False


def reason_of(error: BaseException) -> str:
    """Returns the first line of the database's error message."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def shown_url(url: URL) -> str:
    """Returns the URL without its password."""
    hidden = url.set(query={k: "***" if "pass" in k else v for k, v in url.query.items()})
    return hidden.render_as_string(hide_password=True)


def read_url(text: str) -> URL:
    """Returns the parsed URL of a storage.

    Raises:
        ConfigError: The text is not a database URL, or the database exists only in memory.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "--storage is not a database URL; use sqlite:///optuna.db or postgresql://user@host/database"
        ) from None  # the text may hold a password
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError("--storage needs a file, such as sqlite:///optuna.db, to keep the study")
    return url


def open_storage(text: str, *, heartbeat: int, grace: int, patience: float) -> PatientStorage:
    """Returns the storage at the URL ``text``.

    All times are in seconds; ``patience`` is the wait for a database that stops responding later.

    Raises:
        ConfigError: The URL is invalid or MLflow's own database, or its driver is not installed.
        TrackingError: The database cannot be opened.
    """
    url = read_url(text)
    try:
        _refuse_mlflows_own(url)
        for number in range(_OPENINGS):
            try:
                return PatientStorage(url, heartbeat=heartbeat, grace=grace, patience=patience)
            except SQLAlchemyError as error:
                if is_away(error) or number == _OPENINGS - 1:
                    raise
                time.sleep(1 + number)  # another process is creating the tables
        raise AssertionError
    except (ImportError, NoSuchModuleError) as error:
        need = f"storage {shown_url(url)} needs "
        if url.get_backend_name() == "postgresql":
            raise ConfigError(without_extra("postgres", f"{need}psycopg")) from error
        raise ConfigError(f"{need}its Python driver") from error
    except FerError:
        raise
    except (OptunaError, SQLAlchemyError, RuntimeError, OSError) as error:
        reason = reason_of(error)
        if url.password:
            reason = reason.replace(str(url.password), "***")
        raise TrackingError(
            f"the study storage at {shown_url(url)} cannot be opened: {reason}"
        ) from None  # the error's own text may hold the password


def _refuse_mlflows_own(url: URL) -> None:
    """Raises ConfigError for MLflow's database, because Optuna has a table ``alembic_version`` too."""
    same = "the study needs a database of its own, not MLflow's; choose another --storage"
    if store_uri() == url.render_as_string(hide_password=False):
        raise ConfigError(same)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url)
    else:
        engine = create_engine(url, connect_args={"connect_timeout": 10})
    try:
        if "experiments" in inspect(engine).get_table_names():
            raise ConfigError(same)
    finally:
        engine.dispose()
