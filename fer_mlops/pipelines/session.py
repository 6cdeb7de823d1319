"""Session of one call from Python: cache folder, progress and run, with nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fer_mlops.files import cache_folder
from fer_mlops.processes import libraries_set_up
from fer_mlops.progress import Progress, StageLines, is_notebook, notebook_progress, write_to_stderr

if TYPE_CHECKING:
    from fer_mlops.tracking.run_log import RunLog
    from fer_mlops.training.steps import OnRunStep, Step


@dataclass(frozen=True)
class Session:
    """Surroundings of one call."""

    cache: Path
    """Folder for decoded faces and checkpoints."""
    progress: Progress
    on_step: OnRunStep
    """Called after each epoch."""


@contextmanager
def session(progress: Progress | None = None, experiment: str | None = None) -> Iterator[Session]:
    """Sets up for one call what the command line sets up for its process, and undoes it at the end.

    Args:
        progress: Called at the start of each stage; by default bars in a notebook, and lines on standard
            error elsewhere.
        experiment: MLflow experiment that the call writes to; None to store nothing.

    Raises:
        TrackingError: The tracking store cannot be used, or a run is open.
    """
    lines = StageLines(write_to_stderr)
    has_lines = progress is None and not is_notebook()
    shown = lines.begin if has_lines else progress or notebook_progress

    def write_step(run: str, step: Step) -> None:
        if has_lines and step.has_images:
            write_to_stderr(step.summary(run))

    with libraries_set_up():
        if experiment is not None:
            from fer_mlops.tracking.store import check_no_open_run, check_store

            check_no_open_run()  # MLflow starts no run inside it
            check_store(experiment)
        yield Session(cache_folder(), shown, write_step)
        lines.finish()


@contextmanager
def run_of(experiment: str | None, name: str) -> Iterator[RunLog]:
    """Yields the tracker of a new run; a log in memory if ``experiment`` is None."""
    if experiment is None:
        from fer_mlops.tracking.run_log import RunLog

        yield RunLog()
        return
    from fer_mlops.tracking.runs import track

    with track(experiment, name) as tracker:
        yield tracker
