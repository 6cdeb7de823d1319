"""Millions of images to Parquet, by all cores of this machine or by Spark.

The output folder holds ``part-*.parquet`` and, once every row is there, ``_SUCCESS``. Its ``_job.json``
tells what was asked, so that the same command goes on where a killed one stopped, and another one is
refused. Who wants ``spark`` imports it: it takes MLflow, for which local workers need not wait.
"""

from fer_mlops.scoring.job import Job, Scored
from fer_mlops.scoring.local import score_locally
from fer_mlops.scoring.source import Source, open_source

__all__ = ["Job", "Scored", "Source", "open_source", "score_locally"]
