"""One model, one answer: as trained, from its bundle, as MLflow's pyfunc, by name, and as ONNX."""

from __future__ import annotations

import io
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from quick import FAMILIES, blobs, nonsense

from fer_mlops import load
from fer_mlops.emotions import EMOTIONS
from fer_mlops.models.onnx import OnnxScorer
from fer_mlops.serving.onnx_export import export_onnx
from fer_mlops.tracking.model_names import SCORE_TAG
from fer_mlops.tracking.registration import register
from fer_mlops.tracking.registry import DIGEST_TAG
from fer_mlops.tracking.runs import track

TOLERANCE = 1e-5


def files() -> dict[str, bytes]:
    """Returns a face, each another one, in every format and colour mode that a user may have."""
    ways = {
        "JPEG": ["L", "RGB", "CMYK"],
        "PNG": ["1", "L", "LA", "P", "RGB", "RGBA"],
        "WEBP": ["RGB", "RGBA"],
        "BMP": ["L", "P", "RGB"],
        "TIFF": ["L", "RGB", "RGBA", "CMYK"],
        "GIF": ["P"],
    }
    faces = iter(blobs(40, side=96, seed=3))
    made = {}
    for form, mode in ((form, mode) for form, modes in ways.items() for mode in modes):
        colour = Image.fromarray(np.stack([next(faces)] * 2 + [blobs(1, side=96, seed=4)[0]], 2))
        made[f"{form} {mode}"] = saved(colour.convert(mode), format=form)
    for form in ("PNG", "TIFF"):
        wide = Image.fromarray(next(faces).astype(np.uint16) * 257)
        made[f"{form} 16 bit"] = saved(wide, format=form)
    exif = Image.Exif()
    exif[274] = 6
    made["JPEG on its side"] = saved(Image.fromarray(next(faces)), format="JPEG", exif=exif)
    return made


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_answers_alike_wherever_it_runs(family: str, world: Path) -> None:
    made = files()
    images = list(made.values())
    paths = [world / f"{number}.img" for number in range(len(images))]
    for path, content in zip(paths, images, strict=True):
        path.write_bytes(content)
    classifier = nonsense(family)
    with track("models", "one", system_metrics=False) as tracker:
        model_id = tracker.log_classifier(classifier, images[:1], {})
    register(model_id, {SCORE_TAG: "0.5", DIGEST_TAG: "none"})
    ours = classifier.predict_proba(classifier.prepare(images))
    assert np.ptp(ours, axis=0).max() > 0.3  # or agreement would mean little

    name = "models:/fer-classifier/1"
    pyfunc = mlflow.pyfunc.load_model(name).predict(pd.DataFrame({"image": images}))
    model = load("models:/fer-classifier@champion")
    answers = {
        "pyfunc": pyfunc[list(EMOTIONS)].to_numpy(),
        "load, bytes": model.predict(images).probabilities,
        "load, paths": model.predict(paths).probabilities,
        "load, one by one": np.array([list(model.predict(p).probabilities.values()) for p in paths]),
    }
    if family != "baseline":
        export_onnx(model.classifier, name, world / "model.onnx")
        onnx = load(world / "model.onnx")
        assert isinstance(onnx.classifier.scorer, OnnxScorer)
        answers["onnx"] = onnx.predict(paths).probabilities
        pixels = np.asarray(classifier.prepare(images))
        answers["onnx, its own calibration"] = onnx.classifier.scorer.probabilities(pixels)
    for where, probabilities in answers.items():
        off = np.abs(probabilities - ours).max(1)
        assert off.max() <= TOLERANCE, f"{where}: {list(made)[off.argmax()]} is off by {off.max():.1e}"


def test_the_same_gray_answers_alike_in_every_format() -> None:
    """A file's format and colour mode are no part of the face."""
    gray = Image.fromarray(blobs(1, side=96, seed=3)[0])
    ways = [("PNG", mode) for mode in ("L", "LA", "P", "RGB", "RGBA")]
    ways += [
        ("BMP", "L"),
        ("BMP", "RGB"),
        ("TIFF", "L"),
        ("TIFF", "RGB"),
        ("TIFF", "RGBA"),
        ("GIF", "L"),
    ]
    images = [saved(gray.convert(mode), format=form) for form, mode in ways]
    images.append(saved(gray.convert("RGB"), format="WEBP", lossless=True))
    images.append(saved(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), format="PNG"))
    images.append(saved(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), format="TIFF"))
    classifier = nonsense()
    answers = classifier.predict_proba(classifier.prepare(images))
    np.testing.assert_allclose(answers, np.repeat(answers[:1], len(images), 0), atol=TOLERANCE)
