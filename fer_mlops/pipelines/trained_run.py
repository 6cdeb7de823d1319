"""Finished run in Python: the result of ``fer_mlops.train``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError
from fer_mlops.pipelines.api import evaluate
from fer_mlops.pipelines.session import session
from fer_mlops.progress import Progress

if TYPE_CHECKING:
    from fer_mlops.evaluation.explanation import Method
    from fer_mlops.evaluation.report import Report
    from fer_mlops.pipelines.evaluate import Evaluation
    from fer_mlops.pipelines.promote import Decision
    from fer_mlops.pipelines.train import Trained
    from fer_mlops.reporting.html import Page
    from fer_mlops.serving.onnx_export import Exported
    from fer_mlops.serving.predictor import Predictor


@dataclass(frozen=True)
class Run:
    """Finished training run: its model, scores and report."""

    trained: Trained

    def __repr__(self) -> str:
        trained = self.trained
        place = f"run {self.id}" if self.id else "not in MLflow"
        return (
            f"Run({trained.family} on {trained.data.table.name}, test macro-F1 {self.scores.macro_f1}, "
            f"{trained.minutes:.1f} minutes, {place})"
        )

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    @property
    def id(self) -> str:
        """ID of the run in MLflow; empty without MLflow."""
        return self.trained.run_id

    @property
    def name(self) -> str:
        """Name by which ``load`` loads the model, ``runs:/<id>``; empty without MLflow."""
        return f"runs:/{self.id}" if self.id else ""

    @property
    def scores(self) -> Report:
        """Scores on the test faces, with intervals."""
        return self.trained.test

    @cached_property
    def report(self) -> Page:
        """Report on the test faces; a notebook shows it, ``Path("report.html").write_text`` saves it."""
        from fer_mlops.reporting.evaluation_page import render_page

        trained = self.trained
        evaluation = trained.evaluation
        facts = [f"data {trained.data.digest()}", *([f"run {self.id}"] if self.id else [])]
        sheets = {evaluation.faces: trained.heat_maps}
        return render_page(self.name or f"{trained.family}, not in MLflow", [evaluation], facts, sheets)

    @cached_property
    def predictor(self) -> Predictor:
        """The model, ready to predict; ``predict`` is its method."""
        from fer_mlops.serving.predictor import Predictor

        return Predictor(name=self.name, classifier=self.trained.classifier)

    def test_images(self, most: int = 14) -> list[Path]:
        """Returns the paths of at most ``most`` test faces, spread evenly over the emotions."""
        from fer_mlops.metrics.bootstrap import choose_evenly

        table = self.trained.predictions.table
        rows = choose_evenly(table.labels, most, seed=0)
        return [table.root / table.paths[row] for row in rows]

    def predict(self, images: Any, **options: Any) -> Any:
        """Returns predictions as ``Predictor.predict`` does, with the same arguments."""
        return self.predictor.predict(images, **options)

    def evaluate(
        self, data: str | Path | Iterable[str | Path] = (), *, progress: Progress | None = None
    ) -> Evaluation:
        """Evaluates the model as ``fer_mlops.evaluate`` does, by default on its own test faces.

        Raises:
            ConfigError: The run is not in MLflow and no data is given; ``report`` has its test scores.
            DataError: The data cannot be read.
        """
        if self.id:
            experiment = self.trained.experiment.tracking.experiment
            return evaluate(self, data, experiment=experiment, progress=progress)
        if not data:
            raise ConfigError("this run is not in MLflow, so name data; its test scores are in 'report'")
        with tempfile.TemporaryDirectory() as folder:
            self.trained.classifier.save(Path(folder))
            return evaluate(folder, data, track=False, progress=progress)

    def explain(
        self,
        images: str | Path | Iterable[str | Path] = (),
        *,
        out: str | Path = "explanations",
        target: str | None = None,
        method: Method | None = None,
        layer: str | None = None,
        measure: bool = False,
        progress: Progress | None = None,
    ) -> Page:
        """Writes heat maps of the predictions to a folder, as ``fer-mlops explain`` does.

        Args:
            images: Image files or folders; by default some test faces of each emotion.
            out: Output folder.
            target: Emotion to explain; by default the predicted one.
            method: ``gradcam`` or ``occlusion``; by default chosen for the model.
            layer: Layer for Grad-CAM; by default chosen for the network.
            measure: Whether to measure the quality of the heat maps.
            progress: Called at the start of each stage.

        Returns:
            The page of the folder, which a notebook shows.

        Raises:
            ConfigError: Target, layer or method does not fit.
            DataError: An image cannot be read, or ``out`` cannot be written.
        """
        if target is not None and target not in EMOTIONS:
            raise ConfigError(f"target must be one of {', '.join(EMOTIONS)}, got {target!r}")
        if method not in (None, "gradcam", "occlusion"):
            raise ConfigError(f"method must be gradcam or occlusion, got {method!r}")
        paths = [images] if isinstance(images, str | Path) else list(images)
        with session(progress) as here:
            from fer_mlops.data.image_files import find_images
            from fer_mlops.pipelines.explain import PAGE, explain_images
            from fer_mlops.reporting.html import Page

            found = find_images([Path(path) for path in paths] or self.test_images(), here.cache)
            explain_images(
                [(self.name or self.trained.family, self.trained.classifier)],
                found,
                Path(out),
                target=target,
                layer=layer,
                method=method,
                with_measures=measure,
                progress=here.progress,
            )
        return Page((Path(out) / PAGE).read_text(encoding="utf-8"))

    def export(self, path: str | Path = "model.onnx", *, int8: bool = False) -> Exported:
        """Writes the network as one ONNX file, calibrated and verified, as ``fer-mlops export`` does.

        Args:
            path: File to write.
            int8: Whether to quantise to 8 bits; the result states the loss on the validation faces.

        Raises:
            ModelError: The model is the baseline, or the file differs from it.
            ConfigError: The packages for exporting are not installed.
            DataError: The file cannot be written.
        """
        from fer_mlops.serving.onnx_export import export_int8, export_onnx

        classifier, parts = self.trained.classifier, self.trained.data.parts
        name = self.name or self.trained.family
        if int8:
            return export_int8(classifier, name, Path(path), parts["train"], parts["valid"])
        return export_onnx(classifier, name, Path(path))

    def promote(
        self, *, gate: str | Path = "", data: str | Path | None = None, progress: Progress | None = None
    ) -> Decision:
        """Makes the model champion if it passes the gate, as ``fer-mlops promote`` does.

        The first version ever registered is champion already.

        Args:
            gate: YAML file of gate rules; by default the project's.
            data: Other labelled faces to decide on.
            progress: Called at the start of each stage.

        Raises:
            ConfigError: The run registered no version, or the version is champion already.
            DataError: The faces cannot be read, or a model has seen them.
            ModelError: The champion has changed meanwhile.
        """
        made = self.trained.registration
        if made is None:
            raise ConfigError(f"{self!r} registered no version; train with track=True")
        experiment = self.trained.experiment.tracking.experiment
        with session(progress, experiment) as here:
            from fer_mlops.pipelines.promote import promote_in_run

            return promote_in_run(
                made.version,
                experiment,
                here.cache,
                gate=Path(gate) if gate else None,
                source=None if data is None else str(data),
                data=self.trained.data,
                progress=here.progress,
            )

    def promote_unless_champion(self, *, progress: Progress | None = None) -> None:
        """Promotes the registered version; does nothing if it is champion already or not registered."""
        made = self.trained.registration
        if made and not made.is_champion:
            self.promote(progress=progress)
