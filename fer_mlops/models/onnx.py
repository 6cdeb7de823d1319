"""A classifier that an ``.onnx`` file holds, run by onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ModelError
from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import Logits
from fer_mlops.models.classifier import Card, Classifier

INPUT, LOGITS, PROBABILITIES = "faces", "logits", "probabilities"
"""uint8 [n, side, side]; float32 [n, 7] each, the latter calibrated at the default point."""
CARD_KEY = "fer_mlops"
"""Of the metadata: what ``load_onnx`` needs, as JSON."""


@dataclass(frozen=True)
class OnnxScorer:
    """A session of onnxruntime."""

    session: Any
    batch_size: int = 32
    """Small enough for the caches: a core answers more faces a second than 256 at a time."""

    def logits(self, pixels: Images) -> Logits:
        """Returns logits [n, 7] of gray faces uint8 [n, side, side]."""
        return self._run(LOGITS, pixels)

    def probabilities(self, pixels: Images) -> Logits:
        """Returns the graph's own probabilities [n, 7], at the default point."""
        return self._run(PROBABILITIES, pixels)

    def _run(self, output: str, pixels: Images) -> Logits:
        parts = [np.zeros((0, len(EMOTIONS)), np.float32)]
        for start in range(0, len(pixels), self.batch_size):
            faces = np.ascontiguousarray(pixels[start : start + self.batch_size])
            parts += self.session.run([output], {INPUT: faces})
        return np.concatenate(parts)


def load_onnx(path: Path, num_threads: int = 0) -> Classifier:
    """Returns the classifier in the file.

    Args:
        path: Written by ``fer-mlops export``.
        num_threads: That onnxruntime works in; 0 for as many as there are cores.

    Raises:
        ModelError: There is no such file, it is not one of ours, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{str(path)!r} needs onnxruntime: pip install 'fer-mlops[onnx]'") from error
    if not path.is_file():
        raise ModelError(f"no model {str(path)!r}: there is no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 4
    try:
        # from bytes: a graph on disk may name any other file as its weights
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # its exceptions have no base of their own
        reason = str(error).splitlines()[0]
        raise ModelError(f"{str(path)!r} cannot be read as an ONNX model: {reason}") from error
    try:
        card = Card.parse(session.get_modelmeta().custom_metadata_map.get(CARD_KEY, "{}"))
    except ModelError as error:
        raise ModelError(
            f"{str(path)!r} was not written by 'fer-mlops export' of this version: {error}"
        ) from error
    side = card.image_size
    taken = [(one.name, one.type, list(one.shape[1:])) for one in session.get_inputs()]
    given = [(one.name, list(one.shape[1:])) for one in session.get_outputs()]
    asked = [(name, [len(EMOTIONS)]) for name in (LOGITS, PROBABILITIES)]
    if taken != [(INPUT, "tensor(uint8)", [side, side])] or given != asked:
        raise ModelError(
            f"{str(path)!r} does not turn faces of {side} pixels into {len(EMOTIONS)} emotions"
        )
    return Classifier(
        family=card.family,
        image_size=side,
        scorer=OnnxScorer(session),
        calibration=card.calibration,
    )
