"""Runs one command again and again, each time in a process that is killed at a stated moment.

``python dying.py '[[place, name, count, when], …]' WORDS…``: ``name`` in the module ``place`` sends
SIGKILL at its ``count``-th call, ``before`` or ``after`` what it does; place ``time`` does so after
``count`` seconds. Each process but the first goes on with the run of the first; the last one is left
alone. It prints how many were killed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import reduce

import tiny  # noqa: F401 - the tiny backbone
import torch
import unsynced  # noqa: F401 - as in every test

from fer_mlops.cli.main import main
from fer_mlops.files import cache_folder
from fer_mlops.pipelines import train  # noqa: F401 - once for all
from fer_mlops.tracking import registry  # noqa: F401
from fer_mlops.tuning import tune  # noqa: F401


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def doom(place: str, name: str, count: float, when: str) -> None:
    """Sees to it that this process dies at the stated moment."""
    if place == "time":
        threading.Thread(target=lambda: (time.sleep(count), die()), daemon=True).start()
        return
    *owners, last = name.split(".")
    owner = reduce(getattr, owners, importlib.import_module(place))
    real: Callable[..., object] = getattr(owner, last)
    calls = 0

    def deadly(*words: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == count and when == "before":
            die()
        result = real(*words, **options)
        if calls == count:
            die()
        return result

    setattr(owner, last, deadly)


def live(words: list[str], moment: list[object] | None) -> int:
    """Returns the exit status of one process: minus the signal that killed it, if one did."""
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
        if moment:
            doom(*moment)  # type: ignore[arg-type]
        sys.argv = ["fer-mlops", *words]
        try:
            main()
        except SystemExit as ended:
            sys.stdout.flush()
            os._exit(int(ended.code or 0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    words = sys.argv[2:]
    checkpoints = cache_folder() / "checkpoints"
    others = set(checkpoints.glob("*.pt"))  # of other tests, which share the cache
    for num_killed, moment in enumerate([*json.loads(sys.argv[1]), None]):
        kept = sorted(set(checkpoints.glob("*.pt")) - others)
        status = live([*words, *(["--resume", kept[0].stem] if kept else [])], moment)
        if status >= 0:
            print(f"killed {num_killed}")
            sys.exit(status)
