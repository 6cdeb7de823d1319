"""The trained bundle: a model with its preprocessing, labels and calibration.

On disk it is a folder of plain values, and loading it runs no code but this package's:

    classifier.json   family, emotions in order, image size, calibration, architecture
    weights.pt        the state dict of the network that the architecture describes (networks)
    svm.npz           all arrays of the baseline                                    (baseline)

Other files in the folder are not opened, such as the graph ``network.pt2`` that earlier versions wrote.
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

from fer_mlops.config import CnnConfig, TransferConfig
from fer_mlops.config.recipes import fill
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError, ModelError
from fer_mlops.images.reading import gray_face
from fer_mlops.models import build_network
from fer_mlops.models.calibration import Calibration, Logits
from fer_mlops.models.hog_svm import HogSvm
from fer_mlops.models.inputs import to_images
from fer_mlops.models.weights import fill_network

if TYPE_CHECKING:
    from fer_mlops.images.arrays import Images

_FORMAT = 1
_MOST_LETTERS = 1_000_000
"""Of a card; an honest one has two thousand."""
_ON_CPU, _ON_GPU = 32, 256
"""Faces at a time: on a CPU, of so few what a layer leaves stays in its cache for the next."""
_ARCHITECTURES: dict[str, CnnConfig | TransferConfig] = {
    "cnn": CnnConfig(),
    "transfer": TransferConfig(),
}


class Scorer(Protocol):
    """Anything that turns gray faces uint8 [n, side, side] into logits float32 [n, 7]."""

    def logits(self, pixels: Images) -> Logits: ...


@dataclass(frozen=True)
class NetworkScorer:
    """A network that takes faces [n, 1, side, side] in [0, 1]."""

    network: nn.Module
    architecture: CnnConfig | TransferConfig
    """What rebuilds it."""

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
    """Faces in, probabilities of EMOTIONS out."""

    family: str
    image_size: int
    """Side of the gray square the model sees, in pixels."""
    scorer: Scorer
    calibration: Calibration

    def prepare(self, images: Sequence[bytes | Path | Image.Image]) -> Images:
        """Returns the images as the model sees them, uint8 [n, side, side].

        Raises:
            DataError: An image cannot be read; the message says which, from 0.
        """
        faces = []
        for number, image in enumerate(images):
            try:
                faces.append(gray_face(image, self.image_size))
            except DataError as error:
                raise DataError(f"image {number} of {len(images)}: {error}") from error
        return np.stack(faces) if faces else np.zeros((0, self.image_size, self.image_size), np.uint8)

    def predict_proba(self, pixels: Images) -> NDArray[np.float64]:
        """Returns calibrated probabilities [n, 7] of prepared faces uint8 [n, side, side]."""
        return self.calibration.probabilities(self.scorer.logits(pixels))

    def save(self, folder: Path) -> None:
        """Writes the bundle into ``folder``, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        architecture = None
        if isinstance(self.scorer, HogSvm):
            self.scorer.save(folder / "svm.npz")
        else:
            assert isinstance(self.scorer, NetworkScorer), "an ONNX file is not saved again"
            architecture = self.scorer.architecture
            network = copy.deepcopy(self.scorer.network).cpu()  # or the file would ask for the GPU
            torch.save(network.state_dict(), folder / "weights.pt")
        card = Card(
            family=self.family,
            image_size=self.image_size,
            calibration=self.calibration,
            architecture=architecture,
        )
        (folder / "classifier.json").write_text(card.as_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, name: str = "") -> Classifier:
        """Returns the classifier saved in ``folder``, on the CPU, in float32.

        No code in the folder is run, and nothing is fetched: the network is built by this package from
        the checked settings in ``classifier.json`` and given the tensors of ``weights.pt``.

        Args:
            folder: Written by ``save``, maybe by others.
            name: What an error calls it; the folder itself by default.

        Raises:
            ModelError: The folder is no bundle, is damaged, or does not fit this version.
        """
        try:
            card = Card.read(_file(folder, "classifier.json"))
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
        """Returns the classifier that ``load`` makes of what ``save`` writes.

        A network on a GPU multiplies with fewer digits than the CPU that serves it: what a run says of a
        model is measured on this one.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            return Classifier.load(Path(folder))


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a bundle, or an ONNX file, says of its classifier."""

    family: str
    image_size: int
    calibration: Calibration
    architecture: CnnConfig | TransferConfig | None = None
    """What rebuilds the network; None for the baseline and for an ONNX file."""

    def as_json(self) -> str:
        """Returns the card as ``parse`` reads it."""
        told = {"format": _FORMAT, "emotions": EMOTIONS, **dataclasses.asdict(self)}
        if self.architecture is None:
            del told["architecture"]
        return json.dumps(told, indent=2)

    @classmethod
    def read(cls, path: Path) -> Card:
        """Returns the card of a bundle.

        Raises:
            ModelError: As ``parse``, or it lacks the architecture of a network.
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
    def parse(cls, text: str) -> Card:
        """Returns the card that ``as_json`` wrote, every value checked.

        Raises:
            ModelError: It is no such card, or one of a later format, or of other emotions.
        """
        try:
            told = json.loads(text) if len(text) <= _MOST_LETTERS else None
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the classifier's card is no JSON: {str(error)[:80]}") from error
        if not isinstance(told, dict):
            raise ModelError("the classifier's card is no mapping of names to values")
        if told.get("format") != _FORMAT:
            raise ModelError(
                f"it has format {told.get('format')!r:.20}, this fer_mlops reads {_FORMAT}; install the "
                "version it was trained with"
            )
        if told.get("emotions") != list(EMOTIONS):
            raise ModelError(f"it has other emotions: {told.get('emotions')!r:.100}")
        family, side = told.get("family"), told.get("image_size")
        if family not in ("baseline", *_ARCHITECTURES):
            raise ModelError(f"it is of the unknown family {family!r:.40}")
        if type(side) is not int or not 8 <= side <= 1024:
            raise ModelError(f"image_size must be 8 to 1024 pixels, got {side!r:.20}")
        try:
            calibration = fill(_NEUTRAL, _section(told, "calibration"), "calibration.")
            architecture = None
            if "architecture" in told:
                if family not in _ARCHITECTURES:
                    raise ConfigError(f"the family {family} has no architecture")
                section = _section(told, "architecture")
                architecture = fill(_ARCHITECTURES[family], section, "architecture.")
        except ConfigError as error:
            raise ModelError(f"the classifier's card is not valid: {str(error)[:200]}") from error
        _check_calibration(calibration)
        if architecture is not None and architecture.image_size != side:
            raise ModelError(
                f"image_size {side} is not that of the architecture, {architecture.image_size}"
            )
        return cls(family=family, image_size=side, calibration=calibration, architecture=architecture)


_NEUTRAL = Calibration(bias=(0.0,) * len(EMOTIONS), temperature=1.0, prior_strength=1.0)


def _section(told: dict[str, object], name: str) -> dict[str, object]:
    section = told.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"{name} must be a mapping of names to values, got {section!r:.40}")
    return section


def _check_calibration(calibration: Calibration) -> None:
    """Raises ModelError where a number of it cannot have been fitted."""
    for name, value in dataclasses.asdict(calibration).items():
        if isinstance(value, tuple):
            lengths = (len(EMOTIONS), 0) if name == "log_prior" else (len(EMOTIONS),)
            is_right = len(value) in lengths and all(abs(one) <= 1e6 for one in value)
        elif "temperature" in name:
            is_right = 1e-3 <= value <= 1e3
        else:  # a strength, or a threshold, which is 2 where no confidence is enough
            is_right = 0 <= value <= 2
        if not is_right:
            raise ModelError(f"calibration.{name} cannot be {value!r:.80}")


def _file(folder: Path, name: str) -> Path:
    """Returns a file of the bundle.

    Raises:
        ModelError: It is not there, or is a link to something outside.
    """
    path = folder / name
    if not path.is_file():
        raise ModelError(f"it has no {name}, so it is no classifier of fer_mlops")
    if path.resolve().parent != folder.resolve():
        raise ModelError(f"{name} is a link to a file outside of the bundle")
    return path


def _rebuilt(card: Card, weights: Path) -> NetworkScorer:
    """Returns the network of the card's architecture with the weights of a file.

    Raises:
        ModelError: The backbone is unknown or needs a package, or the weights do not fit.
    """
    assert card.architecture is not None
    try:
        try:
            with torch.device("meta"):  # sizes only: whatever the card says, nothing is allocated
                network = build_network(card.family, card.architecture, len(EMOTIONS))
        except NotImplementedError:  # a published backbone, of known size, that computes while built
            network = build_network(card.family, card.architecture, len(EMOTIONS))
    except ConfigError as error:
        raise ModelError(str(error)) from error
    fill_network(network, weights)
    network.to(memory_format=torch.channels_last)
    return NetworkScorer(network.eval(), card.architecture)
