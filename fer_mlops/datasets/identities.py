"""Whose face it is, as far as a path tells."""

from __future__ import annotations

import re

from fer_mlops.emotions import is_emotion

_NUMBER = re.compile(r"[\s_\-.(]*\d+\)?$")
_NOBODY = re.compile(
    r"(im|img|image|images|dsc|dscn|dscf|dcim|pxl|mvi|vid|gopr|photo|pic|picture|face|faces|crop|cropped|"
    r"aligned|frame|scan|snap|snapshot|screenshot|screen shot|whatsapp|wa|at|file|untitled|unnamed|"
    r"sample|download|train|training|test|valid|validation|val|privatetest|publictest|ffhq|aug|selfie|"
    r"[\s_\-.\d])+",
    re.IGNORECASE,
)
"""What cameras, phones, scripts and collections call files: it names nobody."""


def person_of(path: str) -> tuple[str | None, str]:
    """Returns the person in a path below an emotion's folder, and what told it.

    A folder per person tells most (``anna/01.jpg``), else the file name less its number
    (``anna_01.jpg``). None where the name tells nobody: ``0001.jpg``, ``IMG_2041.jpg``, ``happy_3.png``.

    Args:
        path: With forward slashes.
    """
    person, slash, _ = path.partition("/")
    if slash:
        return person, "folder"
    stem = path.rpartition(".")[0] or path
    name = _NUMBER.sub("", stem)
    if not re.search(r"[^\W\d_]", name) or is_emotion(name) or _NOBODY.fullmatch(name):
        return None, "file name"
    return name, "file name"
