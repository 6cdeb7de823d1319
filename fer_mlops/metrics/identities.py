"""Identities: a text that names the person in each image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_UNNAMED = "unnamed: "  # prefix of the identity of a face without a known person


_BY_FACE = "face of "  # prefix of the identity of a person known by face only, not by name


def unnamed_identity(text: str) -> str:
    """Returns an identity that names nobody, from the image's path, which is unique.

    From a doubtful name instead, its faces stay together in a split, but count as unnamed.
    """
    return _UNNAMED + text


def face_identity(path: str) -> str:
    """Returns the identity of a person known by face only; ``path`` is their first image."""
    return _BY_FACE + path


def is_by_face(identities: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Returns, for each identity [n], whether the person is known by face only, not by name."""
    return np.char.startswith(identities, _BY_FACE)


def is_named(identities: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Returns, for each identity [n], whether it is that of a known person."""
    return ~np.char.startswith(identities, _UNNAMED)


def count_people(identities: NDArray[np.str_]) -> tuple[int, int]:
    """Returns the number of people named in ``identities`` [n], and the number of unnamed faces."""
    named = is_named(identities)
    return len(np.unique(identities[named])), int((~named).sum())


def describe_people(num_faces: int, num_people: int, num_unnamed: int) -> str:
    """Returns text such as ``196 faces of 14 people``, with the number of unnamed faces if any."""
    faces = count(num_faces, "face")
    if not num_unnamed:
        return f"{faces} of {count(num_people, 'person', 'people')}"
    if num_unnamed == num_faces:
        return f"{faces}, people unknown: nobody is named"
    people = count(num_people, "named person", "named people")
    return f"{faces}: {num_faces - num_unnamed:,} of {people}, {num_unnamed:,} unnamed"


def count(num: int, one: str, many: str = "") -> str:
    """Returns a number with its noun, such as ``1 image`` or ``1,204 images``."""
    return f"{num:,} {one if num == 1 else many or one + 's'}"
