"""How often each face is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_mlops.config import TrainingConfig
from fer_mlops.training.examples import Examples
from fer_mlops.training.losses import SAMPLINGS, cross_entropy, face_weights
from fer_mlops.training.state import TrainingState

LABELS = torch.repeat_interleave(torch.arange(4), torch.tensor([900, 100, 0, 4]))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_sampling_shows_as_many_faces_as_there_are(sampling: str) -> None:
    weights = face_weights(LABELS, sampling)
    assert weights.dtype == torch.float64
    assert float(weights.sum()) == pytest.approx(1004)
    assert bool((weights > 0).all())


@pytest.mark.parametrize(
    ("sampling", "shares"),
    [("natural", (900, 100, 4)), ("square_root", (30, 10, 2)), ("balanced", (1, 1, 1))],
)
def test_a_class_has_the_share_its_sampling_says(sampling: str, shares: tuple[int, ...]) -> None:
    shown = torch.bincount(LABELS, face_weights(LABELS, sampling))
    expected = torch.tensor([shares[0], shares[1], 0, shares[2]], dtype=torch.float64)
    torch.testing.assert_close(shown / shown.sum(), expected / expected.sum())


def shown_in(sampling: str, seed: int = 0) -> list[list[int]]:
    """Returns the rows of two passes."""
    config = TrainingConfig(epochs=2, batch_size=100, sampling=sampling)  # type: ignore[arg-type]
    examples = Examples(torch.zeros(len(LABELS), 1), LABELS)
    loss = cross_entropy(torch.bincount(LABELS), 0.0)
    session = TrainingState(torch.nn.Linear(1, 4), examples, loss, config, seed)
    passes = []
    for session.epoch in (1, 2):
        passes.append(np.concatenate(list(session.batches())).tolist())
    return passes


def test_a_natural_pass_shows_every_face_once() -> None:
    for rows in shown_in("natural"):
        assert sorted(rows) == list(range(1004))


def test_a_balanced_pass_shows_every_class_about_equally_often_and_repeats_faces() -> None:
    first, second = shown_in("balanced")
    assert first != second
    for rows in (first, second):
        counts = torch.bincount(LABELS[rows], minlength=4).tolist()
        assert counts[2] == 0
        assert all(280 < counts[label] < 390 for label in (0, 1, 3))
    assert shown_in("balanced") == [first, second]
    assert shown_in("balanced", seed=1)[0] != first
