"""Sweeps: what pruning saves, what tracking and storage cost, how a large study starts, two workers."""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from fer_mlops.config.tuning import TuningConfig
from fer_mlops.files import cache_folder
from fer_mlops.processes import silence_third_party_logs
from fer_mlops.tuning.config import Plan

AIMS = {"pruning": 1 / 3, "overhead": 0.03, "start": 5.0, "workers": 1.8}
SMALL = {  # single-threaded trials of seconds on the drawn sample
    "cnn.image_size": 32,
    "cnn.widths": [16, 32, 64],
    "cnn.depths": [1, 1, 1],
    "tracking.images_every": 0,
    "tracking.system_metrics": False,
    "tracking.register": False,
}


def make_plan(data: str, folder: Path, settings: dict[str, object], **changes: Any) -> Plan:
    """Returns a plan on ``data`` in the project's own space for cnn, from preset ``fast``."""
    from fer_mlops.config.recipes import build_experiment, preset_path
    from fer_mlops.tuning.search_space import default_space, read_space

    experiment = build_experiment(
        "cnn", recipe=preset_path("cnn", "fast"), settings={"data.source": data, **settings}
    )
    space = read_space(default_space("cnn"), experiment)
    if "cnn.widths" in settings:  # a network of its own size stays as it is
        kept = tuple(p for p in space.parameters if not p.key.startswith("cnn."))
        space = dataclasses.replace(space, parameters=kept)
    given = {
        "experiment": experiment,
        "space": space,
        "study_name": "s",
        "storage_url": f"sqlite:///{folder}/optuna.db",
    }
    default = TuningConfig(first_trial="sampler", finalists=0)
    return Plan(**given, tuning=dataclasses.replace(default, **changes))


def with_tuning(plan: Plan, **changes: Any) -> Plan:
    return dataclasses.replace(plan, tuning=dataclasses.replace(plan.tuning, **changes))


@contextmanager
def own_store() -> Iterator[Path]:
    """Yields a folder with a tracking store of its own."""
    import mlflow

    with tempfile.TemporaryDirectory() as name:
        before = Path.cwd()
        os.chdir(name)
        mlflow.set_tracking_uri(f"sqlite:///{name}/mlflow.db")
        try:
            yield Path(name)
        finally:
            mlflow.set_tracking_uri(None)
            os.chdir(before)


def search(plan: Plan) -> list[tuple[float | None, int]]:
    """Returns each trial's value, None unless complete, and the epochs it took; no winner is trained."""
    import mlflow
    import optuna

    from fer_mlops.data.loading import prepare_data
    from fer_mlops.tracking.runs import track
    from fer_mlops.tuning.locks import StudyLocks
    from fer_mlops.tuning.study import begin_at, open_study
    from fer_mlops.tuning.workers import Worker, WorkerPool, storage_of

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = storage_of(plan)
    data = prepare_data(plan.experiment, cache_folder())
    locks = StudyLocks(storage, plan.study_name)
    with locks.present():
        study = open_study(plan, storage, data.digest())
        with track("fer_mlops", "sweep") as parent:
            begin_at(study, plan)
            if plan.tuning.workers == 1:
                until = time.monotonic() + 60 * 600
                Worker(plan, study, locks, until).work(data, parent.run_id, cache_folder())
            else:
                WorkerPool(plan, parent.run_id, cache_folder(), time.monotonic() + 36000).wait(
                    lambda: None
                )
    assert mlflow.active_run() is None
    complete = optuna.trial.TrialState.COMPLETE
    return [
        (t.value if t.state == complete else None, len(t.intermediate_values))
        for t in study.get_trials(deepcopy=False)
    ]


def epochs_until(trials: list[tuple[float | None, int]], target: float) -> int | None:
    """Returns the epochs of all trials up to the first of value ``target`` or more; None without."""
    total = 0
    for value, epochs in trials:
        total += epochs
        if value is not None and value >= target:
            return total
    return None


def pruning(data: str, *, quick: bool, seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Epochs in which a pruned search reaches the best of an unpruned random search of 40 trials."""
    trials = 4 if quick else 40
    # without early stopping, which would be a pruner of its own; all trials have equally many epochs
    epochs = 4 if quick else 12
    settings: dict[str, object] = {**SMALL, "training.epochs": epochs, "data.split": "identity"}
    shares: dict[tuple[str, str], list[float]] = {
        ("halving", "recipe"): [],  # as `tune` does unless told otherwise
        ("halving", "sampler"): [],
        ("median", "recipe"): [],
        ("hyperband", "recipe"): [],
    }
    for seed in seeds[:1] if quick else seeds:
        with own_store() as folder:
            random = search(make_plan(
                data, folder, {**settings, "seed": seed}, trials=trials, sampler="random",
                pruner="none",
            ))  # fmt: skip
        best = max(value for value, _ in random if value is not None)
        spent = sum(epochs for _, epochs in random)
        print(f"seed {seed}: random, unpruned: {best:.4f}, {trials} trials, {spent} epochs", flush=True)
        for (pruner, first), of_seeds in shares.items():
            with own_store() as folder:
                plan = make_plan(
                    data, folder, {**settings, "seed": seed}, pruner=pruner, first_trial=first
                )
                for total in range(trials // 4, 2 * trials + 1, trials // 4):
                    found = search(with_tuning(plan, trials=total))
                    needed = epochs_until(found, best)
                    if needed or sum(epochs for _, epochs in found) >= spent:
                        break
            own_best = max((value for value, _ in found if value is not None), default=float("nan"))
            print(
                f"seed {seed}: tpe + {pruner}, first of the {first}: "
                f"{f'reached after {needed} epochs' if needed else 'not reached'}; {own_best:.4f}, "
                f"{len(found)} trials, {sum(epochs for _, epochs in found)} epochs",
                flush=True,
            )
            of_seeds.append(needed / spent if needed else float("inf"))
    for (pruner, first), of_seeds in shares.items():
        shares_told = ", ".join(f"{share:.2f}" for share in of_seeds)
        print(
            f"pruning: tpe + {pruner}, first trial of the {first}: share of epochs {shares_told}; "
            f"median {statistics.median(of_seeds):.2f}, aim {AIMS['pruning']:.2f}"
        )


def overhead(data: str, *, quick: bool) -> None:
    """What a trial costs beside its learning: seconds, and as a share of a trial of 20 seconds."""
    from fer_mlops.data.loading import prepare_data
    from fer_mlops.training.train import train_classifier
    from fer_mlops.tuning import trial_fit

    inside: list[float] = []
    reported: list[float] = []

    def timed(*words: Any, on_step: Any, **options: Any) -> Any:
        told = 0.0

        def on_timed_step(step: Any) -> None:
            nonlocal told
            start = time.perf_counter()
            on_step(step)
            told += time.perf_counter() - start

        start = time.perf_counter()
        learned = train_classifier(*words, on_step=on_timed_step, **options)
        inside.append(time.perf_counter() - start - told)
        reported.append(told)
        return learned

    trials = 4 if quick else 12
    with own_store() as folder:
        plan = make_plan(
            data, folder, {**SMALL, "training.epochs": 12}, trials=trials, pruner="none",
            sampler="random",
        )  # fmt: skip
        prepare_data(plan.experiment, cache_folder())
        trial_fit.train_classifier = timed  # type: ignore[attr-defined]
        try:
            start = time.perf_counter()
            search(with_tuning(plan, trials=1))  # what is paid once
            first = time.perf_counter() - start - inside.pop()
            reported.clear()
            start = time.perf_counter()
            search(plan)
            whole = time.perf_counter() - start
        finally:
            trial_fit.train_classifier = train_classifier  # type: ignore[attr-defined]
    num = len(inside)
    cost = (whole - sum(inside)) / num
    print(
        f"overhead: {cost:.3f} s a trial of 12 epochs (n = {num}), {np.median(reported):.3f} s of it at "
        f"the ends of epochs; {cost / 20:.1%} of a trial of 20 s, aim {AIMS['overhead']:.0%}; "
        f"learning {np.mean(inside):.2f} s a trial; the first start {first:.1f} s"
    )


def start(data: str, *, quick: bool) -> None:
    """Seconds in which a sweep on a study of 2,000 finished trials begins its next trial."""
    import optuna

    from fer_mlops.config.recipes import flatten
    from fer_mlops.data.loading import prepare_data
    from fer_mlops.tuning.study import open_study
    from fer_mlops.tuning.workers import storage_of

    count = 100 if quick else 2000
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with own_store() as folder:
        plan = make_plan(data, folder, {**SMALL, "training.epochs": 1}, trials=count + 1)
        digest = prepare_data(plan.experiment, cache_folder()).digest()
        study = open_study(plan, storage_of(plan), digest)
        generator = np.random.default_rng(0)
        base = flatten(plan.experiment)
        in_memory = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(count):
            trial = in_memory.ask()
            settings = plan.space.suggest(trial, base)
            values = generator.uniform(0.2, 0.6, 12)
            for step, value in enumerate(values, 1):
                trial.report(float(value), step)
            trial.set_user_attr("settings", settings)
            in_memory.tell(trial, float(values[-1]))
        study.add_trials(in_memory.trials)
        begun = time.perf_counter()
        done = search(plan)
        seconds = time.perf_counter() - begun
        assert len(done) == count + 1
        started = time.perf_counter()
        search(plan)
        again = time.perf_counter() - started
    print(
        f"start: a study of {count} trials is opened, found finished and closed in {again:.2f} s, aim "
        f"{AIMS['start']:.0f} s; with one more trial of one epoch {seconds:.2f} s"
    )


def workers(data: str, *, quick: bool) -> None:
    """Trials per minute of two workers against one, each trial on one thread."""
    trials, rounds = (4, 1) if quick else (16, 3)
    ratios = []
    for number in range(rounds):
        rates = {}
        for count in (1, 2) if number % 2 else (2, 1):
            with own_store() as folder:
                plan = make_plan(
                    data, folder, {**SMALL, "training.epochs": 4 if quick else 24, "seed": number},
                    trials=trials, workers=count, sampler="random", pruner="none",
                )  # fmt: skip
                search(with_tuning(plan, trials=1, workers=1))
                rates[count] = _rate(plan)
        ratios.append(rates[2] / rates[1])
        print(
            f"round {number}: {rates[1]:.2f} trials a minute with one worker, {rates[2]:.2f} with two: "
            f"{ratios[-1]:.2f} times",
            flush=True,
        )
    print(f"workers: {statistics.median(ratios):.2f} times as many trials, aim {AIMS['workers']}")


def _rate(plan: Plan) -> float:
    """Returns trials per minute from the first trial's start to the last one's end."""
    import optuna

    search(plan)
    study = optuna.load_study(study_name=plan.study_name, storage=plan.storage_url)
    trials = study.trials[1:]
    seconds = max(t.datetime_complete for t in trials) - min(t.datetime_start for t in trials)  # type: ignore[type-var, operator]
    return 60 * len(trials) / seconds.total_seconds()


PARTS = {"pruning": pruning, "overhead": overhead, "start": start, "workers": workers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", default="sample", help="what --data takes")
    parser.add_argument("--part", choices=PARTS, help="one of the four; else all, each in its process")
    parser.add_argument("--quick", action="store_true", help="only a check")
    parser.add_argument("--seeds", type=int, nargs="+", help="of --part pruning; 0 1 2 unless given")
    options = parser.parse_args()
    data = str(Path(options.data).resolve()) if Path(options.data).exists() else options.data
    os.environ["FER_MLOPS_CACHE"] = str(cache_folder().resolve())
    if options.seeds and options.part != "pruning":
        parser.error("--seeds is of --part pruning")
    if options.part:
        silence_third_party_logs()
        seeds = {"seeds": options.seeds} if options.seeds else {}
        PARTS[options.part](data, quick=options.quick, **seeds)
        return
    print(describe(), flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_LOGGING_LEVEL": "ERROR"}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    for part in PARTS:
        command = [sys.executable, str(Path(__file__).resolve()), data, "--part", part]
        subprocess.run([*command, *(["--quick"] * options.quick)], env=environment, check=True)


if __name__ == "__main__":
    main()
