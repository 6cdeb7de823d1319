"""Where things that can be made again are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_mlops.files import cache_folder


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FER_MLOPS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FER_MLOPS_CACHE", "~/faces")
    assert cache_folder() == tmp_path / "faces"
    monkeypatch.delenv("FER_MLOPS_CACHE")
    assert cache_folder() == tmp_path / ".cache" / "fer_mlops"
