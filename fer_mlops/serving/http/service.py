"""What happens to a request between its first byte and its answer."""

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
from fer_mlops.tracking.alias_lock import CHAMPION

_EXPLAINED = 16
"""Most images of a request with explanations, each of which takes as long as several answers."""
_QUICK = 4_000_000
"""Pixels up to which a request is decoded beside others; larger ones wait for one another."""


@dataclass(frozen=True)
class PredictResponse:
    """What became of a request's faces."""

    answers: list[dict[str, Any]]
    served: LoadedModel
    is_batch: bool


class Service:
    """Reads images in some threads, large ones in one, computes in another, explains in a third."""

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
        """Follows the registry until cancelled."""
        while True:
            await asyncio.sleep(self.settings.poll)
            await asyncio.to_thread(self.slots.look)

    def close(self) -> None:
        """Ends the threads once they have done what was begun."""
        for pool in (self.decoders, self.large_decoder, self.computer, self.explainer):
            pool.shutdown()

    def served(self, slot: str) -> LoadedModel:
        """Returns what fills the slot.

        Raises:
            RequestError: 503 while there is no model at all, 404 where there is no challenger.
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
        """Yields the body of a request, which is counted in once it is read, or refused.

        A slow body takes no place of the queue.
        """
        self.limit.check(request.client.host if request.client else "")
        self._check_queue()
        async with self.bodies.read(request) as body:
            self._check_queue()  # which may have filled while the body came
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
                f"{self._num_asked} requests are being answered already; try again in a second",
                {"Retry-After": "1"},
            )

    async def predict(
        self, request: Request, slot: str, point: OperatingPoint, explains: bool
    ) -> PredictResponse:
        """Returns the answers to a request of this service's own form.

        Raises:
            RequestError: It cannot be answered.
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
        """Returns the rows that the registered model answers to a request of MLflow's form.

        Raises:
            RequestError: It cannot be answered.
        """
        served, most = self.served(CHAMPION), self.settings.max_images
        async with self._admitted(request) as body:
            kind = media_type(request)
            answered = await unless_gone(
                request, self._answer(served, CHAMPION, lambda: mlflow_images(body, kind, most))
            )
        return [
            {
                "emotion": answer["emotion"],
                "confidence": answer["confidence"],
                **answer["probabilities"],
                "is_sure": answer["is_sure"],
            }
            for answer in answered.answers
        ]

    async def _answer(
        self,
        served: LoadedModel,
        slot: str,
        find: Callable[[], PredictRequest],
        point: OperatingPoint = "default",
        explains: bool = False,
    ) -> PredictResponse:
        """Answers the images that ``find`` returns, in a thread since parsing takes time too."""
        loop = asyncio.get_running_loop()

        def examine() -> tuple[PredictRequest, int]:
            asked = find()
            if explains and len(asked.images) > _EXPLAINED:
                raise RequestError(
                    400, f"{len(asked.images)} images to explain; {_EXPLAINED} are allowed at once"
                )
            return asked, check_images(asked.images, self.settings)

        async def decode() -> tuple[PredictRequest, Images]:
            asked, cost = await loop.run_in_executor(self.decoders, examine)
            pool = self.decoders if cost <= _QUICK else self.large_decoder
            return asked, await loop.run_in_executor(pool, prepare, served.classifier, asked.images)

        decoding = asyncio.ensure_future(decode())

        async def pixels() -> Images:
            return (await decoding)[1]

        logits = await served.batcher.submit(pixels())
        asked, faces = decoding.result()
        answers = served.answers(logits, point)
        self.counts.count_answers(slot, answers)
        if explains:
            found = await loop.run_in_executor(self.explainer, served.explanations, faces, logits, point)
            answers = [
                {**answer, "explanation": one} for answer, one in zip(answers, found, strict=True)
            ]
        return PredictResponse(answers, served, asked.is_batch)
