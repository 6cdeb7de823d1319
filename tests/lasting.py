"""A tracking store that lasts for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from fer_mlops.evaluation.report import Report


@contextmanager
def lasting_store(folder: Path, empty_store: Path, cache: Path) -> Iterator[None]:
    """Makes ``folder`` the current one, with a store and ``cache``, until the block ends."""
    uri = f"sqlite:///{folder}/mlflow.db"
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("FER_MLOPS_CACHE", str(cache))
        mlflow.set_tracking_uri(uri)
        for flaw in ("one_emotion", "no_gain"):  # in few epochs a network learns nothing
            patch.setattr(Report, flaw, lambda _: "")
        yield
        mlflow.set_tracking_uri(None)
