"""Names the machine a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> str:
    """Returns cores, processor and versions in a line."""
    from importlib.metadata import version

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pillow"))
    return (
        f"{os.cpu_count()} cores, {names[0] if names else platform.processor()}, "
        f"Python {platform.python_version()}, {packages}, load {os.getloadavg()[0]:.1f}"
    )
