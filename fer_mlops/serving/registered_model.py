"""What MLflow stores of a registered model: this file, run as code, beside the bundle it loads.

Input: a data frame with a column ``image`` of encoded bytes (JPEG, PNG, WebP…; base64 over REST).
Output: a data frame with ``emotion``, ``confidence``, one probability per emotion, and ``is_sure``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from fer_mlops.classifier import Classifier
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError


class FerModel(PythonModel):
    """Image bytes to emotions."""

    def load_context(self, context: PythonModelContext) -> None:
        self.classifier = Classifier.load(Path(context.artifacts["classifier"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """Returns one row per image; refuses the whole request if an image cannot be read."""
        try:
            pixels = self.classifier.prepare(list(model_input["image"]))
        except DataError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        probabilities = self.classifier.predict_proba(pixels)
        table = pd.DataFrame(probabilities, columns=list(EMOTIONS))
        table.insert(0, "emotion", [EMOTIONS[label] for label in probabilities.argmax(1)])
        table.insert(1, "confidence", probabilities.max(1))
        table["is_sure"] = self.classifier.calibration.is_sure(probabilities)
        return table


set_model(FerModel())
