"""Finished runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import mlflow
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from fer_mlops import figures
from fer_mlops.errors import ConfigError, ModelError
from fer_mlops.registry import DIGEST_TAG
from fer_mlops.tracking import Tracker, shown_uri

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run's test scores; each is (value, low, high) of its 95 % interval."""

    name: str
    run_id: str
    family: str
    data: str
    split: str
    digest: str
    num_faces: int
    scores: dict[str, tuple[float, float, float]]
    minutes: float


@dataclass(frozen=True)
class Comparison:
    """Runs in order of test macro-F1, best first."""

    rows: tuple[Row, ...]

    @property
    def warning(self) -> str:
        """Why the numbers cannot be compared, or an empty text."""
        if len({row.digest for row in self.rows}) > 1:
            return "these runs were tested on different faces, so their scores cannot be compared"
        return ""

    def figure(self) -> Figure:
        """Returns the chart."""
        scores = {f"{row.name} ({row.family})": row.scores for row in self.rows}
        first = self.rows[0]
        title = self.warning or f"{first.data}, {first.split} split, test n = {first.num_faces}"
        return figures.model_chart(scores, title)


def compare_runs(run_ids: Sequence[str]) -> Comparison:
    """Returns the comparison of finished training runs.

    Raises:
        ModelError: A run does not exist or has no test scores.
        ConfigError: Fewer than two different runs are given.
    """
    unique = list(dict.fromkeys(run_ids))
    if len(unique) < 2:
        raise ConfigError(f"a comparison needs at least two different runs, got {len(unique)}")
    rows = [_row(run_id) for run_id in unique]
    return Comparison(tuple(sorted(rows, key=lambda row: -row.scores["macro_f1"][0])))


def children_of(parent: str) -> list[str]:
    """Returns the finished runs nested under ``parent``, oldest first.

    Raises:
        ModelError: There is no such run.
    """
    experiment_id = _get(parent).info.experiment_id
    found = MlflowClient().search_runs(
        [experiment_id],
        f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time ASC"],
    )
    return [run.info.run_id for run in found]


def latest_runs(experiment_name: str) -> list[str]:
    """Returns the latest finished training run of each family in an experiment."""
    experiment = MlflowClient().get_experiment_by_name(experiment_name)
    if experiment is None:
        return []
    found = MlflowClient().search_runs(
        [experiment.experiment_id],
        "attributes.status = 'FINISHED' and metrics.`test/macro_f1` >= 0",
        order_by=["attributes.start_time DESC"],
    )
    by_family: dict[str, str] = {}
    for run in found:
        if "family" in run.data.tags:
            by_family.setdefault(run.data.tags["family"], run.info.run_id)
    return list(by_family.values())


def log_comparison(comparison: Comparison, tracker: Tracker) -> None:
    """Logs the chart, as a file and as an image the UI shows, and the table."""
    figure = comparison.figure()
    tracker.log_figure("comparison.png", figure)
    tracker.log_picture("comparison", figures.to_image(figure), 0)
    columns: dict[str, list[str | float]] = {
        "run": [row.name for row in comparison.rows],
        "family": [row.family for row in comparison.rows],
        "n": [row.num_faces for row in comparison.rows],
        "minutes": [round(row.minutes, 2) for row in comparison.rows],
    }
    for score in _SCORES:
        columns[score] = [round(row.scores[score][0], 4) for row in comparison.rows]
    mlflow.log_table(columns, "comparison.json")
    tracker.log_facts({"compared_runs": json.dumps([row.run_id for row in comparison.rows])})
    for row in comparison.rows:
        tracker.log_metrics({f"compare/{row.family}/{s}": row.scores[s][0] for s in _SCORES})


def _row(run_id: str) -> Row:
    run = _get(run_id)
    metrics, tags = run.data.metrics, run.data.tags
    if "test/macro_f1" not in metrics:
        raise ModelError(f"run {run_id} has no test scores (status {run.info.status})")
    return Row(
        name=run.info.run_name or run_id[:8],
        run_id=run_id,
        family=tags.get("family", "unknown"),
        data=tags.get("data", "unknown"),
        split=tags.get("split", "unknown"),
        digest=tags.get(DIGEST_TAG, run_id),
        num_faces=int(metrics["test/faces"]),
        scores={
            s: (metrics[f"test/{s}"], metrics[f"test/{s}_low"], metrics[f"test/{s}_high"])
            for s in _SCORES
        },
        minutes=metrics.get("minutes", float("nan")),
    )


def _get(run_id: str) -> Run:
    try:
        return MlflowClient().get_run(run_id)
    except MlflowException as error:
        raise ModelError(f"no run {run_id!r} at {shown_uri()}") from error
