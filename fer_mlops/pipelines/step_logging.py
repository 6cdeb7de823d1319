"""Step logging: metrics of every step, and pictures of validation faces."""

from __future__ import annotations

from PIL import Image

from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.explanation import explain
from fer_mlops.metrics.classification import confusion_counts
from fer_mlops.reporting import plots
from fer_mlops.reporting.evaluation_plots import one_of_each
from fer_mlops.reporting.training_page import MATRIX
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.training.steps import Step


class StepLogger:
    """Logs each step's metrics, and every few steps a confusion matrix and heat maps."""

    def __init__(self, every: int, valid: Faces, log: RunLog) -> None:
        """Chooses one validation face of each emotion.

        ``every`` is the number of steps between two sets of pictures; 0 for none.
        """
        self.every, self.valid, self.log = every, valid, log
        self.rows = one_of_each(valid.labels)
        self.matrices = plots.ConfusionPictures(dots_per_inch=80) if every else None

    def write(self, step: Step) -> None:
        """Logs one step."""
        self.log.log_metrics(step.metrics, step.number)
        if self.matrices is None or not step.has_images or step.number % self.every:
            return
        counts = confusion_counts(self.valid.labels, step.probabilities.argmax(1))
        pictures = {
            MATRIX: self.matrices.draw(counts.tolist(), f"validation, {step.name}"),
            **self._heat_maps(step),
        }
        # MLflow's slider opens at step 0 and would be empty, so the first pictures are logged there too
        steps = (step.number,) if self.log.has_pictures else (0, step.number)
        for key, picture in pictures.items():
            for number in steps:
                self.log.log_picture(key, picture, number)

    def _heat_maps(self, step: Step) -> dict[str, Image.Image]:
        pixels, labels = self.valid.pixels[self.rows], self.valid.labels[self.rows]
        heats, method = explain(step.classifier, pixels, labels)
        return {
            f"{method}/{EMOTIONS[label]}": plots.overlay(face, heat)
            for face, label, heat in zip(pixels, labels, heats, strict=True)
        }
