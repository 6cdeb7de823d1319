"""What each address answers, to good requests and bad."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from hostile import hostile_requests, png_bomb
from PIL import Image
from services import SIDE, face, listening, save_bundle, settings, text
from starlette.testclient import TestClient
from wire import send_hostile

from fer_mlops.emotions import EMOTIONS
from fer_mlops.images.reading import FORMATS
from fer_mlops.models.classifier import Classifier
from fer_mlops.serving.http import loaded_model
from fer_mlops.serving.http.app import PAGES, create_app
from fer_mlops.serving.http.service import Service

JPEG = {"Content-Type": "image/jpeg"}
STYLE = (Path(__file__).parents[2] / "fer_mlops/serving/http/page/style.css").read_text()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bundle(tmp_path_factory.mktemp("bundle") / "classifier")


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with make_client(bundle, max_bytes=100_000, max_images=5, max_pixels=100_000) as made:
        yield made


def make_client(bundle: Path, **changes: object) -> TestClient:
    service = Service(settings(bundle, **changes))
    service.slots.load()
    return TestClient(create_app(service))


def expected(bundle: Path, *images: bytes) -> np.ndarray:
    own = Classifier.load(bundle)
    return own.predict_proba(own.prepare(list(images)))


def test_an_image_is_answered_with_the_bundles_own_probabilities(
    client: TestClient, bundle: Path
) -> None:
    answer = client.post("/predict", content=face(), headers=JPEG).json()
    probabilities = expected(bundle, face())[0]
    assert list(answer["probabilities"]) == list(EMOTIONS)
    np.testing.assert_allclose(list(answer["probabilities"].values()), probabilities, atol=1e-6)
    assert answer["emotion"] == EMOTIONS[int(probabilities.argmax())]
    assert answer["confidence"] == max(answer["probabilities"].values())
    assert answer["is_sure"] == (probabilities.max() >= 0.2)
    assert (answer["threshold"], answer["point"]) == (0.2, "default")
    assert answer["model"] == {"slot": "champion", "name": str(bundle), "version": ""}
    assert "explanation" not in answer


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_named_is_read(kind: str, client: TestClient, bundle: Path) -> None:
    image = face(40, kind)
    for headers in (
        {"Content-Type": f"image/{kind.lower()}"},
        {"Content-Type": "application/octet-stream"},
    ):
        answer = client.post("/predict", content=image, headers=headers).json()
        np.testing.assert_allclose(
            list(answer["probabilities"].values()), expected(bundle, image)[0], atol=1e-6
        )


@pytest.mark.parametrize(
    "sent",
    [
        {"files": {"image": face()}},
        {"json": {"image": text(face())}},
        {"json": {"image": "data:image/jpeg;base64," + text(face())}},
        {"json": {"image": text(face())[:50] + "\n" + text(face())[50:]}},
    ],
)
def test_all_ways_to_send_one_image_are_one(sent: dict[str, Any], client: TestClient) -> None:
    plain = client.post("/predict", content=face(), headers=JPEG).json()
    assert client.post("/predict", **sent).json() == plain


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"images": [text(face(10)), text(face(70))]}},
        {"files": [("a", face(10)), ("b", face(70))]},
    ],
)
def test_several_images_are_answered_in_their_order(
    sent: dict[str, Any], client: TestClient, bundle: Path
) -> None:
    answer = client.post("/predict", **sent).json()
    given = [list(one["probabilities"].values()) for one in answer["predictions"]]
    np.testing.assert_allclose(given, expected(bundle, face(10), face(70)), atol=1e-6)
    assert answer["model"]["slot"] == "champion"


def test_a_list_of_one_is_answered_with_a_list(client: TestClient) -> None:
    assert len(client.post("/predict", json={"images": [text(face())]}).json()["predictions"]) == 1


def test_each_operating_point_has_its_own_probabilities_and_threshold(
    client: TestClient, bundle: Path
) -> None:
    own = Classifier.load(bundle)
    logits = own.scorer.logits(own.prepare([face()]))
    for point, threshold in (("natural", 0.9), ("balanced", None)):
        answer = client.post(f"/predict?point={point}", content=face(), headers=JPEG).json()
        probabilities = own.calibration.at(point).probabilities(logits)[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(list(answer["probabilities"].values()), probabilities, atol=1e-6)
        assert (answer["threshold"], answer["is_sure"]) == (threshold, False)


def test_an_explanation_is_a_picture_of_its_own_face(client: TestClient) -> None:
    answer = client.post("/predict?explain=true", json={"images": [text(face()), text(face(80))]}).json()
    first, second = (one["explanation"] for one in answer["predictions"])
    assert first["method"] == "gradcam"
    head, _, content = first["overlay"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert (picture.format, picture.size) == ("PNG", (320, 320))
    assert first["overlay"] != second["overlay"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"image": text(face(10)), "other": 1}, {"image": text(face(70))}]},
        {
            "dataframe_split": {
                "columns": ["n", "image"],
                "data": [[1, text(face(10))], [2, text(face(70))]],
            }
        },
        {"inputs": {"image": [text(face(10)), text(face(70))]}},
        {"inputs": [{"image": text(face(10))}, {"image": text(face(70))}]},
        {"instances": [text(face(10)), text(face(70))], "params": {}},
    ],
)
def test_mlflows_forms_are_answered_as_the_registered_model_answers(
    body: dict[str, Any], client: TestClient, bundle: Path
) -> None:
    rows = client.post("/invocations", json=body).json()["predictions"]
    assert list(rows[0]) == ["emotion", "confidence", *EMOTIONS, "is_sure"]
    given = [[row[emotion] for emotion in EMOTIONS] for row in rows]
    np.testing.assert_allclose(given, expected(bundle, face(10), face(70)), atol=1e-6)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"content": b"no image", "headers": JPEG}, 400, "image 1 of 1 cannot be read as an image"),
    ({"content": face()[:-99], "headers": JPEG}, 400, "image 1 of 1: image cannot be read"),
    ({"content": b"", "headers": JPEG}, 400, "the body is empty; send the image itself"),
    (
        {"content": face(kind="PNG", size=(400, 300)), "headers": JPEG},
        400,
        "400 x 300 pixels, more than",
    ),
    (
        {"content": png_bomb(60_000, 60_000), "headers": JPEG},
        400,
        "60000 x 60000 pixels, more than the 100,000 allowed",
    ),
    ({"content": b"x" * 100_001, "headers": JPEG}, 413, "larger than the 100,000 bytes allowed"),
    ({"content": face(kind="EPS"), "headers": JPEG}, 400, "cannot be read as an image"),
    (
        {"content": face(), "headers": {"Content-Type": "text/plain"}},
        415,
        "'text/plain'; send the image",
    ),
    ({"content": face()}, 415, "the content type is ''"),
    ({"data": {"image": "x"}}, 415, "'application/x-www-form-urlencoded'"),
    ({"files": [("a", face())] * 6}, 413, "more than 5 images in one request; 5 are allowed"),
    ({"json": {"images": [text(face())] * 6}}, 413, "6 images in one request; 5 are allowed"),
    ({"json": {"images": []}}, 400, "must be a list of one or more"),
    ({"json": {"images": [text(face()), 3]}}, 400, "image 2 is int, not base64 text"),
    ({"json": {"images": [text(face()), text(b"x")]}}, 400, "image 2 of 2 cannot be read as an image"),
    ({"json": {"image": "#"}}, 400, "image 1 is not base64"),
    ({"json": [1]}, 400, "the JSON must be"),
    ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "the body is not JSON"),
    ({"content": b"[" * 90_000, "headers": {"Content-Type": "application/json"}}, 400, "is not JSON"),
]


@pytest.mark.parametrize(("sent", "status", "sentence"), BAD)
def test_a_bad_request_is_one_sentence(
    sent: dict[str, Any], status: int, sentence: str, client: TestClient
) -> None:
    response = client.post("/predict", **sent)
    assert response.status_code == status
    assert sentence in response.json()["message"]
    assert set(response.json()) == {"error_code", "message"}


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/predict?point=other", 400, "point: Input should be 'default', 'natural' or 'balanced'"),
        ("/predict?explain=perhaps", 400, "explain: "),
        ("/predict?model=challenger", 404, "there is no challenger at present"),
        ("/nowhere", 404, "this path does not exist"),
        ("/predict/", 404, "this path does not exist"),
        ("/health", 405, "does not accept POST"),
    ],
)
def test_a_bad_address_is_one_sentence(
    address: str, status: int, sentence: str, client: TestClient
) -> None:
    response = client.post(address, content=face(), headers=JPEG)
    assert (response.status_code, sentence in response.json()["message"]) == (status, True)


def test_too_many_explanations_at_once_are_refused(bundle: Path) -> None:
    with make_client(bundle) as client:
        response = client.post("/predict?explain=true", json={"images": [text(face())] * 17})
        assert response.json()["message"] == "17 images to explain; at most 16 are allowed"


def test_a_client_above_its_rate_is_told_when_to_come_again(bundle: Path) -> None:
    with make_client(bundle, rate=0.5) as client:
        assert client.post("/predict", content=face(), headers=JPEG).status_code == 200
        refused = client.post("/predict", content=face(), headers=JPEG)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
        assert refused.json()["error_code"] == "TOO_MANY_REQUESTS"
        assert client.get("/health").status_code == 200  # a probe has no rate


def test_a_full_queue_refuses_and_opens_again(bundle: Path) -> None:
    service = Service(settings(bundle, max_queue=1))
    service.slots.load()
    with TestClient(create_app(service)) as client:
        service._num_asked = 1
        refused = client.post("/predict", content=face(), headers=JPEG)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        service._num_asked = 0
        for _ in range(3):
            assert client.post("/predict", content=b"bad", headers=JPEG).status_code == 400
        assert client.post("/predict", content=face(), headers=JPEG).status_code == 200


def test_alive_ready_and_version(client: TestClient, bundle: Path) -> None:
    assert client.get("/health").json() == client.get("/ping").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready", "model": str(bundle)}
    assert client.head("/health").status_code == 200


def test_the_model_is_described(client: TestClient) -> None:
    answer = client.get("/model").json()
    assert answer["challenger"] is None
    assert answer["champion"]["family"] == "cnn"
    assert answer["champion"]["preprocessing"]["image_size"] == SIDE
    assert answer["champion"]["points"]["balanced"]["threshold"] is None
    assert answer["limits"] == {
        "max_bytes": 100_000,
        "max_pixels": 100_000,
        "max_images": 5,
        "rate": 0.0,
    }


def test_scores_that_are_no_numbers_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"test/accuracy": 0.5, "test/macro_f1": float("nan"), "train/loss": 1.0}
    run = SimpleNamespace(data=SimpleNamespace(metrics=metrics))
    monkeypatch.setattr(loaded_model, "get_run", lambda _: run)
    assert loaded_model._known_scores("of a run with a NaN") == {"test/accuracy": 0.5}


def test_everything_is_counted_by_known_names_only(bundle: Path) -> None:
    with make_client(bundle) as client:
        client.post("/predict", json={"images": [text(face())] * 3})
        client.post("/predict", content=b"bad", headers=JPEG)
        client.get("/whatever%0aa-client-makes-up")
        lines = client.get("/metrics").text.splitlines()
    assert 'fer_requests_total{route="/predict",status="200"} 1.0' in lines
    assert 'fer_requests_total{route="/predict",status="400"} 1.0' in lines
    assert 'fer_requests_total{route="other",status="404"} 1.0' in lines
    assert "fer_batch_faces_sum 3.0" in lines
    assert "fer_queue_requests 0.0" in lines
    assert f'fer_model{{name="{bundle}",slot="champion",version=""}} 1.0' in lines
    assert sum(float(line.split()[-1]) for line in lines if line.startswith("fer_answers_total")) == 3


def test_a_fault_of_ours_is_a_500_without_its_reasons(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(settings(bundle))
    service.slots.load()

    def broken(*_: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr("fer_mlops.serving.http.loaded_model.LoadedModel.answers", broken)
    with TestClient(create_app(service)) as client:
        response = client.post("/predict", content=face(), headers=JPEG)
    assert response.status_code == 500
    assert response.json()["message"] == "internal error; the reason is in the log of the service"
    assert "secret" in caplog.text


def test_a_request_is_one_line_of_log_without_its_picture(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "fer_mlops.serving.http"):
        client.post("/predict?point=natural", content=face(), headers=JPEG)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "fer_mlops.serving.http"]
    assert line.startswith("method=POST route=/predict status=200 ms=")


@pytest.mark.parametrize("address", PAGES)
def test_the_page_fetches_nothing_from_elsewhere_and_has_no_inline_script(
    address: str, client: TestClient
) -> None:
    response = client.get(address)
    assert response.status_code == 200
    assert (
        "default-src 'none'; script-src 'self'; style-src 'self'"
        in (response.headers["Content-Security-Policy"])
    )
    assert "Set-Cookie" not in response.headers
    if not address.endswith(".webp"):
        said = response.text.replace("http://www.w3.org/2000/svg", "").replace("${location.origin}", "")
        assert "http://" not in said
        assert "https://" not in said
        assert "<script>" not in said
        assert "style=" not in said
        assert " onclick" not in said


def test_openapi_names_every_address_and_the_docs_need_no_other_host(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert {"/predict", "/invocations", "/model", "/health", "/ready", "/metrics"} <= set(
        described["paths"]
    )
    predict = described["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {
        "image/*",
        "multipart/form-data",
        "application/json",
    }
    assert [one["name"] for one in predict["parameters"]] == ["point", "explain", "faces", "model"]
    assert {"429", "501"} <= set(predict["responses"])
    assert described["components"]["schemas"]["Face"]["properties"]["emotion"]["enum"] == list(EMOTIONS)


def test_hostile_requests_are_refused_and_leave_the_service_as_it_was(bundle: Path) -> None:
    service = Service(settings(bundle, logs_requests=False))
    service.slots.load()

    async def send(port: int, num: int) -> list[str]:
        wrong, todo = [], hostile_requests(num)

        async def client() -> None:
            for one in todo:
                status, body = await send_hostile(port, one)
                if not 400 <= status < 500 and not (status == 0 and one.may_hang_up):
                    wrong.append(f"{one.kind}: {status} {body[:100]!r} to {one.wire[:200]!r}")
                is_json = body.startswith(b"{") and "message" in json.loads(body)
                if status and not is_json and body != b"Invalid HTTP request received.":
                    wrong.append(f"{one.kind}: {body[:100]!r}")

        await asyncio.gather(*(client() for _ in range(8)))
        return wrong

    process = psutil.Process()
    with listening(service) as port:
        assert asyncio.run(send(port, 170)) == []
        before = process.memory_info().rss
        assert asyncio.run(send(port, 340)) == []
        assert process.memory_info().rss - before < 50e6
        assert service._num_asked == 0
        answered = TestClient(create_app(service)).post("/predict", content=face(), headers=JPEG)
        assert answered.status_code == 200


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = ((c / 12.92) if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("night", [False, True])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "card"), ("ink", "paper"), ("muted", "card"), ("muted", "paper"), ("muted", "track"),
        ("accent", "card"), ("accent", "soft"), ("on-accent", "accent"), ("unsure", "unsure-soft"),
        ("ink", "error-soft"),
    ],
)  # fmt: skip
def test_words_stand_out_from_their_ground_by_day_and_night(ink: str, ground: str, night: bool) -> None:
    roots = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[night]))
    light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3
