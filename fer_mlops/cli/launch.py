"""Process launcher: starts and stops the processes that train one network together."""

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
from fer_mlops.processes import LOST, num_cores

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

_RUN_FILE = "FER_MLOPS_RUN_FILE"  # variable: file in which the first process leaves its run's ID
_PATIENCE = 30.0  # seconds that a process waits for the launcher to end it


def num_started() -> int:
    """Returns how many processes the launcher (``launch``, or torchrun) started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Returns whether this is the first process, which writes files and prints."""
    return os.environ.get("RANK", "0") == "0"


def check_processes(num: int, command: str, repeats: bool) -> None:
    """Checks that ``command`` can run as ``num`` processes.

    Raises:
        ConfigError: The command cannot, or torchrun started another number of processes.
    """
    if num > 1 and command not in ("cnn", "transfer"):
        raise ConfigError(
            f"{command} runs as one process, got {num}; only cnn and transfer can use several"
        )
    if num > 1 and repeats:
        raise ConfigError(
            f"folds and seeds are trained in one process, got {num}; leave out --folds, --seeds or "
            "--processes"
        )
    if num < 1:
        raise ConfigError(f"--processes must be 1 or more, got {num}")
    if num != num_started() > 1:
        raise ConfigError(
            f"--processes is {num}, but torchrun started {num_started()} processes; set only one of them"
        )


def launch(words: Sequence[str], num_processes: int) -> int:
    """Runs ``fer-mlops words`` in several processes of this machine; returns the first one's status.

    Uses torchrun's agent without its reports, because the first process prints the errors. If a process
    fails or dies, the others are ended. Ctrl-C and SIGTERM reach all processes as SIGINT.

    Raises:
        TrainingError: The first process was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, num_cores() // num_processes)))
    logging.disable(logging.CRITICAL)  # this process only waits
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
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


def _status(failures: dict[int, ProcessFailure]) -> int:
    if 0 not in failures:
        return 1  # another process failed; the first process has printed that
    status = failures[0].exitcode
    if status >= 0:
        return status
    name = signal.Signals(-status).name
    run_file = Path(os.environ[_RUN_FILE])
    if not run_file.is_file():
        raise TrainingError(f"process 0 was killed by {name} before its run began; start it again")
    from fer_mlops.tracking.runs import fail_run

    run_id = run_file.read_text(encoding="utf-8")
    fail_run(run_id)
    raise TrainingError(f"process 0 was killed by {name}; continue with --resume {run_id}")


@contextmanager
def first_speaks(kind: type[FerError]) -> Iterator[None]:
    """Lets only the first process raise an error that all processes have; the others print nothing."""
    try:
        yield
    except kind:
        if is_first():
            raise
        time.sleep(_PATIENCE)  # to exit now would let the launcher end the first before it prints
        sys.exit(1)


def leave(_: int, __: FrameType | None) -> None:
    """Signal handler: ends this process at the launcher's request; the first process prints why."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if is_first():
        print(f"fer-mlops: {LOST}", file=sys.stderr, flush=True)
    sys.exit(1)  # SystemExit, because a library might catch an Exception


@contextmanager
def known_to_launcher(run_id: str) -> Iterator[None]:
    """Writes the run id for the launcher; ignores its SIGTERM while an exception ends the run."""
    if _RUN_FILE in os.environ:
        Path(os.environ[_RUN_FILE]).write_text(run_id, encoding="utf-8")
    try:
        yield
    except BaseException:
        if num_started() > 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
