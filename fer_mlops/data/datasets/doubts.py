"""Doubtful identities: names guessed from paths that probably contain more than the person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from fer_mlops.data.table import Note, Row, shorten
from fer_mlops.metrics.identities import unnamed_identity

PUBLISHED = "published file name"  # origin of an identity that follows the publisher's naming scheme
GUESSES = ("file name", "folder")  # origins of an identity that is only guessed from a path


def doubt_guesses(rows: Sequence[Row], origins: Mapping[str, str]) -> tuple[list[Row], list[Note]]:
    """Returns the rows with doubtful guesses removed or corrected, and notes about them.

    ``origins`` is the origin of each identity by path; a path without one is unnamed.
    """
    shown: dict[str, list[str]] = {}
    for row in rows:
        if row.path in origins:
            shown.setdefault(row.identity, []).append(row.emotion)
    is_one_for_all = len(shown) == 1 and all(len(set(emotions)) > 2 for emotions in shown.values())
    if is_one_for_all and all(origins.get(row.path) in GUESSES for row in rows):
        name = rows[0].identity
        text = (
            f"all {len(rows)} faces have one name, {name!r}, which may be the collection's; they "
            "count as unnamed"
        )
        nobody = [replace(row, identity=unnamed_identity(row.path)) for row in rows]
        return nobody, [Note("doubtful-identity", text, (name,))]
    doubtful = doubtful_names(shown)
    if not doubtful:
        return list(rows), []
    checked, num_guesses, num_nobody = [], 0, 0
    for row in rows:
        if row.identity in doubtful and origins.get(row.path) in GUESSES:
            person = doubtful[row.identity]
            num_guesses, num_nobody = num_guesses + 1, num_nobody + (person is None)
            row = replace(row, identity=person or unnamed_identity(row.identity))
        checked.append(row)
    outcome = f"{num_nobody} faces count as unnamed" if num_guesses else "check the names"
    text = (
        f"{len(doubtful)} of {len(shown)} people show one emotion only, such as "
        f"{shorten(sorted(doubtful), 2)}: their names may hold more than the person, such as the "
        f"emotion, the session or a number; {outcome}"
    )
    return checked, [Note("doubtful-identity", text, tuple(sorted(doubtful)))]


def doubtful_names(emotions_of: Mapping[str, Sequence[str]]) -> dict[str, str | None]:
    """Returns the names that seem to contain more than a person, with the person at their start or end.

    A name that occurs with one emotion only is doubtful if nearly all names of that emotion are like
    this: real people show several emotions, while ``anna gloomy`` and ``3f2c`` do not. The person of
    ``anna gloomy`` is ``anna`` if that is a name without doubt, else None.
    """
    names_of: dict[str, list[str]] = {}
    for name, emotions in emotions_of.items():
        for emotion in set(emotions):
            names_of.setdefault(emotion, []).append(name)
    doubtful: set[str] = set()
    for names in names_of.values():
        singles = [name for name in names if len(emotions_of[name]) == 1]
        believed = _full_names(singles)  # no evidence against them: one photo shows one emotion
        alone = [name for name in names if len(set(emotions_of[name])) == 1 and name not in believed]
        if len(names) >= _FEWEST and len(alone) > _ALONE * len(names):
            doubtful.update(alone)
    return {name: _person_within(name, emotions_of.keys() - doubtful) for name in doubtful}


def _full_names(names: Sequence[str]) -> set[str]:
    """Returns the names that read like ``angelina jolie``; empty unless most of ``names`` do.

    Such a name has two words or more, in letters, none of which more than half of the names contain.
    """
    counts = Counter(word for name in names for word in set(name.split()))

    def is_own(word: str) -> bool:
        return word.isalpha() and counts[word] <= max(1, len(names) / 2)

    full = {name for name in names if " " in name and all(map(is_own, name.split()))}
    return full if len(full) > len(names) / 2 else set()


def _person_within(name: str, believed: Collection[str]) -> str | None:
    words = name.split()
    cuts = range(len(words) - 1, 0, -1)
    shorter = [" ".join(some) for cut in cuts for some in (words[:cut], words[-cut:])]
    return next((person for person in shorter if person in believed), None)


_FEWEST = 5  # least number of names of an emotion for which they can be doubted
# Share of an emotion's names without another emotion from which they are doubted. In Labeled Faces in
# the Wild, where most people have one photo, it is at most .8.
_ALONE = 0.9
