"""ONNX export: writes a network with calibration and labels to one verified file that needs no torch."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from fer_mlops import __version__
from fer_mlops.data.datasets.synthetic_faces import Person, draw_face
from fer_mlops.data.faces import Faces
from fer_mlops.data.loading import Data, prepare_data
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, ModelError, needs_extra
from fer_mlops.files import write_bytes
from fer_mlops.metrics.classification import accuracy, confusion_counts, macro_f1
from fer_mlops.models.base import as_images
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import BundleCard, Classifier, NetworkScorer
from fer_mlops.models.onnx import CARD_KEY, INPUT, LOGITS, PROBABILITIES, OnnxScorer, load_onnx
from fer_mlops.progress import Progress, no_progress
from fer_mlops.tracking.queries import load_run_config
from fer_mlops.tracking.registry import run_id_of

MOST_OFF = 1e-5
"""Largest allowed difference of a probability between a float export and its model."""
_NUM_PEOPLE = 12  # identities whose faces are drawn for the comparison, one face per emotion
_NUM_CALIBRATING = 256
_PREPROCESSING = (
    "faces is uint8 [n, {side}, {side}], 0 black to 255 white: the whole crop of one face, turned "
    "upright as EXIF says, converted to gray (0.299 red + 0.587 green + 0.114 blue) and resized by an "
    "antialiased bilinear filter (Pillow's BILINEAR). Scaling is in the graph."
)


@dataclass(frozen=True)
class Exported:
    """Result of an export."""

    path: Path
    num_bytes: int
    largest_difference: float
    """Largest difference of any probability between the file and the model."""
    num_faces: int
    """Faces on which the difference was measured."""
    loss: ExportLoss | None = None
    """Cost of int8; None for a float export."""


@dataclass(frozen=True, kw_only=True)
class ExportLoss:
    """Cost of int8 arithmetic, measured on the validation faces."""

    num_faces: int
    accuracy: float
    """Accuracy of the int8 file."""
    accuracy_lost: float
    macro_f1: float
    """Macro-F1 of the int8 file."""
    macro_f1_lost: float
    changed: float
    """Share of predictions that name another emotion."""


class _Calibrated(nn.Module):
    """Network with calibration: uint8 [n, side, side] to logits and probabilities [n, 7]."""

    bias: Tensor

    def __init__(self, network: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("bias", torch.tensor(calibration.bias, dtype=torch.float32))
        self.temperature = calibration.temperature

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = self.network(as_images(faces))
        return logits, torch.softmax((logits + self.bias) / self.temperature, dim=1)


def export_onnx(classifier: Classifier, name: str, path: Path) -> Exported:
    """Writes the classifier to ``path`` if onnxruntime reproduces its probabilities to 1e-5.

    Raises:
        ModelError: The classifier is the baseline or an export already, or onnxruntime's
            probabilities differ.
        ConfigError: The packages for exporting are not installed.
        DataError: The file cannot be written.
    """
    content = _described(_float_graph(classifier), classifier, {"model": name, "arithmetic": "float32"})
    faces = np.asarray(classifier.prepare(_drawn_faces(classifier.image_size)))
    with _loaded(content) as exported:
        difference = _largest_difference(classifier, exported, faces)
    if not difference <= MOST_OFF:
        raise ModelError(
            f"onnxruntime's probabilities of {name!r} differ by {difference:.1e}, more than "
            f"{MOST_OFF:.0e}; no file was written"
        )
    write_bytes(path, content)
    return Exported(path, len(content), difference, len(faces))


def export_int8(classifier: Classifier, name: str, path: Path, train: Faces, valid: Faces) -> Exported:
    """Writes the classifier with 8-bit convolutions and matrix products, and measures their cost.

    Some training faces give the value ranges. The cost is measured on the validation faces.

    Raises:
        ModelError: The classifier is the baseline, or an export already.
        ConfigError: The packages for exporting are not installed.
        DataError: The file cannot be written.
    """
    graph = _quantized(_float_graph(classifier), train)
    facts = {"model": name, "arithmetic": "int8"}
    pixels = np.asarray(valid.pixels[:])
    with _loaded(_described(graph, classifier, facts)) as exported:
        difference = _largest_difference(classifier, exported, pixels)
        loss = _measure(classifier, exported, valid)
    facts["int8_cost"] = json.dumps(dataclasses.asdict(loss))  # whoever gets the file sees its cost
    content = _described(graph, classifier, facts)
    write_bytes(path, content)
    return Exported(path, len(content), difference, len(pixels), loss)


def data_of(name: str, source: str | None, cache: Path, progress: Progress = no_progress) -> Data:
    """Returns the faces that the model ``name`` was trained and validated on.

    ``source`` is the present place of the data set; None if it has not moved.

    Raises:
        ConfigError: ``name`` is a folder or file, whose run is unknown.
        ModelError: There is no such model, or its run has no stored settings.
        DataError: The data cannot be read.
    """
    run_id = run_id_of(name)
    if run_id is None:
        raise ConfigError(
            f"the training faces of {name!r}, which an int8 export needs, are unknown; name the model "
            "by models:/ or runs:/"
        )
    experiment = load_run_config(run_id)
    if source is not None:
        experiment = replace(experiment, data=replace(experiment.data, source=source))
    return prepare_data(experiment, cache, progress)


def _drawn_faces(side: int) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    people = [Person.random(generator) for _ in range(_NUM_PEOPLE)]
    return [
        draw_face(person, emotion, generator, side).image for person in people for emotion in EMOTIONS
    ]


def _float_graph(classifier: Classifier) -> bytes:
    if not isinstance(classifier.scorer, NetworkScorer):
        what = "an ONNX model already" if isinstance(classifier.scorer, OnnxScorer) else "no network"
        raise ModelError(
            f"only networks can be exported to ONNX, and this {classifier.family} is {what}"
        )
    with needs_extra("onnx", "exporting to ONNX needs onnx, onnxruntime and onnxscript"):
        import onnxruntime  # noqa: F401 - fail before minutes of work, not after
        import onnxscript  # noqa: F401
    side = classifier.image_size
    with _quietly():
        program = torch.onnx.export(
            _Calibrated(classifier.scorer.network, classifier.calibration),
            # two faces: a batch of one would be exported as a fixed size
            (torch.zeros(2, side, side, dtype=torch.uint8),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            input_names=[INPUT],
            output_names=[LOGITS, PROBABILITIES],
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _quantized(graph: bytes, train: Faces) -> bytes:
    """Returns the graph with 8-bit convolutions and matrix products; ranges come from ``train``."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # a random choice, as the files of a folder are sorted by emotion
    rows = np.random.default_rng(0).permutation(len(train.pixels))[:_NUM_CALIBRATING]
    faces = np.asarray(train.pixels[np.sort(rows)])

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.left = iter(np.array_split(faces, max(1, len(faces) // 32)))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.left, None)
            return None if batch is None else {INPUT: batch}

    with tempfile.TemporaryDirectory() as folder, _quietly():
        plain, prepared, quantized = (Path(folder) / f"{n}.onnx" for n in ("plain", "prepared", "int8"))
        plain.write_bytes(graph)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            Reader(),
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],  # softmax is too inexact in 8 bits
            # one range per filter: a range for all of them would leave few levels to small filters
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        return quantized.read_bytes()


def _described(graph: bytes, classifier: Classifier, facts: Mapping[str, str]) -> bytes:
    """Returns the graph with the metadata that people and ``load_onnx`` need to use it."""
    import onnx

    card = BundleCard(
        family=classifier.family, image_size=classifier.image_size, calibration=classifier.calibration
    )
    proto = onnx.load_from_string(graph)
    proto.producer_name, proto.producer_version = "fer_mlops", __version__
    properties = {
        "emotions": ",".join(EMOTIONS),
        "image_size": str(classifier.image_size),
        "preprocessing": _PREPROCESSING.format(side=classifier.image_size),
        "threshold": str(classifier.calibration.threshold),
        CARD_KEY: card.as_json(),
        **facts,
    }
    onnx.helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


@contextlib.contextmanager
def _loaded(content: bytes) -> Iterator[Classifier]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        yield load_onnx(path)


def _largest_difference(model: Classifier, exported: Classifier, faces: NDArray[np.uint8]) -> float:
    """Returns the largest difference of a probability, calibrated by the graph or by Classifier."""
    assert isinstance(exported.scorer, OnnxScorer)
    ours = model.predict_proba(faces)
    theirs = (exported.scorer.probabilities(faces), exported.predict_proba(faces))
    return max(float(np.abs(ours - other).max()) for other in theirs)


def _measure(model: Classifier, exported: Classifier, valid: Faces) -> ExportLoss:
    def labels_of(classifier: Classifier) -> NDArray[np.int64]:
        return np.asarray(classifier.predict_proba(valid.pixels).argmax(1))

    before, after = labels_of(model), labels_of(exported)
    counts = [confusion_counts(valid.labels, labels) for labels in (before, after)]
    accuracies, scores = [float(accuracy(c)) for c in counts], [float(macro_f1(c)) for c in counts]
    return ExportLoss(
        num_faces=len(valid.labels),
        accuracy=accuracies[1],
        accuracy_lost=accuracies[0] - accuracies[1],
        macro_f1=scores[1],
        macro_f1_lost=scores[0] - scores[1],
        changed=float((before != after).mean()),
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silences the exporters' logs, warnings and prints, which users cannot act on."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
