"""Emotion labels: the seven emotions in fixed order, and the spellings that data sets use."""

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
"""A label is an index into this tuple everywhere: files, networks, reports, served predictions."""

OUTSIDE = frozenset({"contempt", "contemptuous"})
"""Emotions of data sets that are not among the seven; their faces are dropped and counted."""

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
    """Returns the member of EMOTIONS that ``text`` names, or None if the emotion is in OUTSIDE.

    Case and surrounding blanks are ignored.

    Raises:
        DataError: The spelling is unknown; the message names the nearest known one.
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
