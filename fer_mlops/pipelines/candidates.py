"""Candidates: trained models to compare, with the facts from their runs."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fer_mlops import REGISTERED_NAME
from fer_mlops.config import Experiment
from fer_mlops.data.provenance import TrainingProvenance
from fer_mlops.errors import ConfigError, ModelError
from fer_mlops.evaluation.repeats import Repeats
from fer_mlops.models.classifier import Classifier
from fer_mlops.pipelines.cross_validate import REPEAT_TAG, REPEATS_FILE
from fer_mlops.pipelines.train import Trained
from fer_mlops.tracking.logged_model import PROBE_FILE
from fer_mlops.tracking.model_files import bundle_in
from fer_mlops.tracking.model_names import ModelUri
from fer_mlops.tracking.queries import finished_runs, get_run, load_run_config, read_text
from fer_mlops.tracking.registry import (
    downloaded_model,
    resolve_model_uri,
    run_id_of,
    training_provenance,
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trained model in a comparison, as it is loaded for serving."""

    name: str
    """Short name, unique in the comparison."""
    uri: str
    """URI from which the model can be loaded again."""
    run_id: str | None
    classifier: Classifier
    num_bytes: int
    """Size of the bundle on disk, in bytes, without the faces stored with it."""
    provenance: TrainingProvenance | None
    """People and faces it was trained and selected on; None if unknown."""
    experiment: Experiment | None
    """Settings of its run; None if unknown."""
    minutes: float
    """Training time in minutes; nan if unknown."""


def find_candidates(names: Sequence[str]) -> list[Candidate]:
    """Returns the named models in the given order, each once.

    Args:
        names: ``models:/fer-classifier@champion``, ``runs:/<id>`` or folders.

    Raises:
        ModelError: A model does not exist.
        ConfigError: Fewer than two different models are named.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if run_id := ModelUri.parse(name).run_id:
            _check_run(run_id)
    fixed = [resolve_model_uri(name) for name in names]  # an alias and a number may be one version
    if len(set(fixed)) < 2:
        raise ConfigError(f"a comparison needs at least two different models, got {len(set(fixed))}")
    unique = [names[fixed.index(uri)] for uri in dict.fromkeys(fixed)]
    found = [candidate_of(name) for name in unique]
    shown = _short_names(unique, [candidate.classifier.family for candidate in found])
    return [replace(candidate, name=short) for candidate, short in zip(found, shown, strict=True)]


def candidate_of(name: str) -> Candidate:
    """Returns the model called ``name`` as a candidate of that name.

    Raises:
        ModelError: The model does not exist.
    """
    with downloaded_model(name) as folder:
        return candidate_in(folder, name)


def candidate_in(folder: Path, name: str) -> Candidate:
    """Returns the model called ``name``, whose files are in ``folder``, as a candidate."""
    bundle = bundle_in(folder, name)
    provenance, run_id = training_provenance(name), run_id_of(name)
    return Candidate(
        name=name,
        uri=resolve_model_uri(name),
        run_id=run_id,
        classifier=Classifier.load(bundle, name),
        num_bytes=_size_of(bundle),
        provenance=provenance,
        experiment=load_run_config(run_id) if run_id and provenance else None,
        minutes=get_run(run_id).data.metrics.get("minutes", float("nan")) if run_id else float("nan"),
    )


def candidate_just_trained(trained: Trained) -> Candidate:
    """Returns a model that this process trained as a candidate, without reading its run."""
    with tempfile.TemporaryDirectory() as folder:
        trained.classifier.save(Path(folder) / "classifier")  # its size on disk is compared
        num_bytes = _size_of(Path(folder))
    data = trained.data
    return Candidate(
        name=trained.family,
        uri=f"runs:/{trained.run_id}",
        run_id=trained.run_id,
        classifier=trained.classifier,
        num_bytes=num_bytes,
        provenance=TrainingProvenance.from_csv(data.digest(), data.split.as_csv(data.table)),
        experiment=trained.experiment,
        minutes=trained.minutes,
    )


def _size_of(bundle: Path) -> int:
    """Returns the size of a bundle's files in bytes, without the faces stored with it."""
    files = (file for file in bundle.rglob("*") if file.is_file() and file.name != PROBE_FILE)
    return sum(file.stat().st_size for file in files)


def _short_names(names: Sequence[str], families: Sequence[str]) -> list[str]:
    """Returns short names: a run's family if unique, else the run's name; other models' own names."""
    shown = []
    for name, family in zip(names, families, strict=True):
        named = ModelUri.parse(name)
        if named.run_id:
            run = get_run(named.run_id)
            is_enough = families.count(family) == 1
            shown.append(family if is_enough else run.info.run_name or run.info.run_id[:8])
        elif named.model:
            shown.append(_registered_name(named))
        else:
            shown.append(Path(name).name)
    taken = Counter(shown)
    return [
        f"{short} ({ModelUri.parse(name).run_id[:6] or number})" if taken[short] > 1 else short
        for number, (short, name) in enumerate(zip(shown, names, strict=True), 1)
    ]


def _registered_name(name: ModelUri) -> str:
    """Returns ``champion`` or ``version 3`` for the project's registered model, else the whole name."""
    if name.model != REGISTERED_NAME or not name.is_registered:
        return name.text.removeprefix("models:/")
    return name.alias or f"version {name.version}"


def _check_run(run_id: str) -> None:
    run = get_run(run_id)
    if "test/macro_f1" not in run.data.metrics:
        raise ModelError(
            f"run {run_id} has no test scores (status {run.info.status}), so it is not a finished "
            "training run; pass a parent run with --parent"
        )


def repeats_of(parent: str) -> Repeats | None:
    """Returns the scores of a recipe's seeds or folds; None if ``parent`` is another kind of run.

    Raises:
        ModelError: There is no such run.
    """
    if "repeats" not in get_run(parent).data.tags:
        return None
    try:
        return Repeats.from_dict(json.loads(read_text(parent, REPEATS_FILE)))
    except ModelError as error:
        raise ModelError(f"{error}; it ended before all its fits") from error


def latest_runs(experiment_name: str) -> list[str]:
    """Returns the latest finished training run of each family, excluding runs of seeds and folds."""
    by_family: dict[str, str] = {}
    for run in finished_runs(experiment_name, "test/macro_f1"):
        if "family" in run.data.tags and REPEAT_TAG not in run.data.tags:
            by_family.setdefault(run.data.tags["family"], run.info.run_id)
    return list(by_family.values())
