"""The registered model ``fer-classifier``: versions, aliases, loading by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from fer_mlops.classifier import Classifier
from fer_mlops.errors import ModelError
from fer_mlops.tracking import MODEL_NAME, SPLIT_FILE, shown_uri

REGISTERED_NAME = "fer-classifier"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
SCORE_TAG, DIGEST_TAG = "valid_macro_f1", "data_digest"
DECISION_TAG = "decision"


@dataclass(frozen=True)
class Registration:
    """What became of a trained model in the registry."""

    version: int
    alias: str
    reason: str


def register(model_id: str, tags: Mapping[str, str]) -> Registration:
    """Registers a logged model as a new version and gives it an alias.

    It becomes ``champion`` when there is none, so that there is a model to load by name; else it is
    ``challenger``, and the gate (``fer-mlops promote``) decides.

    Called again for the same model, as by a run that was killed here, it makes no second version.

    Args:
        model_id: Of a LoggedModel.
        tags: Of the version; must hold SCORE_TAG and DIGEST_TAG.
    """
    client = MlflowClient()
    champion = find_version(CHAMPION)
    made = _version_before(model_id)
    if made is None:
        made = mlflow.register_model(f"models:/{model_id}", REGISTERED_NAME, tags=dict(tags))
    elif DECISION_TAG in made.tags or (champion and int(champion.version) == int(made.version)):
        alias, _, reason = made.tags.get(DECISION_TAG, f"{CHAMPION}: ").partition(": ")
        return Registration(int(made.version), alias, reason or "it was decided before the run stopped")
    if champion is None:
        alias, reason = CHAMPION, "there was no champion"
    else:
        alias = CHALLENGER
        reason = f"fer-mlops promote --version {made.version} takes it through the gate"
    client.set_registered_model_alias(REGISTERED_NAME, alias, made.version)
    client.set_model_version_tag(REGISTERED_NAME, made.version, DECISION_TAG, f"{alias}: {reason}")
    return Registration(int(made.version), alias, reason)


def describe(version: int, text: str) -> None:
    """Puts the model card of a version, Markdown of at most 5,000 characters, into the registry."""
    MlflowClient().update_model_version(REGISTERED_NAME, str(version), description=text)


def _version_before(model_id: str) -> ModelVersion | None:
    """Returns the version that was made of this model, or None."""
    wanted = f"name = '{REGISTERED_NAME}' AND source_path = 'models:/{model_id}'"
    return next(iter(MlflowClient().search_model_versions(wanted)), None)


def find_version(alias: str) -> ModelVersion | None:
    """Returns the version that has the alias, or None."""
    try:
        return MlflowClient().get_model_version_by_alias(REGISTERED_NAME, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def aliases_of(version: int) -> list[str]:
    """Returns the aliases of a version, in alphabetical order."""
    return [a for a in (CHALLENGER, CHAMPION, PREVIOUS) if _has(a, version)]


def _has(alias: str, version: int) -> bool:
    found = find_version(alias)
    return found is not None and int(found.version) == version


def load_classifier(name: str, *, for_gradients: bool = False) -> Classifier:
    """Returns the classifier that ``name`` means.

    Args:
        name: ``models:/fer-classifier@champion``, ``runs:/<id>`` or a folder.
        for_gradients: See ``Classifier.load``.

    Raises:
        ModelError: There is no such model.
    """
    return Classifier.load(bundle_of(name), for_gradients=for_gradients)


def bundle_of(name: str) -> Path:
    """Returns the folder of the bundle that ``name`` means, fetched if it is elsewhere.

    Raises:
        ModelError: There is no such model.
    """
    folder = _fetch(name)
    inner = folder / "artifacts" / "classifier"
    if (inner / "classifier.json").is_file():
        return inner
    bundles = sorted(folder.rglob("classifier.json"))
    if not bundles:
        raise ModelError(f"{name!r} is no classifier of fer_mlops: it has no classifier.json")
    return bundles[0].parent


def run_of(name: str) -> str | None:
    """Returns the run that trained the model ``name``, or None for a folder."""
    if name.startswith("runs:/"):
        return name.removeprefix("runs:/").split("/")[0]
    if not name.startswith("models:/"):
        return None
    try:
        run_id = mlflow.models.get_model_info(name).run_id
    except MlflowException as error:
        raise _missing(name, error) from error
    return str(run_id) if run_id else None


def fixed_name(name: str) -> str:
    """Returns the name under which the model stays when its alias moves or the folder is left.

    Raises:
        ModelError: There is no such alias.
    """
    if not name.startswith(("models:/", "runs:/")):
        return str(Path(name).expanduser().resolve())
    model, at, alias = name.removeprefix("models:/").partition("@")
    if not at:
        return name
    try:
        return f"models:/{model}/{MlflowClient().get_model_version_by_alias(model, alias).version}"
    except MlflowException as error:
        raise _missing(name, error) from error


@dataclass(frozen=True)
class Schooling:
    """Whom a model was fitted to and chosen on."""

    digest: str
    """Of its data and split."""
    people: frozenset[str]
    """Identities in its training and validation parts."""
    tested: frozenset[tuple[str, str, str]]
    """(image, emotion, identity) of each face of its test part."""


def schooling_of(name: str) -> Schooling | None:
    """Returns whom the model ``name`` has seen, or None where its run does not tell, or is not known."""
    card = Path(name).expanduser() / "MLmodel"
    run_id = Model.load(str(card)).run_id if card.is_file() else run_of(name)
    if not run_id:
        return None
    try:
        digest = MlflowClient().get_run(run_id).data.tags[DIGEST_TAG]
        text = mlflow.artifacts.load_text(f"runs:/{run_id}/{SPLIT_FILE}")
        rows = list(csv.DictReader(io.StringIO(text)))
        tested = [row for row in rows if row["part"] == "test"]
        return Schooling(
            digest=digest,
            people=frozenset(row["identity"] for row in rows if row["part"] != "test"),
            tested=frozenset((row["image"], row["emotion"], row["identity"]) for row in tested),
        )
    except (MlflowException, OSError, KeyError):
        return None


def _fetch(name: str) -> Path:
    if not name.startswith(("models:/", "runs:/")):
        path = Path(name).expanduser()
        if path.is_dir():
            return path
        raise ModelError(
            f"no model {name!r}; give models:/{REGISTERED_NAME}@champion, runs:/<run id> or a folder"
        )
    is_bare_run = name.startswith("runs:/") and "/" not in name.removeprefix("runs:/").strip("/")
    uri = f"{name.rstrip('/')}/{MODEL_NAME}" if is_bare_run else name
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        raise _missing(name, error) from error


def _missing(name: str, error: Exception) -> ModelError:
    reason = str(error).splitlines()[0]
    return ModelError(f"no model {name!r} at {shown_uri()}: {reason}")
