"""One model, one answer: the largest difference of any probability between all the ways to ask it."""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from machine import describe
from numpy.typing import NDArray
from serving import free_port, ours, running, theirs

from fer_mlops import load
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ModelError
from fer_mlops.files import cache_folder
from fer_mlops.serving.onnx_export import data_of, export_int8, export_onnx
from fer_mlops.tracking.registry import load_classifier

AIM = 1e-5


def by_score(name: str, files: list[Path], engine: str, folder: Path) -> NDArray[np.float64]:
    pd.DataFrame({"image": map(str, files)}).to_csv(folder / "faces.csv", index=False)
    words = ["score", str(folder / "faces.csv"), "--out", str(folder / engine), "--model", name]
    command = [sys.executable, "-m", "fer_mlops", *words, "--engine", engine]
    subprocess.run(command, check=True, capture_output=True)
    table = pd.read_parquet(folder / engine).sort_values("row")
    return table[list(EMOTIONS)].to_numpy()


def by_rest(name: str, images: list[bytes]) -> dict[str, NDArray[np.float64]]:
    """Returns what ``fer-mlops serve`` and ``mlflow models serve`` answer, image by image."""

    def asked(address: str, kind: str, body: bytes) -> dict[str, float]:
        request = urllib.request.Request(address, body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        return told["predictions"][0] if "predictions" in told else told["probabilities"]

    def invoked(address: str, image: bytes) -> dict[str, float]:
        record = {"image": base64.b64encode(image).decode()}
        return asked(address, "application/json", json.dumps({"dataframe_records": [record]}).encode())

    def sent(address: str, image: bytes) -> dict[str, float]:
        return asked(address, "image/*", image)

    ways = {
        "serve /predict": (ours, "/ready", "/predict", sent),
        "serve /invocations": (ours, "/ready", "/invocations", invoked),
        "mlflow models serve": (theirs, "/ping", "/invocations", invoked),
    }
    answers = {}
    for way, (command, ready, path, ask) in ways.items():
        port = free_port()
        with running(command(name, port), port, ready):
            rows = [ask(f"http://127.0.0.1:{port}{path}", image) for image in images]
        answers[way] = np.array([[row[emotion] for emotion in EMOTIONS] for row in rows])
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "models", nargs="+", help="models:/NAME/VERSION or runs:/ID/model, one of each family"
    )
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--spark", action="store_true", help="ask through Spark too")
    asked = parser.parse_args()
    print(describe())
    for name in asked.models:
        data = data_of(name, None, cache_folder())
        rows = np.random.default_rng(0).permutation(data.split.test)[: asked.faces]
        files = [(data.table.root / data.table.paths[row]).resolve() for row in rows]
        images = [file.read_bytes() for file in files]
        trained = load_classifier(name, for_gradients=True)
        own = trained.predict_proba(
            np.asarray(data.parts["test"].pixels[:])[np.searchsorted(data.split.test, rows)]
        )
        model = load(name)
        answers = {
            "the exported bundle": model.classifier.predict_proba(model.classifier.prepare(files)),
            "mlflow.pyfunc": mlflow.pyfunc.load_model(name)
            .predict(pd.DataFrame({"image": images}))[list(EMOTIONS)]
            .to_numpy(),
            "load, paths": model.predict(files).probabilities,
            "load, bytes": model.predict(images).probabilities,
        }
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            try:
                export_onnx(model.classifier, name, folder / "model.onnx")
                answers["onnx"] = load(folder / "model.onnx").predict(images).probabilities
                int8 = folder / "int8.onnx"
                export_int8(model.classifier, name, int8, data.parts["train"], data.parts["valid"])
                answers["onnx int8"] = load(int8).predict(images).probabilities
            except ModelError as error:
                print(f"{name}: {error}")
            answers |= by_rest(name, images)
            for engine in ("local", "spark") if asked.spark else ("local",):
                answers[f"score, {engine}"] = by_score(name, files, engine, folder)
        print(f"{name} ({trained.family}), {len(files)} test faces, against the trained network itself:")
        for where, probabilities in answers.items():
            off = float(np.abs(probabilities - own).max())
            others = (probabilities.argmax(1) != own.argmax(1)).mean()
            within = "" if "int8" in where else "  within 1e-5" if off <= AIM else "  TOO FAR"
            print(f"  {where:20} {off:.1e}, another emotion in {others:.1%}{within}")


if __name__ == "__main__":
    main()
