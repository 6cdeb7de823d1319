"""Starting several processes that train one network together, and ending them together."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from fer_mlops.errors import ConfigError, FerError, TrainingError
from fer_mlops.processes import LOST

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

_RUN_FILE = "FER_MLOPS_RUN_FILE"
"""Environment variable: where the first process tells the launcher its run."""
_PATIENCE = 30.0
"""Seconds."""


def num_started() -> int:
    """Returns how many processes the launcher (``launch``, or torchrun) started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Returns whether this process is the one that writes and shows."""
    return os.environ.get("RANK", "0") == "0"


def check_processes(num: int, command: str, repeats: bool) -> None:
    """Returns if ``command`` can run as ``num`` processes.

    Raises:
        ConfigError: It cannot, or torchrun started another number.
    """
    if num > 1 and command not in ("cnn", "transfer"):
        raise ConfigError(f"{command} runs as one process, got {num}; cnn and transfer take several")
    if num > 1 and repeats:
        raise ConfigError(
            f"folds and seeds are trained in one process, got {num}; leave out --folds, --seeds or "
            "--processes"
        )
    if num < 1:
        raise ConfigError(f"--processes must be 1 or more, got {num}")
    if num != num_started() > 1:
        raise ConfigError(f"--processes says {num}, torchrun started {num_started()}; give one of them")


def launch(words: Sequence[str], num_processes: int) -> int:
    """Runs ``fer-mlops words`` in several processes of this machine and returns the status of the first.

    torchrun's own agent, without its reports: the first process says what there is to say. If one
    fails or dies the others are ended. Ctrl-C, and SIGTERM, reach all of them as SIGINT.

    Raises:
        TrainingError: The first process was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, num_cores // num_processes)))
    logging.disable(logging.CRITICAL)  # this process only waits
    signal.signal(signal.SIGTERM, _as_interrupt)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_RUN_FILE] = f"{folder}/run"
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_processes,
            run_id="fer_mlops",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=f"{folder}/logs"),
            signals_to_handle="SIGINT,SIGHUP,SIGQUIT",
        )
        try:
            elastic_launch(config, sys.executable)("-m", "fer_mlops", *words)
        except SignalException:
            return 130
        except ChildFailedError as error:
            return _status(error.failures)
    return 0


def tell_run(run_id: str) -> None:
    """Tells the launcher, if it is ours, which run this is."""
    if _RUN_FILE in os.environ:
        Path(os.environ[_RUN_FILE]).write_text(run_id, encoding="utf-8")


def _status(failures: dict[int, ProcessFailure]) -> int:
    if 0 not in failures:
        return 1  # the first process was ended because of another, and said so
    status = failures[0].exitcode
    if status >= 0:
        return status
    name = signal.Signals(-status).name
    told = Path(os.environ[_RUN_FILE])
    if not told.is_file():
        raise TrainingError(f"process 0 was killed by {name} before its run began; start it again")
    from fer_mlops.tracking.runs import fail_run

    run_id = told.read_text(encoding="utf-8")
    fail_run(run_id)
    raise TrainingError(f"process 0 was killed by {name}; go on with --resume {run_id}")


@contextmanager
def first_speaks(kind: type[FerError]) -> Iterator[None]:
    """Ends the other processes in silence where all have the same error.

    They wait for the first to say it and for the launcher to end them.
    """
    try:
        yield
    except kind:
        if is_first():
            raise
        time.sleep(_PATIENCE)
        sys.exit(1)


def leave(_: int, __: FrameType | None) -> None:
    """Ends this process because the launcher says so; the first one says why."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if is_first():
        print(f"fer-mlops: {LOST}", file=sys.stderr, flush=True)
    sys.exit(1)  # no Exception, which a library might catch


def _as_interrupt(_: int, __: FrameType | None) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def unwinding_undisturbed() -> Iterator[None]:
    """Lets an exception end the run without the launcher's SIGTERM on top of it."""
    try:
        yield
    except BaseException:
        if num_started() > 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
