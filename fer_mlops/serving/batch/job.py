"""Scoring job: its settings are stored in the output folder, so that only the same job can resume."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.files import locked, write_text
from fer_mlops.models.calibration import OperatingPoint

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("image", pa.string()),
        ("emotion", pa.string()),
        ("confidence", pa.float64()),
        *((emotion, pa.float64()) for emotion in EMOTIONS),
        ("is_sure", pa.bool_()),
        ("error", pa.string()),
    ]
)
"""Columns of the output: ``row`` is the row number in the source, from 0; ``error`` is the reason why an
image has no prediction, else null."""

_FORMAT = 2
_JOB, _DONE = "_job.json", "_SUCCESS"  # Parquet readers skip files whose names begin with an underscore
PART = "part-{:06}.parquet"


@dataclass(frozen=True, kw_only=True)
class Job:
    """Settings of a scoring job; all of them affect the output."""

    engine: str
    model: str
    """Name with a fixed version, not an alias."""
    model_digest: str
    """Digest of the model's folder or file; empty for a registered model, which cannot change."""
    digest: str
    """Digest of the source."""
    num_rows: int
    rows_per_file: int
    point: OperatingPoint = "default"
    threshold: float | None = None
    format: int = _FORMAT

    def __post_init__(self) -> None:
        if self.rows_per_file < 1:
            raise ConfigError(f"rows per file must be 1 or more, got {self.rows_per_file}")

    @property
    def num_parts(self) -> int:
        return -(-self.num_rows // self.rows_per_file)

    def rows_of(self, number: int) -> tuple[int, int]:
        """Returns the first row of a part, and the row after its last."""
        first = number * self.rows_per_file
        return first, min(first + self.rows_per_file, self.num_rows)


@dataclass(frozen=True)
class Scored:
    """Summary of a finished output folder."""

    num_rows: int
    num_bad: int
    """Rows with an error."""
    num_before: int
    """Rows that existed when the command started."""


@contextmanager
def opened(out: Path, job: Job) -> Iterator[None]:
    """Locks the output folder for this job; another process is refused until the block ends.

    Raises:
        ConfigError: The folder belongs to another job.
        DataError: The folder holds other files, is in use, or cannot be written.
    """
    job_file = out / _JOB
    try:
        if not job_file.is_file() and out.exists() and any(not _is_lock(file) for file in out.iterdir()):
            raise DataError(f"{str(out)!r} holds other files; name a new folder with --out")
        with ExitStack() as lock:
            try:
                lock.enter_context(locked(job_file, blocking=False))
            except BlockingIOError as error:
                raise DataError(f"another process is scoring into {str(out)!r}") from error
            if not job_file.is_file():
                write_text(job_file, json.dumps(dataclasses.asdict(job), indent=2))
            _compare(out, json.loads(job_file.read_text(encoding="utf-8")), dataclasses.asdict(job))
            yield
    except OSError as error:
        raise DataError(f"cannot write to {str(out)!r}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{str(job_file)!r} is damaged; score into a new folder") from error


def _is_lock(file: Path) -> bool:
    return file.name.startswith(".") and file.suffix == ".lock"


def _compare(out: Path, begun: object, requested: dict[str, object]) -> None:
    if not isinstance(begun, dict):
        raise DataError(f"{str(out / _JOB)!r} is damaged; score into a new folder")
    for key, value in requested.items():
        if begun.get(key) != value:
            raise ConfigError(
                f"{str(out)!r} was started with {key.replace('_', ' ')} {begun.get(key)}, not {value}; "
                "repeat that command to finish it, or name a new folder with --out"
            )


def missing_parts(out: Path, job: Job) -> tuple[list[int], int]:
    """Returns the numbers of the missing parts, and the number of rows in the others.

    Raises:
        OSError: A part cannot be read or removed.
    """
    missing, num_done = [], 0
    for number in range(job.num_parts):
        file, (first, stop) = out / PART.format(number), job.rows_of(number)
        if file.is_file() and _num_rows(file) == stop - first:
            num_done += stop - first
        else:
            file.unlink(missing_ok=True)  # damaged by a power cut or a full disk
            missing.append(number)
    if missing:
        (out / _DONE).unlink(missing_ok=True)
    return missing, num_done


def _num_rows(file: Path) -> int | None:
    try:
        table = pq.ParquetFile(file)
    except pa.ArrowException:  # empty, cut off, or not Parquet
        return None
    with table:
        return int(table.metadata.num_rows) if table.schema_arrow.equals(SCHEMA) else None


def finish(out: Path, job: Job, num_before: int) -> Scored:
    """Marks the folder complete and returns what it holds.

    Raises:
        DataError: A part is damaged, or the number of rows is wrong, as another program wrote to it.
    """
    try:
        rows = ds.dataset(
            sorted(str(path) for path in out.glob("part-*.parquet")), schema=SCHEMA, format="parquet"
        )
        num = int(rows.count_rows())
        num_bad = int(rows.count_rows(filter=pc.field("error").is_valid()))
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{str(out)!r} holds a damaged part: {reason}; remove that file") from error
    if num != job.num_rows:
        raise DataError(
            f"{str(out)!r} holds {num} rows instead of {job.num_rows}: another program has changed it; "
            "score into a new folder"
        )
    write_text(out / _DONE, "")
    return Scored(num, num_bad, num_before)


def content_digest(path: Path) -> str:
    """Returns a digest of a file, or of all files below a folder."""
    state = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            state.update(f"{file.relative_to(path)}\0".encode())
            state.update(file.read_bytes())
    return state.hexdigest()
