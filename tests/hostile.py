"""Requests that no honest client sends, as the bytes that go over the wire."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Hostile:
    """One request."""

    kind: str
    wire: bytes
    may_hang_up: bool = False
    """Whether it is so broken that the service may close the connection without an answer."""


def request(
    body: bytes, kind: str, *, path: str = "/predict", length: int | None = None, method: str = "POST"
) -> bytes:
    """Returns a whole HTTP/1.1 request."""
    size = len(body) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {size}\r\n\r\n".encode("latin-1") + body


def face(random_: random.Random, kind: str = "JPEG") -> bytes:
    """Returns an encoded picture of noise."""
    side = random_.choice((8, 48, 224))
    picture = Image.frombytes("RGB", (side, side), random_.randbytes(3 * side * side))
    content = io.BytesIO()
    picture.save(content, format=kind)
    return content.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    """Returns a small PNG whose header promises a huge picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _truncated(r: random.Random) -> Hostile:
    whole = face(r, r.choice(("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")))
    return Hostile("truncated", request(whole[: r.randrange(1, len(whole) // 2)], "image/jpeg"))


def _scrambled(r: random.Random) -> Hostile:
    """Its first bytes are changed, so that it is of no format, or of one it does not keep to."""
    whole = bytearray(face(r, r.choice(("PNG", "WEBP", "TIFF", "GIF"))))
    whole[:64] = bytes(whole[:4]) + r.randbytes(60)
    return Hostile("scrambled", request(bytes(whole[: len(whole) // 2]), "image/png"))


def _noise(r: random.Random) -> Hostile:
    return Hostile("noise", request(r.randbytes(r.randrange(1, 5000)), "image/png"))


def _bomb(r: random.Random) -> Hostile:
    sides = r.choice(((60_000, 60_000), (20_000, 20_000), (5_000, 5_000), (2**31 - 1, 1), (0, 0)))
    return Hostile("bomb", request(png_bomb(*sides), "image/png"))


def _huge(r: random.Random) -> Hostile:
    declared = r.choice((11 * 2**20, 50 * 2**20, 2**40, 10**30))
    return Hostile("huge", request(b"x" * 1000, "image/jpeg", length=declared), may_hang_up=True)


def _other_type(r: random.Random) -> Hostile:
    kinds = ("text/plain", "text/html", "application/xml", "application/pdf", "", "\x7f", "a" * 500)
    return Hostile("type", request(face(r), r.choice(kinds)))


def _text(r: random.Random) -> Hostile:
    said = ("hello", "' OR 1=1 --", "<script>alert(1)</script>", "../../etc/passwd", "%00", "🙂" * 99)
    kind = r.choice(("image/jpeg", "application/json", "application/octet-stream"))
    return Hostile("text", request(r.choice(said).encode(), kind))


def _json(r: random.Random) -> Hostile:
    good = base64.b64encode(face(r)).decode()
    bodies: tuple[object, ...] = (
        {}, [], 3, "x", {"image": 3}, {"image": None}, {"image": ""}, {"image": "#"}, {"images": []},
        {"image": [good]}, {"images": good}, {"images": [None]}, {"image": good, "images": [good]},
        {"images": [good] * 999}, {"images": [[good]]}, {"image": {"image": good}}, {"image": good[:50]},
        {"image": "data:image/png;base64,"}, {"image": "file:///etc/passwd"}, {"image": "http://localhost/"},
    )  # fmt: skip
    return Hostile("json", request(json.dumps(r.choice(bodies)).encode(), "application/json"))


def _deep(r: random.Random) -> Hostile:
    depth = r.choice((1_000, 100_000, 1_000_000))
    opening = r.choice((b"[", b'{"image":'))
    path = r.choice(("/predict", "/invocations"))
    return Hostile("deep", request(opening * depth, "application/json", path=path))


def _no_json(r: random.Random) -> Hostile:
    bodies = (b'{"image": ', b"{'image': 1}", b"\xff\xfe{}", b"NaN", b'{"image": "a" "b"}', b"1e999999")
    return Hostile("no json", request(r.choice(bodies), "application/json"))


def _other_schema(r: random.Random) -> Hostile:
    good = base64.b64encode(face(r)).decode()
    bodies: tuple[object, ...] = (
        {"dataframe_records": [{"x": 1.0}]}, {"dataframe_split": {"columns": ["a"], "data": [[1]]}},
        {"dataframe_records": {"image": good}}, {"dataframe_records": []},
        {"dataframe_records": [{"image": 5}]}, {"dataframe_records": [{"image": None}]},
        {"dataframe_split": {"columns": ["image"], "data": [[]]}}, {"dataframe_split": [good]},
        {"dataframe_split": {"columns": None, "data": 3}}, {"inputs": 5}, {"inputs": [[1.0, 2.0]]},
        {"instances": {"b64": good}}, {"messages": [{"role": "user", "content": ""}]}, {"prompt": "hi"},
        {"inputs": [good], "instances": [good]}, {"signature_name": "serving_default"}, [good],
    )  # fmt: skip
    body = json.dumps(r.choice(bodies)).encode()
    return Hostile("other schema", request(body, "application/json", path="/invocations"))


def _form(r: random.Random) -> Hostile:
    kinds = ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x")
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n'
    bodies = (
        b"nonsense", part, part + b"short", part.replace(b"\r\n\r\n", b"\r\n") + b"\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nhello\r\n--x--\r\n', b"--x--\r\n",
        part + r.randbytes(3000) + b"\r\n--x--\r\n", (part + b"a\r\n") * 1000 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 2_000_000 + b"\r\n--x--\r\n",
    )  # fmt: skip
    return Hostile("form", request(r.choice(bodies), r.choice(kinds)))


def _address(r: random.Random) -> Hostile:
    paths = (
        "/predict?point=other", "/predict?explain=perhaps", "/predict?model=previous", "/page/../app.py",
        "/page/%2e%2e/app.py", "/etc/passwd", "/predict/", "//", "/%0d%0alevel=ERROR", "/" + "a" * 5000,
        "/page/page.js%00",
    )  # fmt: skip
    return Hostile("address", request(face(r), "image/jpeg", path=r.choice(paths)))


def _method(r: random.Random) -> Hostile:
    method = r.choice(("GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"))
    return Hostile("method", request(b"", "image/jpeg", method=method))


def _empty(r: random.Random) -> Hostile:
    kind = r.choice(("image/jpeg", "application/json", "multipart/form-data; boundary=x"))
    return Hostile("empty", request(b"", kind, path=r.choice(("/predict", "/invocations"))))


def _length(r: random.Random) -> Hostile:
    body = face(r)
    length = r.choice((len(body) + 500, len(body) // 3))
    return Hostile("length", request(body, "image/jpeg", length=length), may_hang_up=True)


def _protocol(r: random.Random) -> Hostile:
    heads = (
        b"GARBAGE\r\n\r\n", b"POST /predict HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\nx",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\n" + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n",
    )  # fmt: skip
    return Hostile("protocol", r.choice(heads), may_hang_up=True)


KINDS: tuple[Callable[[random.Random], Hostile], ...] = (
    _truncated, _scrambled, _noise, _bomb, _huge, _other_type, _text, _json, _deep, _no_json,
    _other_schema, _form, _address, _method, _empty, _length, _protocol,
)  # fmt: skip


def hostile_requests(num: int, seed: int = 0) -> Iterator[Hostile]:
    """Yields ``num`` requests, each kind in turn."""
    r = random.Random(seed)
    for number in range(num):
        yield KINDS[number % len(KINDS)](r)
