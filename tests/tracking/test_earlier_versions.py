"""Models logged before the modules moved load, predict as stored and pass the check of their code."""

from __future__ import annotations

import base64
import json
import shutil
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
"""Bundles and MLflow's files of models logged at commit daedb44, without the copy of the package."""


@pytest.fixture(params=["baseline", "cnn", "transfer"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model as MLflow stored it."""
    for name in ("MLmodel", "registered_model.py"):
        shutil.copy(EARLIER / name, tmp_path)
    shutil.copytree(EARLIER / request.param, tmp_path / "artifacts" / "classifier")
    return tmp_path


def test_a_model_logged_earlier_predicts_as_it_did(earlier: Path) -> None:
    difference, _ = reproduction_error(str(earlier))
    assert difference is not None
    assert difference < TOLERANCE
    probe = json.loads((earlier / "artifacts/classifier/probe.json").read_text())
    faces = [base64.b64decode(image) for image in probe["images"]]
    table = mlflow.pyfunc.load_model(str(earlier)).predict(pd.DataFrame({"image": faces}))
    np.testing.assert_allclose(table[list(EMOTIONS)], probe["probabilities"], atol=TOLERANCE)
    assert load(str(earlier)).predict(faces[0]).emotion == table["emotion"][0]


def test_the_gate_accepts_the_model_code_of_an_earlier_version(earlier: Path) -> None:
    is_ours, sentence = compare_code(str(earlier))
    assert is_ours, sentence
