"""Files of a logged model: the classifier's bundle, and the entries of MLflow's ``MLmodel``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fer_mlops.errors import ModelError

MODEL_NAME = "classifier"
MODEL_CODE = "registered_model.py"  # file in this package that MLflow runs to load a logged model
_LOADER = "mlflow.pyfunc.loaders.code_model"  # MLflow's own loader for models from code
_MOST_LETTERS = 1_000_000  # characters to read of an MLmodel file; a normal one has two thousand


def bundle_in(folder: Path, name: str) -> Path:
    """Returns the bundle in a downloaded folder or a user's folder.

    Raises:
        ModelError: The folder holds no bundle, or a model that fer_mlops did not log.
    """
    entries = entries_of(folder)
    flavors = entries.get("flavors")
    ours = flavors.get("python_function") if isinstance(flavors, dict) and len(flavors) == 1 else None
    found = ours if isinstance(ours, dict) else {}
    loader, code = found.get("loader_module"), found.get("model_code_path")
    is_ours = loader == _LOADER and Path(str(code)).name == MODEL_CODE and "python_model" not in found
    if entries and not is_ours:  # another program logged the model
        raise ModelError(
            f"{name!r} was not logged by fer_mlops: its MLmodel asks for the loader {loader!r:.80} and "
            f"the code {code!r:.80}; neither was run"
        )
    for bundle in (folder / "artifacts" / "classifier", folder / MODEL_NAME, folder):
        if (bundle / "classifier.json").is_file():
            return bundle
    raise ModelError(f"{name!r} is not a classifier of fer_mlops: it has no classifier.json")


def entries_of(folder: Path) -> Mapping[str, Any]:
    """Returns the entries of a model's file ``MLmodel``; empty if there is no such file."""
    path = folder / "MLmodel"
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            entries = yaml.safe_load(file.read(_MOST_LETTERS))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelError(f"MLmodel cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(entries, dict):
        raise ModelError("MLmodel cannot be read: it is not a mapping of names to values")
    return entries
