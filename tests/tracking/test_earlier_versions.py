"""Models logged before the modules moved load, predict as stored and pass the check of their code."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import tiny  # noqa: F401 - the tiny backbone

from fer_mlops.emotions import EMOTIONS
from fer_mlops.pipelines.reproduction import TOLERANCE, compare_code, reproduction_error
from fer_mlops.serving.predictor import load

EARLIER = Path(__file__).parents[1] / "earlier"
"""Logged with fer_mlops at commit daedb44, each without a copy of the package."""


@pytest.mark.parametrize("family", ["baseline", "cnn", "transfer"])
def test_a_model_logged_earlier_predicts_as_it_did(family: str) -> None:
    folder = str(EARLIER / family)
    difference, _ = reproduction_error(folder)
    assert difference is not None
    assert difference < TOLERANCE
    probe = json.loads((EARLIER / family / "artifacts/classifier/probe.json").read_text())
    faces = [base64.b64decode(image) for image in probe["images"]]
    table = mlflow.pyfunc.load_model(folder).predict(pd.DataFrame({"image": faces}))
    np.testing.assert_allclose(table[list(EMOTIONS)], probe["probabilities"], atol=TOLERANCE)
    assert load(folder).predict(faces[0]).emotion == table["emotion"][0]


@pytest.mark.parametrize("family", ["baseline", "cnn", "transfer"])
def test_the_gate_accepts_the_model_code_of_an_earlier_version(family: str) -> None:
    is_ours, sentence = compare_code(str(EARLIER / family))
    assert is_ours, sentence
