"""Run checkpoint: saves training state and unsent logs so that a killed run can resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import UnionType
from typing import Any

from fer_mlops.config import Experiment
from fer_mlops.config.recipes import settings_as_json
from fer_mlops.data.loading import Data
from fer_mlops.errors import DataError, TrackingError, TrainingError
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.training.checkpoints import checkpoint_path, claim, load_checkpoint, save_checkpoint


def checkpoint_of(run_id: str, cache: Path, *, locks: bool = True) -> dict[str, Any]:
    """Returns the checkpoint of a stopped run, after making sure that no other process works on it.

    Raises:
        TrainingError: There is no checkpoint of the run, or another process works on it.
    """
    path = checkpoint_path(cache, run_id)
    with claim(path) if locks else nullcontext():
        return read_checkpoint(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the state that a ``RunCheckpoint`` wrote to ``path``, without running code from the file.

    Raises:
        TrainingError: There is no checkpoint, or it is not the checkpoint of a run.
    """
    state = load_checkpoint(path)
    wrong = _wrong(state, _KINDS) or _wrong(state["tracker"], _TRACKER)
    if not wrong and state["learning"]:
        wrong = _wrong(state["learning"], _LEARNING)
    if wrong:
        raise TrainingError(
            f"cannot read the checkpoint {str(path)!r}: it is not one of a run, {wrong[0]!r} is missing "
            "or has the wrong type"
        )
    return state


def _wrong(state: Mapping[str, Any], kinds: Mapping[str, type | UnionType]) -> list[str]:
    return [name for name, kind in kinds.items() if not isinstance(state.get(name), kind)]


_KINDS: dict[str, type | UnionType] = {
    "settings": str,
    "digest": str,
    "step": int,
    "learning": dict | None,
    "minutes": float,
    "tracker": dict,
}
_TRACKER = {"entries": list, "curves": dict, "last_step": int, "has_pictures": bool}
_LEARNING = {"phase": int, "steps_before": int, "facts": dict, "fit": dict}


def learning_state(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Returns the part of a checkpoint that ``train_classifier`` resumes from; None at the start."""
    return state["learning"] if state else None


class RunCheckpoint:
    """Run log and checkpoint of a run, kept in step: a kill at any moment loses no logged step."""

    def __init__(
        self,
        path: Path | None,
        experiment: Experiment,
        data: Data,
        log: RunLog,
        resume_from: Mapping[str, Any] | None,
    ) -> None:
        """Starts the clock of the run, or restores its log if it resumes.

        Without a path nothing is saved.

        Raises:
            DataError: The faces or their split have changed since the checkpoint.
        """
        self._path, self._family, self._log = path, experiment.family, log
        self._unchanged = {"settings": settings_as_json(experiment), "digest": data.digest()}
        self._started = time.perf_counter()
        self._minutes_before, self.last_step = 0.0, 0
        self.is_resumed = resume_from is not None
        if resume_from is None:
            return
        if resume_from["digest"] != self._unchanged["digest"]:
            raise DataError(
                f"run {log.run_id} cannot resume: the faces or their split have changed since it "
                "started; restore them, or start a new run"
            )
        self._minutes_before, self.last_step = resume_from["minutes"], resume_from["step"]
        log.restore(resume_from["tracker"])

    @contextmanager
    def step(self, number: int, learning: Callable[[], dict[str, Any]] | None = None) -> Iterator[None]:
        """Saves what the block logs, then sends it; does neither if the block or the save fails.

        Args:
            number: Step that the block logs, from 1; 0 for what is logged before the first.
            learning: Returns the state that ``train_classifier`` resumes from.
        """
        with self._log.together():
            yield
            self.last_step = number
            # saved before it is sent, so that a resumed run sends identical entries again
            if self._path:
                state = {
                    **self._unchanged,
                    "step": number,
                    "learning": learning() if learning else None,
                    "minutes": self.minutes(),
                    "tracker": self._log.state(),
                }
                save_checkpoint(self._path, state)

    def minutes(self) -> float:
        """Returns the run's working time in minutes, summed over all its resumes."""
        return self._minutes_before + (time.perf_counter() - self._started) / 60

    def finish(self) -> float:
        """Logs the minutes, ends the run as FINISHED and removes the checkpoint; returns the minutes."""
        minutes = self.minutes()
        # a run killed after this line has logged them already
        if not (self.is_resumed and self._log.has_metric("minutes")):
            self._log.log_metrics({"minutes": minutes})
        self._log.finish()
        if self._path:
            self._path.unlink(missing_ok=True)
        return minutes

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the run against other processes; adds the resume command to errors that end it.

        Raises:
            TrainingError: Another process holds the lock.
        """
        if not self._path:
            yield
            return
        how = f"resume with 'fer-mlops {self._family} --resume {self._log.run_id}'"
        with claim(self._path):
            try:
                yield
            except KeyboardInterrupt as error:
                raise KeyboardInterrupt(how) from error
            except TrackingError as error:
                raise TrackingError(f"{error}; {how}") from error
