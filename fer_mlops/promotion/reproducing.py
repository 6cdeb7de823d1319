"""Whether a registered version loads without pickles and answers as on the day it was trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow

from fer_mlops.tracker import PROBE_FILE

TOLERANCE = 1e-5
"""Difference of a probability that counts as the same answer."""
_SECONDS = 300
_CODE = """
import base64, json, sys
import mlflow, numpy, pandas
probe = json.load(open(sys.argv[2], encoding="utf-8"))
model = mlflow.pyfunc.load_model(sys.argv[1])
images = [base64.b64decode(image) for image in probe["images"]]
answers = model.predict(pandas.DataFrame({"image": images}))
told = answers[probe["emotions"]].to_numpy(float)
print(json.dumps(float(numpy.abs(told - numpy.array(probe["probabilities"])).max())))
"""


def reproduction_error(uri: str, bundle: Path) -> tuple[float | None, str]:
    """Returns by how much the version's answers differ from those stored with it, and what was found.

    It is loaded by a process of its own, with pickles forbidden and nothing of this one's folder or
    PYTHONPATH in reach, and asked about the faces that its training run stored answers for.

    Args:
        uri: ``models:/fer-classifier/3``.
        bundle: Folder of its classifier.

    Returns:
        The largest difference of a probability, None where there is no answer, and a sentence.
    """
    probe = bundle / PROBE_FILE
    if not probe.is_file():
        return None, "was logged without answers to reproduce; train it again"
    environment = {
        **os.environ,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
    }
    command = [sys.executable, "-I", "-c", _CODE, uri, str(probe)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"did not answer within {_SECONDS} seconds"
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return None, f"does not load in a process of its own: {reason}"
    error = float(json.loads(done.stdout.strip().splitlines()[-1]))
    return error, f"largest difference {error:.1e}"
