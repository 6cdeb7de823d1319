"""What MLflow stores of a registered model: this file, run as code, beside the bundle it loads.

Input: a data frame with a column ``image`` of encoded bytes (JPEG, PNG, WebP…), or of base64 text of
them. Text is never a path: a client of a server could read the server's files by it.
Output: a data frame with ``emotion``, ``confidence``, one probability per emotion, and ``is_sure``, on
the index of the input.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from fer_mlops.classifier import Classifier
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.images import begins_like_image, from_base64


class Refusal(MlflowException):
    """A request that cannot be answered, told in one sentence.

    MLflow's server puts the request before the message of an exception, pictures and all, so the message
    stays as it was made.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name != "message" or not hasattr(self, "message"):
            super().__setattr__(name, value)


class FerModel(PythonModel):
    """Image bytes to emotions."""

    def load_context(self, context: PythonModelContext) -> None:
        self.classifier = Classifier.load(Path(context.artifacts["classifier"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """Returns one row per image; refuses the whole request if an image cannot be read."""
        try:
            pixels = self.classifier.prepare(_images(model_input["image"]))
        except DataError as error:
            raise Refusal(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        probabilities = self.classifier.predict_proba(pixels)
        table = pd.DataFrame(probabilities, index=model_input.index, columns=list(EMOTIONS))
        table.insert(0, "emotion", [EMOTIONS[label] for label in probabilities.argmax(1)])
        table.insert(1, "confidence", probabilities.max(1))
        table["is_sure"] = self.classifier.calibration.is_sure(probabilities)
        return table


def _images(cells: pd.Series) -> list[bytes]:
    """Returns the encoded image of each cell.

    Raises:
        DataError: A cell holds neither bytes nor base64 text; the message says which, from 0.
    """
    images = []
    for number, cell in enumerate(cells):
        try:
            images.append(_image(cell))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"image {number} of {len(cells)} is {error}; give its file's bytes, or base64 of them"
            ) from error
    return images


def _image(cell: Any) -> bytes:
    """Returns the encoded image that a cell stands for; MLflow makes bytes of text in ``inputs``."""
    if isinstance(cell, bytes):
        if not begins_like_image(cell):
            with suppress(ValueError):
                return from_base64(cell.decode("ascii"))
        return cell
    if not isinstance(cell, str):
        is_missing = pd.api.types.is_scalar(cell) and pd.isna(cell)
        raise TypeError("missing" if is_missing else type(cell).__name__)
    try:
        return from_base64(cell)
    except ValueError as error:
        raise ValueError("text that is no base64, and a path is never opened") from error


set_model(FerModel())
