"""Training of several model families on the same faces, compared in one parent run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fer_mlops.config import Experiment
from fer_mlops.data.loading import prepare_data
from fer_mlops.evaluation.comparison import Comparison
from fer_mlops.pipelines.compare import compare_trained, log_comparison
from fer_mlops.pipelines.train import Trained, run_experiment, run_name
from fer_mlops.progress import Progress, labelled, no_progress
from fer_mlops.tracking.runs import track, track_training
from fer_mlops.training.steps import OnRunStep, ignore_step


@dataclass(frozen=True)
class Suite:
    """Result of training several families."""

    run_id: str
    trained: tuple[Trained, ...]
    comparison: Comparison

    def as_dict(self) -> dict[str, object]:
        """Returns the comparison and the training runs as plain values, for JSON."""
        trained = [one.as_dict() for one in self.trained]
        return {"run_id": self.run_id, "trained": trained, "comparison": self.comparison.as_dict()}


def train_all(
    experiments: Sequence[Experiment],
    cache: Path,
    progress: Progress = no_progress,
    on_step: OnRunStep = ignore_step,
) -> Suite:
    """Trains and evaluates each experiment in a nested run; compares them in the parent run."""
    shown = [labelled(progress, experiment.family) for experiment in experiments]
    # before the first run opens, so that bad data fails at once
    data = [prepare_data(one, cache, own) for one, own in zip(experiments, shown, strict=True)]
    tracking = experiments[0].tracking
    with track(tracking.experiment, f"all · {data[0].table.name}", system_metrics=False) as parent:
        parent.log_facts({"family": "all", "data": data[0].table.name, "split": data[0].split.kind})
        trained = []
        for experiment, faces, own in zip(experiments, data, shown, strict=True):
            name = run_name(experiment, faces)
            with track_training(tracking, name, nested=True) as tracker:
                report = partial(on_step, experiment.family)
                trained.append(run_experiment(experiment, faces, tracker, progress=own, on_step=report))
        comparison, root = compare_trained(trained)
        log_comparison(comparison, root, parent)
        return Suite(parent.run_id, tuple(trained), comparison)
