"""Pictures of where models look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from maps import report_on_maps

from fer_mlops.reporting import plots


def test_mean_maps_are_of_emotions_with_two_faces_or_more() -> None:
    pixels = np.zeros((5, 8, 8), np.uint8)
    pixels[1], pixels[0] = 200, 100
    heats = np.zeros((5, 8, 8), np.float32)
    heats[0, :4], heats[1, :4], heats[1, 4:] = 0.5, 0.5, 0.25
    emotions = np.array([3, 3, 0, 4, 4])
    figure = plots.mean_heats(pixels, heats, emotions, "mean")
    assert figure is not None
    happy, neutral = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["happiness\nn = 2", "neutral\nn = 2"]
    assert figure.get_suptitle() == "mean"
    picture = np.asarray(happy.images[0].get_array())
    expected = plots.overlay(
        np.full((8, 8), 150, np.uint8), np.repeat(np.float32([1, 0.25]), 4)[:, None].repeat(8, 1)
    )
    np.testing.assert_array_equal(picture, expected)
    assert not np.asarray(neutral.images[0].get_array()).any()  # a black face without a map stays black
    ellipse = np.asarray(happy.lines[0].get_xydata())
    np.testing.assert_allclose(ellipse.min(0), [0.14, 0.04], atol=1e-3)
    np.testing.assert_allclose(ellipse.max(0), [0.86, 0.96], atol=1e-3)
    assert plots.mean_heats(pixels, heats, np.arange(5), "mean") is None


def test_a_sheet_holds_faces_and_both_overlays_in_place() -> None:
    face = np.full((8, 8), 90, np.uint8)
    hot, cold = np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)
    sheet = plots.sheet_of_looks(
        [(face, "a very long name of a file that does not fit.png")] * 4,
        [[(face, cold, "anger 90%"), (face, hot, "fear 80%")]] * 4,
        ["one", "two"],
    )
    pixels = np.asarray(sheet)
    assert pixels.shape == (2 * (128 + 36) + 50, 3 * (3 * 128 + 10) + 10, 3)
    for left, top in ((10, 50), (10 + 2 * 394, 50), (10, 50 + 164)):
        assert (pixels[top + 64, left + 64] == 90).all()
        assert (pixels[top + 64, left + 128 + 64] == 90).all()
        assert (pixels[top + 64, left + 256 + 64] != 90).any()
    assert (pixels[-100:, 10 + 394 + 20 :] == 255).all()  # the second row has one face
    below = pixels[50 + 128 : 50 + 128 + 36]
    assert (below[:, 10:138] < 100).any()
    assert (below[:, 134:140] == 255).all()  # a long name ends before its neighbour begins


def test_curves_stand_beside_chance() -> None:
    report = report_on_maps()
    deletion, insertion, cascade = plots.attribution_curves(report, "mine").axes
    own, by_chance = deletion.lines
    assert tuple(own.get_ydata()) == report.removal.deletion  # type: ignore[arg-type]
    assert tuple(by_chance.get_ydata()) == report.removal.random_deletion  # type: ignore[arg-type]
    own, by_chance = insertion.lines
    assert tuple(own.get_ydata()) == report.removal.insertion  # type: ignore[arg-type]
    assert tuple(by_chance.get_ydata()) == report.removal.random_deletion[::-1]  # type: ignore[arg-type]
    assert report.sanity is not None
    assert tuple(cascade.lines[0].get_ydata()) == (1, *report.sanity.cascade)  # type: ignore[arg-type]
    assert [axes.get_xlabel() for axes in (deletion, insertion, cascade)] == [
        "share of pixels blurred",
        "share of pixels put back",
        "share of layers shuffled, from the top",
    ]
    assert len(plots.attribution_curves(replace(report, sanity=None), "mine").axes) == 2


@pytest.mark.parametrize("num_emotions", [1, 2, 7])
def test_a_long_title_of_mean_maps_stays_inside_the_figure(num_emotions: int) -> None:
    emotions = np.repeat(np.arange(num_emotions), 2)
    pixels = np.zeros((len(emotions), 8, 8), np.uint8)
    heats = np.ones((len(emotions), 4, 4), np.float32)
    title = "mean map: runs:/0123456789abcdef0123456789abcdef (transfer, Grad-CAM of features.7.unit16)"
    figure = plots.mean_heats(pixels, heats, emotions, title)
    assert figure is not None
    figure.draw_without_rendering()  # type: ignore[no-untyped-call]
    shown = figure._suptitle.get_window_extent()
    assert figure.bbox.x0 <= shown.x0 < shown.x1 <= figure.bbox.x1
    tops = [axes.title.get_window_extent().y1 for axes in figure.axes]
    assert max(tops) <= shown.y0
