"""Trained models by name: parsing, finding and loading."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import yaml
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from fer_mlops import REGISTERED_NAME
from fer_mlops.data.provenance import TrainingProvenance
from fer_mlops.errors import ModelError, nearest
from fer_mlops.tracking.alias_lock import CHALLENGER, CHAMPION, PREVIOUS, is_drawn
from fer_mlops.tracking.connection import client, reason_of, shown_uri
from fer_mlops.tracking.logged_model import MODEL_CODE
from fer_mlops.tracking.queries import get_run, read_text
from fer_mlops.tracking.store import check_store, missing_database
from fer_mlops.tracking.tracker import MODEL_NAME, SPLIT_FILE

if TYPE_CHECKING:
    from fer_mlops.models.classifier import Classifier

SCORE_TAG, DIGEST_TAG = "valid_macro_f1", "data_digest"
DECISION_TAG = "decision"
_LOADER = "mlflow.pyfunc.loaders.code_model"
"""MLflow's own loader for models from code."""
_MOST_LETTERS = 1_000_000
"""Characters to read of an MLmodel file; a normal one has two thousand."""


@dataclass(frozen=True)
class ModelUri:
    """Parsed name of a trained model, as given by a user."""

    text: str
    run_id: str = ""
    """ID in ``runs:/ID``."""
    model: str = ""
    """Registered name or LoggedModel ID in ``models:/…``."""
    alias: str = ""
    """Alias in ``models:/NAME@ALIAS``."""
    version: str = ""
    """Version in ``models:/NAME/VERSION``: a number, or ``latest``."""

    @classmethod
    def parse(cls, text: str) -> ModelUri:
        """Returns the parts of a name; a name without MLflow's schemes is a path."""
        scheme, is_uri, rest = text.partition(":/")
        rest = rest.strip("/")
        if not is_uri or not rest or scheme not in ("models", "runs"):
            return cls(text)
        if scheme == "runs":
            return cls(text.rstrip("/"), run_id=rest.partition("/")[0])
        model, at, alias = rest.partition("@")
        if at:
            return cls(text.rstrip("/"), model=model, alias=alias)
        model, _, version = rest.partition("/")
        return cls(text.rstrip("/"), model=model, version=version)

    @property
    def is_stored(self) -> bool:
        """Whether the model is in the tracking store and must be downloaded."""
        return bool(self.run_id or self.model)

    @property
    def is_registered(self) -> bool:
        """Whether the name is a registered version, not a run or a LoggedModel."""
        return bool(self.alias or self.version)

    def artifacts(self) -> str:
        """Returns MLflow's address of the model's files.

        ``runs:/ID`` and ``runs:/ID/classifier`` are the run's model, whatever its name is in MLflow.
        """
        if self.text not in (f"runs:/{self.run_id}", f"runs:/{self.run_id}/{MODEL_NAME}"):
            return self.text
        experiment = client().get_run(self.run_id).info.experiment_id
        found = client().search_logged_models([experiment], f"source_run_id = '{self.run_id}'")
        return f"models:/{found[0].model_id}" if found else f"runs:/{self.run_id}/{MODEL_NAME}"

    def suggestion(self) -> str:
        """Returns the registered version that is spelt most like this name; empty if none is near."""
        known, aliases = {REGISTERED_NAME}, {CHAMPION, CHALLENGER, PREVIOUS}
        if not missing_database():
            found = {model.name: set(model.aliases) for model in client().search_registered_models()}
            known |= found.keys()
            aliases = aliases.union(*found.values())
        model, alias = (
            word if word in words else nearest(word, words)
            for word, words in ((self.model, known), (self.alias, aliases))
        )
        if not model or bool(alias) != bool(self.alias):
            return ""
        near = f"models:/{model}@{alias}" if alias else f"models:/{model}/{self.version}"
        return near if near != self.text else ""

    def found(self) -> ModelVersion:
        """Returns the registered version that the name refers to now.

        Raises:
            MlflowException: There is no such version, or the registry does not respond.
        """
        store = client()
        model, version = get_model_name_and_version(store, self.text)  # type: ignore[no-untyped-call]
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
        hint = f"did you mean {near}?" if (near := wanted.suggestion()) else "train one first"
        raise ModelError(f"no model {name!r}, as no model is registered here; {hint}")
    check_store()
    try:
        wanted.found()
    except MlflowException as error:
        raise _missing(name, error) from error


def load_classifier(name: str) -> Classifier:
    """Returns the classifier called ``name``, without running any code that is stored with it.

    Args:
        name: ``models:/fer-classifier@champion``, ``runs:/<id>`` or a folder.

    Raises:
        ModelError: There is no such model, or fer_mlops did not log it.
    """
    from fer_mlops.models.classifier import Classifier

    with downloaded_model(name) as folder:
        return Classifier.load(bundle_in(folder, name), name)


@contextmanager
def downloaded_model(name: str) -> Iterator[Path]:
    """Yields the folder with the model's files; a downloaded copy is removed afterwards.

    Raises:
        ModelError: There is no such model.
    """
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
            place = mlflow.artifacts.download_artifacts(artifact_uri=wanted.artifacts(), dst_path=folder)
        except (MlflowException, OSError) as error:
            raise _missing(name, error) from error
        yield Path(place)


def bundle_in(folder: Path, name: str) -> Path:
    """Returns the bundle in a downloaded folder or a user's folder.

    Raises:
        ModelError: The folder holds no bundle, or a model that fer_mlops did not log.
    """
    _check_entries(folder, name)
    for bundle in (folder / "artifacts" / "classifier", folder / MODEL_NAME, folder):
        if (bundle / "classifier.json").is_file():
            return bundle
    raise ModelError(f"{name!r} is not a classifier of fer_mlops: it has no classifier.json")


def entries_of(folder: Path) -> Mapping[str, Any]:
    """Returns the entries of a model's file ``MLmodel``; empty if there is no such file.

    Raises:
        ModelError: The file cannot be read.
    """
    path = folder / "MLmodel"
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            entries = yaml.safe_load(file.read(_MOST_LETTERS))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelError(f"MLmodel cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(entries, dict):
        raise ModelError("MLmodel cannot be read: it is not a mapping of names to values")
    return entries


def _check_entries(folder: Path, name: str) -> None:
    """Raises ModelError if the file ``MLmodel`` shows that another program logged the model."""
    entries = entries_of(folder)
    if not entries:
        return
    flavors = entries.get("flavors")
    ours = flavors.get("python_function") if isinstance(flavors, dict) and len(flavors) == 1 else None
    loader = ours.get("loader_module") if isinstance(ours, dict) else None
    code = ours.get("model_code_path") if isinstance(ours, dict) else None
    if loader != _LOADER or Path(str(code)).name != MODEL_CODE or "python_model" in (ours or {}):
        raise ModelError(
            f"{name!r} was not logged by fer_mlops: its MLmodel asks for the loader {loader!r:.80} and "
            f"the code {code!r:.80}; neither was run"
        )


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
            return wanted.found().run_id or None
        return client().get_logged_model(wanted.model).source_run_id or None
    except MlflowException as error:
        raise _missing(name, error) from error


def is_of_drawn_faces(name: str) -> bool:
    """Returns whether the model was trained on the drawn sample; False if its training is unknown."""
    wanted = ModelUri.parse(name)
    try:
        if wanted.is_registered:
            return is_drawn(wanted.found().tags)
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
    """Returns a name that keeps meaning the same model: a version number or an absolute path.

    An alias may move, and a relative path depends on the current folder.

    Raises:
        ModelError: There is no such version.
    """
    wanted = ModelUri.parse(name)
    if not wanted.is_stored:
        return str(Path(name).expanduser().resolve())
    if not wanted.is_registered:
        return name
    try:
        return f"models:/{wanted.model}/{wanted.found().version}"
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
            hint = wanted.suggestion()
    said = reason_of(error).rstrip(".")
    return ModelError(f"no model {name!r} at {shown_uri()}: {said}{hint and f'; did you mean {hint}?'}")
