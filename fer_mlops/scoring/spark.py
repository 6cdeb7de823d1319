"""Scoring by Spark: the registered model as MLflow's user-defined function."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from PIL import Image

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.images import gray_face
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.registry import load_classifier
from fer_mlops.scoring.job import Job, Scored, finish, num_done, opened
from fer_mlops.scoring.source import Item, Source

_FACES = "row long, image string, face binary, error string"
_MARKS = "mapreduce.fileoutputcommitter.marksuccessfuljobs"
"""Whether Spark writes ``_SUCCESS``, which here stands for all rows, not for some."""


def score_with_spark(source: Source, out: Path, job: Job, begin: Begin = begin_silently) -> Scored:
    """Writes an answer for every row of ``source`` to ``out``, as ``score_locally`` does.

    The session is the one that ``spark-submit`` or ``SPARK_*`` configures, else a local one on all
    cores. Paths, ``out`` and the model must be reachable from all executors, which must have
    fer_mlops. After any kill the same call scores the rows that no file holds.

    Raises:
        ConfigError: Spark is not installed, ``out`` was begun with another job, or another operating
            point than the default is asked for, which the registered model does not answer at.
        DataError: ``out`` cannot be written.
        ModelError: There is no such model.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError("--engine spark needs pyspark: pip install 'fer-mlops[spark]'") from error
    if job.point != "default" or not job.model.startswith(("models:/", "runs:/")):
        raise ConfigError(
            "--engine spark runs the registered model at its default point; name it by models:/ or "
            "runs:/ and leave --balanced and --natural out"
        )
    side = load_classifier(job.model).image_size
    with opened(out, job), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # or it takes the first on the path
        spark = SparkSession.builder.appName("fer-mlops score").getOrCreate()
        spark.sparkContext.setLogLevel("FATAL")  # of what ends the job, we tell in one sentence
        before = num_done(out)
        advance = begin("faces", job.num_rows)
        advance(before)
        answer = _answering(spark, job)
        try:
            for first in range(0, job.num_rows, job.rows_per_file):
                stop = min(first + job.rows_per_file, job.num_rows)
                missing = _missing(spark, out, first, stop) if before else list(range(first, stop))
                if missing:
                    items = source.part(first, stop).items()
                    rows = _frame(spark, [(row, items[row - first]) for row in missing])
                    told = answer(rows.mapInPandas(_reader(side), _FACES))
                    told.write.mode("append").option(_MARKS, "false").parquet(str(out))
                    advance(len(missing))
        except PySparkException as error:
            reason = str(error).strip().splitlines()[-1]
            raise DataError(f"Spark could not go on: {reason}; the same command goes on") from error
        return finish(out, job, before)


def _missing(spark: Any, out: Path, first: int, stop: int) -> list[int]:
    """Returns the rows from ``first`` to before ``stop`` that no file holds."""
    from pyspark.sql.functions import col

    done = spark.read.parquet(*map(str, out.glob("part-*.parquet"))).select("row")
    there = {one.row for one in done.where((col("row") >= first) & (col("row") < stop)).collect()}
    return [row for row in range(first, stop) if row not in there]


def _frame(spark: Any, rows: list[tuple[int, Item]]) -> Any:
    """Returns a Spark frame of row, image, and either the path or the bytes."""
    table = [
        (row, one.name, None, one.content)
        if isinstance(one.content, bytes)
        else (row, one.name, str(one.content.absolute()), None)
        for row, one in rows
    ]
    frame = spark.createDataFrame(table, "row long, image string, path string, content binary")
    return frame.repartition(spark.sparkContext.defaultParallelism)


def _reader(side: int) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """Returns what decodes images where they are scored.

    The registered model refuses a whole batch for one bad image, so images are decoded before: what
    it gets is the gray face as it would make it itself, and a blank one where there is none.
    """

    def read(tables: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for table in tables:
            faces: list[bytes] = []
            errors: list[str | None] = []
            for path, content in zip(table["path"], table["content"], strict=True):
                try:
                    face = gray_face(bytes(content) if path is None else Path(path), side)
                    errors.append(None)
                except DataError as error:
                    face = np.zeros((side, side), np.uint8)
                    errors.append(str(error))
                buffer = io.BytesIO()
                Image.fromarray(face).save(buffer, format="PNG", compress_level=1)
                faces.append(buffer.getvalue())
            yield table[["row", "image"]].assign(face=faces, error=pd.Series(errors, dtype=object))

    return read


def _answering(spark: Any, job: Job) -> Callable[[Any], Any]:
    """Returns what adds the model's answers to a frame of faces."""
    from pyspark.sql.functions import col, lit, struct, when
    from pyspark.sql.types import BooleanType, DoubleType, StringType, StructField, StructType

    numbers = [StructField(name, DoubleType()) for name in ("confidence", *EMOTIONS)]
    kind = StructType(
        [StructField("emotion", StringType()), *numbers, StructField("is_sure", BooleanType())]
    )
    logger = logging.getLogger("mlflow.pyfunc")
    logger.addFilter(_says_nothing_new)
    try:
        ask = mlflow.pyfunc.spark_udf(spark, job.model, result_type=kind, env_manager="local")
    finally:
        logger.removeFilter(_says_nothing_new)

    def answer(faces: Any) -> Any:
        told = faces.withColumn("told", ask(struct(col("face").alias("image"))))
        named = {field.name: col(f"told.{field.name}") for field in kind.fields}
        if job.threshold is not None:
            named["is_sure"] = col("told.confidence") >= lit(job.threshold)
        good = [when(col("error").isNull(), value).alias(name) for name, value in named.items()]
        return told.select("row", "image", *good, "error")

    return answer


def _says_nothing_new(record: logging.LogRecord) -> bool:
    """Returns False for MLflow's warning of ``local``, which is the environment of this package."""
    return "env_manager" not in record.getMessage()
