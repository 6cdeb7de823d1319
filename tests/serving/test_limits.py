"""What one request may cost, and what others get meanwhile."""

from __future__ import annotations

import asyncio
import functools
import io
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hostile import request
from PIL import Image
from services import face, listening, save_bundle, settings, text
from starlette.testclient import TestClient
from wire import Line

from fer_mlops.models.classifier import Classifier
from fer_mlops.serving.http import request_bodies, request_parsing
from fer_mlops.serving.http.app import create_app
from fer_mlops.serving.http.service import Service

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bundle(tmp_path_factory.mktemp("bundle") / "classifier")


def served(bundle: Path, **changes: object) -> Service:
    service = Service(settings(bundle, **changes))
    service.slots.load()
    return service


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with TestClient(create_app(served(bundle, max_bytes=32 * 2**20))) as made:
        yield made


@functools.cache
def huge(mode: str = "RGBA", kind: str = "PNG", side: int = 4000) -> bytes:
    """Returns a small file of one colour that decodes to many pixels."""
    content = io.BytesIO()
    options = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    Image.new(mode, (side, side)).save(content, format=kind, **options)
    return content.getvalue()


def tiled_tiff(side: int, tile: int) -> bytes:
    """Returns a deflated TIFF of ``side`` squared pixels in one tile of ``tile`` squared."""
    data = zlib.compress(b"\0" * tile * tile)
    fields = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile)]
    count = len(fields) + 2
    fields += [(324, 8 + 2 + 12 * count + 4), (325, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + b"\0" * 4 + data


def many_scans(num: int) -> bytes:
    """Returns a progressive JPEG whose last scan is there again and again."""
    content = io.BytesIO()
    Image.new("L", (1000, 1000), 128).save(content, "JPEG", progressive=True, quality=5)
    whole = content.getvalue()
    scan = whole[whole.rindex(b"\xff\xc4", 0, whole.rindex(b"\xff\xda")) : -2]
    return whole[:-2] + num * scan + whole[-2:]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each request had that came as far as being decoded."""
    sizes: list[int] = []
    real = Classifier.prepare

    def prepare(self: Classifier, images: Any, first: int = 0) -> Any:
        sizes.append(len(images))
        return real(self, images, first)

    monkeypatch.setattr(Classifier, "prepare", prepare)
    return sizes


@pytest.mark.parametrize("way", ["form", "json", "mlflow"])
def test_many_small_files_that_decode_to_huge_images_are_refused_undecoded(
    way: str, client: TestClient, decoded: list[int]
) -> None:
    assert len(huge()) < 63_000
    if way == "form":
        sent: dict[str, Any] = {"files": [("image", huge())] * 256}
    elif way == "json":
        sent = {"json": {"images": [text(huge())] * 256}}
    else:
        sent = {"json": {"dataframe_records": [{"image": text(huge())}] * 256}}
    started = time.perf_counter()
    refused = client.post("/invocations" if way == "mlflow" else "/predict", **sent)
    assert time.perf_counter() - started < 3  # decoding takes minutes
    assert refused.status_code == 400
    assert refused.json()["message"] == (
        "the first 5 of 256 images have 80,000,000 pixels, more than the 64,000,000 allowed in a "
        "request; send fewer or smaller images"
    )
    assert decoded == []


def test_as_many_pixels_as_are_allowed_are_answered(bundle: Path, decoded: list[int]) -> None:
    with TestClient(create_app(served(bundle, max_pixels=3600))) as client:
        for num, status in ((4, 200), (5, 400)):
            assert client.post("/predict", json={"images": [text(face())] * num}).status_code == status
    assert decoded == [4]


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_deep_images_count_four_times(mode: str, client: TestClient, decoded: list[int]) -> None:
    refused = client.post("/predict", content=huge(mode, "TIFF", 2001), headers=JPEG)
    assert refused.json()["message"] == (
        "image 1 of 1 has 2001 x 2001 pixels of 16 or 32 bits, which count 4 times, more than the "
        "16,000,000 allowed"
    )
    assert decoded == []
    assert client.post("/predict", content=huge(mode, "TIFF", 100), headers=JPEG).status_code == 200


def test_a_tile_larger_than_its_image_counts_whole(client: TestClient, decoded: list[int]) -> None:
    refused = client.post("/predict", content=tiled_tiff(16, 4016), headers=JPEG)
    assert "has 4016 x 4016 pixels, more than the 16,000,000 allowed" in refused.json()["message"]
    assert decoded == []
    assert client.post("/predict", content=tiled_tiff(16, 32), headers=JPEG).status_code == 200


def test_a_jpeg_of_endless_scans_is_refused(client: TestClient, decoded: list[int]) -> None:
    refused = client.post("/predict", content=many_scans(1000), headers=JPEG)
    assert (refused.status_code, refused.json()["message"]) == (
        400,
        "image 1 of 1 has more than 64 scans; save it with fewer",
    )
    assert decoded == []
    assert client.post("/predict", content=many_scans(10), headers=JPEG).status_code == 200


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([("image", ("a.jpg", face()))] * 257, "more than 256 images in one request; 256 are allowed"),
        ([(f"f{n}", (None, b"x")) for n in range(101)], "more than 100 fields beside its files"),
    ],
)
def test_a_form_of_too_many_parts_is_refused(parts: list[Any], says: str, client: TestClient) -> None:
    refused = client.post("/predict", files=parts)
    assert (refused.status_code, says in refused.json()["message"]) == (413, True)


def test_forms_are_parsed_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    real = request_parsing.FormParser

    def parser(*words: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*words, **options)

    monkeypatch.setattr(request_parsing, "FormParser", parser)
    assert client.post("/predict", files={"image": face()}).status_code == 200
    assert [name.partition("_")[0] for name in threads] == ["decode"]


def ask(port: int) -> int:
    line = HTTPConnection("127.0.0.1", port, timeout=20)
    line.request("POST", "/predict", face(), JPEG)
    status = line.getresponse().status
    line.close()
    return status


def test_small_images_are_answered_while_large_ones_are_decoded(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = served(bundle, logs_requests=False)
    is_over, real = threading.Event(), Classifier.prepare

    def prepare(self: Classifier, images: Any, first: int = 0) -> Any:
        if len(images[0]) == len(huge()):
            assert is_over.wait(20)
            return real(self, [face()])
        return real(self, images, first)

    monkeypatch.setattr(Classifier, "prepare", prepare)

    async def send(port: int) -> list[int]:
        lines = [await Line.open(port) for _ in range(12)]  # more than there are threads
        asked = [asyncio.ensure_future(line.ask(request(huge(), "image/png"))) for line in lines]
        while service._num_asked < len(lines):
            await asyncio.sleep(0.01)
        statuses = [await asyncio.to_thread(ask, port) for _ in range(3)]
        is_over.set()
        statuses += [status for status, _ in await asyncio.gather(*asked)]
        for line in lines:
            line.close()
        return statuses

    with listening(service) as port:
        assert asyncio.run(send(port)) == [200] * 15


def test_slow_bodies_take_no_place_of_the_queue(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "_BODY_SECONDS", 1)
    service = served(bundle, max_queue=2, logs_requests=False)

    async def send(port: int) -> tuple[int, list[tuple[int, bytes]]]:
        lines = [await Line.open(port) for _ in range(6)]
        for line in lines:
            line.writer.write(request(face(), "image/jpeg")[:-100])
        await asyncio.sleep(0.2)
        assert service._num_asked == 0
        assert service.bodies.held > 0
        status = await asyncio.to_thread(ask, port)
        late = [await line.hear() for line in lines]
        for line in lines:
            line.close()
        return status, late

    with listening(service) as port:
        status, late = asyncio.run(send(port))
    assert status == 200
    assert [one for one, _ in late] == [408] * 6
    assert b"the body did not arrive within 1 s" in late[0][1]
    assert service.bodies.held == 0


def test_a_full_queue_refuses_before_a_body_and_again_after_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_bodies, "_BODY_SECONDS", 1)
    service = served(bundle, max_queue=1, logs_requests=False)
    whole = request(face(), "image/jpeg")

    async def send(port: int) -> list[int]:
        waiting, late = [await Line.open(port) for _ in range(2)]
        waiting.writer.write(whole[:-100])
        while not service.bodies.held:
            await asyncio.sleep(0.01)
        service._num_asked = 1  # another request fills the queue meanwhile
        waiting.writer.write(whole[-100:])
        late.writer.write(whole[:-100])
        heard = [await line.hear() for line in (waiting, late)]
        service._num_asked = 0
        for line in (waiting, late):
            line.close()
        return [status for status, _ in heard]

    with listening(service) as port:
        assert asyncio.run(send(port)) == [503, 503]


ENDLESS = (
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n%b\r\n" % (b"x" * 1000) * 5
)


@pytest.mark.parametrize("wire", [request(b"x", "image/jpeg", length=10**9), ENDLESS])
def test_a_body_far_too_large_is_refused_before_its_end(
    wire: bytes, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_bodies, "_BODY_SECONDS", 1)

    async def send(port: int) -> int:
        line = await Line.open(port)
        line.writer.write(wire)
        status, _ = await line.hear()
        line.close()
        return status

    with listening(served(bundle, max_bytes=1000, logs_requests=False)) as port:
        assert asyncio.run(send(port)) == 413


def test_bodies_together_hold_no_more_memory_than_a_full_queue(bundle: Path) -> None:
    service = served(bundle, max_bytes=100_000, max_queue=2, logs_requests=False)

    async def send(port: int) -> list[int]:
        lines = [await Line.open(port) for _ in range(3)]
        for line in lines:
            line.writer.write(request(b"x" * 99_000, "image/jpeg", length=100_000))
            await line.writer.drain()
        status, _ = await lines[-1].hear()
        for line in lines:
            line.close()
        while service.bodies.held:
            await asyncio.sleep(0.01)
        return [status, await asyncio.to_thread(ask, port)]

    with listening(service) as port:
        assert asyncio.run(send(port)) == [503, 200]


def test_a_request_whose_client_has_gone_is_not_decoded(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = served(bundle, logs_requests=False)
    is_over, seen, real = threading.Event(), [], Classifier.prepare

    def prepare(self: Classifier, images: Any, first: int = 0) -> Any:
        seen.append(len(images))
        assert is_over.wait(20)
        return real(self, [face()] * len(images))

    monkeypatch.setattr(Classifier, "prepare", prepare)

    async def send(port: int) -> None:
        lines = [await Line.open(port) for _ in range(5)]
        for line in lines:
            line.writer.write(request(huge(), "image/png"))
        while service._num_asked < 5 or not seen:
            await asyncio.sleep(0.01)
        for line in lines:
            line.close()
        while service._num_asked:
            await asyncio.sleep(0.01)

    with listening(service) as port:
        asyncio.run(asyncio.wait_for(send(port), 20))
        is_over.set()
        assert ask(port) == 200
    assert seen == [1, 1]
    counts = service.counts.registry
    labels = {"route": "/predict", "status": "499"}
    assert counts.get_sample_value("fer_requests_total", labels) == 5
