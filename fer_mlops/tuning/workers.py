"""Worker loop, and a pool of worker processes on this machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

import optuna
import torch
from optuna.trial import FrozenTrial, Trial, TrialState

from fer_mlops.data.loading import Data, prepare_data
from fer_mlops.errors import FerError, TrackingError, TrainingError
from fer_mlops.processes import exit_with_parent, num_cores, silence_third_party_logs
from fer_mlops.tracking.connection import store_uri, use_store
from fer_mlops.training.devices import keep_heap
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.locks import StudyLocks
from fer_mlops.tuning.objective import Objective, TrialFailed
from fer_mlops.tuning.samplers import make_pruner, make_sampler
from fer_mlops.tuning.storage import PatientStorage, open_storage, retry
from fer_mlops.tuning.study import ERROR, WORKER, StaleTrials, failures, failures_in_a_row, standing_of
from fer_mlops.tuning.trial_data import TrialFaces

_log = logging.getLogger(__name__)
_POLL = 0.5  # seconds between two checks of a study that has no trial to start
_ASKING = "asking for a trial"


class Worker:
    """Runs trials of a study one after another, until the study is complete."""

    def __init__(self, plan: Plan, study: optuna.Study, locks: StudyLocks, until: float) -> None:
        self.plan, self.study, self.locks, self.until = plan, study, locks, until
        self.stale_trials = StaleTrials(study, plan.grace)
        self.known_failures = {trial.number for trial in failures(study)}

    def work(
        self, data: Data, parent: str, cache: Path, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        """Runs trials as children of the run ``parent`` until the study is complete or time runs out.

        Raises:
            TrainingError: Too many trials failed in a row.
            TrackingError: MLflow or the storage does not respond.
        """
        faces = TrialFaces(self.plan.experiment, data, cache, self.plan.tuning.folds)
        objective = Objective(
            self.plan, faces, parent, cache, self.locks.owner, lambda: self.locks.drop(_ASKING)
        )
        while not self._is_done():
            # under a lock: otherwise several workers could start the last trial, or a new trial in place
            # of a dead worker's trial that is about to be queued again
            with self.locks.held(_ASKING):
                self.stale_trials.sweep()
                standing = standing_of(self.study)
                is_free = standing.num_finished + standing.num_running < self.plan.total
                is_started = is_free and not self._is_done()
                if is_started:
                    self._run_one(objective)
            on_wait()
            if not is_started:
                time.sleep(_POLL)

    def _is_done(self) -> bool:
        failed = failures_in_a_row(self.study, self.known_failures)
        if len(failed) >= self.plan.tuning.max_failures:
            raise TrainingError(
                f"the last {len(failed)} trials of study {self.study.study_name!r} failed, trial "
                f"{failed[-1].number} with: {failed[-1].user_attrs[ERROR]}; fix that, or allow more "
                "failures with --set tuning.max_failures=N"
            )
        standing = standing_of(self.study)
        return standing.num_finished >= self.plan.total or time.monotonic() >= self.until

    def _run_one(self, objective: Objective) -> None:
        storage = self.locks.storage
        self.study.sampler = make_sampler(self.plan, standing_of(self.study).num_all)
        try:
            self._optimize(objective)
        except (KeyboardInterrupt, TrackingError) as error:
            storage.hurry()
            with suppress(TrackingError):
                if own := self._interrupted():
                    retry(self.study, own)
            if storage.was_interrupted:  # Optuna could not record it
                raise KeyboardInterrupt from error
            raise
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            # this worker was taken for dead, for example after its machine slept
            if not self._interrupted():
                raise

    def _optimize(self, objective: Objective) -> None:
        """Runs one trial."""

        def run(trial: Trial) -> float:
            with self.locks.storage.hastened():
                return objective(trial)

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # samplers without constraints
                self.study.optimize(run, n_trials=1, catch=(TrialFailed,))
        except (UnboundLocalError, AssertionError) as error:
            # Optuna raises these by mistake when it cannot store the end of a trial
            if isinstance(error.__context__, TrackingError):
                raise error.__context__ from None
            raise

    def _interrupted(self) -> FrozenTrial | None:
        """Returns this worker's last trial if it failed without an error of its own."""
        trials = self.study.get_trials(deepcopy=False)
        own = next((t for t in reversed(trials) if t.user_attrs.get(WORKER) == self.locks.owner), None)
        return own if own and own.state == TrialState.FAIL and ERROR not in own.user_attrs else None


class WorkerPool:
    """Pool of worker processes that share the cores."""

    def __init__(self, plan: Plan, parent: str, cache: Path, until: float) -> None:
        self.processes: list[BaseProcess] = []
        self.receivers: list[Connection] = []
        context = multiprocessing.get_context("spawn")
        with _few_threads(max(1, num_cores() // plan.tuning.workers)) as num_threads, _sigint_ignored():
            for _ in range(plan.tuning.workers):
                receiver, sender = context.Pipe(duplex=False)
                seconds = until - time.monotonic()  # a monotonic time means nothing elsewhere
                arguments = (plan, parent, cache, seconds, num_threads, store_uri(), sender)
                process = context.Process(target=_work, args=arguments)
                process.start()
                sender.close()  # this process's copy, so that a worker's death ends the pipe
                self.processes.append(process)
                self.receivers.append(receiver)

    def wait(self, on_wait: Callable[[], None]) -> None:
        """Waits until all workers have ended; at least one must have succeeded.

        ``on_wait`` is called about twice a second.

        Raises:
            FerError: No worker succeeded; the error of the first one.
            TrainingError: All workers were killed.
        """
        try:
            while any(process.is_alive() for process in self.processes):
                time.sleep(_POLL)
                on_wait()
        except BaseException:
            self._stop()
            raise
        on_wait()
        errors = []
        for receiver in self.receivers:
            with suppress(EOFError):  # a killed worker sent nothing
                if receiver.poll():
                    errors.append(receiver.recv())
        if any(process.exitcode == 0 for process in self.processes):
            for error in errors:
                _log.warning("a worker failed; the others continued without it: %s", error)
            return
        raise next(
            iter(errors),
            TrainingError(
                "all workers were killed, perhaps because memory ran out; run the same command again to "
                "continue"
            ),
        )

    def _stop(self) -> None:
        """Tells the workers to end their trials, and waits for them."""
        while alive := [process for process in self.processes if process.is_alive()]:
            for process in alive:
                if process.pid:
                    os.kill(process.pid, signal.SIGINT)
            alive[0].join(1.0)


def _work(
    plan: Plan,
    parent: str,
    cache: Path,
    seconds: float,
    num_threads: int,
    tracking_uri: str,
    sender: Connection,
) -> None:
    """Runs one worker process."""
    exit_with_parent(os.getppid())  # a killed parent stops no worker
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, _stop_once)
    silence_third_party_logs()
    keep_heap()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(num_threads)
    use_store(tracking_uri)
    os.environ.pop("MLFLOW_RUN_ID", None)  # of mlflow run: a trial would continue that run
    until = time.monotonic() + seconds
    try:
        data = prepare_data(plan.experiment, cache)
        storage = storage_of(plan)
        locks = StudyLocks(storage, plan.study_name)
        with locks.present():
            study = optuna.load_study(
                study_name=plan.study_name, storage=storage, pruner=make_pruner(plan)
            )
            Worker(plan, study, locks, until).work(data, parent, cache)
    except KeyboardInterrupt:
        os._exit(130)
    except FerError as error:
        sender.send(error)
        os._exit(1)


def storage_of(plan: Plan) -> PatientStorage:
    """Opens the plan's storage."""
    return open_storage(
        plan.storage_url,
        heartbeat=plan.tuning.heartbeat,
        grace=plan.grace,
        patience=60 * plan.experiment.tracking.wait_minutes,
    )


def _stop_once(_: int, __: object) -> NoReturn:
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)  # do not interrupt the ending of the run
    raise KeyboardInterrupt


@contextmanager
def _few_threads(number: int) -> Iterator[int]:
    """Sets the thread count of processes started inside the context; yields that count."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    before = {name: os.environ.get(name) for name in names}
    chosen = int(before["OMP_NUM_THREADS"] or number)
    os.environ.update(dict.fromkeys(names, str(chosen)))
    try:
        yield chosen
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Makes processes started inside the context ignore Ctrl-C until they can handle it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
