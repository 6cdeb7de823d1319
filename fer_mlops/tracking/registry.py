"""Trained models by name: finding and loading."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from fer_mlops import REGISTERED_NAME
from fer_mlops.data.provenance import TrainingProvenance
from fer_mlops.errors import ModelError, nearest
from fer_mlops.tracking.connection import client, reason_of, shown_uri
from fer_mlops.tracking.model_files import MODEL_NAME, bundle_in, entries_of
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, PREVIOUS, ModelUri, is_drawn
from fer_mlops.tracking.queries import get_run, read_text
from fer_mlops.tracking.store import check_store, missing_database
from fer_mlops.tracking.tracker import SPLIT_FILE

if TYPE_CHECKING:
    from fer_mlops.models.classifier import Classifier

DIGEST_TAG = "data_digest"


def artifacts_of(uri: ModelUri) -> str:
    """Returns MLflow's address of the model's files."""
    # `runs:/ID` and `runs:/ID/classifier` are the run's model, whatever its name is in MLflow
    if uri.text not in (f"runs:/{uri.run_id}", f"runs:/{uri.run_id}/{MODEL_NAME}"):
        return uri.text
    experiment = client().get_run(uri.run_id).info.experiment_id
    found = client().search_logged_models([experiment], f"source_run_id = '{uri.run_id}'")
    return f"models:/{found[0].model_id}" if found else f"runs:/{uri.run_id}/{MODEL_NAME}"


def suggestion_for(uri: ModelUri) -> str:
    """Returns the registered version that is spelt most like this name; empty if none is near."""
    known, aliases = {REGISTERED_NAME}, {CHAMPION, CHALLENGER, PREVIOUS}
    if not missing_database():
        found = {model.name: set(model.aliases) for model in client().search_registered_models()}
        known |= found.keys()
        aliases = aliases.union(*found.values())
    model, alias = (
        word if word in words else nearest(word, words)
        for word, words in ((uri.model, known), (uri.alias, aliases))
    )
    if not model or bool(alias) != bool(uri.alias):
        return ""
    near = f"models:/{model}@{alias}" if alias else f"models:/{model}/{uri.version}"
    return near if near != uri.text else ""


def version_named(uri: ModelUri) -> ModelVersion:
    """Returns the registered version that the name refers to now."""
    store = client()
    model, version = get_model_name_and_version(store, uri.text)  # type: ignore[no-untyped-call]
    return store.get_model_version(model, version)


def check_spelling(name: str) -> None:
    """Checks that a registered model's name, alias and version exist, without loading the model.

    Raises:
        ModelError: There is no such version; the message names the nearest one.
        TrackingError: The store cannot be used.
    """
    wanted = ModelUri.parse(name)
    if not wanted.is_registered:
        return
    if missing_database():
        hint = f"did you mean {near}?" if (near := suggestion_for(wanted)) else "train one first"
        raise ModelError(f"no model {name!r}, as no model is registered here; {hint}")
    check_store()
    try:
        version_named(wanted)
    except MlflowException as error:
        raise _missing(name, error) from error


def load_classifier(name: str) -> Classifier:
    """Returns the classifier at ``models:/…``, ``runs:/…`` or a folder; runs no code stored with it.

    Raises:
        ModelError: There is no such model, or fer_mlops did not log it.
    """
    from fer_mlops.models.classifier import Classifier  # torch takes seconds to import

    with downloaded_model(name) as folder:
        return Classifier.load(bundle_in(folder, name), name)


@contextmanager
def downloaded_model(name: str) -> Iterator[Path]:
    """Yields the folder with the model's files; a downloaded copy is removed afterwards."""
    wanted = ModelUri.parse(name)
    if not wanted.is_stored:
        path = Path(name).expanduser()
        if not path.is_dir():
            raise ModelError(
                f"no model {name!r}; give models:/{REGISTERED_NAME}@champion, runs:/<run id> or a folder"
            )
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="fer-mlops-model-") as folder:
        try:
            place = mlflow.artifacts.download_artifacts(
                artifact_uri=artifacts_of(wanted), dst_path=folder
            )
        except (MlflowException, OSError) as error:
            raise _missing(name, error) from error
        yield Path(place)


def require_model(name: str) -> None:
    """Raises ModelError unless fer_mlops has logged a model of this name."""
    with downloaded_model(name) as folder:
        bundle_in(folder, name)


def run_id_of(name: str) -> str | None:
    """Returns the ID of the run that trained the model, or None for a folder."""
    wanted = ModelUri.parse(name)
    if not wanted.model:
        return wanted.run_id or None
    try:
        if wanted.is_registered:
            return version_named(wanted).run_id or None
        return client().get_logged_model(wanted.model).source_run_id or None
    except MlflowException as error:
        raise _missing(name, error) from error


def is_of_drawn_faces(name: str) -> bool:
    """Returns whether the model was trained on the drawn sample; False if its training is unknown."""
    wanted = ModelUri.parse(name)
    try:
        if wanted.is_registered:
            return is_drawn(version_named(wanted).tags)
        run_id = run_id_of(name)
        return bool(run_id) and is_drawn(get_run(str(run_id)).data.tags)
    except (ModelError, MlflowException):
        return False


def short_name(name: str) -> str:
    """Returns a short name of a model: ``v3``, the start of a run's ID, or a folder's name."""
    wanted = ModelUri.parse(resolve_model_uri(name))
    if wanted.is_registered:
        return f"v{wanted.version}"
    return (wanted.run_id or wanted.model)[:8] or Path(name).name


def data_of(name: str) -> str:
    """Returns the name of the data that the model was trained on; ``own data`` if it is unknown."""
    try:
        return str(get_run(run_id_of(name) or "").data.tags["data"])
    except (ModelError, MlflowException, KeyError):
        return "own data"


def resolve_model_uri(name: str) -> str:
    """Returns a name that keeps meaning the same model: a version number or an absolute path."""
    # an alias may move, and a relative path depends on the current folder
    wanted = ModelUri.parse(name)
    if not wanted.is_stored:
        return str(Path(name).expanduser().resolve())
    if not wanted.is_registered:
        return name
    try:
        return f"models:/{wanted.model}/{version_named(wanted).version}"
    except MlflowException as error:
        raise _missing(name, error) from error


def training_provenance(name: str) -> TrainingProvenance | None:
    """Returns the people and faces in the model's data; None if its run is unknown or has no record."""
    is_stored = ModelUri.parse(name).is_stored
    run_id = run_id_of(name) if is_stored else entries_of(Path(name).expanduser()).get("run_id")
    if not run_id:
        return None
    try:
        digest = get_run(run_id).data.tags[DIGEST_TAG]
        return TrainingProvenance.from_csv(digest, read_text(run_id, SPLIT_FILE))
    except (ModelError, MlflowException, KeyError):
        return None


def _missing(name: str, error: Exception) -> ModelError:
    wanted, hint = ModelUri.parse(name), ""
    if wanted.is_registered:
        with suppress(MlflowException):  # the store does not respond, as the error says
            hint = suggestion_for(wanted)
    said = reason_of(error).rstrip(".")
    return ModelError(f"no model {name!r} at {shown_uri()}: {said}{hint and f'; did you mean {hint}?'}")
