"""Which requests share a forward pass."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import Logits
from fer_mlops.serving.http.batching import Batcher

Made = tuple[Batcher, list[int]]


def run(
    story: Callable[[Batcher, list[int]], Coroutine[Any, Any, None]],
    logits: Callable[[Images], Logits] | None = None,
    **options: float,
) -> None:
    """Runs a story with a batcher and the sizes of the batches it made."""
    sizes: list[int] = []
    with ThreadPoolExecutor(1) as executor:
        chosen = {"max_batch": 4, "max_wait": 5.0, **options}
        batcher = Batcher(logits or doubled, executor, observe=sizes.append, **chosen)  # type: ignore[arg-type]
        asyncio.run(asyncio.wait_for(story(batcher, sizes), 20))


def doubled(pixels: Images) -> Logits:
    return np.asarray(pixels).reshape(len(pixels), -1).astype(np.float32) * 2


def faces(*values: int) -> Images:
    return np.array(values, np.uint8).reshape(-1, 1, 1)


async def given(pixels: Images, after: asyncio.Event | None = None) -> Images:
    if after:
        await after.wait()
    return pixels


def test_a_lone_request_waits_for_nobody() -> None:
    async def story(batcher: Batcher, sizes: list[int]) -> None:
        started = asyncio.get_running_loop().time()
        assert (await batcher.submit(given(faces(3)))).tolist() == [[6]]
        assert asyncio.get_running_loop().time() - started < 2.0  # of the 5 it might wait for others
        assert sizes == [1]

    run(story)


def test_requests_decoded_together_share_a_batch_and_get_their_own_rows() -> None:
    async def story(batcher: Batcher, sizes: list[int]) -> None:
        ready = asyncio.Event()
        second = asyncio.create_task(batcher.submit(given(faces(9), ready)))
        await asyncio.sleep(0)
        first = asyncio.create_task(batcher.submit(given(faces(1, 2))))
        await asyncio.sleep(0.05)
        assert sizes == []  # the first waits for the second, which is being decoded
        ready.set()
        assert [(await one).tolist() for one in (first, second)] == [[[2], [4]], [[18]]]
        assert sizes == [3]

    run(story)


def test_no_request_waits_longer_than_it_may() -> None:
    async def story(batcher: Batcher, sizes: list[int]) -> None:
        never = asyncio.Event()
        slow = asyncio.create_task(batcher.submit(given(faces(9), never)))
        await asyncio.sleep(0)
        assert (await batcher.submit(given(faces(1)))).tolist() == [[2]]
        slow.cancel()

    run(story, max_wait=0.05)


def test_the_next_batch_gathers_while_one_is_computed() -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(pixels: Images) -> Logits:
        started.set()
        go_on.wait(10)
        return doubled(pixels)

    async def story(batcher: Batcher, sizes: list[int]) -> None:
        tasks = [asyncio.create_task(batcher.submit(given(faces(0))))]
        await asyncio.to_thread(started.wait, 10)
        tasks += [asyncio.create_task(batcher.submit(given(faces(n)))) for n in range(1, 6)]
        await asyncio.sleep(0.05)
        go_on.set()
        assert [(await task).tolist() for task in tasks] == [[[2 * n]] for n in range(6)]
        assert sizes == [1, 4, 1]

    run(story, slow)


def test_a_request_of_more_than_a_batch_goes_alone() -> None:
    async def story(batcher: Batcher, sizes: list[int]) -> None:
        assert len(await batcher.submit(given(faces(*range(9))))) == 9
        assert sizes == [9]

    run(story)


def test_a_failure_reaches_those_who_asked_and_no_one_after() -> None:
    fails = [True]

    def broken(pixels: Images) -> Logits:
        if fails:
            fails.clear()
            raise ValueError("broken")
        return doubled(pixels)

    async def undecodable() -> Images:
        raise KeyError("no image")

    async def story(batcher: Batcher, sizes: list[int]) -> None:
        with pytest.raises(ValueError, match="broken"):
            await batcher.submit(given(faces(1)))
        with pytest.raises(KeyError):
            await batcher.submit(undecodable())
        assert (await batcher.submit(given(faces(1)))).tolist() == [[2]]
        assert sizes == [1, 1]

    run(story, broken)
