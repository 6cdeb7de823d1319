"""What a model's heat maps are worth on its own test faces, and what they cost."""

from __future__ import annotations

import argparse
import json
import time
from typing import get_args

import numpy as np
import torch
from machine import describe

from fer_mlops.data.datasets import sample
from fer_mlops.data.loading import prepare_data
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.report import MOST_FACES, measure_explanations
from fer_mlops.evaluation.explanation import Method, default_method, explain
from fer_mlops.files import cache_folder
from fer_mlops.tracking.queries import load_run_config
from fer_mlops.tracking.registry import load_classifier, run_id_of

AIMS = {"maps": 1.0, "measuring": 10.0}
"""Seconds on one core: maps of 100 faces by Grad-CAM, the figures by default."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="models:/… or runs:/…, whose run tells its test faces")
    parser.add_argument("--method", choices=get_args(Method))
    parser.add_argument("--layer")
    parser.add_argument("--most", type=int, help="faces, if not the default of the method")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    classifier = load_classifier(options.model, for_gradients=True)
    run_id = run_id_of(options.model)
    if run_id is None:
        raise SystemExit(f"{options.model} does not tell its run")
    data = prepare_data(load_run_config(run_id), cache_folder())
    faces = data.parts["test"]
    method = options.method or default_method(classifier)
    regions = None
    if data.table.name == "sample":  # whose labels are what was drawn
        regions = sample.regions_of([data.table.paths[row] for row in data.split.test])
    few = faces.pixels[np.arange(min(100, len(faces)))]
    began = time.perf_counter()
    explain(classifier, few, faces.labels[: len(few)], layer=options.layer, method=method)
    between = time.perf_counter()
    report = measure_explanations(
        classifier,
        faces.pixels,
        faces.labels,
        layer=options.layer,
        method=method,
        regions=regions,
        most=options.most,
    )
    ended = time.perf_counter()
    print(f"{classifier.family}, {method}, {classifier.image_size} px, {len(faces)} test faces")
    print(f"maps of {len(few)} faces {between - began:.2f} s; aim {AIMS['maps']:.0f} s (Grad-CAM)")
    by_default = f"aim {AIMS['measuring']:.0f} s for {MOST_FACES[method]}"
    print(f"figures on {report.num_faces} faces {ended - between:.2f} s; {by_default}")
    print(json.dumps({k: round(v, 3) for k, v in report.metrics("test").items()}, indent=1))
    if report.sanity:
        print("cascade", [round(value, 3) for value in report.sanity.cascade])
    if report.hits:
        print("peaks of other emotions", round(report.hits.peak_of_others, 3))
        for emotion in EMOTIONS:
            if emotion in report.hits.by_emotion:
                num, peak, chance = report.hits.by_emotion[emotion]
                print(f"{emotion:10} n {num:4}  peak {peak:.2f}  by chance {chance:.2f}")


if __name__ == "__main__":
    main()
