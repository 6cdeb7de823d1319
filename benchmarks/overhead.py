"""What tracking and its pictures cost: one cnn training with both, without pictures, with neither."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import describe

from fer_mlops.files import cache_folder

VARIANTS = ("untracked", "tracked", "with pictures")
AIMS = {"tracking": 0.02, "pictures": 0.03}


def train(data: str, variant: str, epochs: int) -> dict[str, object]:
    """Trains in this process and returns seconds per epoch from the second on, and peak memory in MiB.

    The first epoch also loads what later ones find loaded. An epoch is what lies between two ends of
    ``on_step``: training, validation and, where tracked, metrics, the checkpoint and pictures.
    """
    from fer_mlops.config.recipes import build_experiment, preset_path
    from fer_mlops.data.loading import prepare_data
    from fer_mlops.pipelines.train import run_experiment
    from fer_mlops.tracking.runs import track
    from fer_mlops.training.steps import Step
    from fer_mlops.training.train import train_classifier

    settings: dict[str, object] = {
        "data.source": data,
        "data.split": "random",
        "training.epochs": epochs,
        "tracking.images_every": int(variant == "with pictures"),
    }
    experiment = build_experiment("cnn", recipe=preset_path("cnn", "fast"), settings=settings)
    prepared = prepare_data(experiment, cache_folder())
    ends: list[float] = []
    fitted: list[float] = []

    def on_step(step: Step) -> None:
        ends.append(time.perf_counter())
        fitted.append(step.metrics["train/seconds_per_epoch"])

    if variant == "untracked":
        parts = prepared.parts
        train_classifier(
            experiment, parts["train"], parts["valid"], on_step=on_step, cache=prepared.cache
        )
    else:
        with track("overhead", variant, system_metrics=True) as tracker:
            checkpoint = Path("checkpoint.pt").resolve()
            run_experiment(experiment, prepared, tracker, on_step=on_step, checkpoint=checkpoint)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = np.diff(ends)
    return {
        "seconds": seconds.tolist(),
        "between": (seconds - fitted[1:]).tolist(),
        "peak": peak,
        "faces": len(prepared.parts["train"]),
    }


def run(data: str, variant: str, epochs: int) -> dict[str, object]:
    """Returns ``train`` of a process of its own, with a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        environment["FER_MLOPS_CACHE"] = str(cache_folder().resolve())
        command = [sys.executable, str(Path(__file__).resolve()), data]
        command += ["--epochs", str(epochs), "--variant", variant]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{variant} failed:\n{done.stderr}")
        result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return result


def show(results: dict[str, list[dict[str, object]]]) -> None:
    """Prints each variant's seconds, and what each adds to the one before it.

    The difference of whole epochs is all there is to pay, noise included; the wait between two fits is
    nearly free of noise and leaves out what a thread in the background takes from the fit.
    """
    tables = {
        variant: {
            key: np.array([run[key] for run in runs], float) for key in ("seconds", "between", "peak")
        }
        for variant, runs in results.items()
    }
    for variant, table in tables.items():
        seconds, between = table["seconds"], np.median(table["between"])
        spread = f"[{seconds.min():.2f}, {seconds.max():.2f}]"
        print(
            f"{variant:14} {np.median(seconds):7.2f} s an epoch {spread}, "
            f"{between:.3f} s of it waits between two fits; n = {seconds.size}, "
            f"peak resident {np.median(table['peak']):.0f} MiB"
        )

    def middle(variant: str, key: str) -> np.ndarray:
        """Returns the median of each round."""
        return np.asarray(np.median(tables[variant][key], axis=1))

    pairs = {"tracking": ("tracked", "untracked"), "pictures": ("with pictures", "tracked")}
    for name, (more, less) in pairs.items():
        shares = (middle(more, "seconds") - middle(less, "seconds")) / middle("untracked", "seconds")
        wait = np.median(middle(more, "between")) - np.median(middle(less, "between"))
        waits = wait / np.median(middle("untracked", "seconds"))
        print(
            f"{name:14} {np.median(shares):7.1%} of an epoch [{shares.min():.1%}, {shares.max():.1%}], "
            f"n = {len(shares)} rounds; by its waits alone {waits:.1%}; aim {AIMS[name]:.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="of each run; the first is not counted")
    parser.add_argument("--quick", action="store_true", help="one round of two epochs: only a check")
    parser.add_argument("--variant", choices=VARIANTS, help="one training in this process, as JSON")
    options = parser.parse_args()
    data = str(Path(options.data).resolve()) if Path(options.data).exists() else options.data
    if options.variant:
        print(json.dumps(train(data, options.variant, options.epochs)))
        return
    rounds, epochs = (1, 2) if options.quick else (options.rounds, options.epochs)
    print(describe())
    results: dict[str, list[dict[str, object]]] = {variant: [] for variant in VARIANTS}
    for number in range(rounds):  # each round in another order, so that none has always the warm seat
        shift = number % len(VARIANTS)
        for variant in (*VARIANTS[shift:], *VARIANTS[:shift]):
            results[variant].append(run(data, variant, epochs))
    print(f"cnn, preset fast, {results['tracked'][0]['faces']} training faces")
    show(results)


if __name__ == "__main__":
    main()
