"""Run checkpoint: saves training state and unsent logs so that a killed run can resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any

from fer_mlops.config import Experiment
from fer_mlops.config.recipes import settings_as_json
from fer_mlops.data.loading import Data
from fer_mlops.errors import TrackingError, TrainingError
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.training.checkpoints import claim, load_checkpoint, save_checkpoint


def read_kept(path: Path) -> dict[str, Any]:
    """Returns the state that a ``RunCheckpoint`` wrote to ``path``, without running code from the file.

    Raises:
        TrainingError: There is no checkpoint, or it is not the checkpoint of a run.
    """
    state = load_checkpoint(path)
    wrong = _wrong(state, _KINDS)
    if not wrong:
        learning, tracker = state["learning"], state["tracker"]
        wrong = _wrong(tracker, _TRACKER) + (_wrong(learning, _LEARNING) if learning else [])
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


class RunCheckpoint:
    """Keeps the training state and the entries not yet sent to MLflow in one file.

    Entries of a step are sent only after they are in the file. So a kill at any moment loses no logged
    step, and entries that are sent again after a resume are identical.
    """

    def __init__(
        self,
        path: Path | None,
        experiment: Experiment,
        data: Data,
        tracker: Tracker,
        resume_from: Mapping[str, Any] | None,
    ) -> None:
        self.path, self.family, self.tracker = path, experiment.family, tracker
        self.is_resumed = resume_from is not None
        self.last_step: int = resume_from["step"] if resume_from else 0
        self._minutes_before: float = resume_from["minutes"] if resume_from else 0.0
        self._started = time.perf_counter()
        self._unchanged = {"settings": settings_as_json(experiment), "digest": data.digest()}

    def save(self, number: int, learning: Callable[[], dict[str, Any]] | None) -> None:
        """Writes the checkpoint after a step.

        Args:
            number: Step just done, from 1; 0 before the first.
            learning: Returns the state that ``train_classifier`` resumes from.
        """
        self.last_step = number
        if self.path:
            state = {
                **self._unchanged,
                "step": number,
                "learning": learning() if learning else None,
                "minutes": self.minutes(),
                "tracker": self.tracker.state(),
            }
            save_checkpoint(self.path, state)

    def minutes(self) -> float:
        """Returns the run's working time in minutes, summed over all its resumes."""
        return self._minutes_before + (time.perf_counter() - self._started) / 60

    def discard(self) -> None:
        """Removes the checkpoint of a finished run."""
        if self.path:
            self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the run against other processes; adds the resume command to errors that end it.

        Raises:
            TrainingError: Another process holds the lock.
        """
        if not self.path:
            yield
            return
        how = f"resume with 'fer-mlops {self.family} --resume {self.tracker.run_id}'"
        with claim(self.path):
            try:
                yield
            except KeyboardInterrupt as error:
                raise KeyboardInterrupt(how) from error
            except TrackingError as error:
                raise TrackingError(f"{error}; {how}") from error
