"""Data set download, for the data sets whose terms allow it. No other module fetches data."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from fer_mlops.data.datasets import muxspace
from fer_mlops.data.datasets.base import COMMIT_FILE
from fer_mlops.errors import DataError
from fer_mlops.files import make_once
from fer_mlops.progress import Progress, no_progress

_BLOCK = 1 << 20
_SECONDS = 60.0  # time without a byte after which the transfer counts as broken
_REMEDY = "free space or pass another folder with --to"


@dataclass(frozen=True, slots=True)
class Archive:
    """Archive of a data set, as packed by its publisher."""

    url: str
    """URL of the newest tar.gz, with all files below one folder; its commit is recorded."""
    kept: tuple[str, ...]
    """Prefixes, below that folder, of the files that belong to the data set."""
    is_whole: Callable[[Path], bool]
    """Returns whether an unpacked folder contains the complete data set."""


ARCHIVES: dict[str, Archive] = {
    "muxspace": Archive(
        url="https://codeload.github.com/muxspace/facial_expressions/tar.gz/HEAD",
        kept=("images/", "data/"),  # the repository also contains students' work
        is_whole=muxspace.is_muxspace,
    ),
}


def download(archive: Archive, target: Path, progress: Progress = no_progress) -> Path:
    """Downloads a data set and returns ``target``, its new folder, which is created whole or not at all.

    A partial transfer is kept as ``<target>.tar.gz.part``; the next call resumes it if the server
    allows.

    Raises:
        DataError: ``target`` exists, the server cannot be reached or refuses, the transfer breaks off,
            the archive is damaged or is something else, or the disk is full.
    """
    if target.exists():
        raise DataError(f"{str(target)!r} already exists; pass another folder with --to, or delete it")
    packed = target.with_name(f"{target.name}.tar.gz")
    if not packed.is_file():
        part = packed.with_name(f"{packed.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(archive.url, part, progress)
            part.replace(packed)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"cannot write {str(part)!r}: {reason}; {_REMEDY}") from error
    make_once(target, lambda aside: _unpack(archive, packed, aside, progress), _REMEDY)
    packed.unlink(missing_ok=True)
    return target


def _fetch(url: str, part: Path, progress: Progress) -> None:
    """Appends to ``part`` until the file is complete."""
    # pooch 1.9 cannot resume: it deletes what arrived when a transfer breaks off.
    done = part.stat().st_size if part.is_file() else 0
    response, done = _ask(url, done)
    with response:
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else 0
        advance = progress("downloading, MB", -(-total // _BLOCK))
        advance(done // _BLOCK)
        with part.open("ab" if done else "wb") as file:
            for block in _blocks(response, url):
                file.write(block)
                advance((done + len(block)) // _BLOCK - done // _BLOCK)
                done += len(block)
    if done < total:
        raise _broken(url, f"{done} of {total} bytes received")


def _ask(url: str, start: int) -> tuple[HTTPResponse, int]:
    """Returns the server's response, and the byte that its body starts from: ``start`` or 0."""
    headers = {"User-Agent": "fer_mlops"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=_SECONDS)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # the partial file belongs to another version: start again
            return _ask(url, 0)
        raise DataError(f"cannot download {url}: the server says {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        reason = getattr(reason, "strerror", None) or reason
        raise DataError(
            f"cannot download {url}: {reason}; without internet access, copy the data set here by other "
            "means and pass its folder with --data"
        ) from error
    if response.status != 206:
        return response, 0
    if re.match(rf"bytes {start}-", response.headers.get("Content-Range", "")):
        return response, start
    response.close()
    return _ask(url, 0)


def _blocks(response: HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while block := response.read(_BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _broken(url, str(error) or type(error).__name__) from error


def _broken(url: str, reason: str) -> DataError:
    return DataError(f"the transfer of {url} broke off ({reason}); run the same command again to resume")


def _unpack(archive: Archive, packed: Path, folder: Path, progress: Progress) -> None:
    """Writes the data set's files to ``folder``; deletes ``packed`` if it is damaged."""
    advance = progress("unpacking, files", 0)
    try:
        with gzip.open(packed) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = member.name.partition("/")[2]
                    if member.isfile() and name.startswith(archive.kept):
                        tar.extract(member.replace(name=name, deep=False), folder, filter="data")
                        advance(1)
                commit = tar.pax_headers.get("comment", "")  # as git and GitHub write it
            while stream.read(_BLOCK):  # gzip verifies the checksum at the end
                pass
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        packed.unlink()
        raise DataError(
            f"the archive from {archive.url} is damaged ({error}) and was deleted; run the same command "
            "again to download it again"
        ) from error
    if re.fullmatch("[0-9a-f]{40}", commit):
        (folder / COMMIT_FILE).write_text(commit, encoding="utf-8")
    if not archive.is_whole(folder):
        packed.unlink()
        raise DataError(
            f"the archive from {archive.url} is not the expected data set and was deleted; "
            "its publisher may have changed it"
        )
