"""JSON schema of recipes, from which editors complete and check them.

``python -m fer_mlops.config.schema`` writes it to ``experiments/recipe.schema.json``.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from fer_mlops.config import FAMILIES
from fer_mlops.config.recipes import TUNING
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.config.validation import Settings, descriptions
from fer_mlops.files import recipes_folder, write_text

Schema = dict[str, Any]
SCHEMA_FILE = "recipe.schema.json"


class _Untitled(GenerateJsonSchema):
    """Leaves out titles, which repeat the names of the settings."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def recipe_schema() -> Schema:
    """Returns the schema of a recipe: one of the families, each with its own defaults."""
    classes = {**FAMILIES, TUNING: TuningConfig}
    adapters = [(name, "validation", TypeAdapter(cls)) for name, cls in classes.items()]
    families, schema = TypeAdapter.json_schemas(adapters, schema_generator=_Untitled)  # type: ignore[arg-type]
    parts = schema["$defs"]
    tuning = parts[TuningConfig.__name__]
    _describe(tuning, TuningConfig)
    for setting in tuning["properties"].values():
        if setting["default"] == math.inf:  # JSON has no infinity
            del setting["default"]
    for family, cls in FAMILIES.items():
        experiment = cls()
        own = parts[cls.__name__]["properties"]
        _describe(parts[cls.__name__], cls)
        for field in dataclasses.fields(cls):
            section = getattr(experiment, field.name)
            if isinstance(section, Settings):
                part = parts[type(section).__name__]
                _describe(part, type(section))
                if section != type(section)():  # such as the epochs of transfer
                    known, defaults = part["properties"], dataclasses.asdict(section)
                    of_family = {name: {**known[name], "default": defaults[name]} for name in defaults}
                    own[field.name] = {**part, "properties": of_family}
        own[TUNING] = families[TUNING, "validation"]
        own["family"] = {"const": family, "description": "Family that the recipe is for."}
    return {"anyOf": [families[name, "validation"] for name in FAMILIES], **schema}


def _describe(part: Schema, cls: type) -> None:
    """Adds the description of each setting of a class to its property."""
    for name, text in descriptions(cls).items():
        part["properties"][name]["description"] = text


if __name__ == "__main__":
    write_text(recipes_folder() / SCHEMA_FILE, json.dumps(recipe_schema(), indent=1) + "\n")
