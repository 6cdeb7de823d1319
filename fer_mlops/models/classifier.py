"""Classifier bundle: a trained model with its preprocessing, labels and calibration.

On disk a bundle is a folder of plain values; loading it runs only code of this package:

    classifier.json   family, emotions in order, image size, calibration, architecture
    weights.pt        networks: the state dict of the network that the architecture describes
    svm.npz           baseline: all arrays

Other files in the folder are ignored, such as the graph ``network.pt2`` of earlier versions.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from fer_mlops.config import Architecture, CnnConfig, EnsembleConfig, TransferConfig
from fer_mlops.config.conversion import fill
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError, ModelError
from fer_mlops.images.reading import gray_face
from fer_mlops.models import build_network
from fer_mlops.models.base import to_images
from fer_mlops.models.calibration import Calibration, Logits
from fer_mlops.models.hog_svm import HogSvm
from fer_mlops.models.weights import fill_network

if TYPE_CHECKING:
    from fer_mlops.images.arrays import Images

_FORMAT = 1
# largest length of a classifier card; a valid one has about two thousand characters
_MOST_LETTERS = 1_000_000
# faces at a time; on a CPU, few enough that a layer's output is still cached for the next layer
_ON_CPU, _ON_GPU = 32, 256
_ARCHITECTURES: dict[str, Architecture] = {
    "cnn": CnnConfig(),
    "transfer": TransferConfig(),
    "ensemble": EnsembleConfig(),
}


class Scorer(Protocol):
    """Model that turns gray faces uint8 [n, side, side] into logits float32 [n, 7]."""

    def logits(self, pixels: Images) -> Logits: ...


@dataclass(frozen=True)
class NetworkScorer:
    """A network that takes faces [n, 1, side, side] in [0, 1]."""

    network: nn.Module
    architecture: Architecture
    """Settings that rebuild the network."""

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @torch.inference_mode()
    def logits(self, pixels: Images) -> Logits:
        if self.network.training:
            self.network.eval()
        at_once = _ON_CPU if self.device.type == "cpu" else _ON_GPU
        starts = range(0, len(pixels), at_once)
        batches = (to_images(pixels[s : s + at_once], self.device) for s in starts)
        parts = [self.network(batch).float().cpu().numpy() for batch in batches]
        return np.concatenate(parts) if parts else np.zeros((0, len(EMOTIONS)), np.float32)


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A model with its preprocessing and calibration: faces in, probabilities of EMOTIONS out."""

    family: str
    image_size: int
    """Side of the model's square gray input, in pixels."""
    scorer: Scorer
    calibration: Calibration

    def __repr__(self) -> str:
        return f"Classifier({self.family}, {self.image_size} px)"

    def prepare(self, images: Sequence[bytes | Path | Image.Image], first: int = 0) -> Images:
        """Returns the images as model inputs, uint8 [n, side, side].

        Raises:
            DataError: An image cannot be read; the message has its number, counted from ``first``.
        """
        faces = []
        for number, image in enumerate(images, first):
            try:
                faces.append(gray_face(image, self.image_size))
            except DataError as error:
                raise DataError(f"image {number} of {len(images)}: {error}") from error
        return np.stack(faces) if faces else np.zeros((0, self.image_size, self.image_size), np.uint8)

    def predict_proba(self, pixels: Images) -> NDArray[np.float64]:
        """Returns calibrated probabilities [n, 7] of prepared faces uint8 [n, side, side]."""
        return self.calibration.probabilities(self.scorer.logits(pixels))

    def save(self, folder: Path) -> None:
        """Writes the bundle into ``folder``, and creates the folder if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        architecture = None
        if isinstance(self.scorer, HogSvm):
            self.scorer.save(folder / "svm.npz")
        else:
            assert isinstance(self.scorer, NetworkScorer), "an ONNX file is not saved again"
            architecture = self.scorer.architecture
            network = copy.deepcopy(self.scorer.network).cpu()  # tensors saved on a GPU need one to load
            torch.save(network.state_dict(), folder / "weights.pt")
        card = BundleCard(
            family=self.family,
            image_size=self.image_size,
            calibration=self.calibration,
            architecture=architecture,
        )
        (folder / "classifier.json").write_text(card.as_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, name: str = "") -> Classifier:
        """Returns the classifier saved in ``folder``, on the CPU, in float32.

        Runs no code from the folder and downloads nothing.

        Args:
            folder: Folder written by ``save``; need not be trusted.
            name: Name in error messages; the folder by default.

        Raises:
            ModelError: The folder is not a bundle, is damaged, or does not fit this version.
        """
        try:
            card = BundleCard.read(_file(folder, "classifier.json"))
            scorer: Scorer
            if card.family == "baseline":
                scorer = HogSvm.load(_file(folder, "svm.npz"), card.image_size)
            else:
                scorer = _rebuilt(card, _file(folder, "weights.pt"))
        except ModelError as error:
            raise ModelError(f"{name or str(folder)!r} cannot be loaded: {error}") from error
        return cls(
            family=card.family,
            image_size=card.image_size,
            scorer=scorer,
            calibration=card.calibration,
        )

    def as_saved(self) -> Classifier:
        """Returns a copy of the classifier after ``save`` and ``load``, on the CPU."""
        # A network on a GPU computes with lower precision than on the CPU that serves it, so a run
        # reports scores of this copy.
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            return Classifier.load(Path(folder))


@dataclass(frozen=True, kw_only=True)
class BundleCard:
    """Metadata of the classifier in a bundle or an ONNX file."""

    family: str
    image_size: int
    calibration: Calibration
    architecture: Architecture | None = None
    """Settings that rebuild the network; None for the baseline and for an ONNX file."""

    def as_json(self) -> str:
        """Returns the card as JSON for ``parse``."""
        fields = {"format": _FORMAT, "emotions": EMOTIONS, **dataclasses.asdict(self)}
        if self.architecture is None:
            del fields["architecture"]
        return json.dumps(fields, indent=2)

    @classmethod
    def read(cls, path: Path) -> BundleCard:
        """Returns the card of a bundle.

        Raises:
            ModelError: The file or its card is not valid, or a network's card has no architecture.
        """
        try:
            with path.open(encoding="utf-8") as file:
                card = cls.parse(file.read(_MOST_LETTERS + 1))
        except (OSError, ValueError) as error:
            raise ModelError(f"classifier.json cannot be read: {error}") from error
        if card.family in _ARCHITECTURES and card.architecture is None:
            raise ModelError("classifier.json has no architecture")
        return card

    @classmethod
    def parse(cls, text: str) -> BundleCard:
        """Returns the card in the JSON of ``as_json``, with every value checked.

        Raises:
            ModelError: The text is not a valid card, or has another format or other emotions.
        """
        try:
            fields = json.loads(text) if len(text) <= _MOST_LETTERS else None
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the classifier's card is not valid JSON: {str(error)[:80]}") from error
        if not isinstance(fields, dict):
            raise ModelError("the classifier's card is not a mapping of names to values")
        if fields.get("format") != _FORMAT:
            raise ModelError(
                f"it has format {fields.get('format')!r:.20}, this fer_mlops reads {_FORMAT}; install "
                "the version it was trained with"
            )
        if fields.get("emotions") != list(EMOTIONS):
            raise ModelError(f"it has other emotions: {fields.get('emotions')!r:.100}")
        family, side = fields.get("family"), fields.get("image_size")
        if family not in ("baseline", *_ARCHITECTURES):
            raise ModelError(f"it has the unknown family {family!r:.40}")
        if type(side) is not int or not 8 <= side <= 1024:
            raise ModelError(f"image_size must be 8 to 1024 pixels, got {side!r:.20}")
        try:
            calibration = fill(_NEUTRAL, _section(fields, "calibration"), "calibration.")
            architecture = None
            if "architecture" in fields:
                if family not in _ARCHITECTURES:
                    raise ConfigError(f"the family {family} has no architecture")
                section = _section(fields, "architecture")
                architecture = fill(_ARCHITECTURES[family], section, "architecture.")
        except ConfigError as error:
            raise ModelError(f"the classifier's card is not valid: {str(error)[:200]}") from error
        _check_calibration(calibration)
        if architecture is not None and architecture.image_size != side:
            raise ModelError(
                f"image_size {side} differs from that of the architecture, {architecture.image_size}"
            )
        return cls(family=family, image_size=side, calibration=calibration, architecture=architecture)


_NEUTRAL = Calibration(bias=(0.0,) * len(EMOTIONS), temperature=1.0, prior_strength=1.0)


def _section(fields: dict[str, object], name: str) -> dict[str, object]:
    section = fields.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"{name} must be a mapping of names to values, got {section!r:.40}")
    return section


def _check_calibration(calibration: Calibration) -> None:
    """Raises ModelError if a value is outside the range that fitting can give."""
    for name, value in dataclasses.asdict(calibration).items():
        if isinstance(value, tuple):
            lengths = (len(EMOTIONS), 0) if name == "log_prior" else (len(EMOTIONS),)
            is_right = len(value) in lengths and all(abs(number) <= 1e6 for number in value)
        elif "temperature" in name:
            is_right = 1e-3 <= value <= 1e3
        else:  # a strength, or a threshold, which is 2 if no confidence is enough
            is_right = 0 <= value <= 2
        if not is_right:
            raise ModelError(f"calibration.{name} cannot be {value!r:.80}")


def _file(folder: Path, name: str) -> Path:
    """Returns a file of the bundle; raises ModelError if it is missing or a link to the outside."""
    path = folder / name
    if not path.is_file():
        raise ModelError(f"it has no {name}, so it is not a fer_mlops classifier")
    if path.resolve().parent != folder.resolve():
        raise ModelError(f"{name} is a link to a file outside of the bundle")
    return path


def _rebuilt(card: BundleCard, weights: Path) -> NetworkScorer:
    """Returns the network of the card's architecture with the weights in a file."""
    assert card.architecture is not None
    try:
        try:
            with torch.device("meta"):  # allocates nothing, even for a card with huge sizes
                network = build_network(card.family, card.architecture, len(EMOTIONS))
        except NotImplementedError:  # some published backbones compute while built; their size is known
            network = build_network(card.family, card.architecture, len(EMOTIONS))
    except ConfigError as error:
        raise ModelError(str(error)) from error
    fill_network(network, weights)
    network.to(memory_format=torch.channels_last)
    return NetworkScorer(network.eval(), card.architecture)
