"""Micro-batching: faces of several requests share one forward pass.

While one batch is computed, the next one fills up, so batches grow with the load. A single request does
not wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import Logits


@dataclass(frozen=True)
class _Waiting:
    pixels: Images
    answer: asyncio.Future[Logits]
    since: float


class Batcher:
    """Batches the requests of one event loop for one model.

    Args:
        logits: Forward pass, uint8 [n, side, side] to logits [n, 7]; called one at a time.
        executor: Threads for ``logits``.
        max_batch: Most faces in a batch; a request with more is a batch of its own.
        max_wait: Most seconds that a request waits for others that are still being decoded.
        observe: Called with the number of faces of each batch.
    """

    def __init__(
        self,
        logits: Callable[[Images], Logits],
        executor: Executor,
        *,
        max_batch: int,
        max_wait: float,
        observe: Callable[[int], None],
    ) -> None:
        self.logits = logits
        self.executor = executor
        self.max_batch = max_batch
        self.max_wait = max_wait
        self.observe = observe
        self._waiting: deque[_Waiting] = deque()
        self._num_arriving = 0
        self._is_busy = False

    async def submit(self, decoding: Awaitable[Images]) -> Logits:
        """Returns the logits [n, 7] of the faces that ``decoding`` returns, in their order.

        Errors of ``decoding`` or of the model are raised unchanged.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Logits] = loop.create_future()
        self._num_arriving += 1
        try:
            self._waiting.append(_Waiting(await decoding, answer, loop.time()))
        finally:
            self._num_arriving -= 1
            self._start()
        return await answer

    def _start(self) -> None:
        """Starts a batch, unless one is being computed or others are still being decoded."""
        if self._is_busy or not self._waiting:
            return
        loop = asyncio.get_running_loop()
        until = self._waiting[0].since + self.max_wait
        num_faces = sum(len(request.pixels) for request in self._waiting)
        if self._num_arriving and num_faces < self.max_batch and loop.time() < until:
            # a later arrival may have started the batch by then; _start checks that again
            loop.call_at(until, self._start)
            return
        batch = [self._waiting.popleft()]
        num_faces = len(batch[0].pixels)
        while self._waiting and num_faces + len(self._waiting[0].pixels) <= self.max_batch:
            batch.append(self._waiting.popleft())
            num_faces += len(batch[-1].pixels)
        self._is_busy = True
        self.observe(num_faces)
        pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([r.pixels for r in batch])
        computed = loop.run_in_executor(self.executor, self.logits, pixels)
        computed.add_done_callback(lambda done: self._finish(batch, done))

    def _finish(self, batch: list[_Waiting], done: asyncio.Future[Logits]) -> None:
        self._is_busy = False
        error = done.exception()
        start = 0
        for request in batch:
            # done already if the client has disconnected, which cancels its future
            if not request.answer.done():
                if error is not None:
                    request.answer.set_exception(error)
                else:
                    request.answer.set_result(done.result()[start : start + len(request.pixels)])
            start += len(request.pixels)
        self._start()
