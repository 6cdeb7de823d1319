"""Reproduction check: a version's stored predictions and the code stored with it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fer_mlops
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.models.classifier import Classifier
from fer_mlops.tracking.logged_model import PROBE_FILE
from fer_mlops.tracking.model_files import MODEL_CODE, bundle_in, entries_of
from fer_mlops.tracking.registry import downloaded_model

TOLERANCE = 1e-5
"""Largest difference of a probability that counts as equal."""
# SHA-256 of earlier registered_model.py files that accept only bytes, as the current one does
_EARLIER_CODE = frozenset(
    {
        "8a79a94cb4e360be1b14b17269cb27e93015eec98dfe802687c55a93d534675b",
        "53484288fc6f755c1aaea0a49671400412e32ecd0ded109ba5defe837d1c6be7",
    }
)
_MOST_BYTES = 64 << 20  # largest probe file, in bytes; a probe holds eight small faces
_MOST_IMAGES = 64


def reproduction_error(uri: str) -> tuple[float | None, str]:
    """Returns how far the version's predictions differ from the stored ones, with a sentence.

    Returns:
        Largest difference of a probability (None if it cannot be measured), and a sentence.

    Raises:
        ModelError: The version does not load.
    """
    with downloaded_model(uri) as folder:
        bundle = bundle_in(folder, uri)
        classifier = Classifier.load(bundle, uri)
        probe = bundle / PROBE_FILE
        if not probe.is_file():
            return None, "was logged without stored predictions; train it again"
        try:
            images, probabilities = _read_probe(probe)
            reproduced = classifier.predict_proba(classifier.prepare(images))
        except (OSError, ValueError, LookupError, TypeError, RecursionError, DataError) as error:
            return None, f"its {PROBE_FILE} cannot be read: {str(error)[:100]}; train it again"
    difference = float(np.abs(reproduced - probabilities).max())
    return difference, f"largest difference {difference:.1e}"


def _read_probe(path: Path) -> tuple[list[bytes], NDArray[np.float64]]:
    """Returns encoded faces [n] and the probabilities [n, 7] that the training run stored for them."""
    # every limit is checked, as anyone who can write to the registry can write this file
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"it has {path.stat().st_size:,} bytes")
    record = json.loads(path.read_text(encoding="utf-8"))
    images = [base64.b64decode(image, validate=True) for image in record["images"][:_MOST_IMAGES]]
    probabilities = np.array(record["probabilities"], np.float64)
    if record["emotions"] != list(EMOTIONS) or probabilities.shape != (len(images), len(EMOTIONS)):
        raise ValueError("it has other emotions, or not one prediction per face")
    if not images or not np.isfinite(probabilities).all():
        raise ValueError("it has no faces, or probabilities that are not finite")
    return images, probabilities


def compare_code(uri: str) -> tuple[bool, str]:
    """Returns whether MLflow would load the version with code published by fer_mlops, with a sentence.

    None of the stored code is run here.

    Raises:
        ModelError: The version does not exist, or was not logged by fer_mlops.
    """
    ours = Path(fer_mlops.__file__).parent
    with downloaded_model(uri) as folder:
        bundle_in(folder, uri)
        if not entries_of(folder):
            return False, "no MLmodel file, so mlflow.pyfunc cannot load it"
        # by design, mlflow.pyfunc runs MODEL_CODE and imports the package beside it
        theirs = folder / "code" / ours.name
        is_ours = _is_ours(folder / MODEL_CODE, ours / "tracking" / MODEL_CODE)
        names = {path.relative_to(top) for top in (ours, theirs) for path in top.rglob("*.py")}
        num = sum(not _is_same(theirs / name, ours / name) for name in names)
    return is_ours, (
        f"{MODEL_CODE}, which MLflow runs, is {'' if is_ours else 'not '}published by fer_mlops; "
        f"{num} of the {len(names)} package files stored with it differ from this installation"
    )


def _is_ours(stored: Path, installed: Path) -> bool:
    if _is_same(stored, installed):
        return True
    return stored.is_file() and hashlib.sha256(stored.read_bytes()).hexdigest() in _EARLIER_CODE


def _is_same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()
