"""Small stand-ins for the published packages of experts: their real manifests, random values."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_mlops.models import experts

_MANIFESTS = Path(__file__).parent / "models" / "expert_manifests.json"


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Writes a package for each expert, pins its digests, and gives torch an empty cache in ``folder``.

    Returns:
        Path of each expert's package.
    """
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    generator = np.random.default_rng(0)
    packages = {}
    for name, entries in json.loads(_MANIFESTS.read_text()).items():
        expert = experts.EXPERTS[name]
        values = b""
        for entry in entries:
            shape = entry["shape"]
            if "quantization" in entry:
                values += generator.integers(0, 256, shape).astype(np.uint8).tobytes()
            else:
                kind = entry["dtype"]
                values += (generator.standard_normal(shape) / 4).astype(kind).tobytes()
        manifest = json.dumps({"weightsManifest": [{"weights": entries}]}).encode()
        packages[name] = folder / f"{name}.tgz"
        with tarfile.open(packages[name], "w:gz") as archive:
            for path, content in zip(expert.files, (manifest, values), strict=True):
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        digests = hashlib.sha256(manifest).hexdigest(), hashlib.sha256(values).hexdigest()
        monkeypatch.setitem(experts.EXPERTS, name, replace(expert, digests=digests))
    return packages


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs random weights of every expert in a cache in ``folder``."""
    for name, package in publish(folder, monkeypatch).items():
        experts.get_weights(name, package)
