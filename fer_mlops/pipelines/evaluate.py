"""Evaluation and explanation of a trained model, on its own test faces or on other data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import data_name
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.loading import divide_faces, read_faces
from fer_mlops.data.quality.leakage import find_known_people
from fer_mlops.data.table import FaceTable
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.evaluation.attribution.report import measure_explanations
from fer_mlops.evaluation.full_report import ModelEvaluation, evaluate_predictions
from fer_mlops.evaluation.predictions import predict_table
from fer_mlops.evaluation.robustness import (
    CORRUPTIONS,
    MOST_FACES,
    SIDE,
    STRENGTHS,
    Robustness,
    measure_robustness,
)
from fer_mlops.images.arrays import Images, take_images
from fer_mlops.metrics.bootstrap import choose_evenly
from fer_mlops.metrics.identities import is_named
from fer_mlops.models.calibration import OPERATING_POINTS
from fer_mlops.models.classifier import Classifier
from fer_mlops.pipelines.evaluation_logging import log_evaluation, log_explained_faces
from fer_mlops.progress import Progress, no_progress
from fer_mlops.reporting.evaluation_page import render_page
from fer_mlops.reporting.html import Page
from fer_mlops.tracking.queries import get_run, load_run_config
from fer_mlops.tracking.registry import (
    DIGEST_TAG,
    data_of,
    load_classifier,
    resolve_model_uri,
    run_id_of,
    short_name,
    training_provenance,
)
from fer_mlops.tracking.run_log import RunLog

_REPORT = "evaluate"


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a model on one or more data sets."""

    model: str
    results: tuple[ModelEvaluation, ...]
    page: Page
    """Whole evaluation as HTML."""
    warnings: tuple[str, ...]
    """Reasons why scores may be too high."""
    experiment_id: str
    """Experiment of its run in MLflow; empty without MLflow."""

    @property
    def judgements(self) -> tuple[ModelEvaluation, ...]:
        """Former name of ``results``."""
        return self.results

    def __repr__(self) -> str:
        scores = "; ".join(f"{one.faces}: macro-F1 {one.report.macro_f1}" for one in self.results)
        return f"Evaluation({self.model}, {scores})"

    def _repr_html_(self) -> str:
        return self.page._repr_html_()

    def as_dict(self) -> dict[str, object]:
        """Returns all numbers as plain values, for JSON."""
        data = [evaluation.as_dict() for evaluation in self.results]
        return {"model": self.model, "warnings": self.warnings, "data": data}

    def as_json(self) -> str:
        """Returns all numbers as JSON."""
        return json.dumps(self.as_dict(), indent=2)


def evaluation_name(model: str, sources: Sequence[str]) -> str:
    """Returns the name of an evaluation's run, such as ``evaluate v1 · sample``."""
    data = ", ".join(data_name(source) for source in sources) or data_of(model)
    return f"evaluate {short_name(model)} · {data}"


def evaluate_model(
    name: str,
    sources: Sequence[str],
    tracker: RunLog,
    cache: Path,
    progress: Progress = no_progress,
    *,
    with_robustness: bool = False,
) -> Evaluation:
    """Evaluates and explains the model ``name`` and logs the results to the tracker's run.

    Of the model's own training data, the default, only the test part is used.

    Raises:
        ModelError: The model does not exist.
        ConfigError: ``name`` is a folder and no source is given.
        DataError: The data cannot be read.
    """
    classifier = load_classifier(name)
    evaluations: list[ModelEvaluation] = []
    parts: set[str] = set()
    sheets, warnings = {}, []
    requested: Sequence[str | None] = list(dict.fromkeys(sources)) or [None]
    for source in requested:
        chosen = choose_faces(name, source, classifier.image_size, cache, progress)
        if any(chosen.described == before.faces for before in evaluations):  # two folders of one name
            chosen = replace(chosen, described=f"{chosen.described} ({source})")
        robustness = _worsen(classifier, chosen, cache, progress) if with_robustness else None
        progress("evaluation and heat maps", 0)
        pixels = chosen.pixels
        predictions = predict_table(classifier, chosen.table, pixels)
        evaluation = replace(
            evaluate_predictions(chosen.described, predictions, pixels, robustness),
            attribution=measure_explanations(classifier, pixels, predictions.probabilities().argmax(1)),
        )
        part = _REPORT if len(requested) < 2 else _free_part(chosen.table.name, parts)
        parts |= _names_of(part)
        log_evaluation(evaluation, part, tracker)
        sheets[evaluation.faces] = log_explained_faces(
            classifier, pixels, predictions.labels, tracker, part
        )
        evaluations.append(evaluation)
        warnings += [chosen.warning] if chosen.warning else []
    fixed = resolve_model_uri(name)
    facts = {"model": fixed, "family": classifier.family}
    facts["faces"] = "; ".join(evaluation.faces for evaluation in evaluations)
    tracker.log_facts({**facts, **({"warning": " ".join(warnings)} if warnings else {})})
    digests = [
        f"{evaluation.faces}: data {evaluation.predictions.table.digest()}" for evaluation in evaluations
    ]
    page = render_page(fixed, evaluations, [*digests, f"run {tracker.run_id}"], sheets, warnings)
    whole = Evaluation(fixed, tuple(evaluations), page, tuple(warnings), tracker.experiment_id)
    tracker.log_text(f"{_REPORT}/report.html", page)
    return whole


def _names_of(part: str) -> set[str]:
    """Returns the names of a part's logged reports, including one per operating point."""
    return {part, *(f"{part}_{name}" for name in OPERATING_POINTS)}


def _free_part(data: str, taken: set[str]) -> str:
    """Returns a part name for a data set, with a number if the name is already taken."""
    # two folders may have one name, and a data set may be called like a part's operating point
    number, part = 1, f"{_REPORT}_{data}"
    while _names_of(part) & taken:
        number += 1
        part = f"{_REPORT}_{data}-{number}"
    return part


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Faces that a model is evaluated on."""

    table: FaceTable
    pixels: Images
    described: str
    """``test part of sample`` or ``all of other-set``."""
    warning: str
    """Reason why scores on them may be too high; empty if there is none."""


def choose_faces(
    name: str, source: str | None, side: int, cache: Path, progress: Progress = no_progress
) -> Chosen:
    """Returns faces of ``source`` that the model was not trained on, as far as is known.

    Raises:
        ConfigError: No source is given, and the model's data is unknown.
        DataError: The faces cannot be read.
    """
    run_id = run_id_of(name)
    trained_on = load_run_config(run_id) if run_id else None
    if source is None and trained_on is None:
        raise ConfigError(f"{name!r} is a folder, so its data is unknown; pass --data")
    config = trained_on.data if trained_on else DataConfig()
    if source is not None:
        config = replace(config, source=source)
    table, pixels = read_faces(config, side, cache, progress)
    if trained_on and run_id:
        try:
            # the digest tells whether these are the faces of the training run, even if they have moved
            split = divide_faces(table, config, trained_on.seed, cache, progress)
        except DataError:  # other data, too small for the model's split: use all of it
            split = None
        stated = get_run(run_id).data.tags
        if split and split.digest(table) == stated.get(DIGEST_TAG):
            return Chosen(
                table=table.select(split.test),
                pixels=take_images(pixels, split.test),
                described=f"test part of {table.name}, {split.kind} split",
                # the run compared the photos too; an earlier release may have stored no warning
                warning=stated.get("warning") or find_known_people(table, split).caution(),
            )
    return Chosen(
        table=table, pixels=pixels, described=f"all of {table.name}", warning=_overlap(name, table)
    )


def _overlap(name: str, table: FaceTable) -> str:
    """Returns a warning if the faces show, or may show, people that the model was trained on."""
    seen = training_provenance(name)
    if seen is None:
        return "The training data of this model is unknown: it may include these faces."
    known, named = np.isin(table.identities, list(seen.people)), is_named(table.identities)
    sentences = []
    if (known & named).any():
        sentences.append(
            f"Optimistic: {(known & named).mean():.0%} of these faces show people with the same names "
            "as people it was trained or selected on."
        )
    if (known & ~named).any():
        sentences.append(
            f"Optimistic: {(known & ~named).mean():.0%} of these faces have the same file names as "
            "faces it was trained or selected on."
        )
    if not named.all():
        count = "no face has" if not named.any() else f"{(~named).sum():,} faces do not have"
        sentences.append(
            f"The share of these faces that show a person from training is unknown: {count} an identity."
        )
    return " ".join(sentences)


def _worsen(classifier: Classifier, chosen: Chosen, cache: Path, progress: Progress) -> Robustness:
    rows = choose_evenly(chosen.table.labels, MOST_FACES, seed=0)
    table, faces = load_images(chosen.table.select(rows), SIDE, cache)
    total = (1 + len(CORRUPTIONS) * len(STRENGTHS)) * len(rows)
    advance = progress("corrupted images", total)
    return measure_robustness(classifier, faces, table.labels, advance=advance)
