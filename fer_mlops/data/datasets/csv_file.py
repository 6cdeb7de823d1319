"""User's own csv: columns ``image,emotion`` and optionally ``identity``, ``source``, ``part``.

Image paths are relative to the csv. ``part`` is the publisher's train, valid or test. Any other
column (``age``, ``annotator``…) is kept with the faces.
"""

from __future__ import annotations

from pathlib import Path

from fer_mlops.data.csv_reader import read_csv
from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder, part_of
from fer_mlops.data.datasets.identities import person_of, stated_person
from fer_mlops.data.table import FaceTable
from fer_mlops.errors import DataError

# without these an archive, like any file, would be read as a csv that is not UTF-8
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
_OWN = frozenset({"image", "emotion", "identity", "source", "part"})


def load(path: Path, request: Request) -> FaceTable:
    """Returns the labelled faces of the csv at ``path``.

    Raises:
        DataError: The file is unreadable, lacks a column, names a missing image or one outside the
            csv's folder, or has an unknown emotion or part; the message names the line.
    """
    if path.suffix.lower() in _ARCHIVES:
        raise DataError(f"{str(path)!r} is an archive; unpack it, and pass the folder with --data")
    builder = FaceTableBuilder(path.stem, path.parent, request)
    for line in read_csv(path, ("image", "emotion")):
        where = f"{path.name} line {line.number}"
        part = part_of(line.get("part", ""))
        if part is None:
            builder.skip(
                "malformed-row", f"{where}: part must be train, valid or test, got {line['part']!r}"
            )
            continue
        person, origin = stated_person(line.get("identity", "")), "column identity"
        if not person and "identity" not in line:  # an empty cell says that the person is unknown
            person, origin = person_of(line["image"].replace("\\", "/").rpartition("/")[2])
        builder.add(
            line["image"],
            line["emotion"],
            where=where,
            identity=person,
            identity_from=origin,
            source=line.get("source", ""),
            part=part,
            columns={name: value for name, value in line.items() if name and name not in _OWN},
        )
    return builder.table()


DATASET = DataSet(
    name="csv",
    load=load,
    recognises=Path.is_file,
    layout="a csv with columns image,emotion[,identity,source,part,…]",
    where="your own",
    terms="Your responsibility: the people shown must have agreed to this use.",
)
