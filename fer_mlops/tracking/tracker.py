"""Tracker of one open run: logs settings, metrics, images, data digests and the model to MLflow."""

from __future__ import annotations

import io
import logging
import re
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import LoggedModelStatus
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES
from PIL import Image

from fer_mlops.config.experiments import Experiment
from fer_mlops.config.recipes import Scalar, main_settings, settings_as_json
from fer_mlops.errors import ModelError, TrackingError
from fer_mlops.tracking.connection import client, reason_of
from fer_mlops.tracking.logged_model import PROBE_FILE, SIGNATURE, probe_of, requirements_of
from fer_mlops.tracking.model_files import MODEL_CODE, MODEL_NAME
from fer_mlops.tracking.outbox import Outbox, stored_name
from fer_mlops.tracking.queries import CONFIG_FILE, get_run
from fer_mlops.tracking.run_end import end_run, undisturbed
from fer_mlops.tracking.run_log import Answer, RunLog

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fer_mlops.data.splits import Split
    from fer_mlops.data.table import FaceTable
    from fer_mlops.models.classifier import Classifier

SPLIT_FILE = "data/split.csv"
_log = logging.getLogger(__name__)


class Tracker(RunLog):
    """Log of one open run in MLflow; entries wait in an outbox while the server does not respond."""

    def __init__(self, run_id: str, experiment_id: str, *, patience: float = 600.0) -> None:
        """Takes over an open run.

        ``patience`` is the time to wait for a server whose response the run needs, in seconds.
        """
        super().__init__(run_id, experiment_id)
        self.patience = patience
        self.outbox = Outbox(run_id)
        self._last_step = 0
        self._stopped_clock = 0
        self.is_finished = False
        """Whether MLflow has stored all entries and marked the run FINISHED."""

    def state(self) -> dict[str, Any]:
        unsent = {"entries": list(self.outbox.entries), "last_step": self._last_step}
        return {**super().state(), **unsent}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores the ``state`` of a process that was killed, and sends the entries it had not sent."""
        super().restore(state)
        self._last_step = state["last_step"]
        with self.together():
            self.outbox.entries += state["entries"]

    def together(self) -> AbstractContextManager[None]:
        return self.outbox.together()

    def stop_clock(self) -> None:
        # so that MLflow recognises metrics that are logged again after a kill as the same ones
        self._stopped_clock = self._last_step or _now()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Sends all waiting entries, calls ``question`` and returns its result.

        Raises:
            TrackingError: The server refuses, or does not respond within ``patience``.
        """
        return self.outbox.wait(self.patience, question)

    def finish(self) -> None:
        def end() -> None:
            with undisturbed():
                end_run(self.run_id, "FINISHED")
                self.is_finished = True

        self.ask(end)

    def end_unfinished(self, status: str) -> None:
        """Ends the run with ``status`` unless it is finished, after one try to send the outbox.

        Does not wait for a server that does not respond. Signals are ignored meanwhile, as a second
        Ctrl-C would leave the run open.
        """
        if self.is_finished:
            return
        with undisturbed():
            try:
                with suppress(TrackingError):  # a refused entry has already ended the run with an error
                    self.outbox.deliver(at_once=True)
                end_run(self.run_id, status)
            except Exception as error:  # must not hide the exception that ended the run
                _log.warning("run %s cannot be marked %s: %s", self.run_id, status, reason_of(error))

    def log_settings(self, experiment: Experiment, first: Iterable[str] = ()) -> None:
        # parameters that the run already has are kept: `mlflow run` logs a project's parameters first
        known = self.ask(lambda: get_run(self.run_id).data.params)
        shown = main_settings(experiment, first)
        fresh = {key: str(value) for key, value in shown.items() if key not in known}
        self.outbox.put({"kind": "params", "values": fresh})
        self.log_text(CONFIG_FILE, settings_as_json(experiment))

    def log_facts(self, facts: Mapping[str, Scalar]) -> None:
        super().log_facts(facts)
        if facts:
            values = {key: str(value) for key, value in facts.items()}
            self.outbox.put({"kind": "tags", "values": values})

    def log_data(self, table: FaceTable, split: Split) -> None:
        """Logs each part of the split as an input with its digest, and the part of every face as CSV."""
        for part, rows in split.parts().items():
            faces = table.select(rows)
            with warnings.catch_warnings():  # MLflow registers its local source twice, and warns of it
                warnings.simplefilter("ignore", UserWarning)
                source = resolve_dataset_source(str(table.root))
            dataset = MetaDataset(  # type: ignore[abstract]
                source, name=f"{table.name}-{part}", digest=faces.digest()
            )
            entity = dict(dataset._to_mlflow_entity())
            self.outbox.put({"kind": "input", "context": part, "dataset": entity})
        self.log_text(SPLIT_FILE, split.as_csv(table))
        self.log_text("data/notes.txt", "".join(f"{note}\n" for note in table.notes))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        values = {key: float(value) for key, value in metrics.items()}
        moment = self._stopped_clock or _now()
        if step is not None:
            self._last_step = moment
        self.outbox.put({"kind": "metrics", "time": moment, "step": step or 0, "values": values})

    def log_picture(self, key: str, picture: Image.Image, step: int) -> bytes:
        # log_image would make a new name, and so a second picture, each time that the file is sent
        name = stored_name(key).replace("/", "~")
        stem = f"images/{name}+step+{step}+timestamp+{_now()}+{uuid.uuid4()}"
        png = io.BytesIO()
        picture.save(png, format="png")
        is_first = not self.has_pictures
        webp = super().log_picture(key, picture, step)
        self._log_files({f"{stem}.png": png.getvalue(), f"{stem}+compressed.webp": webp})
        if is_first:
            self.log_facts({MLFLOW_LOGGED_IMAGES: True})
        return webp

    def log_figure(self, path: str, figure: Figure) -> None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=Path(path).suffix.removeprefix("."))
        self._log_files({stored_name(path): buffer.getvalue()})

    def log_text(self, path: str, text: str) -> None:
        self._log_files({stored_name(path): text.encode()})

    def _log_files(self, contents: Mapping[str, bytes]) -> None:
        # torch.load fails on empty bytes in a checkpoint, but not on empty byte arrays
        files = {path: bytearray(content) for path, content in contents.items()}
        self.outbox.put({"kind": "files", "files": files})

    def has_metric(self, key: str) -> bool:
        return stored_name(key) in self.ask(lambda: get_run(self.run_id).data.metrics)

    def log_classifier(
        self,
        classifier: Classifier,
        examples: Sequence[bytes],
        metrics: Mapping[str, float],
        name: str = MODEL_NAME,
    ) -> str:
        allowed = re.sub(r"[^\w-]+", "-", name)  # MLflow refuses other characters
        model_id = self.ask(
            lambda: self._model_before() or self._log_model(classifier, examples, allowed)
        )
        scores = {"values": {key: float(value) for key, value in metrics.items()}, "model": model_id}
        moment = {"time": self._stopped_clock or _now(), "step": 0}
        self.outbox.put({"kind": "metrics", **moment, **scores})
        return model_id

    def _model_before(self) -> str | None:
        """Returns the model that this run logged before it was killed; deletes incomplete models."""
        store = client()
        complete = None
        for model in store.search_logged_models(
            [self.experiment_id], f"source_run_id = '{self.run_id}'"
        ):
            if model.status == LoggedModelStatus.READY:
                complete = str(model.model_id)
            else:
                store.delete_logged_model(model.model_id)
        return complete

    def _log_model(self, classifier: Classifier, examples: Sequence[bytes], name: str) -> str:
        package = Path(__file__).parent.parent
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "classifier"
            classifier.save(bundle)
            (bundle / PROBE_FILE).write_text(probe_of(classifier, examples), encoding="utf-8")
            info = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(package / "tracking" / MODEL_CODE),
                artifacts={"classifier": str(bundle)},
                signature=SIGNATURE,
                input_example=pd.DataFrame({"image": list(examples[:1])}),
                pip_requirements=requirements_of(classifier),
                code_paths=[str(package)],
                params={"family": classifier.family, "image_size": classifier.image_size},
            )
        if info.model_id is None:
            raise ModelError(
                "the tracking server stores no logged models; it needs MLflow 3.17 or later"
            )
        return str(info.model_id)


def _now() -> int:
    """Returns the time in milliseconds since 1970, as MLflow stores it."""
    return time.time_ns() // 1_000_000
