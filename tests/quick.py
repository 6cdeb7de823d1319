"""A classifier made in a second, for tests of what is done with its answers."""

from __future__ import annotations

import functools
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import tiny  # noqa: F401 - the tiny backbone
import torch
from PIL import Image

from fer_mlops.config import CnnConfig, HogSvmConfig, TransferConfig
from fer_mlops.models import build_network
from fer_mlops.models.base import to_images
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.hog import hog_vectors
from fer_mlops.models.hog_svm import HogSvm
from fer_mlops.models.hog_svm_fit import fit_hog_svm
from fer_mlops.tracking.model_files import bundle_in
from fer_mlops.tracking.registry import downloaded_model

SIDE = 32
_ARCHITECTURES: dict[str, CnnConfig | TransferConfig] = {
    "cnn": CnnConfig(image_size=SIDE, widths=(8, 16), depths=(1, 1), hidden=32, dropout=0.0),
    "transfer": TransferConfig(image_size=SIDE, backbone="tiny", dropout=0.0),
}
FAMILIES = ("baseline", *_ARCHITECTURES)
CALIBRATION = Calibration(
    bias=(0.1, -0.2, 0.3, 0.0, 0.2, -0.1, 0.0),
    temperature=0.8,
    prior_strength=0.5,
    log_prior=(-2.0, -2.0, -3.0, -1.0, -0.5, -2.0, -2.0),
    balanced_strength=0.25,
    natural_temperature=1.0,
    balanced_temperature=1.2,
    threshold=0.4,
    natural_threshold=0.3,
    balanced_threshold=0.35,
)


@functools.cache
def nonsense(family: str = "cnn") -> Classifier:
    """Returns a classifier that has learned random labels of ``blobs``, so that its answers differ."""
    seen = np.stack([np.asarray(Image.fromarray(blob).resize((SIDE, SIDE))) for blob in blobs(64)])
    labels = np.arange(64) % 7
    scorer = _fitted_svm(seen, labels) if family == "baseline" else _fitted_network(family, seen, labels)
    return Classifier(family=family, image_size=SIDE, scorer=scorer, calibration=CALIBRATION)


def _fitted_svm(seen: np.ndarray, labels: np.ndarray) -> HogSvm:
    config = HogSvmConfig(image_size=SIDE, cells=(8,), components=20)
    vectors = hog_vectors(seen, cells=config.cells, orientations=config.orientations)
    return replace(fit_hog_svm(vectors, labels, config, seed=0), mirror=np.array(False))


def _fitted_network(family: str, seen: np.ndarray, labels: np.ndarray) -> NetworkScorer:
    torch.manual_seed(1)
    config = _ARCHITECTURES[family]
    network = build_network(family, config, 7)
    images = to_images(seen, torch.device("cpu"))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(
            network(images), torch.from_numpy(labels), label_smoothing=0.3
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return NetworkScorer(network.eval(), config)


def bundle(folder: Path) -> Path:
    """Returns a folder with that classifier."""
    nonsense().save(folder / "bundle")
    return folder / "bundle"


def fetched_bundle(name: str, folder: Path) -> Path:
    """Returns a copy, below ``folder``, of the bundle that ``name`` means."""
    with downloaded_model(name) as place:
        return Path(shutil.copytree(bundle_in(place, name), folder / "classifier"))


def blobs(count: int, side: int = 40, seed: int = 0) -> list[np.ndarray]:
    """Returns gray images with few details, which stay alike when they are made smaller."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 5, 5)).astype(np.uint8)
    return [
        np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in small
    ]


def encoded(image: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=form)
    return buffer.getvalue()


def save_blobs(folder: Path, count: int) -> list[str]:
    """Returns the names of images written to ``folder``, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03}.png" for number in range(count)]
    for name, image in zip(names, blobs(count), strict=True):
        (folder / name).write_bytes(encoded(image))
    return names
