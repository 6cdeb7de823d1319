"""Model comparison: compares trained models and writes the result to a run and to files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import data_name
from fer_mlops.errors import ModelError
from fer_mlops.evaluation.comparison import Comparison, Entry, PairedResult, disagreements_between
from fer_mlops.evaluation.paired import pair
from fer_mlops.evaluation.predictions import LabelledPredictions, predict_table
from fer_mlops.evaluation.repeats import Repeats
from fer_mlops.evaluation.report import SCORES, Report, evaluate
from fer_mlops.evaluation.speed import Speed, count_parameters, measure_speed
from fer_mlops.files import write_text
from fer_mlops.metrics.bootstrap import holm
from fer_mlops.metrics.classification import FEW
from fer_mlops.metrics.identities import count_people
from fer_mlops.models.calibration import OperatingPoint
from fer_mlops.pipelines.candidates import Candidate, candidate_just_trained, find_candidates
from fer_mlops.pipelines.cross_validate import log_repeats
from fer_mlops.pipelines.shared_test_set import SharedTestSet, check_fairness, find_shared_test_set
from fer_mlops.pipelines.train import Trained
from fer_mlops.progress import Progress, no_progress
from fer_mlops.reporting import plots
from fer_mlops.reporting.comparison_page import charts_of, render_comparison
from fer_mlops.reporting.comparison_text import answers_of
from fer_mlops.reporting.repeats_page import render_repeats
from fer_mlops.tracking.registry import data_of
from fer_mlops.tracking.run_log import RunLog

PAGE = "comparison.html"
_MEASURED = 64  # number of faces for measuring speed


def compare_models(
    names: Sequence[str],
    cache: Path,
    *,
    other: DataConfig | None = None,
    operating_point: OperatingPoint = "default",
    allow_overlap: bool = False,
    progress: Progress = no_progress,
) -> tuple[Comparison, Path]:
    """Returns a comparison of trained models on new predictions, and the folder of the faces.

    All faces of ``other`` are used; without it, the shared test set.

    Raises:
        ModelError: A model does not exist.
        ConfigError: Fewer than two models are named, or a model's test faces are unknown.
        DataError: The faces cannot be read, or the comparison would not be fair.
    """
    candidates = find_candidates(names)
    test_set = find_shared_test_set(candidates, other, cache, progress, allow_overlap=allow_overlap)
    sides = {candidate.classifier.image_size for candidate in candidates}
    pixels = {side: test_set.pixels(side, cache, progress) for side in sorted(sides)}
    table, predictions = test_set.table, []
    for candidate in candidates:
        advance = progress(f"predictions of {candidate.name}", len(table))
        faces = pixels[candidate.classifier.image_size]
        predictions.append(predict_table(candidate.classifier, table, faces))
        advance(len(table))
    few = [pixels[candidate.classifier.image_size][:_MEASURED] for candidate in candidates]
    speeds = measure_speed([candidate.classifier for candidate in candidates], few)
    return compare_predictions(candidates, predictions, speeds, test_set, operating_point), table.root


def compare_trained(trained: Sequence[Trained]) -> tuple[Comparison, Path]:
    """Returns a comparison of models that this process trained on one split, and the faces' folder.

    Raises:
        ModelError: The models do not share their test faces.
    """
    if len({result.data.digest() for result in trained}) > 1:
        raise ModelError("the models were not trained on the same faces with the same split")
    candidates = [candidate_just_trained(result) for result in trained]
    predictions = [result.predictions for result in trained]
    first = trained[0]
    test_set = SharedTestSet(
        config=first.experiment.data,
        whole=first.data.table,
        table=predictions[0].table,
        described=f"test part of {first.data.table.name}, {first.data.split.kind} split",
    )
    test_set = check_fairness(test_set, candidates, is_one_split=True)
    few = [result.data.parts["test"].pixels[:_MEASURED] for result in trained]
    speeds = measure_speed([candidate.classifier for candidate in candidates], few)
    return compare_predictions(candidates, predictions, speeds, test_set, "default"), test_set.table.root


def comparison_name(models: Sequence[str], other: DataConfig | None) -> str:
    """Returns the name of a comparison's run, such as ``compare 3 models · faces``."""
    data = data_name(other.source) if other else data_of(models[0])
    return f"compare {len(set(models))} models · {data}"


def log_comparison(comparison: Comparison, root: Path, tracker: RunLog) -> dict[str, str]:
    """Logs metrics, charts, JSON and the page; returns the page and JSON by file name."""
    files = {
        PAGE: render_comparison(comparison, root),
        "comparison.json": json.dumps(comparison.as_dict(), indent=2),
    }
    tracker.log_metrics(comparison.metrics())
    for name, figure in charts_of(comparison).items():
        tracker.log_figure(f"{name}.png", figure)
        tracker.log_picture(name, plots.to_image(figure), 0)
    for name, text in files.items():
        tracker.log_text(name, text)
    answers = answers_of(comparison)
    warnings = "; ".join(comparison.warnings)
    rows = {**answers, **({"Warning": warnings} if warnings else {})}
    described = "".join(f"- **{question}**: {text}.\n" for question, text in rows.items())
    tracker.log_facts(
        {
            **{question.lower().replace(" ", "_"): text for question, text in rows.items()},
            "faces": comparison.faces,
            "point": comparison.operating_point,
            "compared": ", ".join(entry.uri for entry in comparison.entries),
            "compared_runs": json.dumps([entry.run_id for entry in comparison.entries]),
        }
    )
    tracker.log_note(f"{described}- **Page**: `{PAGE}` among the artifacts\n")
    return files


def log_parent(repeats: Repeats, tracker: RunLog) -> dict[str, str]:
    """Logs a recipe's seeds or folds and their page; returns the page and JSON by file name."""
    log_repeats(repeats, tracker)
    page = render_repeats(repeats)
    tracker.log_text(PAGE, page)
    return {PAGE: page, "comparison.json": json.dumps(repeats.as_dict(), indent=2)}


def write_files(files: Mapping[str, str], out: Path) -> None:
    """Writes the texts to the folder ``out``; raises DataError if one cannot be written."""
    for name, text in files.items():
        write_text(out / name, text)


def compare_predictions(
    candidates: Sequence[Candidate],
    predictions: Sequence[LabelledPredictions],
    speeds: Sequence[Speed],
    test_set: SharedTestSet,
    operating_point: OperatingPoint,
) -> Comparison:
    """Returns the comparison of models from their predictions on a shared test set."""
    table = test_set.table
    reports = [evaluate(a.labels, a.probabilities(operating_point), a.identities) for a in predictions]
    order = sorted(range(len(reports)), key=lambda i: -reports[i].macro_f1.value)
    best = predictions[order[0]]
    pairings = [pair(best, predictions[i], operating_point) for i in order[1:]]
    # for all pairs of models, as the best was chosen by looking at all of them
    num_pairs = len(reports) * len(pairings) // 2
    corrected_f1 = holm([pairing.macro_f1.p for pairing in pairings], num_pairs).tolist()
    corrected_accuracy = holm([pairing.mcnemar.p for pairing in pairings], num_pairs).tolist()
    matches = tuple(
        PairedResult(
            other=place,
            pairing=pairing,
            p_macro_f1=corrected_f1[place - 1],
            p_accuracy=corrected_accuracy[place - 1],
            disagreements=disagreements_between(best, predictions[order[place]], operating_point),
        )
        for place, pairing in enumerate(pairings, 1)
    )
    num_people, num_unnamed = count_people(table.identities)
    return Comparison(
        faces=test_set.described,
        digest=table.digest(),
        num_faces=len(table),
        num_people=num_people,
        num_unnamed=num_unnamed,
        operating_point=operating_point,
        entries=tuple(_entry(candidates[i], reports[i], speeds[i]) for i in order),
        matches=matches,
        rare={emotion: num for emotion, num in table.counts().items() if 0 < num < FEW},
        warnings=test_set.warnings,
    )


def _entry(candidate: Candidate, report: Report, speed: Speed) -> Entry:
    return Entry(
        name=candidate.name,
        uri=candidate.uri,
        run_id=candidate.run_id,
        family=candidate.classifier.family,
        image_size=candidate.classifier.image_size,
        scores={score: getattr(report, score) for score in SCORES},
        speed=speed,
        num_bytes=candidate.num_bytes,
        num_parameters=count_parameters(candidate.classifier),
        minutes=candidate.minutes,
    )
