"""Request handling: admission, decoding, prediction and explanation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import OperatingPoint
from fer_mlops.serving.http.errors import RateLimit, RequestError, busy
from fer_mlops.serving.http.loaded_model import LoadedModel
from fer_mlops.serving.http.metrics import Counts
from fer_mlops.serving.http.model_slots import ModelSlots
from fer_mlops.serving.http.photo_faces import PhotoSearch
from fer_mlops.serving.http.request_bodies import Bodies, unless_gone
from fer_mlops.serving.http.request_parsing import (
    PredictRequest,
    check_images,
    form_images,
    media_type,
    mlflow_images,
    plain_images,
    prepare,
)
from fer_mlops.serving.http.settings import ServeSettings
from fer_mlops.serving.predictions import Prediction
from fer_mlops.tracking.model_names import CHAMPION

_EXPLAINED = 16  # most images of a request with explanations; one takes as long as several predictions
_QUICK = 4_000_000  # pixels; larger requests are decoded one by one, so that few are in memory at once


@dataclass(frozen=True)
class PredictResponse:
    """Predictions of a request, and the model that made them."""

    answers: list[dict[str, Any]]
    served: LoadedModel
    is_batch: bool
    num_found: int | None = None
    """Number of faces in the photo; None if faces were not searched for."""


@dataclass(frozen=True)
class _Decoded:
    """Faces of a request, decoded and preprocessed."""

    pixels: Images
    is_batch: bool
    places: list[dict[str, Any]] | None = None
    """Box and crop of each face of a photo; None where each image is a face."""
    num_found: int | None = None


class Service:
    """Prediction service; thread pools decode, decode large requests, detect, compute and explain."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.counts = Counts()
        self.limit = RateLimit(settings.rate)
        self.bodies = Bodies(settings.max_bytes, settings.max_bytes * settings.max_queue)
        self.decoders = ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 1)), "decode")
        self.large_decoder = ThreadPoolExecutor(1, "decode-large")
        self.computer = ThreadPoolExecutor(1, "compute")
        self.explainer = ThreadPoolExecutor(1, "explain")
        self.photos = PhotoSearch()
        self.slots = ModelSlots(settings, self.computer, self.counts)
        self._num_asked = 0

    async def watch(self) -> None:
        """Checks the registry for new versions until cancelled."""
        while True:
            await asyncio.sleep(self.settings.poll)
            await asyncio.to_thread(self.slots.refresh)

    def close(self) -> None:
        """Stops the threads after they have finished their work."""
        for pool in (
            self.decoders, self.large_decoder, self.photos.thread, self.computer, self.explainer,
        ):  # fmt: skip
            pool.shutdown()

    def served(self, slot: str) -> LoadedModel:
        """Returns the model of the slot.

        Raises:
            RequestError: No champion is loaded yet (503), or there is no challenger (404).
        """
        served = self.slots.filled.get(slot)
        if served is not None:
            return served
        if slot == CHAMPION:
            raise RequestError(
                503, f"there is no model {self.settings.model!r} yet", {"Retry-After": "5"}
            )
        raise RequestError(404, "there is no challenger at present")

    @asynccontextmanager
    async def _admitted(self, request: Request) -> AsyncIterator[bytes]:
        """Yields the body of a request, or refuses it."""
        self.limit.check(request.client.host if request.client else "")
        self._check_queue()
        async with self.bodies.read(request) as body:
            # only now does the request enter the queue, so that slow bodies do not fill it
            self._check_queue()
            self._num_asked += 1
            self.counts.queue.set(self._num_asked)
            try:
                yield body
            finally:
                self._num_asked -= 1
                self.counts.queue.set(self._num_asked)

    def _check_queue(self) -> None:
        if self._num_asked >= self.settings.max_queue:
            raise busy(f"{self._num_asked} requests are in the queue already", 1)

    async def predict(
        self,
        request: Request,
        slot: str,
        operating_point: OperatingPoint,
        explains: bool = False,
        finds_faces: bool = False,
    ) -> PredictResponse:
        """Returns the predictions for ``POST /predict``.

        Raises:
            RequestError: The request is refused or invalid.
        """
        served, most = self.served(slot), self.settings.max_images
        if finds_faces:
            self.photos.check()
        async with self._admitted(request) as body:
            kind = media_type(request)

            def find() -> PredictRequest:
                if kind == "multipart/form-data":
                    return form_images(request.headers["content-type"], body, most)
                return plain_images(body, kind, most)

            decode = self._decode_photo if finds_faces else self._decode
            return await unless_gone(
                request,
                self._answer(served, slot, decode(served, find, explains), operating_point, explains),
            )

    async def invoke(self, request: Request) -> list[dict[str, Any]]:
        """Returns the rows for ``POST /invocations``, with the registered model's output columns.

        Raises:
            RequestError: The request is refused or invalid.
        """
        served, most = self.served(CHAMPION), self.settings.max_images
        async with self._admitted(request) as body:
            kind = media_type(request)
            decoding = self._decode(served, lambda: mlflow_images(body, kind, most))
            answered = await unless_gone(request, self._answer(served, CHAMPION, decoding))
        return [Prediction(**answer).columns() for answer in answered.answers]

    async def _decode(
        self, served: LoadedModel, find: Callable[[], PredictRequest], explains: bool = False
    ) -> _Decoded:
        """Returns the faces of the images that ``find`` parses; ``find`` runs in a thread."""
        parsed, cost = await self._examine(find)
        if explains:
            _check_explained(len(parsed.images), "images")
        pool = self.decoders if cost <= _QUICK else self.large_decoder
        loop = asyncio.get_running_loop()
        pixels = await loop.run_in_executor(pool, prepare, served.classifier, parsed.images)
        return _Decoded(pixels, parsed.is_batch)

    async def _decode_photo(
        self, served: LoadedModel, find: Callable[[], PredictRequest], explains: bool
    ) -> _Decoded:
        """Returns the faces that are detected in the only image of the request."""
        parsed, _ = await self._examine(find)
        if len(parsed.images) > 1:
            raise RequestError(
                400, f"{len(parsed.images)} images with ?faces=true; send one photo per request"
            )
        found = await self.photos.find(parsed.images[0])
        if explains:
            _check_explained(len(found.kept), "faces")

        def prepare_faces() -> _Decoded:
            pixels = served.classifier.prepare([face.crop for face in found.kept])
            return _Decoded(pixels, False, found.places(), found.num_found)

        return await asyncio.get_running_loop().run_in_executor(self.decoders, prepare_faces)

    async def _examine(self, find: Callable[[], PredictRequest]) -> tuple[PredictRequest, int]:
        """Returns the parsed request and its decoding cost."""

        def examine() -> tuple[PredictRequest, int]:
            parsed = find()
            return parsed, check_images(parsed.images, self.settings)

        return await asyncio.get_running_loop().run_in_executor(self.decoders, examine)

    async def _answer(
        self,
        served: LoadedModel,
        slot: str,
        decode: Coroutine[Any, Any, _Decoded],
        operating_point: OperatingPoint = "default",
        explains: bool = False,
    ) -> PredictResponse:
        """Returns the predictions of the faces that ``decode`` returns."""
        decoding = asyncio.ensure_future(decode)  # a task, as its result is read twice

        async def pixels() -> Images:
            return (await decoding).pixels

        logits = await served.batcher.submit(pixels())
        decoded = decoding.result()
        answers = served.answers(logits, operating_point)
        self.counts.count_answers(slot, answers)
        if decoded.places is not None:
            answers = [
                {**place, **answer} for place, answer in zip(decoded.places, answers, strict=True)
            ]
        if explains and answers:
            found = await asyncio.get_running_loop().run_in_executor(
                self.explainer, served.explanations, decoded.pixels, logits, operating_point
            )
            answers = [
                {**answer, "explanation": explanation}
                for answer, explanation in zip(answers, found, strict=True)
            ]
        return PredictResponse(answers, served, decoded.is_batch, decoded.num_found)


def _check_explained(num: int, what: str) -> None:
    if num > _EXPLAINED:
        raise RequestError(400, f"{num} {what} to explain; at most {_EXPLAINED} are allowed")
