"""Run log in memory: facts, metrics and curves of a run that needs no tracking store."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from fer_mlops.config.experiments import Experiment
from fer_mlops.config.recipes import Scalar

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from fer_mlops.data.quality.findings import Finding
    from fer_mlops.data.splits import Split
    from fer_mlops.data.table import FaceTable
    from fer_mlops.models.classifier import Classifier

Answer = TypeVar("Answer")
_SIDE = 480  # largest longer side of a picture that is kept, in pixels


class RunLog:
    """Log of one run in memory: it keeps facts, metrics, curves and pictures, and drops files.

    ``Tracker`` has the same methods and stores everything in MLflow.
    """

    def __init__(self, run_id: str = "", experiment_id: str = "") -> None:
        self.run_id = run_id
        """ID of the run in MLflow; empty without MLflow."""
        self.experiment_id = experiment_id
        self.facts: dict[str, str] = {}
        """Facts that this process logged."""
        self.metrics: dict[str, float] = {}
        """Last value of each metric that this process logged."""
        self.has_pictures = False
        """Whether pictures were logged, by this process or by an earlier process of the same run."""
        self._curves: dict[str, list[tuple[int, float]]] = {}
        self._pictures: dict[str, dict[int, bytes]] = {}

    def state(self) -> dict[str, Any]:
        """Returns the state that another process needs to resume this run, as plain values."""
        return {
            "entries": [],
            "curves": {key: [list(point) for point in points] for key, points in self._curves.items()},
            "last_step": 0,
            "has_pictures": self.has_pictures,
            "pictures": {
                # torch.load does not read bytes
                key: {step: bytearray(webp) for step, webp in own.items()}
                for key, own in self._pictures.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores the ``state`` of a process that was killed."""
        self._curves = {
            key: [(step, value) for step, value in points] for key, points in state["curves"].items()
        }
        self.has_pictures = state["has_pictures"]
        pictures = state.get("pictures", {})  # earlier versions kept none
        self._pictures = {
            key: {step: bytes(webp) for step, webp in own.items()} for key, own in pictures.items()
        }

    def together(self) -> AbstractContextManager[None]:
        """Stores what the block logs when it ends; drops it if the block fails."""
        return nullcontext()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Stores everything logged so far, calls ``question`` and returns its result."""
        return question()

    def stop_clock(self) -> None:
        """Gives all further metrics the time of the last step."""

    def finish(self) -> None:
        """Stores everything logged and marks the run FINISHED."""

    def log_settings(self, experiment: Experiment, first: Iterable[str] = ()) -> None:
        """Logs all settings as a file, and the main ones as parameters.

        Args:
            experiment: Settings of the run.
            first: Keys of settings that are parameters in any case.
        """

    def log_data(self, table: FaceTable, split: Split) -> None:
        """Logs the data and the part of every face."""

    def log_facts(self, facts: Mapping[str, Scalar]) -> None:
        """Logs facts as tags of the run."""
        self.facts |= {key: str(value) for key, value in facts.items()}

    def log_note(self, text: str) -> None:
        """Logs the run's description, Markdown that the UI shows above its metrics."""
        self.log_facts({"mlflow.note.content": text})

    def log_findings(self, findings: Sequence[Finding]) -> None:
        """Logs the findings of the data check: all as a file, each error and warning as a tag."""
        from fer_mlops.data.quality.findings import findings_as_json

        spoiling = [finding for finding in findings if finding.severity != "note"]
        self.log_facts({f"data.{finding.kind}": finding.what for finding in spoiling})
        self.log_text("data/findings.json", findings_as_json(findings))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs scalar metrics, at a step if one is given."""
        for key, value in metrics.items():
            self.metrics[key] = float(value)
            if step is not None:
                self._curves.setdefault(key, []).append((step, float(value)))

    def log_picture(self, key: str, picture: Image.Image, step: int) -> bytes:
        """Logs an image under a key that the UI shows with a step slider; returns it as a small WebP."""
        self.has_pictures = True
        small = picture.copy()
        small.thumbnail((_SIDE, _SIDE))
        buffer = io.BytesIO()
        small.save(buffer, format="webp")
        webp = buffer.getvalue()
        if step:  # step 0 repeats another step's picture for the slider of MLflow's UI
            self._pictures.setdefault(key, {})[step] = webp
        return webp

    def log_figure(self, path: str, figure: Figure) -> None:
        """Logs a figure as a file."""

    def log_json(self, path: str, value: object) -> None:
        """Logs plain values as a JSON file."""
        self.log_text(path, json.dumps(value, indent=2))

    def log_text(self, path: str, text: str) -> None:
        """Logs a text as a file."""

    def log_classifier(
        self,
        classifier: Classifier,
        examples: Sequence[bytes],
        metrics: Mapping[str, float],
        name: str = "",
    ) -> str | None:
        """Stores the bundle with its scores and returns the stored model's ID; None without a store.

        Args:
            classifier: Classifier to store.
            examples: Some encoded faces, at least one; stored with the model's predictions for them.
            metrics: Scores to link to the model.
            name: Name of the stored model.
        """
        return None

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Returns every metric logged at steps, as (step, value) pairs in order."""
        return {key: list(points) for key, points in self._curves.items()}

    def pictures(self) -> dict[str, dict[int, bytes]]:
        """Returns every picture logged so far as WebP, by key and step."""
        return {key: dict(own) for key, own in self._pictures.items()}

    def has_metric(self, key: str) -> bool:
        """Returns whether a metric of this name is stored for the run."""
        return key in self.metrics
