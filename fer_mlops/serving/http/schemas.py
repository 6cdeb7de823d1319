"""Request and response schemas for /openapi.json."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from fer_mlops.emotions import EMOTIONS
from fer_mlops.models.calibration import OperatingPoint


class ModelName(BaseModel):
    """Model version that predicted."""

    slot: str = Field(examples=["champion"])
    name: str = Field(examples=["models:/fer-classifier/3"])
    version: str = Field(examples=["3"], description="Empty for a model outside the registry.")


class Explanation(BaseModel):
    """Heat map of the face parts that support the prediction."""

    method: str = Field(examples=["gradcam"], description="gradcam, or occlusion for the baseline.")
    overlay: str = Field(description="The face as the model sees it, with its heat map; a data: URI.")


class Face(BaseModel):
    """Prediction of one face."""

    emotion: str = Field(json_schema_extra={"enum": list(EMOTIONS)})
    confidence: float = Field(description="The largest of the probabilities.")
    probabilities: dict[str, float] = Field(
        description="Calibrated probability of each of the seven emotions; sum 1."
    )
    is_sure: bool = Field(description="Whether the confidence reaches the threshold.")
    explanation: Explanation | None = Field(None, description="With ?explain=true.")


class _About(BaseModel):
    point: OperatingPoint = Field(description="The operating point of the request.")
    threshold: float | None = Field(
        description="Confidence from which a prediction is sure; null if none is high enough."
    )
    model: ModelName


class One(Face, _About):
    """Prediction of one image."""


class Many(_About):
    """Predictions of several images."""

    predictions: list[Face]


class PhotoFace(Face):
    """Prediction of one face in a photo."""

    box: tuple[int, int, int, int] = Field(
        description="Left, top, right, bottom in pixels of the upright photo; may be outside it."
    )
    crop: str = Field(
        description="The gray face, upright, at most 320 pixels wide; a data: URI, which can be sent "
        "as an image."
    )


class InPhoto(_About):
    """Predictions of the faces in a photo, with ?faces=true."""

    faces: list[PhotoFace] = Field(description="From left to right; empty if no face was found.")
    num_found: int = Field(description="Faces found; the largest 64 are predicted.")


class Refused(BaseModel):
    """Error response."""

    error_code: str = Field(examples=["BAD_REQUEST"])
    message: str = Field(description="One sentence: the problem, and what to send instead.")


_TEXT = {"type": "string", "contentEncoding": "base64"}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
PREDICT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One image, or several.",
        "content": {
            "image/*": _BYTES,
            "multipart/form-data": {
                "schema": {"type": "object", "additionalProperties": _BYTES["schema"]}
            },
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "object", "required": ["image"], "properties": {"image": _TEXT}},
                        {
                            "type": "object",
                            "required": ["images"],
                            "properties": {"images": {"type": "array", "items": _TEXT}},
                        },
                    ]
                }
            },
        },
    }
}
INVOKE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "As for `mlflow models serve`, with the image as base64 text.",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "examples": {
                    "records": {"value": {"dataframe_records": [{"image": "<base64>"}]}},
                    "split": {"value": {"dataframe_split": {"columns": ["image"], "data": [["…"]]}}},
                    "inputs": {"value": {"inputs": {"image": ["<base64>"]}}},
                },
            }
        },
    }
}
