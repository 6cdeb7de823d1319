"""Identities: a text for the person in each picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_UNNAMED = "unnamed: "
"""Begins the identity of a face whose person nothing names."""


_BY_FACE = "face of "
"""Begins the identity of someone whom only faces tell apart."""


def unnamed_identity(text: str) -> str:
    """Returns an identity that names nobody.

    Args:
        text: The image's path, which no other face shares; or a doubtful name, whose faces then stay
            together in a split and still count as nobody's.
    """
    return _UNNAMED + text


def face_identity(path: str) -> str:
    """Returns the identity of someone whom only faces tell apart.

    Args:
        path: The first of the person's images.
    """
    return _BY_FACE + path


def is_by_face(identities: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Returns, for each identity [n], whether only faces tell that person apart."""
    return np.char.startswith(identities, _BY_FACE)


def is_named(identities: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Returns, for each identity [n], whether it is a known person's name."""
    return ~np.char.startswith(identities, _UNNAMED)


def count_people(identities: NDArray[np.str_]) -> tuple[int, int]:
    """Returns how many people ``identities`` [n] name, and how many of the n faces name nobody."""
    named = is_named(identities)
    return len(np.unique(identities[named])), int((~named).sum())


def describe_people(num_faces: int, num_people: int, num_unnamed: int) -> str:
    """Returns ``196 faces of 14 people``, or how many of the faces name nobody."""
    faces, people = count(num_faces, "face"), count(num_people, "person", "people")
    if not num_unnamed:
        return f"{faces} of {people}"
    if num_unnamed == num_faces:
        return f"{faces}, people unknown: nobody is named"
    return f"{faces}, {num_faces - num_unnamed:,} of {people}; {num_unnamed:,} name nobody"


def count(num: int, one: str, many: str = "") -> str:
    """Returns ``1 image``, ``1,204 images``."""
    return f"{num:,} {one if num == 1 else many or one + 's'}"
