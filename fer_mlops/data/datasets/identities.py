"""Identities from paths: guesses the person from a file or folder name.

A name is used only if it denotes a person beyond doubt. Two names for one person would put that person
into train and test unnoticed; a missing name only causes a warning.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from fer_mlops.data.datasets.nobody import CODES, NOBODY, SHOWN, STOCK, UNKNOWN
from fer_mlops.emotions import SPELLINGS

# file names of published sets; the group is the person
_PUBLISHED = re.compile(
    r"(?<![^\W_])(?:"
    + "|".join(
        (
            r"[ab]([fm]\d\d)(?:af|an|di|ha|ne|sa|su)(?:s|hl|hr|fl|fr)",  # KDEF: AF01ANS
            r"(s\d{2,3})[_\-]\d{3}[_\-]\d{3,8}",  # CK+: S005_001_00000011; MMI: S001-028-0042
            r"rafd\d{3}_(\d\d)_[a-z]+_[a-z]+_\w+",  # RaFD: Rafd090_01_Caucasian_female_angry_frontal
            r"([a-z]{2})\.(?:an|di|fe|ha|ne|sa|su)\d*(?:\.+\d+)*",  # JAFFE: KA.AN1.39
            r"cfd[_\-]([a-z]{2}[_\-]\d{3})[_\-]\d{3}[_\-](?:hc|ho|[anf])",  # Chicago: CFD-WM-001-014-HO
            r"(\d\d[fm])_(?:an|ca|di|fe|ha|ne|sa|sp|su)_[a-z]",  # NimStim: 01F_AN_C
            r"([fm]\d{4})_(?:an|di|fe|ha|ne|sa|su)\d\d\w*",  # BU-3DFE: F0001_AN01WH_F2D
            r"(\d{1,3})_[ymo]_[fm]_[adfhns]_[ab]",  # FACES: 004_o_m_a_a
            r"(\d{4})_[a-z]{3}_(?:ang|dis|fea|hap|neu|sad)_[a-z]{2}",  # CREMA-D: 1001_DFA_ANG_XX
            r"0[123]-0[12]-0[1-8]-0[12]-0[12]-0[12]-(\d\d)",  # RAVDESS: 03-01-06-01-02-01-12
            r"([mw]-\d{3})-\d{1,2}",  # AR: m-001-01
            r"(?<!.)(\d{1,3})[ab](?!.)",  # FEI: 1a neutral, 1b smiling
        )
    )
    + r")(?![^\W_])",
    re.IGNORECASE,
)

_BETWEEN = r"[\s_\-.]"
_PERSON = r"(?:subject|subj|sub|participant|person|speaker|volunteer|patient|user|proband)"
_ANYONE = (
    r"(?:actor|actress|model|student|male|female|man|woman|boy|girl|child|kid|adult|yaleb|bs|id|pid)"
)
# Numbered people. If the word may also denote a picture, more text must follow the number.
_NUMBERED = re.compile(
    "|".join(
        (
            rf"(?<![^\W_])({_PERSON}\d{{1,5}})(?![^\W_])",
            rf"(?<![^\W_])({_PERSON}{_BETWEEN}\d{{1,5}}){_BETWEEN}",
            rf"^({_ANYONE}{_BETWEEN}?\d{{1,5}}){_BETWEEN}",
            rf"^([psmwu]\d{{3,4}}|f\d{{3}}){_BETWEEN}",
        )
    ),
    re.IGNORECASE,
)
# a person or a session by number; used only if the file name has no other name
_SHORT = re.compile(rf"^([psfmwu]\d{{1,2}}){_BETWEEN}", re.IGNORECASE)
_FOLDER = re.compile(rf"(?:{_PERSON}|{_ANYONE}|[a-z]{{1,2}}){_BETWEEN}?\d{{1,5}}", re.IGNORECASE)
_DATE = re.compile(r"(19|20)\d\d\W?\d\d\W?\d\d.*")

_SUFFIX = re.compile(r"\.[a-z]\w{1,4}$", re.IGNORECASE)
# Roboflow's addition to a file's name
_EXPORTED = re.compile(r"[_.](jpe?g|png|bmp|webp|tiff?)\.rf\.[^.]*$", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_SEPARATOR = re.compile(r"[\s_\-.,;:()\[\]{}+=@#&!~%$]+")
_RUN = re.compile(r"\d+|\D+")


def fold(name: str) -> str:
    """Returns a name in the form used for comparisons: NFC, case-folded, without extra blanks."""
    return unicodedata.normalize("NFC", " ".join(name.split()).casefold())


def stated_person(cell: str) -> str | None:
    """Returns the person that a cell names, or None for ``?``, ``unknown``, ``nan`` and the like."""
    name = fold(cell)
    return name if name and name not in UNKNOWN else None


def person_of(path: str) -> tuple[str | None, str]:
    """Returns the person in a path below an emotion's folder, and the origin: folder or file name.

    A folder per person comes first (``anna/01.jpg``). Otherwise the person is the file name without
    numbers, emotions and the words of cameras, scripts and collections (``Anna_happy_3.jpg``), or the
    code of a published data set (``AF01ANS.JPG``). The person is None if no name remains:
    ``0001.jpg``, ``IMG_2041.jpg``, ``happy_3.png``.

    Args:
        path: Path with forward slashes.
    """
    *folders, name = unicodedata.normalize("NFC", path).split("/")
    for folder in folders:
        person = _in_folder(folder)
        if person:
            return person, "folder"
    return _in_name(_SUFFIX.sub("", name)), "file name"


def _in_folder(folder: str) -> str | None:
    person = _in_name(folder)
    if person or _FOLDER.fullmatch(folder):
        return person or fold(folder)
    if folder.isdecimal():
        return None if _DATE.fullmatch(folder) else folder
    pieces = {piece for word in _SEPARATOR.split(folder) for piece in _pieces(word)}
    says_nothing = not pieces or any(_is_nobody(piece) for piece in pieces if piece.isalpha())
    return None if says_nothing or _DATE.fullmatch(folder) else fold(folder)


def _in_name(stem: str) -> str | None:
    """Returns the person in a file name without its suffix."""
    stem = _UUID.sub(" ", _EXPORTED.sub("", stem))
    found = _PUBLISHED.search(stem) or _NUMBERED.search(stem)
    if found and found.lastindex:
        return fold(_SEPARATOR.sub(" ", found[found.lastindex]))
    words = [word for word in _SEPARATOR.split(stem) if word]
    if any(word.casefold() in STOCK for word in words):
        return None
    kept = _names_in(words)
    if any(len(name) > 1 or not name.isascii() for name in kept):
        return " ".join(kept)
    found = _SHORT.search(stem)
    return fold(found[1]) if found else None


def _names_in(words: list[str]) -> list[str]:
    """Returns the case-folded words that can be a name."""
    kept: list[str] = []
    was_shown = False
    for number, word in enumerate(words):
        if _is_random(word) or _is_nobody(word.casefold()):
            continue
        pieces = _pieces(word)
        names = [_without_emotion(piece) for piece in pieces if not _is_nobody(piece)]
        name = "".join(names)
        was_shown |= any(piece in SPELLINGS or piece in SHOWN for piece in pieces)
        is_code = number > 0 and name in CODES
        is_take = len(name) == 1 and number > 0 and (was_shown or number == len(words) - 1)
        is_numbered = len(name) < 3 and name.isascii() and word[-1:].isdecimal()  # AF01, v2, x1
        if name and not (is_code or is_take or is_numbered):
            kept.append(name)
    return kept


def _pieces(word: str) -> list[str]:
    """Returns the case-folded parts of a word: ``annaHappy3`` is anna, happy and 3."""
    spaced = "".join(
        f" {after}"
        if before.isdecimal() != after.isdecimal() or (before.islower() and after.isupper())
        else after
        for before, after in zip(" " + word, word, strict=False)
    )
    return spaced.casefold().split()


def _is_nobody(piece: str) -> bool:
    return piece.isdecimal() or piece in NOBODY or piece in SHOWN or piece in SPELLINGS


@lru_cache(1 << 16)  # a data set repeats the same few words a million times
def _without_emotion(piece: str) -> str:
    """Returns ``anna`` of ``annahappy`` and ``happyanna``."""
    for spelling in _LONGEST_FIRST:
        # the rest must be long enough for a name: `joyce` is not `ce`
        least = len(spelling) + (2 if len(spelling) > 4 else 3)
        if len(piece) >= least and piece.endswith(spelling):
            return piece.removesuffix(spelling)
        if len(piece) >= least and piece.startswith(spelling):
            return piece.removeprefix(spelling)
    return piece


_LONGEST_FIRST = sorted(SPELLINGS, key=len, reverse=True)


@lru_cache(1 << 16)
def _is_random(word: str) -> bool:
    """Returns whether a word looks random: a hash, or an identifier in base 64."""
    if not word.isascii():
        return False
    if len(word) >= 7 and re.fullmatch(r"(?=.*\d)[0-9a-fA-F]+", word):
        return True
    letters = re.sub(r"\d", "", word)
    turns = len(re.findall(r"[a-z](?=[A-Z])", word))
    return (
        len(_RUN.findall(word)) > 3  # letters and digits in turn
        or (turns > 1 and len(letters) / (turns + 1) < 3.5)
        or re.search(r"[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]{6}", word) is not None
        or re.fullmatch(r"[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]{5,}\d*", word) is not None
    )
