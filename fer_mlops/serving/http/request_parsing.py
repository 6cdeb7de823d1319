"""Request parsing: bodies to images, images to model inputs; client errors raise RequestError."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header
from starlette.requests import Request

from fer_mlops.errors import DataError
from fer_mlops.images.arrays import Images
from fer_mlops.images.reading import FORMATS, decoded_size, from_base64, open_image
from fer_mlops.models.classifier import Classifier
from fer_mlops.serving.http.errors import RequestError
from fer_mlops.serving.http.settings import ServeSettings

_MAX_FIELDS = 100
_DEEP = 4  # cost of a 16- or 32-bit pixel, in 8-bit pixels: it is scaled as a 64-bit float
_MAX_SCANS = 64  # a scan of a JPEG has few bytes but costs a full pass; a progressive one has about ten
# header of a JPEG scan: marker, length, number of components
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
HOW = (
    "send the image itself as image/jpeg, image/png or image/webp, a form with files as "
    'multipart/form-data, or application/json with {"image": "<base64>"} or {"images": [...]}'
)
_MLFLOW_FORMS = ("dataframe_records", "dataframe_split", "inputs", "instances")


@dataclass(frozen=True)
class PredictRequest:
    """Encoded images of a request."""

    images: list[bytes]
    is_batch: bool
    """Whether the response is a list, even for one image."""


def media_type(request: Request) -> str:
    """Returns the content type in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def form_images(content_type: str, body: bytes, max_images: int) -> PredictRequest:
    """Returns the files of a multipart form.

    Raises:
        RequestError: The form is invalid or holds no file (400), or has too many files or fields (413).
    """
    images: list[bytes] = []
    num_fields = 0

    def count_field(_: Field) -> None:
        nonlocal num_fields
        num_fields += 1
        if num_fields > _MAX_FIELDS:
            raise RequestError(413, f"the form has more than {_MAX_FIELDS} fields beside its files")

    def keep_file(file: File) -> None:
        if len(images) == max_images:
            raise _too_many(f"more than {max_images}", max_images)
        file.file_object.seek(0)
        images.append(file.file_object.read())

    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # else files above 1 MB are written to disk
    try:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        parser = FormParser(
            "multipart/form-data", count_field, keep_file, boundary=boundary, config=in_memory
        )
        parser.write(body)
        parser.finalize()
    except RequestError:
        raise
    except FormParserError as error:
        raise RequestError(400, f"the form cannot be read: {str(error)[:100]}") from error
    except Exception as error:  # the parser may raise anything on hostile bytes
        raise RequestError(400, f"the form cannot be read: {type(error).__name__}") from error
    if not images:
        raise RequestError(400, "the form has no file; add one with -F image=@face.jpg")
    return PredictRequest(images, is_batch=len(images) > 1)


def _too_many(num: int | str, most: int) -> RequestError:
    return RequestError(413, f"{num} images in one request; {most} are allowed")


def plain_images(body: bytes, kind: str, max_images: int) -> PredictRequest:
    """Returns the images of a body that is an image, or JSON of ``POST /predict``.

    Raises:
        RequestError: The content type is another one (415), the JSON is invalid (400), or it has too
            many images (413).
    """
    if kind.startswith("image/") or kind == "application/octet-stream":
        return PredictRequest([body], is_batch=False)
    if kind != "application/json":
        raise RequestError(415, f"the content type is {kind[:60]!r}; {HOW}")
    content = _parsed(body)
    if not isinstance(content, dict) or len({"image", "images"} & content.keys()) != 1:
        raise RequestError(
            400, 'the JSON must be {"image": "<base64>"} or {"images": ["<base64>", ...]}'
        )
    if "image" in content:
        return PredictRequest([_decoded(content["image"], 1)], is_batch=False)
    return PredictRequest(_all_decoded(content["images"], max_images), is_batch=True)


def mlflow_images(body: bytes, kind: str, max_images: int) -> PredictRequest:
    """Returns the images of a body in the format of MLflow's scoring server.

    ``params`` are accepted and have no effect, as in MLflow's server.

    Raises:
        RequestError: The content type (415) or the JSON (400) is another one, or it has too many
            images (413).
    """
    if kind != "application/json":
        raise RequestError(
            415, f"the content type is {kind[:60]!r}; /invocations takes application/json"
        )
    content = _parsed(body)
    forms = [form for form in _MLFLOW_FORMS if isinstance(content, dict) and form in content]
    if len(forms) != 1:
        raise RequestError(
            400, f"the JSON must be an object with exactly one of {', '.join(_MLFLOW_FORMS)}"
        )
    given = content[forms[0]]
    found = _column_of_split(given) if forms[0] == "dataframe_split" else _column(given, forms[0])
    return PredictRequest(_all_decoded(found, max_images), is_batch=True)


def _column_of_split(given: Any) -> Any:
    try:
        place = list(given["columns"]).index("image")
        return [row[place] for row in given["data"]]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise RequestError(
            400,
            'dataframe_split must hold "columns" with "image" among them, and "data" with a row each',
        ) from error


def _column(given: Any, form: str) -> Any:
    if form != "dataframe_records" and isinstance(given, dict):
        column = given.get("image")
        return [column] if isinstance(column, str) else column
    if not isinstance(given, list):
        raise RequestError(400, f'{form} must be a list of {{"image": "<base64>"}}')
    is_bare = form != "dataframe_records"
    return [
        row if is_bare and isinstance(row, str) else row.get("image") if isinstance(row, dict) else None
        for row in given
    ]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {str(error)[:100]}") from error


def _all_decoded(found: Any, max_images: int) -> list[bytes]:
    if not isinstance(found, list) or not found:
        raise RequestError(400, "the images must be a list of one or more base64 texts")
    if len(found) > max_images:
        raise _too_many(len(found), max_images)
    return [_decoded(image, number) for number, image in enumerate(found, 1)]


def _decoded(image: Any, number: int) -> bytes:
    if not isinstance(image, str) or not image:
        raise RequestError(400, f"image {number} is {type(image).__name__}, not base64 text")
    try:
        return from_base64(image)
    except ValueError as error:
        raise RequestError(400, f"image {number} is not base64: {error}") from error


def check_images(images: list[bytes], settings: ServeSettings) -> int:
    """Returns the decoding cost of these images in pixels, as their headers state it.

    Raises:
        RequestError: There are too many images (413), a file is not an image (400), or one image or all
            together have too many pixels (400).
    """
    if len(images) > settings.max_images:
        raise _too_many(len(images), settings.max_images)
    most = settings.max_request_pixels
    total = 0
    for number, image in enumerate(images, 1):
        total += _cost(image, f"image {number} of {len(images)}", settings.max_pixels)
        if total > most:
            raise RequestError(
                400,
                f"the first {number} of {len(images)} images have {total:,} pixels, more than the "
                f"{most:,} allowed in a request; send fewer or smaller images",
            )
    return total


def _cost(image: bytes, name: str, max_pixels: int) -> int:
    """Returns the decoding cost of an image, in 8-bit pixels."""
    try:
        with open_image(image) as opened:
            (width, height), mode = decoded_size(opened), opened.mode
    except Image.DecompressionBombError as error:
        raise RequestError(400, f"{name} has more than the {max_pixels:,} pixels allowed") from error
    except Exception as error:  # decoders may raise anything on hostile bytes
        raise RequestError(400, f"{name} cannot be read as an image ({', '.join(FORMATS)})") from error
    is_deep = mode.startswith(("I", "F"))
    cost: int = width * height * (_DEEP if is_deep else 1)
    if cost > max_pixels:
        deep = f" of 16 or 32 bits, which count {_DEEP} times" if is_deep else ""
        raise RequestError(
            400, f"{name} has {width} x {height} pixels{deep}, more than the {max_pixels:,} allowed"
        )
    if len(_SCAN.findall(image)) > _MAX_SCANS:
        raise RequestError(400, f"{name} has more than {_MAX_SCANS} scans; save it with fewer")
    return cost


def prepare(classifier: Classifier, images: list[bytes]) -> Images:
    """Returns the images as uint8 [n, side, side]; raises RequestError (400) if one cannot be read."""
    try:
        return classifier.prepare(images, first=1)
    except DataError as error:
        raise RequestError(400, str(error)) from error
