"""Faces of whole photos over HTTP: each is predicted, at a bounded cost."""

from __future__ import annotations

import base64
import io
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from services import encoded, face, people, save_bundle, settings, text
from skimage import data
from starlette.testclient import TestClient

from fer_mlops import load
from fer_mlops.images.face_detection import FaceFinder, FoundFace
from fer_mlops.serving.http import photo_faces
from fer_mlops.serving.http.app import create_app
from fer_mlops.serving.http.service import Service

JPEG = {"Content-Type": "image/jpeg"}
FACES = "/predict?faces=true"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bundle(tmp_path_factory.mktemp("bundle") / "classifier")


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with make_client(bundle) as made:
        yield made


def make_client(bundle: Path) -> TestClient:
    service = Service(settings(bundle, max_pixels=400_000))
    service.slots.load()
    return TestClient(create_app(service))


def picture_of(uri: str) -> bytes:
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(content)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[FoundFace]:
    """Faces that the detector finds; a test fills the list."""
    faces: list[FoundFace] = []
    monkeypatch.setattr(FaceFinder, "find", lambda *_: faces)
    return faces


def square(left: int, side: int) -> FoundFace:
    return FoundFace((left, 0, left + side, side), Image.linear_gradient("L").resize((side, side)))


def test_each_face_of_a_photo_is_predicted_as_from_python(client: TestClient, bundle: Path) -> None:
    answer = client.post(f"{FACES}&point=natural", content=encoded(people(3)), headers=JPEG).json()
    expected = load(bundle).find(people(3), point="natural")
    assert (len(expected), answer["num_found"], answer["threshold"]) == (3, 3, 0.9)
    assert answer["model"]["slot"] == "champion"
    for given, own in zip(answer["faces"], expected, strict=True):
        assert given["box"] == list(own.box)
        assert (given["emotion"], given["is_sure"]) == (own.answer.emotion, own.answer.is_sure)
        assert given["probabilities"] == pytest.approx(own.answer.probabilities, abs=1e-6)


def test_a_crop_can_be_sent_to_predict_the_same_face(client: TestClient) -> None:
    (first,) = client.post(FACES, content=encoded(people(1)), headers=JPEG).json()["faces"]
    again = client.post("/predict", content=picture_of(first["crop"]), headers=JPEG).json()
    assert again["probabilities"] == pytest.approx(first["probabilities"], abs=1e-6)


def test_a_photo_without_a_face_has_no_predictions(client: TestClient) -> None:
    photo = encoded(Image.fromarray(data.coffee()))
    answer = client.post(f"{FACES}&explain=true", content=photo, headers=JPEG).json()
    assert (answer["faces"], answer["num_found"]) == ([], 0)


def test_explanations_are_of_each_face(client: TestClient) -> None:
    answer = client.post(f"{FACES}&explain=true", content=encoded(people(2)), headers=JPEG).json()
    first, second = (one["explanation"]["overlay"] for one in answer["faces"])
    assert first != second


def test_the_largest_faces_are_kept_from_left_to_right(
    client: TestClient, found: list[FoundFace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_faces, "MOST_FACES", 2)
    found += [square(0, 700), square(10, 20), square(30, 90)]
    answer = client.post(FACES, content=face(), headers=JPEG).json()
    assert [one["box"][0] for one in answer["faces"]] == [0, 30]
    assert answer["num_found"] == 3
    with Image.open(io.BytesIO(picture_of(answer["faces"][0]["crop"]))) as crop:
        assert (crop.size, crop.mode) == ((320, 320), "L")


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"json": {"images": [text(face())] * 2}}, "2 images with ?faces=true; send one photo per"),
        ({"content": b"no image", "headers": JPEG}, "image 1 of 1 cannot be read as an image"),
        ({"content": face()[:-99], "headers": JPEG}, "image 1 of 1: image cannot be read as an image"),
        ({"content": face(size=(700, 600)), "headers": JPEG}, "more than the 400,000 allowed"),
    ],
)
def test_a_bad_photo_is_one_sentence(sent: dict[str, object], sentence: str, client: TestClient) -> None:
    response = client.post(FACES, **sent)  # type: ignore[arg-type]
    assert response.status_code == 400
    assert sentence in response.json()["message"]


def test_too_many_faces_to_explain_are_refused(client: TestClient, found: list[FoundFace]) -> None:
    found += [square(left, 20) for left in range(17)]
    response = client.post(f"{FACES}&explain=true", content=face(), headers=JPEG)
    assert response.json()["message"] == "17 faces to explain; at most 16 are allowed"


def test_photos_wait_in_a_short_queue_of_their_own(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_faces, "_MOST_PHOTOS", 1)
    begun, is_over = threading.Event(), threading.Event()

    def find(*_: object) -> list[FoundFace]:
        begun.set()
        assert is_over.wait(20)
        return []

    monkeypatch.setattr(FaceFinder, "find", find)
    with make_client(bundle) as client, ThreadPoolExecutor() as pool:
        first = pool.submit(client.post, FACES, content=face(), headers=JPEG)
        assert begun.wait(20)
        refused = client.post(FACES, content=face(), headers=JPEG)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert client.post("/predict", content=face(), headers=JPEG).status_code == 200
        is_over.set()
        assert first.result().json()["faces"] == []
        assert client.post(FACES, content=face(), headers=JPEG).status_code == 200


def test_without_a_detector_the_service_says_so(
    bundle: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/model").json()["finds_faces"] is True
    monkeypatch.setitem(sys.modules, "dlib", None)
    with make_client(bundle) as bare:
        assert bare.get("/model").json()["finds_faces"] is False
        refused = bare.post(FACES, content=face(), headers=JPEG)
        assert refused.status_code == 501
        assert "pip install 'fer-mlops[face]'" in refused.json()["message"]
        assert bare.post("/predict", content=face(), headers=JPEG).status_code == 200


def test_openapi_describes_the_response_of_a_photo(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    answer = client.post(FACES, content=encoded(people(1)), headers=JPEG).json()
    assert set(schemas["InPhoto"]["properties"]) == set(answer)
    assert set(schemas["PhotoFace"]["properties"]) == {*answer["faces"][0], "explanation"}
