"""The trained bundle: a model with its preprocessing, labels and calibration.

On disk it is a folder without pickles:

    classifier.json   family, emotions in order, image size, calibration, architecture
    network.pt2       the exported graph that serving runs     (networks)
    weights.pt        the state dict, for Grad-CAM and fine-tuning (networks)
    svm.npz           all arrays of the baseline               (baseline)
"""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from fer_mlops.calibration import Calibration, Logits
from fer_mlops.config import CnnConfig, TransferConfig
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError, ModelError
from fer_mlops.features import to_images
from fer_mlops.images import gray_face
from fer_mlops.models.hog_svm import HogSvm
from fer_mlops.pixels import Pixels

_FORMAT = 1
_ON_CPU, _ON_GPU = 32, 256
"""Faces at a time: on a CPU, of so few what a layer leaves stays in its cache for the next."""
_ARCHITECTURES: dict[str, type[CnnConfig | TransferConfig]] = {
    "cnn": CnnConfig,
    "transfer": TransferConfig,
}


class Scorer(Protocol):
    """Anything that turns gray faces uint8 [n, side, side] into logits float32 [n, 7]."""

    def logits(self, pixels: Pixels) -> Logits: ...


@dataclass(frozen=True)
class NetworkScorer:
    """A network, or its exported graph, that takes faces [n, 1, side, side] in [0, 1]."""

    network: nn.Module
    architecture: CnnConfig | TransferConfig | None = None
    """What rebuilds it; None for an exported graph, which gives no gradients to explain."""

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @torch.inference_mode()
    def logits(self, pixels: Pixels) -> Logits:
        if self.architecture is not None:
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

    def prepare(self, images: Sequence[bytes | Path | Image.Image]) -> Pixels:
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

    def predict_proba(self, pixels: Pixels) -> NDArray[np.float64]:
        """Returns calibrated probabilities [n, 7] of prepared faces uint8 [n, side, side]."""
        return self.calibration.probabilities(self.scorer.logits(pixels))

    def save(self, folder: Path) -> None:
        """Writes the bundle into ``folder``, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        card: dict[str, object] = {
            "format": _FORMAT,
            "family": self.family,
            "emotions": EMOTIONS,
            "image_size": self.image_size,
            "calibration": dataclasses.asdict(self.calibration),
        }
        if isinstance(self.scorer, HogSvm):
            self.scorer.save(folder / "svm.npz")
        else:
            assert isinstance(self.scorer, NetworkScorer)
            assert self.scorer.architecture is not None, "an exported graph is not saved again"
            card["architecture"] = dataclasses.asdict(self.scorer.architecture)
            _save_network(self.scorer.network, self.image_size, folder)
        (folder / "classifier.json").write_text(json.dumps(card, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, *, for_gradients: bool = False) -> Classifier:
        """Returns the classifier saved in ``folder``.

        Args:
            folder: Written by ``save``.
            for_gradients: Rebuild the network from its weights, as Grad-CAM needs, where the default
                runs the exported graph.

        Raises:
            ModelError: The folder is no bundle, or of a later format, or of other emotions.
        """
        card = _read_card(folder)
        scorer: Scorer
        if card["family"] == "baseline":
            scorer = HogSvm.load(folder / "svm.npz")
        elif for_gradients:
            scorer = _rebuild(card, folder)
        else:
            scorer = NetworkScorer(torch.export.load(folder / "network.pt2").module())
        return cls(
            family=card["family"],
            image_size=card["image_size"],
            scorer=scorer,
            calibration=read_calibration(card["calibration"]),
        )


def read_calibration(stored: Mapping[str, Any]) -> Calibration:
    """Returns the calibration whose fields JSON has kept."""
    lists = {key: tuple(value) for key, value in stored.items() if isinstance(value, list)}
    return Calibration(**{**stored, **lists})


def _save_network(network: nn.Module, side: int, folder: Path) -> None:
    network = copy.deepcopy(network).cpu().eval()  # a graph made on a GPU could be served on one only
    faces = torch.rand(2, 1, side, side)  # of two, so that the batch axis stays free
    graph = torch.export.export(
        network, (faces,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
    )
    with warnings.catch_warnings():  # weights in channels_last order are no "complete tensor" to it
        warnings.simplefilter("ignore", UserWarning)
        torch.export.save(graph, folder / "network.pt2")
    torch.save(network.state_dict(), folder / "weights.pt")


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{str(folder)!r} holds no trained classifier: {error}") from error
    if card.get("format") != _FORMAT:
        raise ModelError(
            f"the classifier in {str(folder)!r} has format {card.get('format')}, this fer_mlops reads "
            f"{_FORMAT}; install the version it was trained with"
        )
    if tuple(card["emotions"]) != EMOTIONS:
        raise ModelError(f"the classifier in {str(folder)!r} has other emotions: {card['emotions']}")
    return card


def _rebuild(card: dict[str, Any], folder: Path) -> NetworkScorer:
    from fer_mlops.models import build_network

    lists: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in card["architecture"].items()
    }
    architecture = _ARCHITECTURES[card["family"]](**lists)
    network = build_network(card["family"], architecture, len(EMOTIONS))
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    network.eval()
    return NetworkScorer(network, architecture)
