"""Faces a second on one thread, from decoded crops, in batches: torch against onnxruntime."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import describe

from fer_mlops import load
from fer_mlops.files import cache_folder
from fer_mlops.serving.onnx_export import data_of, export_int8, export_onnx
from fer_mlops.serving.predictor import Predictor

NUM = 2048
ROUNDS = 7
RIVAL = 2000
"""Faces a second of the fastest rival's bare classifier (fer, tflite, 64 px), one thread."""


def rates(ask: Callable[[], object], num: int) -> list[float]:
    ask()  # the first call plans
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - start)
    return [num / one for one in seconds]


def show(name: str, found: list[float]) -> None:
    median = statistics.median(found)
    print(
        f"  {name:44} {median:7,.0f} faces/s [{min(found):,.0f}, {max(found):,.0f}]"
        f"  {median / RIVAL:.2f} of {RIVAL:,}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a cnn: models:/… or runs:/…")
    parser.add_argument("--quick", action="store_true", help="few faces; the figures mean nothing")
    asked = parser.parse_args()
    num = 256 if asked.quick else NUM
    torch.set_num_threads(1)
    print(describe())
    model = load(asked.model, num_threads=1)
    side = model.classifier.image_size
    data = data_of(asked.model, None, cache_folder())
    valid = data.parts["valid"].pixels
    faces = np.asarray(valid[np.arange(num) % len(valid)])
    with tempfile.TemporaryDirectory() as place:
        float32, int8 = Path(place, "float32.onnx"), Path(place, "int8.onnx")
        export_onnx(model.classifier, asked.model, float32)
        export_int8(model.classifier, asked.model, int8, data.parts["train"], data.parts["valid"])
        engines = {
            "torch": model,
            "onnxruntime": load(float32, num_threads=1),
            "onnxruntime, int8": load(int8, num_threads=1),
        }
    print(f"{asked.model}, {side} px, {num} faces, one thread, median of {ROUNDS} [least, most]")
    for name, engine in engines.items():
        logits = engine.classifier.scorer.logits
        show(f"{name}, bare classifier", rates(lambda f=logits: f(faces), num))
        show(f"{name}, predict(crops of {side} px)", rates(lambda e=engine: e.predict(faces), num))
    larger = np.repeat(np.repeat(faces, 2, axis=1), 2, axis=2)
    best: Predictor = engines["onnxruntime"]
    show(f"onnxruntime, predict(crops of {2 * side} px)", rates(lambda: best.predict(larger), num))


if __name__ == "__main__":
    main()
