"""Scoring by Spark: each output file is a task of its executors."""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import mlflow

from fer_mlops.errors import ConfigError, DataError
from fer_mlops.progress import Progress, no_progress
from fer_mlops.serving.batch.job import Job, Scored, finish, missing_parts, opened
from fer_mlops.serving.batch.local import Task, score_part, tasks_of
from fer_mlops.serving.batch.source import FileSource, Source
from fer_mlops.serving.predictor import load

_AHEAD = 4
"""Tasks that each core has in one Spark job, after which the progress is told."""


def score_with_spark(source: Source, out: Path, job: Job, progress: Progress = no_progress) -> Scored:
    """Writes an answer for every row of ``source`` to ``out``, as ``score_locally`` does.

    The session is the one that ``spark-submit`` or ``SPARK_*`` configures, else a local one on all
    cores. Executors read the images, load the model and write the files themselves: all of these must
    be reachable from them, and they must have fer_mlops.

    Raises:
        ConfigError: Spark is not installed, or ``out`` was begun with another job.
        DataError: ``out`` cannot be written, or Spark failed.
        ModelError: There is no such model.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError("--engine spark needs pyspark: pip install 'fer-mlops[spark]'") from error
    load(job.model)  # where there is none, every task would say so
    with opened(out, job), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # or it takes the first on the path
        missing, before = missing_parts(out, job)
        advance = progress("faces", job.num_rows)
        advance(before)
        score = _scorer(mlflow.get_tracking_uri())
        tasks = tasks_of(_everywhere(source), out.absolute(), job, missing)
        try:
            context = SparkSession.builder.appName("fer-mlops score").getOrCreate().sparkContext
            context.setLogLevel("FATAL")  # of what ends the job, we tell in one sentence
            at_once = _AHEAD * context.defaultParallelism
            for first in range(0, len(tasks), at_once):
                share = tasks[first : first + at_once]
                for told in context.parallelize(share, len(share)).map(score).collect():
                    if isinstance(told, str):
                        raise DataError(f"Spark could not go on: {told}; the same command goes on")
                    advance(told)
        except (PySparkException, Py4JError) as error:
            reason = next((line for line in str(error).splitlines() if "Exception:" in line), str(error))
            raise DataError(f"Spark could not go on: {reason}; the same command goes on") from error
        return finish(out, job, before)


def _everywhere(source: Source) -> Source:
    """Returns the source by paths that mean the same in every process."""
    if isinstance(source, FileSource):
        return dataclasses.replace(source, root=source.root.absolute())
    return dataclasses.replace(source, path=source.path.absolute())


def _scorer(tracking_uri: str) -> Callable[[Task], int | str]:
    """Returns what an executor does with a task: the number of its rows, or why there are none."""

    def score(task: Task) -> int | str:
        import torch

        torch.set_num_threads(1)  # Spark has a process for each core
        mlflow.set_tracking_uri(tracking_uri)
        try:
            return score_part(*task)
        except Exception as error:  # told in one sentence, where Spark would add its own trace
            return str(error) or type(error).__name__

    return score
