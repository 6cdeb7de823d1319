"""Trained models to a comparison, and a comparison to a run and to files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from fer_mlops import figures
from fer_mlops.answers import answer
from fer_mlops.calibration import Point
from fer_mlops.comparison.contestants import find_contestants
from fer_mlops.comparison.costs import measure_speed
from fer_mlops.comparison.ground import Ground, check_fairness, find_ground
from fer_mlops.comparison.page import charts_of, render_comparison
from fer_mlops.comparison.repeats_page import render_repeats
from fer_mlops.comparison.verdict import Comparison, judge_together
from fer_mlops.comparison.words import answers_of
from fer_mlops.config import DataConfig
from fer_mlops.errors import ModelError
from fer_mlops.experiment import Trained
from fer_mlops.files import write_text
from fer_mlops.preparation import Data
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.repetition import Repeats, log_repeats
from fer_mlops.tracking import Tracker

PAGE = "comparison.html"
_MEASURED = 64
"""Faces on which speed is measured."""
_TAG = 5000
"""Most letters of a tag, as MLflow's servers take it."""


def compare_models(
    names: Sequence[str],
    cache: Path,
    *,
    other: DataConfig | None = None,
    point: Point = "default",
    is_forced: bool = False,
    begin: Begin = begin_silently,
) -> tuple[Comparison, Path]:
    """Returns the comparison of trained models, which answer anew, and the folder of the faces.

    Args:
        names: Models, as for ``load_classifier``; two or more.
        cache: Folder for decoded faces.
        other: Data, all of which is answered about; without it the test faces that all models share.
        point: Operating point of all.
        is_forced: Compare models that have seen the people they are judged on, with a warning.
        begin: Told of each stage.

    Raises:
        ModelError: There is no such model.
        ConfigError: Fewer than two are named, or one does not tell its test faces.
        DataError: The faces cannot be read, or are no fair ground.
    """
    contestants = find_contestants(names)
    ground = find_ground(contestants, other, cache, begin, is_forced=is_forced)
    sides = {one.classifier.image_size for one in contestants}
    pixels = {side: ground.pixels(side, cache, begin) for side in sorted(sides)}
    answers = []
    for one in contestants:
        advance = begin(f"answers of {one.name}", len(ground.table))
        answers.append(answer(one.classifier, ground.table, pixels[one.classifier.image_size]))
        advance(len(ground.table))
    few = [pixels[one.classifier.image_size][:_MEASURED] for one in contestants]
    speeds = measure_speed([one.classifier for one in contestants], few)
    return judge_together(contestants, answers, speeds, ground, point), ground.table.root


def compare_trained(trained: Sequence[Trained], data: Sequence[Data]) -> tuple[Comparison, Path]:
    """Returns the comparison of models just trained on one split, by the answers they gave in their
    runs, and the folder of the faces.

    Args:
        trained: What the runs ended with, two or more.
        data: Of each.

    Raises:
        ModelError: The models do not share their test faces.
    """
    if len({one.digest() for one in data}) > 1:
        raise ModelError("the models were not trained on the same faces, divided alike")
    contestants = find_contestants([f"runs:/{one.run_id}" for one in trained])
    answers = [one.answers for one in trained]
    split, experiment = data[0].split, contestants[0].experiment
    assert experiment is not None, "a run that just ended tells its settings"
    ground = Ground(
        config=experiment.data,
        table=answers[0].table,
        described=f"test part of {data[0].table.name}, {split.kind} split",
    )
    ground = check_fairness(ground, contestants, is_one_split=True)
    few = [one.parts["test"].pixels[:_MEASURED] for one in data]
    speeds = measure_speed([one.classifier for one in contestants], few)
    return judge_together(contestants, answers, speeds, ground, "default"), ground.table.root


def log_comparison(comparison: Comparison, root: Path, tracker: Tracker) -> dict[str, str]:
    """Logs numbers, charts, JSON and the page; returns the texts of these by file name.

    Args:
        comparison: What is logged.
        root: Folder of the faces, for the page's pictures.
        tracker: Of an open run.
    """
    files = {
        PAGE: render_comparison(comparison, root),
        "comparison.json": json.dumps(comparison.as_dict(), indent=2),
    }
    tracker.log_metrics(comparison.metrics())
    for name, figure in charts_of(comparison).items():
        tracker.log_figure(f"{name}.png", figure)
        tracker.log_picture(name, figures.to_image(figure), 0)
    for name, text in files.items():
        tracker.log_text(name, text)
    answers = answers_of(comparison)
    warnings = "; ".join(comparison.warnings)
    told = {**answers, **({"Warning": warnings} if warnings else {})}
    described = "".join(f"- **{question}**: {said}.\n" for question, said in told.items())
    tracker.log_facts(
        {
            **{question.lower().replace(" ", "_"): said[:_TAG] for question, said in told.items()},
            MLFLOW_RUN_NOTE: f"{described}- **Page**: `{PAGE}` among the artifacts\n"[:_TAG],
            "faces": comparison.faces,
            "point": comparison.point,
            "compared": ", ".join(entry.uri for entry in comparison.entries)[:_TAG],
            "compared_runs": json.dumps([entry.run_id for entry in comparison.entries])[:_TAG],
        }
    )
    return files


def log_parent(repeats: Repeats, tracker: Tracker) -> dict[str, str]:
    """Logs one recipe's seeds or folds and their page; returns the texts by file name."""
    log_repeats(repeats, tracker)
    page = render_repeats(repeats)
    tracker.log_text(PAGE, page)
    return {PAGE: page, "comparison.json": json.dumps(repeats.as_dict(), indent=2)}


def write_files(files: Mapping[str, str], out: Path) -> None:
    """Writes the texts into the folder ``out``, which is made.

    Raises:
        DataError: They cannot be written.
    """
    for name, text in files.items():
        write_text(out / name, text)
