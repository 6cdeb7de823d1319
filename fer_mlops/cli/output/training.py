"""Printed results of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_mlops import REGISTERED_NAME
from fer_mlops.cli.output.scores import print_operating_points, print_report
from fer_mlops.cli.output.screen import console, print_next, print_view
from fer_mlops.tracking.alias_lock import aliases_of

if TYPE_CHECKING:
    from fer_mlops.evaluation.repeats import Repeats
    from fer_mlops.pipelines.cross_validate import Repetition
    from fer_mlops.pipelines.train import Trained
    from fer_mlops.training.steps import Step


def print_step(run: str, step: Step) -> None:
    """Prints one line per step, after the name of its run if that is not empty."""
    if step.has_images:  # not most of the short epochs of a frozen phase
        console.print(step.summary(run))


def print_trained(trained: Trained) -> None:
    """Prints a run's test report and how to view and load the model."""
    print_report(trained.test, f"{trained.family}, test part")
    print_operating_points(trained.operating_points)
    aliases = print_registration(trained)
    print_view(trained.experiment_id)
    print_next(*trained.next_commands)
    if trained.registration:
        named = f"@{aliases[0]}" if aliases else f"/{trained.registration.version}"
        load = f'mlflow.pyfunc.load_model("models:/{REGISTERED_NAME}{named}")'
        console.print(f"Load it:  python -c 'import mlflow; model = {load}'")


def print_registration(trained: Trained) -> list[str]:
    """Prints the version that a run registered, its aliases and why; returns the aliases."""
    console.print(f"run {trained.run_id}, {trained.minutes:.1f} minutes")
    for name, value in trained.facts.items():
        if not name.endswith("_reason"):
            reason = trained.facts.get(f"{name}_reason")
            console.print(f"{name.replace('_', ' ')}: {value}{f' ({reason})' if reason else ''}")
    if trained.flaw:
        console.print(f"Warning: {trained.flaw}", style="bold red")
    if not trained.registration:
        return []
    made = trained.registration
    aliases = aliases_of(made.version)  # a run that registered later may have taken one
    reason = f": {made.reason}" if made.reason != trained.flaw else ""  # printed above
    shown = ", ".join(aliases) or "no alias"
    console.print(f"registered {REGISTERED_NAME} version {made.version} ({shown}){reason}")
    return aliases


def print_repetition(done: Repetition) -> None:
    """Prints the result of training on every fold or with several seeds."""
    print_repeats(done.repeats)
    if done.pooled:
        print_report(done.pooled, "all folds together")
    print_view(done.experiment_id)
    print_next(f"fer-mlops compare --parent {done.run_id} --out comparison")


def print_repeats(repeats: Repeats) -> None:
    """Prints the scores run by run, then mean, spread and 95% interval at each operating point."""
    from fer_mlops.evaluation.report import SCORES
    from fer_mlops.models.calibration import OPERATING_POINTS

    for run in repeats.runs:
        own = run.scores["default"]
        scores = "  ".join(f"{name.replace('_', ' ')} {own[name]:.3f}" for name in SCORES)
        console.print(f"{run.name}  n {run.num_faces}  {scores}")
    for operating_point in OPERATING_POINTS:
        console.print(f"{operating_point} point, mean ± standard deviation [95% interval of the mean]:")
        for score in SCORES:
            console.print(f"  {score.replace('_', ' '):18} {repeats.spread(score, operating_point)}")
