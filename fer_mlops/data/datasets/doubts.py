"""Names in doubt: what a path suggests, held against what the faces of each name show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from fer_mlops.data.table import Note, Row, shorten
from fer_mlops.metrics.identities import unnamed_identity

PUBLISHED = "published file name"
"""Origin of an identity that the publisher's naming states."""
GUESSES = ("file name", "folder")
"""Origins of an identity that a path suggests and nobody states."""


def doubt_guesses(rows: Sequence[Row], origins: Mapping[str, str]) -> tuple[list[Row], list[Note]]:
    """Returns the rows, of which a doubtful guess names nobody, and notes on what was found.

    Args:
        rows: The faces.
        origins: What told the person, by path; a path without one names nobody.
    """
    shown: dict[str, set[str]] = {}
    for row in rows:
        if row.path in origins:
            shown.setdefault(row.identity, set()).add(row.emotion)
    if all(origins.get(row.path) in GUESSES for row in rows) and _is_one_for_all(shown):
        name = rows[0].identity
        text = (
            f"all {len(rows)} faces have one name, {name!r}, which may be the collection's; they "
            "count as nobody's"
        )
        nobody = [replace(row, identity=unnamed_identity(row.path)) for row in rows]
        return nobody, [Note("doubtful-identity", text, (name,))]
    doubtful = doubtful_names(shown)
    if not doubtful:
        return list(rows), []
    looked_at, num_guesses, num_nobody = [], 0, 0
    for row in rows:
        if row.identity in doubtful and origins.get(row.path) in GUESSES:
            person = doubtful[row.identity]
            num_guesses, num_nobody = num_guesses + 1, num_nobody + (person is None)
            row = replace(row, identity=person or unnamed_identity(row.identity))
        looked_at.append(row)
    outcome = f"{num_nobody} faces count as nobody's" if num_guesses else "look whether that is so"
    text = (
        f"{len(doubtful)} of {len(shown)} people show one emotion only, such as "
        f"{shorten(sorted(doubtful), 2)}: the names seem to hold the emotion, the session or a "
        f"number; {outcome}"
    )
    return looked_at, [Note("doubtful-identity", text, tuple(sorted(doubtful)))]


def _is_one_for_all(shown: Mapping[str, Collection[str]]) -> bool:
    return len(shown) == 1 and all(len(emotions) > 2 for emotions in shown.values())


def doubtful_names(emotions_of: Mapping[str, Collection[str]]) -> dict[str, str | None]:
    """Returns names that seem to hold more than a person, and the person they begin or end with.

    A name that shows one emotion only is doubtful where nearly all names of that emotion do: real people
    are seen with several, while ``anna gloomy`` and ``3f2c`` are not. It is ``anna`` where she is a name
    that is not doubtful, else None.

    Args:
        emotions_of: What each name's faces show.
    """
    names_of: dict[str, list[str]] = {}
    for name, emotions in emotions_of.items():
        for emotion in emotions:
            names_of.setdefault(emotion, []).append(name)
    doubtful: set[str] = set()
    for names in names_of.values():
        alone = [name for name in names if len(emotions_of[name]) == 1]
        if len(names) >= _FEWEST and len(alone) > _ALONE * len(names):
            doubtful.update(alone)
    return {name: _person_within(name, emotions_of.keys() - doubtful) for name in doubtful}


def _person_within(name: str, believed: Collection[str]) -> str | None:
    words = name.split()
    cuts = range(len(words) - 1, 0, -1)
    shorter = [" ".join(some) for cut in cuts for some in (words[:cut], words[-cut:])]
    return next((person for person in shorter if person in believed), None)


_FEWEST = 5
"""Names of an emotion from which they can be doubted."""
_ALONE = 0.9
"""Share of an emotion's names that show nothing else, from which they are doubted. In Labeled Faces in
the Wild, where most people have one photo, it is at most .8."""
