"""Outbox of a run: log entries kept in order until MLflow has stored them.

Every entry can be sent twice without harm: a metric carries its time, which is part of its key in
MLflow's store, and a file carries the name it is stored under.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from fer_mlops.errors import TrackingError
from fer_mlops.tracking.connection import (
    check_server,
    client,
    is_unreachable,
    reason_of,
    refused,
    shown_uri,
)
from fer_mlops.tracking.run_log import Answer

Entry = dict[str, Any]
"""``kind`` and the fields that its sender reads, as plain values, so that a checkpoint can store it."""
# shortest and longest pause before the next try, in seconds; the pause doubles after each failure
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# metrics per request: MLflow 3.17 drops a larger batch if the model already has one of its metrics
_MOST_METRICS = 100
_PROBE = 5  # seconds to wait for a response of a server that did not respond before
# limits of a stored name: characters of the whole name (MLflow's limit), bytes of one part between
# slashes, which may be a file name, and bytes of a file's suffix
_LONGEST_NAME, _LONGEST_PART, _LONGEST_SUFFIX = 250, 80, 8
_TAG = 5000  # longest tag value that MLflow's servers accept, in characters
_log = logging.getLogger(__name__)


def stored_name(name: str) -> str:
    """Returns the name under which MLflow stores a metric, parameter, tag or file.

    A name that every MLflow store accepts is unchanged. Otherwise each part between slashes keeps its
    letters, digits, spaces and ``_.-``, is cut to 80 bytes, and ends with a digest of the original.
    """
    whole = "/".join(_stored_part(part) for part in name.split("/"))
    return whole if len(whole) <= _LONGEST_NAME else _cut(whole, name, _LONGEST_NAME)


def _stored_part(part: str) -> str:
    clean = re.sub(r"[^\w .-]", "_", part)
    if clean == part and len(part.encode()) <= _LONGEST_PART and part.strip(". "):
        return part
    return _cut(clean, part, _LONGEST_PART)


def _cut(clean: str, original: str, most_bytes: int) -> str:
    """Returns the beginning of ``clean`` and a digest of ``original``, before a file's suffix."""
    suffix = PurePosixPath(clean).suffix
    suffix = suffix if len(suffix.encode()) <= _LONGEST_SUFFIX else ""
    # so that different names stay different
    digest = hashlib.sha256(original.encode(errors="surrogateescape")).hexdigest()[:8]
    room = most_bytes - len(f"-{digest}{suffix}".encode())
    head = clean.removesuffix(suffix).encode(errors="replace")[:room].decode(errors="ignore")
    return f"{head}-{digest}{suffix}"


def _send_metrics(store: MlflowClient, run_id: str, entry: Entry) -> None:
    moment = {"timestamp": entry["time"], "step": entry["step"], "model_id": entry.get("model")}
    metrics = [Metric(stored_name(key), value, **moment) for key, value in entry["values"].items()]
    for start in range(0, len(metrics), _MOST_METRICS):
        store.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])


def _send_params(store: MlflowClient, run_id: str, entry: Entry) -> None:
    params = [Param(stored_name(key), value) for key, value in entry["values"].items()]
    store.log_batch(run_id, params=params)


def _send_tags(store: MlflowClient, run_id: str, entry: Entry) -> None:
    tags = [RunTag(stored_name(key), value[:_TAG]) for key, value in entry["values"].items()]
    store.log_batch(run_id, tags=tags)


def _send_files(store: MlflowClient, run_id: str, entry: Entry) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path, content in entry["files"].items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        store.log_artifacts(run_id, folder)


def _send_input(store: MlflowClient, run_id: str, entry: Entry) -> None:
    tags = [InputTag("mlflow.data.context", entry["context"])]
    store.log_inputs(run_id, [DatasetInput(Dataset(**entry["dataset"]), tags)])


_SENDERS: dict[str, Callable[[MlflowClient, str, Entry], None]] = {
    "metrics": _send_metrics,
    "params": _send_params,
    "tags": _send_tags,
    "files": _send_files,
    "input": _send_input,
}


class Outbox:
    """Entries of one run that MLflow has not stored yet.

    If the server does not respond, the next entry after a pause of 1, 2, 4 … 60 seconds triggers a new
    try. Training does not wait in between.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.entries: list[Entry] = []
        self._is_held = False
        self._pause = 0.0
        self._next_try = 0.0
        self._reason = ""

    def put(self, entry: Entry) -> None:
        """Sends the entry after all earlier ones, now or when the server responds again.

        Raises:
            TrackingError: MLflow refuses an entry.
        """
        self.entries.append(entry)
        if not self._is_held:
            self.deliver()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Sends the entries put inside the block when it ends; drops them if the block fails."""
        before = len(self.entries)
        self._is_held = True
        try:
            yield
        except BaseException:
            # the step that failed is logged again by a resumed run
            del self.entries[before:]
            raise
        finally:
            self._is_held = False
        self.deliver()

    def deliver(self, *, at_once: bool = False) -> bool:
        """Sends entries in order until the server stops responding; returns whether all are sent.

        Tries ``at_once``, or when the pause after the last failure is over.

        Raises:
            TrackingError: MLflow refuses an entry.
        """
        if not at_once and time.monotonic() < self._next_try:
            return False
        try:
            if self._pause:  # a short request first, as MLflow's own would hold up training for longer
                check_server(_PROBE)
        except TrackingError as error:
            self._leave_alone(error)
            return False
        try:
            num_sent = self._send()
        except (MlflowException, OSError) as error:
            if not is_unreachable(error):
                raise refused(error) from error
            self._leave_alone(error)
            return False
        if self._pause:
            _log.warning("the tracking server responds again; all %d entries are sent", num_sent)
        self._pause = 0.0
        return True

    def wait(self, seconds: float, question: Callable[[], Answer]) -> Answer:
        """Sends all entries, then calls ``question``, which must do no harm twice; returns its result.

        Raises:
            TrackingError: The server does not respond within ``seconds``, or MLflow refuses.
        """
        deadline = time.monotonic() + seconds
        while True:
            if self._is_held or self.deliver(at_once=True):
                try:
                    return question()
                except (MlflowException, OSError) as error:
                    if not is_unreachable(error):
                        raise refused(error) from error
                    self._leave_alone(error)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TrackingError(
                    f"the tracking server at {shown_uri()} has not responded for {seconds / 60:g} "
                    f"minutes ({self._reason}); run {self.run_id} is not logged completely"
                )
            time.sleep(min(self._pause, left))

    def _send(self) -> int:
        store = client()
        num_sent = 0
        while self.entries:
            _SENDERS[self.entries[0]["kind"]](store, self.run_id, self.entries[0])
            # only now: an entry that is sent twice is the same entry, and does no harm
            del self.entries[0]
            num_sent += 1
        return num_sent

    def _leave_alone(self, error: Exception) -> None:
        self._reason = reason_of(error)
        if not self._pause:
            _log.warning(
                "the tracking server at %s does not respond; the run continues, keeps its log entries "
                "(%d now), and tries again (%s)",
                shown_uri(),
                len(self.entries),
                self._reason,
            )
        self._pause = min(2 * self._pause or _FIRST_PAUSE, _LONGEST_PAUSE)
        self._next_try = time.monotonic() + self._pause
