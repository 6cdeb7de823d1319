"""The shapes of requests and answers, for /openapi.json."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ModelName(BaseModel):
    """Which version answered."""

    slot: str = Field(examples=["champion"])
    name: str = Field(examples=["models:/fer-classifier/3"])
    version: str = Field(examples=["3"], description="Empty for a model that is in no registry.")


class Explanation(BaseModel):
    """Where the model looked."""

    method: str = Field(examples=["gradcam"], description="gradcam, or occlusion for the baseline.")
    overlay: str = Field(description="The face as the model sees it under its heat map; a data: URI.")


class Face(BaseModel):
    """The answer about one image."""

    emotion: str = Field(examples=["happiness"])
    confidence: float = Field(description="The largest of the probabilities.")
    probabilities: dict[str, float] = Field(description="Of the seven emotions; calibrated, sum 1.")
    is_sure: bool = Field(description="Whether the confidence reaches the threshold.")
    explanation: Explanation | None = Field(None, description="With ?explain=true.")


class _About(BaseModel):
    point: str = Field(description="The operating point that was asked for.")
    threshold: float | None = Field(
        description="Confidence from which an answer is sure; null where none is enough."
    )
    model: ModelName


class One(Face, _About):
    """The answer to one image."""


class Many(_About):
    """The answer to several images."""

    predictions: list[Face]


class Refused(BaseModel):
    """Every error."""

    error_code: str = Field(examples=["BAD_REQUEST"])
    message: str = Field(description="One sentence: what is wrong and what would be right.")


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
