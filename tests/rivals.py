"""Processes that start the same work at the same moment."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable
from typing import Any


def at_once(work: Callable[[int], Any], num_processes: int = 3) -> list[Any]:
    """Returns what ``work(number)`` returned or raised in each of several processes.

    The processes are forks that pass a barrier together; results must be picklable.
    """
    fork = multiprocessing.get_context("fork")
    start, results = fork.Barrier(num_processes, timeout=60), fork.Queue()

    def run(number: int) -> None:
        start.wait()
        try:
            results.put((number, work(number)))
        except Exception as error:
            results.put((number, error))

    rivals = [fork.Process(target=run, args=(number,)) for number in range(num_processes)]
    for rival in rivals:
        rival.start()
    try:
        found = dict(results.get(timeout=100) for _ in rivals)
    except queue.Empty:
        raise AssertionError(f"exit statuses {[rival.exitcode for rival in rivals]}") from None
    for rival in rivals:
        rival.join(60)
    return [found[number] for number in range(num_processes)]
