"""Request bodies to images, and images to the pixels a model sees; whatever is wrong is the client's.

Bodies are kept in memory only, and for as long as the request lasts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from PIL import Image
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from fer_mlops.classifier import Classifier
from fer_mlops.errors import DataError
from fer_mlops.pixels import Pixels
from fer_mlops.serving.refusals import Refusal
from fer_mlops.serving.settings import ServeSettings

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is read over the net; a phone's MPO is a JPEG. Pillow knows others, one of which would start a
program (EPS)."""
_BODY_SECONDS = 30
_DRAINED = 4
"""A body so many times too large is read to its end and thrown away, so that the client, which sends
first and reads later, sees the answer."""
_HOW = (
    "send the image itself as image/jpeg, image/png or image/webp, a form with files as "
    'multipart/form-data, or application/json with {"image": "<base64>"} or {"images": [...]}'
)
_MLFLOW_FORMS = ("dataframe_records", "dataframe_split", "inputs", "instances")


@dataclass(frozen=True)
class Asked:
    """The encoded images of a request."""

    images: list[bytes]
    is_batch: bool
    """Whether the answer is a list, even of one."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Returns the body.

    Raises:
        Refusal: It is too large (413), too slow (408) or empty (400).
    """
    declared = request.headers.get("content-length", "")
    patience = _DRAINED * max_bytes
    parts: list[bytes] = []
    size = int(declared) if declared.isdecimal() and int(declared) > patience else 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            if not size:
                async for part in request.stream():
                    size += len(part)
                    if size > patience:
                        break
                    if size <= max_bytes:
                        parts.append(part)
                    else:
                        parts.clear()
    except TimeoutError as error:
        raise Refusal(408, f"the body did not arrive within {_BODY_SECONDS} s") from error
    except ClientDisconnect as error:
        raise Refusal(400, "the client hung up before its body was complete") from error
    if size > max_bytes:
        raise Refusal(413, f"the body is larger than the {max_bytes:,} bytes allowed")
    if not size:
        raise Refusal(400, f"the body is empty; {_HOW}")
    return b"".join(parts)


def media_type(request: Request) -> str:
    """Returns the body's type without its parameters, in small letters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def form_images(request: Request, body: bytes, max_images: int) -> Asked:
    """Returns the files of a multipart form.

    Raises:
        Refusal: It is no form, or holds no file, or too many.
    """

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=max_images, max_fields=100)
    parser.spool_max_size = len(body) + 1  # or files above 1 MB would touch the disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refusal(400, f"the form cannot be read: {error.message}") from error
    except Exception as error:  # its parser meets whatever bytes a client makes up
        raise Refusal(400, f"the form cannot be read: {type(error).__name__}") from error
    files = [value for _, value in form.multi_items() if not isinstance(value, str)]
    if not files:
        raise Refusal(400, "the form holds no file; add one with -F image=@face.jpg")
    images = [await file.read() for file in files]
    await form.close()
    return Asked(images, is_batch=len(images) > 1)


def plain_images(body: bytes, kind: str, max_images: int) -> Asked:
    """Returns the images of a body that is an image, or JSON of this service's own form.

    Raises:
        Refusal: It is neither (415), or JSON of another form (400).
    """
    if kind.startswith("image/") or kind == "application/octet-stream":
        return Asked([body], is_batch=False)
    if kind != "application/json":
        raise Refusal(415, f"the content type is {kind[:60]!r}; {_HOW}")
    content = _parsed(body)
    if not isinstance(content, dict) or len({"image", "images"} & content.keys()) != 1:
        raise Refusal(400, 'the JSON must be {"image": "<base64>"} or {"images": ["<base64>", ...]}')
    if "image" in content:
        return Asked([_decoded(content["image"], 0)], is_batch=False)
    return Asked(_all_decoded(content["images"], max_images), is_batch=True)


def mlflow_images(body: bytes, kind: str, max_images: int) -> Asked:
    """Returns the images of a body in the form of MLflow's scoring server.

    Raises:
        Refusal: It is of another form; ``params`` are allowed and have no effect, as there.
    """
    if kind != "application/json":
        raise Refusal(415, f"the content type is {kind[:60]!r}; /invocations takes application/json")
    content = _parsed(body)
    forms = [form for form in _MLFLOW_FORMS if isinstance(content, dict) and form in content]
    if len(forms) != 1:
        raise Refusal(400, f"the JSON must be an object with exactly one of {', '.join(_MLFLOW_FORMS)}")
    given = content[forms[0]]
    found = _column_of_split(given) if forms[0] == "dataframe_split" else _column(given, forms[0])
    return Asked(_all_decoded(found, max_images), is_batch=True)


def _column_of_split(given: Any) -> Any:
    try:
        place = list(given["columns"]).index("image")
        return [row[place] for row in given["data"]]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise Refusal(
            400,
            'dataframe_split must hold "columns" with "image" among them, and "data" with a row each',
        ) from error


def _column(given: Any, form: str) -> Any:
    if form != "dataframe_records" and isinstance(given, dict):
        column = given.get("image")
        return [column] if isinstance(column, str) else column
    if not isinstance(given, list):
        raise Refusal(400, f'{form} must be a list of {{"image": "<base64>"}}')
    is_bare = form != "dataframe_records"
    return [
        row if is_bare and isinstance(row, str) else row.get("image") if isinstance(row, dict) else None
        for row in given
    ]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is no JSON: {str(error)[:100]}") from error


def _all_decoded(found: Any, max_images: int) -> list[bytes]:
    if not isinstance(found, list) or not found:
        raise Refusal(400, "the images must be a list of one or more base64 texts")
    if len(found) > max_images:
        raise Refusal(413, f"{len(found)} images in one request; {max_images} are allowed")
    return [_decoded(image, number) for number, image in enumerate(found)]


def _decoded(image: Any, number: int) -> bytes:
    if not isinstance(image, str) or not image:
        raise Refusal(400, f"image {number} is {type(image).__name__}, not base64 text")
    text = image.partition(",")[2] if image.startswith("data:") else image
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, f"image {number} is no base64: {error}") from error


def prepare(classifier: Classifier, images: list[bytes], settings: ServeSettings) -> Pixels:
    """Returns the images as the model sees them, uint8 [n, side, side].

    Raises:
        Refusal: 400; one cannot be read, or has too many pixels.
    """
    if len(images) > settings.max_images:
        raise Refusal(413, f"{len(images)} images in one request; {settings.max_images} are allowed")
    try:
        for number, image in enumerate(images):
            _check(image, f"image {number} of {len(images)}", settings.max_pixels)
        return classifier.prepare(images)
    except DataError as error:
        raise Refusal(400, str(error)) from error
    except Refusal:
        raise
    except Exception as error:  # Pillow's readers meet whatever bytes a client makes up
        raise Refusal(400, f"an image cannot be read: {type(error).__name__}") from error


def _check(image: bytes, name: str, max_pixels: int) -> None:
    """Refuses by the header alone what would take too much memory to decode."""
    try:
        with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
            width, height = opened.size
    except Image.DecompressionBombError as error:
        raise Refusal(400, f"{name} has more than the {max_pixels:,} pixels allowed") from error
    except Exception as error:
        raise Refusal(400, f"{name} is no image that can be read ({', '.join(FORMATS)})") from error
    if width * height > max_pixels:
        raise Refusal(400, f"{name} has {width} x {height} pixels, more than the {max_pixels:,} allowed")
