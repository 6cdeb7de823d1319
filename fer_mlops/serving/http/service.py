"""Request handling: admission, decoding, prediction and explanation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import OperatingPoint
from fer_mlops.serving.http.errors import RateLimit, RequestError
from fer_mlops.serving.http.loaded_model import LoadedModel
from fer_mlops.serving.http.metrics import Counts
from fer_mlops.serving.http.model_slots import ModelSlots
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
from fer_mlops.tracking.alias_lock import CHAMPION

_EXPLAINED = 16
"""Most images of a request with explanations; one takes as long as several predictions."""
_QUICK = 4_000_000
"""Pixels up to which requests are decoded in parallel; larger requests are decoded one by one."""


@dataclass(frozen=True)
class PredictResponse:
    """Predictions of a request, and the model that made them."""

    answers: list[dict[str, Any]]
    served: LoadedModel
    is_batch: bool


class Service:
    """Prediction service; thread pools decode, decode large requests, compute and explain."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.counts = Counts()
        self.limit = RateLimit(settings.rate)
        self.bodies = Bodies(settings.max_bytes, settings.max_bytes * settings.max_queue)
        self.decoders = ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 1)), "decode")
        self.large_decoder = ThreadPoolExecutor(1, "decode-large")
        self.computer = ThreadPoolExecutor(1, "compute")
        self.explainer = ThreadPoolExecutor(1, "explain")
        self.slots = ModelSlots(settings, self.computer, self.counts)
        self._num_asked = 0

    async def watch(self) -> None:
        """Checks the registry for new versions until cancelled."""
        while True:
            await asyncio.sleep(self.settings.poll)
            await asyncio.to_thread(self.slots.look)

    def close(self) -> None:
        """Stops the threads after they have finished their work."""
        for pool in (self.decoders, self.large_decoder, self.computer, self.explainer):
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
        """Yields the body of a request, or refuses it.

        The request enters the queue when its body is complete, so that slow bodies do not fill it.

        Raises:
            RequestError: Rate limit (429), full queue (503), or a body that ``Bodies.read`` refuses.
        """
        self.limit.check(request.client.host if request.client else "")
        self._check_queue()
        async with self.bodies.read(request) as body:
            self._check_queue()  # again: it may have filled meanwhile
            self._num_asked += 1
            self.counts.queue.set(self._num_asked)
            try:
                yield body
            finally:
                self._num_asked -= 1
                self.counts.queue.set(self._num_asked)

    def _check_queue(self) -> None:
        if self._num_asked >= self.settings.max_queue:
            raise RequestError(
                503,
                f"{self._num_asked} requests are in the queue already; try again in 1 s",
                {"Retry-After": "1"},
            )

    async def predict(
        self, request: Request, slot: str, point: OperatingPoint, explains: bool
    ) -> PredictResponse:
        """Returns the predictions for ``POST /predict``.

        Raises:
            RequestError: The request is refused or invalid.
        """
        served, most = self.served(slot), self.settings.max_images
        async with self._admitted(request) as body:
            kind = media_type(request)

            def find() -> PredictRequest:
                if kind == "multipart/form-data":
                    return form_images(request.headers["content-type"], body, most)
                return plain_images(body, kind, most)

            return await unless_gone(request, self._answer(served, slot, find, point, explains))

    async def invoke(self, request: Request) -> list[dict[str, Any]]:
        """Returns the rows for ``POST /invocations``, with the registered model's output columns.

        Raises:
            RequestError: The request is refused or invalid.
        """
        served, most = self.served(CHAMPION), self.settings.max_images
        async with self._admitted(request) as body:
            kind = media_type(request)
            answered = await unless_gone(
                request, self._answer(served, CHAMPION, lambda: mlflow_images(body, kind, most))
            )
        return [Prediction(**answer).columns() for answer in answered.answers]

    async def _answer(
        self,
        served: LoadedModel,
        slot: str,
        find: Callable[[], PredictRequest],
        point: OperatingPoint = "default",
        explains: bool = False,
    ) -> PredictResponse:
        """Returns the predictions of the images that ``find`` parses; ``find`` runs in a thread."""
        loop = asyncio.get_running_loop()

        def examine() -> tuple[PredictRequest, int]:
            parsed = find()
            if explains and len(parsed.images) > _EXPLAINED:
                raise RequestError(
                    400, f"{len(parsed.images)} images to explain; at most {_EXPLAINED} are allowed"
                )
            return parsed, check_images(parsed.images, self.settings)

        async def decode() -> tuple[PredictRequest, Images]:
            parsed, cost = await loop.run_in_executor(self.decoders, examine)
            pool = self.decoders if cost <= _QUICK else self.large_decoder
            return parsed, await loop.run_in_executor(pool, prepare, served.classifier, parsed.images)

        decoding = asyncio.ensure_future(decode())

        async def pixels() -> Images:
            return (await decoding)[1]

        logits = await served.batcher.submit(pixels())
        parsed, faces = decoding.result()
        answers = served.answers(logits, point)
        self.counts.count_answers(slot, answers)
        if explains:
            found = await loop.run_in_executor(self.explainer, served.explanations, faces, logits, point)
            answers = [
                {**answer, "explanation": explanation}
                for answer, explanation in zip(answers, found, strict=True)
            ]
        return PredictResponse(answers, served, parsed.is_batch)
