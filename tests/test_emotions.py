"""The label vocabulary."""

from __future__ import annotations

import pytest

from fer_mlops.emotions import EMOTIONS, OUTSIDE, normalise_emotion
from fer_mlops.errors import DataError


def test_the_order_that_every_saved_model_relies_on_never_changes() -> None:
    assert EMOTIONS == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_names_itself_in_any_case(emotion: str) -> None:
    assert normalise_emotion(emotion) == emotion
    assert normalise_emotion(f" {emotion.upper()}\n") == emotion


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("angry", "anger"),
        ("disgusted", "disgust"),
        ("fearful", "fear"),
        ("scared", "fear"),
        ("happy", "happiness"),
        ("Joy", "happiness"),
        ("normal", "neutral"),
        ("SAD", "sadness"),
        ("surprised", "surprise"),
    ],
)
def test_spellings_seen_in_the_wild_are_understood(text: str, emotion: str) -> None:
    assert normalise_emotion(text) == emotion


@pytest.mark.parametrize("text", [*sorted(OUTSIDE), "Contempt "])
def test_an_emotion_outside_the_seven_is_none_and_no_error(text: str) -> None:
    assert normalise_emotion(text) is None


@pytest.mark.parametrize(("typo", "near"), [("hapiness", "happiness"), ("surpryse", "surprise")])
def test_a_typo_is_answered_with_the_nearest_known_word(typo: str, near: str) -> None:
    with pytest.raises(DataError, match=rf"^unknown emotion '{typo}'; did you mean '{near}'\?$"):
        normalise_emotion(typo)


@pytest.mark.parametrize("text", ["", "xyzzy", "4"])
def test_a_word_near_nothing_is_answered_with_all_known_ones(text: str) -> None:
    with pytest.raises(DataError) as caught:
        normalise_emotion(text)
    assert str(caught.value) == f"unknown emotion {text!r}; known emotions: {', '.join(EMOTIONS)}"
