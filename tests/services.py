"""Services small enough for a test: an untrained network, in this process."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import uvicorn
from mlflow import MlflowClient
from PIL import Image
from skimage import data

from fer_mlops import REGISTERED_NAME
from fer_mlops.config import CnnConfig
from fer_mlops.models import build_network
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.serving.http.app import create_app
from fer_mlops.serving.http.server import bind
from fer_mlops.serving.http.service import Service
from fer_mlops.serving.http.settings import ServeSettings
from fer_mlops.tracking.alias_lock import find_version
from fer_mlops.tracking.aliases import move_champion
from fer_mlops.tracking.model_names import CHAMPION, SCORE_TAG
from fer_mlops.tracking.registration import register
from fer_mlops.tracking.registry import DIGEST_TAG
from fer_mlops.tracking.runs import track

SIDE = 16
PLAIN = {"challenger": "none", "threads": 1, "allowed_hosts": "testserver"}
"""``testserver`` is what starlette's TestClient calls the service."""


def untrained(seed: int = 0, threshold: float = 0.2) -> Classifier:
    """Returns a cnn of random weights, with three operating points that differ."""
    torch.manual_seed(seed)
    architecture = CnnConfig(image_size=SIDE, widths=(8, 8), depths=(1, 1), hidden=8)
    return Classifier(
        family="cnn",
        image_size=SIDE,
        scorer=NetworkScorer(build_network("cnn", architecture, 7).eval(), architecture),
        calibration=Calibration(
            bias=(0.3, 0.2, 0.1, 0.0, 0.0, -0.1, -0.2),
            temperature=0.5,
            prior_strength=0.5,
            log_prior=(-1.0, -2.0, -3.0, -1.0, -1.5, -2.5, -2.0),
            balanced_strength=0.25,
            threshold=threshold,
            natural_threshold=0.9,
            balanced_threshold=2.0,
        ),
    )


def face(shade: int = 120, kind: str = "JPEG", size: tuple[int, int] = (60, 60)) -> bytes:
    """Returns an encoded picture with something to see in it."""
    picture = Image.linear_gradient("L").rotate(shade).resize(size).convert("RGB")
    content = io.BytesIO()
    picture.save(content, format=kind)
    return content.getvalue()


def encoded(photo: Image.Image) -> bytes:
    """Returns the photo as a PNG."""
    content = io.BytesIO()
    photo.save(content, format="PNG")
    return content.getvalue()


def people(num: int) -> Image.Image:
    """Returns a photo with the same person several times, larger from left to right."""
    person = Image.fromarray(data.astronaut()).crop((130, 20, 330, 220))
    photo = Image.new("RGB", (300 * num, 300), (128, 128, 128))
    for number in range(num):
        side = 140 + 50 * number
        photo.paste(person.resize((side, side)), (300 * number, 50))
    return photo


def text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def log_and_register(classifier: Classifier, score: float) -> int:
    """Returns the version that the classifier became; it is champion if its score is the highest."""
    with track("models", "served", system_metrics=False) as tracker:
        model_id = tracker.log_classifier(classifier, [face()], {"test/accuracy": 0.5})
    tags = {SCORE_TAG: str(score), DIGEST_TAG: "same", "data": "drawn", "split": "identity"}
    version, champion = register(model_id, tags).version, find_version(CHAMPION)
    assert champion
    if score > float(champion.tags[SCORE_TAG]):
        move_champion(version, int(champion.version))
    return version


def settings(model: object, **changes: object) -> ServeSettings:
    return ServeSettings(model=str(model), **{**PLAIN, **changes})  # type: ignore[arg-type]


@contextmanager
def listening(service: Service) -> Iterator[int]:
    """Lets a loaded service listen on a free port, which it yields."""
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(service), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def save_bundle(folder: Path, seed: int = 0) -> Path:
    untrained(seed).save(folder)
    return folder


def publish(bundle: Path, *aliases: str) -> int:
    """Returns the version that a bundle becomes in the registry, without a run."""
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{REGISTERED_NAME}'"):
        client.create_registered_model(REGISTERED_NAME)
    version = client.create_model_version(
        REGISTERED_NAME, bundle.as_uri(), tags={"family": "cnn"}
    ).version
    for alias in aliases:
        client.set_registered_model_alias(REGISTERED_NAME, alias, version)
    return int(version)
