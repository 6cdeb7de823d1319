"""The only writer of runs: settings, metrics, pictures, data digests and models, to MLflow."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Experiment as MlflowExperiment
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, DataType, Schema
from PIL import Image

from fer_mlops.classifier import Classifier
from fer_mlops.config import Experiment
from fer_mlops.datasets.table import FaceTable
from fer_mlops.doctor import Finding, findings_as_json
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ModelError, TrackingError
from fer_mlops.recipes import Scalar, flatten
from fer_mlops.splits import Split

MODEL_NAME = "classifier"
"""Name of the LoggedModel within a run."""
CONFIG_FILE = "config.json"
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "emotion"),
            ColSpec(DataType.double, "confidence"),
            *(ColSpec(DataType.double, emotion) for emotion in EMOTIONS),
        ]
    ),
)
_TAG = 5000
"""Most letters of a tag, as MLflow's servers take it."""
_SERVER_TIMEOUT = 10
"""Seconds that a tracking server has for its first answer."""
_REQUIREMENTS = (
    "mlflow",
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "scikit-image",
    "scikit-learn",
)


class RunStopped(Exception):
    """Ends the tracked run as KILLED; the message says why."""


class Tracker:
    """Writes to one open run."""

    def __init__(self, run_id: str, experiment_id: str) -> None:
        self.run_id = run_id
        self.experiment_id = experiment_id

    def log_settings(self, experiment: Experiment) -> None:
        """Logs every setting as a parameter and all of them as one JSON file.

        Parameters that the run has already (a project logs its own first) are left as they are.
        """
        known = mlflow.get_run(self.run_id).data.params
        flat = {"family": experiment.family, **flatten(experiment)}
        mlflow.log_params({key: value for key, value in flat.items() if key not in known})
        self.log_json(CONFIG_FILE, {"family": experiment.family, **dataclasses.asdict(experiment)})

    def log_facts(self, facts: Mapping[str, Scalar]) -> None:
        """Tags the run."""
        mlflow.set_tags({key: str(value) for key, value in facts.items()})

    def log_data(self, table: FaceTable, split: Split) -> None:
        """Logs the parts of the split as inputs with digests, and which face is in which."""
        for part, rows in split.parts().items():
            faces = table.select(rows)
            with warnings.catch_warnings():  # MLflow registers its local source twice, and warns of it
                warnings.simplefilter("ignore", UserWarning)
                source = resolve_dataset_source(str(table.root))
            dataset = MetaDataset(  # type: ignore[abstract]
                source, name=f"{table.name}-{part}", digest=faces.digest()
            )
            mlflow.log_input(dataset, context=part)
        self.log_text("data/split.csv", split.as_csv(table))
        self.log_text("data/notes.txt", "".join(f"{note}\n" for note in table.notes))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs scalars, at a step where there is one."""
        mlflow.log_metrics(dict(metrics), step=step)

    def log_picture(self, key: str, picture: Image.Image, step: int) -> None:
        """Logs a picture under a key that the UI shows with a step slider."""
        mlflow.log_image(picture, key=key, step=step)

    def log_figure(self, path: str, figure: Figure) -> None:
        """Logs a figure as a file."""
        mlflow.log_figure(figure, path)

    def log_json(self, path: str, value: object) -> None:
        """Logs plain values as a JSON file."""
        self.log_text(path, json.dumps(value, indent=2))

    def log_text(self, path: str, text: str) -> None:
        """Logs a text as a file."""
        mlflow.log_text(text, path)

    def log_findings(self, findings: Sequence[Finding]) -> None:
        """Logs what the doctor found: a file of all, a tag for each that spoils numbers."""
        self.log_text("data/findings.json", findings_as_json(findings))
        spoiling = [finding for finding in findings if finding.severity != "note"]
        self.log_facts({f"data.{finding.kind}": finding.what[:_TAG] for finding in spoiling})

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Returns every metric logged at steps, as (step, value) in order."""
        client = MlflowClient()
        histories = {}
        for key in client.get_run(self.run_id).data.metrics:
            if not key.startswith("system/"):
                history = client.get_metric_history(self.run_id, key)
                histories[key] = [(point.step, point.value) for point in history]
        return histories

    def log_classifier(
        self, classifier: Classifier, example: bytes, metrics: Mapping[str, float]
    ) -> str:
        """Logs the bundle as a LoggedModel with its scores and returns the model's id.

        Args:
            classifier: What is logged, with the package's own source, as a model from code.
            example: One encoded face.
            metrics: Scores to link to the model.
        """
        package = Path(__file__).parent
        pins = [f"{name}=={version(name)}" for name in _REQUIREMENTS]
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "classifier"
            classifier.save(bundle)
            info = mlflow.pyfunc.log_model(
                name=MODEL_NAME,
                python_model=str(package / "serving" / "registered_model.py"),
                artifacts={"classifier": str(bundle)},
                signature=SIGNATURE,
                input_example=pd.DataFrame({"image": [example]}),
                pip_requirements=pins,
                code_paths=[str(package)],
                params={"family": classifier.family, "image_size": classifier.image_size},
            )
        model_id = info.model_id
        if model_id is None:
            raise ModelError("the tracking server keeps no logged models; it needs MLflow 3.17 or later")
        mlflow.log_metrics(dict(metrics), model_id=model_id)
        return str(model_id)


@contextmanager
def track(
    experiment_name: str,
    run_name: str,
    *,
    nested: bool = False,
    resume: str | None = None,
    system_metrics: bool = False,
) -> Iterator[Tracker]:
    """Opens a run: the project's own under ``mlflow run``, else a new one or ``resume``'s.

    It ends FINISHED; KILLED after Ctrl-C or RunStopped; FAILED after any other exception.

    Raises:
        TrackingError: The tracking server does not answer, or refuses.
    """
    check_server()
    try:
        run = _open(experiment_name, run_name, nested, resume, system_metrics)
        tracker = Tracker(run.info.run_id, run.info.experiment_id)
        try:
            yield tracker
        except (KeyboardInterrupt, RunStopped):
            mlflow.end_run("KILLED")
            raise
        except BaseException:
            mlflow.end_run("FAILED")
            raise
        mlflow.end_run("FINISHED")
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(f"MLflow at {shown_uri()} refused: {reason}") from error


def _open(
    experiment_name: str, run_name: str, nested: bool, resume: str | None, system_metrics: bool
) -> mlflow.ActiveRun:
    project_run = os.environ.get("MLFLOW_RUN_ID")
    if resume:
        os.environ.pop("MLFLOW_RUN_ID", None)
        if project_run:
            MlflowClient().set_tag(project_run, "fer_mlops.continued_as", resume)
        return mlflow.start_run(run_id=resume, nested=nested, log_system_metrics=system_metrics)
    if project_run and not nested:
        os.environ.pop("MLFLOW_RUN_ID")  # or a later nested run would be the project's run again
        if _takes_artifacts(MlflowClient().get_run(project_run).info.artifact_uri or ""):
            return mlflow.start_run(run_id=project_run, log_system_metrics=system_metrics)
    mlflow.set_experiment(experiment_id=ensure_experiment(experiment_name).experiment_id)
    run = mlflow.start_run(run_name=run_name, nested=nested, log_system_metrics=system_metrics)
    if project_run and not nested:
        # `mlflow ui` made the project run's experiment, whose artifacts only a server can store
        MlflowClient().set_tag(project_run, "fer_mlops.continued_as", run.info.run_id)
        mlflow.set_tag("fer_mlops.project_run", project_run)
    return run


def _takes_artifacts(artifact_uri: str) -> bool:
    """Returns whether this process can write there: ``mlflow-artifacts:`` needs a server."""
    is_server = mlflow.get_tracking_uri().startswith("http")
    return is_server or not artifact_uri.startswith("mlflow-artifacts:")


def ensure_experiment(name: str) -> MlflowExperiment:
    """Returns the experiment, made if need be, in a place that needs no server if there is none.

    Raises:
        TrackingError: The experiment's artifacts can be written through a tracking server only.
    """
    client = MlflowClient()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        is_server = mlflow.get_tracking_uri().startswith("http")
        location = None if is_server else (Path("mlruns") / name).resolve().as_uri()
        experiment = client.get_experiment(client.create_experiment(name, location))
    if not _takes_artifacts(experiment.artifact_location):
        raise TrackingError(
            f"experiment {name!r} stores its artifacts through a tracking server; set "
            "MLFLOW_TRACKING_URI to that server, or use --set tracking.experiment=OTHER"
        )
    return experiment


def check_server() -> None:
    """Returns if the tracking server answers, or if there is none to ask.

    Raises:
        TrackingError: It does not answer within 10 seconds.
    """
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("http"):
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_SERVER_TIMEOUT):
            return
    except urllib.error.HTTPError:
        return  # it answers; what it thinks of us is seen at the first real request
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise TrackingError(
            f"no tracking server answers at {shown_uri()} ({reason}); start it with 'mlflow server', or "
            "unset MLFLOW_TRACKING_URI to track into this folder"
        ) from error


def shown_uri() -> str:
    """Returns the tracking URI as it may be shown: without user and password."""
    return re.sub(r"//[^/@]*@", "//", mlflow.get_tracking_uri())


def training_view(experiment_id: str) -> str:
    """Returns the address of the runs table in its training view, without the server's part."""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def git_commit() -> str:
    """Returns the commit of the source in use, or ``unknown`` outside a checkout."""
    head = Path(__file__).parent.parent / ".git" / "HEAD"
    try:
        text = head.read_text(encoding="utf-8").strip()
        if not text.startswith("ref: "):
            return text
        return (head.parent / text.removeprefix("ref: ")).read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"
