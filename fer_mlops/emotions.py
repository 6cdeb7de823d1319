"""The label vocabulary: seven emotions in their one order, and spellings seen in the wild."""

from __future__ import annotations

from difflib import get_close_matches

from fer_mlops.errors import DataError

EMOTIONS: tuple[str, ...] = (
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
"""A label is an index into this tuple, everywhere: files, networks, reports, served answers."""

OUTSIDE = frozenset({"contempt", "contemptuous"})
"""Emotions that data sets carry and the seven do not; their faces are dropped and counted."""

_SPELLINGS = {
    "angry": "anger",
    "disgusted": "disgust",
    "disgusting": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "scared": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "joyful": "happiness",
    "normal": "neutral",
    "neutrality": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
}


SPELLINGS = frozenset({*EMOTIONS, *_SPELLINGS, *OUTSIDE})
"""Every known word for an emotion, in lower case."""


def normalise_emotion(text: str) -> str | None:
    """Returns which of EMOTIONS ``text`` names, or None where it names one OUTSIDE the seven.

    Case and surrounding blanks are ignored.

    Raises:
        DataError: The text is no known spelling; the message names the nearest known one.
    """
    word = text.strip().lower()
    if word in OUTSIDE:
        return None
    if word in EMOTIONS:
        return word
    if word in _SPELLINGS:
        return _SPELLINGS[word]
    near = get_close_matches(word, [*EMOTIONS, *_SPELLINGS], n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known emotions: {', '.join(EMOTIONS)}"
    raise DataError(f"unknown emotion {text!r}; {hint}")
