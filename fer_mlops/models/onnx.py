"""ONNX classifier, run by onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ModelError, needs_extra
from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import Logits
from fer_mlops.models.classifier import BundleCard, Classifier

INPUT, LOGITS, PROBABILITIES = "faces", "logits", "probabilities"
"""Input uint8 [n, side, side]; outputs float32 [n, 7], probabilities at the default operating point."""
CARD_KEY = "fer_mlops"  # metadata key of the classifier's card, as JSON


@dataclass(frozen=True)
class OnnxScorer:
    """Model in an onnxruntime session."""

    session: Any
    batch_size: int = 32
    """Faces at a time; small enough for the processor's caches, and so faster than 256."""

    def logits(self, pixels: Images) -> Logits:
        """Returns logits [n, 7] of gray faces uint8 [n, side, side]."""
        return self._run(LOGITS, pixels)

    def probabilities(self, pixels: Images) -> Logits:
        """Returns the graph's probabilities [n, 7], at the default operating point."""
        return self._run(PROBABILITIES, pixels)

    def _run(self, output: str, pixels: Images) -> Logits:
        parts = [np.zeros((0, len(EMOTIONS)), np.float32)]
        for start in range(0, len(pixels), self.batch_size):
            faces = np.ascontiguousarray(pixels[start : start + self.batch_size])
            parts += self.session.run([output], {INPUT: faces})
        return np.concatenate(parts)


def load_onnx(path: Path, num_threads: int = 0) -> Classifier:
    """Returns the classifier in an ONNX file, run by ``num_threads`` threads; 0 for one a core.

    Raises:
        ModelError: The file does not exist or was not written by ``fer-mlops export``, or onnxruntime
            is not installed.
    """
    with needs_extra("onnx", f"{str(path)!r} needs onnxruntime", ModelError):
        import onnxruntime
    if not path.is_file():
        raise ModelError(f"no model {str(path)!r}: there is no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 4  # fatal only: its errors are raised as well
    try:
        # from bytes, because a graph loaded from a path may read any other file as its weights
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # onnxruntime's exceptions have no common base class
        reason = str(error).splitlines()[0]
        raise ModelError(f"{str(path)!r} cannot be read as an ONNX model: {reason}") from error
    try:
        card = BundleCard.parse(session.get_modelmeta().custom_metadata_map.get(CARD_KEY, "{}"))
    except ModelError as error:
        raise ModelError(
            f"{str(path)!r} was not written by 'fer-mlops export' of this version: {error}"
        ) from error
    side = card.image_size
    inputs = [(node.name, node.type, list(node.shape[1:])) for node in session.get_inputs()]
    outputs = [(node.name, list(node.shape[1:])) for node in session.get_outputs()]
    expected = [(name, [len(EMOTIONS)]) for name in (LOGITS, PROBABILITIES)]
    if inputs != [(INPUT, "tensor(uint8)", [side, side])] or outputs != expected:
        raise ModelError(
            f"{str(path)!r} does not turn faces of {side} pixels into {len(EMOTIONS)} emotions"
        )
    return Classifier(
        family=card.family,
        image_size=side,
        scorer=OnnxScorer(session),
        calibration=card.calibration,
    )
