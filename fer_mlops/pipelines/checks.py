"""Checks of the installation: packages, tracking store, weights, disk and devices; changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from fer_mlops import __version__
from fer_mlops.errors import FerError

Status = Literal["ok", "warning", "failed"]
_PACKAGE = "fer-mlops"
_TOOLS = {"all", "docs", "dev", "serve"}  # extras that are made of others, or for developers
_LEAST_FREE, _FEW_FREE = 0.5e9, 5e9  # bytes below which no training fits on the disk, or no sweep
_SIDE = 512  # side of the matrices that are multiplied
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class SystemCheck:
    """Result of one check."""

    name: str
    status: Status
    found: str
    remedy: str = ""
    """Command or advice; empty if there is nothing to do."""


def run_checks(cache: Path) -> Iterator[SystemCheck]:
    """Yields the result of every check, those that need torch last."""
    failed = set()
    for name, check in CHECKS.items():
        if _NEEDS.get(name) in failed:
            continue
        try:
            result = check(cache)
        except FerError as error:
            found, _, remedy = str(error).partition("; ")
            result = "failed", found, remedy
        except Exception as error:  # a broken library may raise anything, and is what is looked for
            reason = (str(error).splitlines() or [""])[0]
            result = "failed", f"{type(error).__name__}: {reason}", "install it again"
        status, found, remedy = result
        if status == "failed":
            failed.add(name)
        yield SystemCheck(name=name, status=status, found=found, remedy=remedy)


_Result = tuple[Status, str, str]


def _packages(_: Path) -> _Result:
    needed = _requirements()
    wrong = [each for each in needed if not _is_installed(each)]
    if wrong:
        names = ", ".join(f"{each} (found {_version_of(each)})" for each in wrong)
        return "failed", names, "pip install " + " ".join(f"'{each}'" for each in wrong)
    shown = ", ".join(f"{name} {version(name)}" for name in ("torch", "mlflow"))
    return "ok", f"{shown}, and {len(needed) - 2} more", ""


def _extras(_: Path) -> _Result:
    names = distribution(_PACKAGE).metadata.get_all("Provides-Extra") or []
    here: list[str] = []
    absent: list[str] = []
    of_all = set(map(str, _requirements()))
    for extra in sorted(set(names) - _TOOLS):
        own = [each for each in _requirements(extra) if str(each) not in of_all]
        (here if all(map(_is_installed, own)) else absent).append(extra)
    found = f"installed: {', '.join(here) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    if "face" in absent:
        remedy = f"pip install '{_PACKAGE}[face]' for presets of transfer and for faces in photos"
        return "warning", found, remedy
    return "ok", found, ""


def _requirements(extra: str = "") -> list[Requirement]:
    """Returns the package's requirements; with those of ``extra`` if it is named."""
    found = [Requirement(text) for text in distribution(_PACKAGE).requires or []]
    return [each for each in found if not each.marker or each.marker.evaluate({"extra": extra})]


def _is_installed(requirement: Requirement) -> bool:
    found = _version_of(requirement)
    return found != "none" and requirement.specifier.contains(found, prereleases=True)


def _version_of(requirement: Requirement) -> str:
    try:
        return version(requirement.name)
    except PackageNotFoundError:
        return "none"


def _store(_: Path) -> _Result:
    from fer_mlops.tracking.store import missing_database
    from fer_mlops.tracking.store_probe import check_folder_for, describe_store

    if file := missing_database():
        check_folder_for(file)
        return "ok", f"no store yet: the first training run makes {file}", ""
    return "ok", describe_store(), ""


def _stored_files(_: Path) -> _Result:
    from fer_mlops.tracking.store import missing_database
    from fer_mlops.tracking.store_probe import try_store

    if missing_database():
        return "ok", "nothing to try, as there is no store yet", ""
    return "ok", f"written, read back and removed: {try_store()}", ""


def _cache(cache: Path) -> _Result:
    remedy = "set FER_MLOPS_CACHE to a folder that you may write to"
    there = _nearest_existing(cache)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return "failed", f"{cache} cannot be written", remedy
    if there != cache:
        return "ok", f"{cache}, not made yet", ""
    files = [file for file in cache.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return "ok", f"{cache}, {size / 1e6:,.0f} MB in {len(files):,} files", ""


def _disk(cache: Path) -> _Result:
    places = {"this folder": Path.cwd(), "the cache": _nearest_existing(cache)}
    free = {name: shutil.disk_usage(place).free for name, place in places.items()}
    found = ", ".join(f"{num / 1e9:,.1f} GB free for {name}" for name, num in free.items())
    least = min(free.values())
    if least < _LEAST_FREE:
        return "failed", found, "free space, or set FER_MLOPS_CACHE to another disk"
    if least < _FEW_FREE:
        return "warning", found, "free space before a sweep or a large data set"
    return "ok", found, ""


def _nearest_existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _torch(_: Path) -> _Result:
    start = time.perf_counter()
    import torch

    seconds = time.perf_counter() - start
    return "ok", f"{torch.__version__} imports in {seconds:.1f} s", ""


def _weights(_: Path) -> _Result:
    from fer_mlops.models.backbones import installed_weights

    found = installed_weights()
    shown = ", ".join(f"{name} {'on disk' if is_here else 'absent'}" for name, is_here in found.items())
    if not found["dlib_face"]:
        remedy = f"pip install '{_PACKAGE}[face]': the presets of transfer need dlib_face"
        return "warning", shown, remedy
    return "ok", shown, ""


def _cpu(_: Path) -> _Result:
    import torch

    threads, num = torch.get_num_threads(), os.cpu_count() or 1
    return "ok", f"{threads} threads on {num} cores, {_multiply('cpu'):.0f} GFLOP/s", ""


def _gpu(_: Path) -> _Result:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        shown = ", ".join(f"{each.name} with {each.total_memory / 1e9:.0f} GB" for each in names)
        return "ok", f"{shown}, {_multiply('cuda'):,.0f} GFLOP/s", ""
    if torch.backends.mps.is_available():
        return "ok", f"Apple GPU (MPS), {_multiply('mps'):,.0f} GFLOP/s", ""
    if shutil.which("nvidia-smi"):
        remedy = "see nvidia-smi, and install PyTorch's wheel for that driver"
        return "warning", f"an NVIDIA driver, but torch {torch.__version__} finds no GPU", remedy
    return "ok", "none: training and prediction run on the CPU", ""


def _multiply(device: str) -> float:
    """Returns the speed of a matrix product in 10⁹ operations a second, after checking its result."""
    import torch

    ones = torch.ones(_SIDE, _SIDE, device=device)
    if not bool((ones @ ones == _SIDE).all()):
        raise RuntimeError(f"{device} multiplies matrices wrongly")
    seconds = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        float((ones @ ones)[0, 0])  # waits for the device
        seconds.append(time.perf_counter() - start)
    return 2 * _SIDE**3 / min(seconds) / 1e9


CHECKS: dict[str, Callable[[Path], _Result]] = {
    "python": lambda _: ("ok", f"{platform.python_version()}, {sys.executable}", ""),
    "fer_mlops": lambda _: ("ok", f"{__version__}, {Path(__file__).parents[1]}", ""),
    "packages": _packages,
    "extras": _extras,
    "tracking store": _store,
    "stored files": _stored_files,
    "cache": _cache,
    "disk": _disk,
    "torch": _torch,
    "weights": _weights,
    "cpu": _cpu,
    "gpu": _gpu,
}
"""Checks by name, those that load torch last."""
# a check that fails leaves out those that need it, as they would repeat its failure
_NEEDS = {"stored files": "tracking store", "weights": "torch", "cpu": "torch", "gpu": "torch"}
