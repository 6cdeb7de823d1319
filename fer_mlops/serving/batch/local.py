"""Local scoring: one process per core, one output file at a time."""

from __future__ import annotations

import functools
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from fer_mlops.errors import DataError
from fer_mlops.files import UNFINISHED, write_bytes
from fer_mlops.processes import exit_with_parent
from fer_mlops.progress import Progress, no_progress
from fer_mlops.serving.batch.job import PART, SCHEMA, Job, Scored, finish, missing_parts, opened
from fer_mlops.serving.batch.source import Part, Source
from fer_mlops.serving.predictor import Predictor, load

Task = tuple[Part, Path, Job]
"""Rows to score, the file for their predictions, and the job."""


def score_locally(source: Source, out: Path, job: Job, progress: Progress = no_progress) -> Scored:
    """Writes the prediction of every row of ``source`` to ``out``.

    Files are written atomically. After a kill, the same call resumes with the missing files: no row is
    lost or written twice.

    Raises:
        ConfigError: ``out`` belongs to another job.
        DataError: ``out`` cannot be written, or a worker process was killed.
        ModelError: There is no such model.
    """
    with opened(out, job):
        for left_over in out.glob(f"{UNFINISHED}*"):  # of a killed process; we hold the lock
            shutil.rmtree(left_over, ignore_errors=True)
        missing, before = missing_parts(out, job)
        advance = progress("faces", job.num_rows)
        advance(before)
        # one task at a time and in any order, so that a long part delays no other
        tasks = (delayed(score_part)(*task) for task in tasks_of(source, out, job, missing))
        watched = {"initializer": _start, "initargs": (os.getpid(),)}
        try:
            for num in Parallel(
                n_jobs=min(os.cpu_count() or 1, max(1, len(missing))),
                return_as="generator_unordered",
                batch_size=1,
                **watched,
            )(tasks):
                advance(num)
        except TerminatedWorkerError as error:
            raise DataError(
                "a worker process was killed, perhaps out of memory; repeat the command to resume"
            ) from error
        return finish(out, job, before)


def _start(parent: int) -> None:
    """Prepares a worker process: it exits with its parent, and torch uses one thread."""
    import torch

    exit_with_parent(parent)
    torch.set_num_threads(1)


@functools.lru_cache(maxsize=1)  # a process scores many parts, and loading takes seconds
def _predictor(name: str) -> Predictor:
    return load(name, num_threads=1)


def tasks_of(source: Source, out: Path, job: Job, numbers: Sequence[int]) -> list[Task]:
    """Returns the arguments of ``score_part`` for each of these parts."""
    return [(source.part(*job.rows_of(n)), out / PART.format(n), job) for n in numbers]


def score_part(part: Part, file: Path, job: Job) -> int:
    """Writes the predictions of a part and returns the number of its rows."""
    items = part.items()
    predictions = _predictor(job.model).stream(
        (item.content for item in items), point=job.point, threshold=job.threshold
    )
    rows: list[dict[str, object]] = []
    for number, (item, prediction) in enumerate(zip(items, predictions, strict=True)):
        row: dict[str, object] = {"row": part.first + number, "image": item.name}
        if isinstance(prediction, DataError):
            row["error"] = str(prediction) if item.content else "the row has no image"
        else:
            row |= prediction.columns()
        rows.append(row)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer)
    write_bytes(file, buffer.getvalue())
    return len(rows)
