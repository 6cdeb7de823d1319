"""Spark scoring: each output file is one task of the executors."""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from fer_mlops.errors import DataError, needs_extra
from fer_mlops.progress import Progress, no_progress
from fer_mlops.serving.batch.job import Job, Scored, finish, missing_parts, opened
from fer_mlops.serving.batch.local import Task, score_part, tasks_of
from fer_mlops.serving.batch.source import FileSource, Source
from fer_mlops.serving.predictor import load
from fer_mlops.tracking.connection import store_uri, use_store

_AHEAD = 4  # tasks per core in one Spark job; the progress is reported after each job


def score_with_spark(source: Source, out: Path, job: Job, progress: Progress = no_progress) -> Scored:
    """Writes the prediction of every row of ``source`` to ``out``, as ``score_locally`` does.

    Uses the session that ``spark-submit`` or ``SPARK_*`` configures, else a local one on all cores.
    Executors read the images, load the model and write the files themselves: they need access to all
    of these, and an installed fer_mlops. Arguments are those of ``score_locally``.

    Raises:
        ConfigError: Spark is not installed, or ``out`` belongs to another job.
        DataError: ``out`` cannot be written, or Spark failed.
        ModelError: There is no such model.
    """
    with needs_extra("spark", "Spark scoring needs pyspark"):
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    load(job.model)  # a missing model fails here, not in every task
    with opened(out, job), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        # the default is the first python on PATH
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        missing, before = missing_parts(out, job)
        advance = progress("faces", job.num_rows)
        advance(before)
        score = _scorer(store_uri())
        tasks = tasks_of(_everywhere(source), out.absolute(), job, missing)
        try:
            context = SparkSession.builder.appName("fer-mlops score").getOrCreate().sparkContext
            context.setLogLevel("FATAL")  # errors are reported in one sentence below
            at_once = _AHEAD * context.defaultParallelism
            for first in range(0, len(tasks), at_once):
                share = tasks[first : first + at_once]
                for outcome in context.parallelize(share, len(share)).map(score).collect():
                    if isinstance(outcome, str):
                        raise DataError(f"Spark failed: {outcome}; repeat the command to resume")
                    advance(outcome)
        except (PySparkException, Py4JError) as error:
            reason = next((line for line in str(error).splitlines() if "Exception:" in line), str(error))
            raise DataError(f"Spark failed: {reason}; repeat the command to resume") from error
        return finish(out, job, before)


def _everywhere(source: Source) -> Source:
    """Returns the source with absolute paths, valid in every process."""
    if isinstance(source, FileSource):
        return dataclasses.replace(source, root=source.root.absolute())
    return dataclasses.replace(source, path=source.path.absolute())


def _scorer(tracking_uri: str) -> Callable[[Task], int | str]:
    """Returns the executors' function: it scores a task and returns its number of rows, or an error."""

    def score(task: Task) -> int | str:
        import torch

        torch.set_num_threads(1)  # Spark runs a process per core
        use_store(tracking_uri)
        try:
            return score_part(*task)
        except Exception as error:  # Spark would add its own long traceback
            return str(error) or type(error).__name__

    return score
