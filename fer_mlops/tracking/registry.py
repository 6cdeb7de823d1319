"""The registered model ``fer-classifier``: versions, aliases, loading by name."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import yaml
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from fer_mlops.errors import ModelError
from fer_mlops.tracking.alias_lock import (
    CHALLENGER,
    CHAMPION,
    REGISTERED_NAME,
    alias_lock,
    find_version,
    make_challenger,
    make_registered_model,
)
from fer_mlops.tracking.connection import reason_of, shown_uri
from fer_mlops.tracking.logged_model import MODEL_CODE
from fer_mlops.tracking.tracker import MODEL_NAME, SPLIT_FILE

if TYPE_CHECKING:
    from fer_mlops.models.classifier import Classifier

SCORE_TAG, DIGEST_TAG = "valid_macro_f1", "data_digest"
DECISION_TAG = "decision"
_LOADER = "mlflow.pyfunc.loaders.code_model"
"""What MLflow itself loads a model from code by."""
_MOST_LETTERS = 1_000_000
"""Of an MLmodel; an honest one has two thousand."""
NO_ALIAS = "no alias"
REGISTERED_TAG = "registered_version"
"""Tag of a run whose model is a version now, with all that is known of it."""


@dataclass(frozen=True)
class Registration:
    """What became of a trained model in the registry."""

    version: int
    alias: str
    """``champion``, ``challenger`` or NO_ALIAS."""
    reason: str

    @property
    def facts(self) -> dict[str, int | str]:
        """The tags of the run."""
        return {REGISTERED_TAG: self.version, "alias": self.alias}


def register(model_id: str, tags: Mapping[str, str]) -> Registration:
    """Registers a logged model as a new version and gives it an alias.

    It becomes ``champion`` when there is none, so that there is a model to load by name; else it is
    ``challenger``, and the gate (``fer-mlops promote``) decides. Of two runs that end at once one makes
    the champion; the newer version is challenger.

    Called again for the same model, as by a run that was killed here, it makes no second version.

    Args:
        model_id: Of a LoggedModel.
        tags: Of the version; must hold SCORE_TAG and DIGEST_TAG.
    """
    client = MlflowClient()
    make_registered_model()
    with alias_lock():
        made = _version_before(model_id)
        if made is None:
            made = mlflow.register_model(f"models:/{model_id}", REGISTERED_NAME, tags=dict(tags))
        number = int(made.version)
        if DECISION_TAG in made.tags:
            alias, _, reason = made.tags[DECISION_TAG].partition(": ")
            return Registration(number, alias, reason)
        champion = find_version(CHAMPION)
        if champion is None or int(champion.version) == number:
            alias, reason = CHAMPION, "there was no champion"
            client.set_registered_model_alias(REGISTERED_NAME, CHAMPION, str(number))
        else:
            reason = f"fer-mlops promote --version {number} takes it through the gate"
            alias = CHALLENGER if make_challenger(number) else NO_ALIAS
        client.set_model_version_tag(REGISTERED_NAME, str(number), DECISION_TAG, f"{alias}: {reason}")
    return Registration(number, alias, reason)


def describe(version: int, text: str) -> None:
    """Puts the model card of a version, Markdown of at most 5,000 characters, into the registry."""
    MlflowClient().update_model_version(REGISTERED_NAME, str(version), description=text)


def _version_before(model_id: str) -> ModelVersion | None:
    """Returns the version that was made of this model, or None."""
    wanted = f"name = '{REGISTERED_NAME}' AND source_path = 'models:/{model_id}'"
    return next(iter(MlflowClient().search_model_versions(wanted)), None)


@dataclass(frozen=True)
class ModelName:
    """What a user's name for a trained model means: the one place that takes it apart."""

    text: str
    run_id: str = ""
    """Of ``runs:/ID``."""
    model: str = ""
    """Of ``models:/``: the registered name, or the id of a LoggedModel."""
    alias: str = ""
    """Of ``models:/NAME@ALIAS``."""
    version: str = ""
    """Of ``models:/NAME/VERSION``: a number, or ``latest``."""

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Returns the parts of a name; one that is no name of MLflow's is a folder or a file."""
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
        """Whether the tracking server has it, so that it must be fetched."""
        return bool(self.run_id or self.model)

    @property
    def is_registered(self) -> bool:
        """Whether it is a version of the registry, not a run's or a LoggedModel."""
        return bool(self.alias or self.version)

    @property
    def artifacts(self) -> str:
        """The address of its files, for MLflow."""
        is_bare_run = self.text == f"runs:/{self.run_id}"
        return f"{self.text}/{MODEL_NAME}" if is_bare_run else self.text

    def found(self) -> ModelVersion:
        """Returns the registered version that it means now.

        Raises:
            MlflowException: There is none, or the registry does not answer.
        """
        client = MlflowClient()
        model, version = get_model_name_and_version(client, self.text)  # type: ignore[no-untyped-call]
        return client.get_model_version(model, version)


def load_classifier(name: str) -> Classifier:
    """Returns the classifier that ``name`` means. No code that is stored with it is run.

    Args:
        name: ``models:/fer-classifier@champion``, ``runs:/<id>`` or a folder.

    Raises:
        ModelError: There is no such model, or it is not one of ours.
    """
    from fer_mlops.models.classifier import Classifier

    with downloaded_model(name) as folder:
        return Classifier.load(bundle_in(folder, name), name)


@contextmanager
def downloaded_model(name: str) -> Iterator[Path]:
    """Yields the folder that ``name`` means, with all its files; a copy is removed afterwards.

    Raises:
        ModelError: There is no such model.
    """
    wanted = ModelName.parse(name)
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
            place = mlflow.artifacts.download_artifacts(artifact_uri=wanted.artifacts, dst_path=folder)
        except (MlflowException, OSError) as error:
            raise _missing(name, error) from error
        yield Path(place)


def bundle_in(folder: Path, name: str) -> Path:
    """Returns the bundle in a folder that was fetched, or in one of a user's.

    Raises:
        ModelError: It holds none, or a model that fer_mlops has not logged.
    """
    _check_entries(folder, name)
    for bundle in (folder / "artifacts" / "classifier", folder / MODEL_NAME, folder):
        if (bundle / "classifier.json").is_file():
            return bundle
    raise ModelError(f"{name!r} is no classifier of fer_mlops: it has no classifier.json")


def entries_of(folder: Path) -> Mapping[str, Any]:
    """Returns what a model's file ``MLmodel`` says, or nothing where there is none.

    Raises:
        ModelError: It cannot be read.
    """
    path = folder / "MLmodel"
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            told = yaml.safe_load(file.read(_MOST_LETTERS))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelError(f"MLmodel cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(told, dict):
        raise ModelError("MLmodel cannot be read: it is no mapping of names to values")
    return told


def _check_entries(folder: Path, name: str) -> None:
    """Raises ModelError where MLflow's file says that another program logged the model."""
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
            f"the code {code!r:.80}, of which none was run"
        )


def require_model(name: str) -> None:
    """Returns if there is a model of this name that fer_mlops has logged.

    Raises:
        ModelError: There is none.
    """
    with downloaded_model(name) as folder:
        bundle_in(folder, name)


def run_id_of(name: str) -> str | None:
    """Returns the run that trained the model ``name``, or None for a folder."""
    wanted = ModelName.parse(name)
    if not wanted.model:
        return wanted.run_id or None
    try:
        if wanted.is_registered:
            return wanted.found().run_id or None
        return MlflowClient().get_logged_model(wanted.model).source_run_id or None
    except MlflowException as error:
        raise _missing(name, error) from error


def resolve_model_uri(name: str) -> str:
    """Returns the name under which the model stays when its alias moves or the folder is left.

    Raises:
        ModelError: There is no such version.
    """
    wanted = ModelName.parse(name)
    if not wanted.is_stored:
        return str(Path(name).expanduser().resolve())
    if not wanted.is_registered:
        return name
    try:
        return f"models:/{wanted.model}/{wanted.found().version}"
    except MlflowException as error:
        raise _missing(name, error) from error


@dataclass(frozen=True)
class TrainingProvenance:
    """Whom a model was fitted to and chosen on."""

    digest: str
    """Of its data and split."""
    people: frozenset[str]
    """Identities in its training and validation parts."""
    tested: frozenset[tuple[str, str, str]]
    """(image, emotion, identity) of each face of its test part."""


def training_provenance(name: str) -> TrainingProvenance | None:
    """Returns whom the model ``name`` has seen, or None where its run does not tell, or is not known."""
    is_stored = ModelName.parse(name).is_stored
    run_id = run_id_of(name) if is_stored else entries_of(Path(name).expanduser()).get("run_id")
    if not run_id:
        return None
    try:
        digest = MlflowClient().get_run(run_id).data.tags[DIGEST_TAG]
        text = mlflow.artifacts.load_text(f"runs:/{run_id}/{SPLIT_FILE}")
        rows = list(csv.DictReader(io.StringIO(text)))
        tested = [row for row in rows if row["part"] == "test"]
        return TrainingProvenance(
            digest=digest,
            people=frozenset(row["identity"] for row in rows if row["part"] != "test"),
            tested=frozenset((row["image"], row["emotion"], row["identity"]) for row in tested),
        )
    except (MlflowException, OSError, KeyError):
        return None


def _missing(name: str, error: Exception) -> ModelError:
    return ModelError(f"no model {name!r} at {shown_uri()}: {reason_of(error)}")
