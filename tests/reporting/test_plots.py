"""Pictures, by what they say."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.report import Report, evaluate
from fer_mlops.reporting import plots


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def ticks(labels: list[object]) -> list[str]:
    return [label.get_text() for label in labels]  # type: ignore[attr-defined]


def legend(axes: Axes) -> list[str]:
    """Returns the names in the legend of the axes, or in that of their figure."""
    shown = axes.get_legend() or axes.figure.legends[0]  # type: ignore[union-attr]
    return [text.get_text() for text in shown.get_texts()]


def title(axes: Axes) -> str:
    return axes.figure.get_suptitle()  # type: ignore[union-attr]


def middles(axes: Axes) -> list[float]:
    """Returns where each bar stands, in the order they were drawn."""
    return [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]  # type: ignore[attr-defined]


def intervals(bars: object) -> list[tuple[float, float]]:
    """Returns the ends of each error bar of one series of bars."""
    segments = bars.errorbar.lines[2][0].get_segments()  # type: ignore[attr-defined]
    return [(float(segment[0, 1]), float(segment[1, 1])) for segment in segments]


def report_of(counts: dict[str, int]) -> Report:
    """Returns the report of so many faces of each emotion, the first face of each predicted wrong."""
    labels = np.repeat([EMOTIONS.index(emotion) for emotion in counts], list(counts.values()))
    predictions = labels.copy()
    firsts = np.cumsum([0, *counts.values()])[:-1]
    predictions[firsts] = (labels[firsts] + 1) % 7
    return evaluate(labels, np.eye(7)[predictions], np.arange(len(labels)).astype(str))


# ── confusion matrix ──


def test_a_confusion_matrix_writes_count_and_row_share_in_every_cell_that_has_faces() -> None:
    counts = np.zeros((7, 7), dtype=int)
    counts[0, 0], counts[0, 3] = 3, 1
    counts[4, 4] = 5
    figure = plots.confusion_matrix(counts.tolist(), "test split")
    axes = figure.axes[0]
    cells = texts(axes)
    assert len(cells) == 49
    assert (cells[0], cells[3], cells[1]) == ("3\n75%", "1\n25%", "")
    assert cells[4 * 7 + 4] == "5\n100%"
    assert cells[7:14] == ["–"] * 7  # an emotion without faces has no shares
    assert title(axes) == "test split"


def test_a_confusion_matrix_has_labels_down_and_predictions_across() -> None:
    axes = plots.confusion_matrix(np.eye(7, dtype=int).tolist(), "t").axes[0]
    assert ticks(list(axes.get_xticklabels())) == list(EMOTIONS)
    assert ticks(list(axes.get_yticklabels())) == list(EMOTIONS)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "label")
    place = axes.texts[1].get_position()  # row 0, column 1
    assert place == (1, 0)


# ── bars of each emotion ──


def test_confusion_matrices_drawn_one_after_another_equal_figures_of_their_own() -> None:
    pictures = plots.ConfusionPictures(80)
    random = np.random.default_rng(0)
    for title, largest in (("validation, epoch 1/12", 400), ("validation, epoch 12/12", 3)):
        counts = random.integers(0, largest, (7, 7)).tolist()
        counts[2] = [0] * 7
        drawn = np.asarray(pictures.draw(counts, title), int)
        own = np.asarray(plots.to_image(plots.confusion_matrix(counts, title), 80), int)
        assert drawn.shape == own.shape
        np.testing.assert_allclose(drawn, own, atol=8)


def test_class_bars_show_precision_recall_and_f1_of_all_seven() -> None:
    report = report_of({"anger": 4, "happiness": 40})
    axes = plots.class_bars(report, "cnn").axes[0]
    assert sorted(legend(axes)) == ["F1", f"macro-F1 {report.macro_f1}", "precision", "recall"]
    heights = [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]
    assert len(heights) == 21
    assert heights[7] == pytest.approx(3 / 4)  # recall of anger
    assert heights[14:21] == pytest.approx(np.nan_to_num([row.f1.value for row in report.classes]))
    assert title(axes) == "cnn"
    assert axes.get_ylim() == (0, 1)


def test_class_bars_stand_around_their_emotion_and_do_not_overlap() -> None:
    axes = plots.class_bars(report_of({"anger": 4, "happiness": 40}), "cnn").axes[0]
    precision, recall, f1 = np.array(middles(axes)).reshape(3, 7)
    width = axes.patches[0].get_width()  # type: ignore[attr-defined]
    np.testing.assert_allclose(recall, np.arange(7))
    np.testing.assert_allclose([recall - precision, f1 - recall], width)
    assert 3 * width < 1


def test_class_bars_draw_the_interval_of_f1_and_a_line_at_macro_f1() -> None:
    report = report_of({"anger": 6, "happiness": 40})
    axes = plots.class_bars(report, "cnn").axes[0]
    f1 = [container for container in axes.containers if container.get_label() == "F1"]
    drawn = intervals(f1[0])
    for label in (0, 3):
        estimate = report.classes[label].f1
        assert drawn[label] == pytest.approx((estimate.low, estimate.high))
    assert axes.lines[-1].get_ydata() == [report.macro_f1.value] * 2


def test_class_bars_state_n_and_mark_emotions_with_few_faces() -> None:
    figure = plots.class_bars(report_of({"anger": 4, "happiness": 40}), "cnn")
    names = ticks(list(figure.axes[0].get_xticklabels()))
    assert names[0] == "anger\nn = 4 *"
    assert names[2] == "fear\nn = 0 *"
    assert names[3] == "happiness\nn = 40"
    assert figure.axes[0].get_xlabel() == "* fewer than 30 faces: too few for a claim"


def test_class_bars_explain_no_mark_where_there_is_none() -> None:
    figure = plots.class_bars(report_of(dict.fromkeys(EMOTIONS, 30)), "cnn")
    assert figure.axes[0].get_xlabel() == ""


# ── curves ──


def test_training_curves_draw_one_panel_for_each_kind_of_number_there_is() -> None:
    curves = {
        "train/loss": [(0, 2.0), (1, 1.0)],
        "valid/loss": [(0, 2.5), (1, 1.5)],
        "valid/macro_f1": [(0, 0.2), (1, 0.4)],
        "train/learning_rate": [(0, 0.001)],
    }
    figure = plots.training_curves(curves, "cnn")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "loss",
        "validation scores",
        "learning rate",
    ]
    assert legend(figure.axes[0]) == ["train/loss", "valid/loss"]
    line = figure.axes[0].lines[0]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0, 1], [2.0, 1.0])  # type: ignore[arg-type]
    assert figure.axes[1].get_ylim() == (0, 1)
    assert figure.get_suptitle() == "cnn"


def test_training_curves_mark_where_the_frozen_epochs_end() -> None:
    loss = [(step, 1 / step) for step in (1, 2, 3)]
    phases = [(1, 1.0), (2, 1.0), (3, 2.0)]
    (axes,) = plots.training_curves({"train/loss": loss, "train/phase": phases}, "transfer").axes
    assert axes.get_xlabel() == "epoch"
    assert legend(axes) == ["train/loss", "backbone frozen until here"]
    assert list(axes.lines[-1].get_xdata()) == [2.5, 2.5]  # type: ignore[arg-type]
    frozen = {"train/loss": loss, "train/phase": [(step, 1.0) for step in (1, 2, 3)]}
    assert legend(plots.training_curves(frozen, "transfer").axes[0]) == ["train/loss"]


def test_a_learning_curve_is_drawn_over_the_number_of_faces() -> None:
    curves = {"train/faces": [(1, 50.0), (2, 100.0)], "valid/accuracy": [(1, 0.3), (2, 0.4)]}
    (axes,) = plots.training_curves(curves, "baseline").axes
    assert axes.get_xlabel() == "training faces"
    assert list(axes.lines[0].get_xdata()) == [50, 100]  # type: ignore[arg-type]


def test_training_curves_leave_out_panels_without_numbers() -> None:
    figure = plots.training_curves({"valid/accuracy": [(0, 0.5)], "train/loss": []}, "baseline")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["validation scores"]


# ── models side by side ──


def test_a_model_chart_has_a_bar_and_its_value_for_every_model_and_metric() -> None:
    scores = {
        "baseline": {"accuracy": (0.8, 0.7, 0.9), "macro_f1": (0.4, 0.3, 0.5)},
        "cnn": {"accuracy": (0.88, 0.8, 0.9), "macro_f1": (0.476, 0.4, 0.6)},
    }
    axes = plots.model_chart(scores, "test split").axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.8, 0.4, 0.88, 0.476]  # type: ignore[attr-defined]
    assert texts(axes) == ["0.80", "0.40", "0.88", "0.48"]
    assert ticks(list(axes.get_xticklabels())) == ["accuracy", "macro f1"]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["baseline", "cnn"]
    assert middles(axes) == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    drawn = [container for container in axes.containers if container.get_label() == "cnn"]
    assert intervals(drawn[0]) == [pytest.approx((0.8, 0.9)), pytest.approx((0.4, 0.6))]


# ── explanations ──


@pytest.mark.parametrize("side", [32, 192])
def test_an_overlay_is_a_square_colour_picture_of_the_asked_size(side: int) -> None:
    picture = plots.overlay(np.full((8, 8), 100, np.uint8), np.zeros((8, 8), np.float32), side)
    assert (picture.size, picture.mode) == ((side, side), "RGB")


def test_an_overlay_without_heat_is_the_gray_face() -> None:
    picture = plots.overlay(np.full((8, 8), 100, np.uint8), np.zeros((8, 8), np.float32), 16)
    assert set(np.asarray(picture).flat) == {100}


def test_an_overlay_is_coloured_only_where_there_is_heat() -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[:, 4:] = 1
    picture = np.asarray(plots.overlay(np.full((8, 8), 100, np.uint8), heat, 64)).astype(int)
    assert (picture[:, 1] == 100).all()
    red, _, blue = picture[32, 62]
    assert red > blue + 40  # inferno is yellow at its top


def test_an_explanation_sheet_shows_each_face_over_its_overlay_with_its_caption() -> None:
    pixels = np.zeros((3, 8, 8), np.uint8)
    heats = np.zeros((3, 8, 8), np.float32)
    figure = plots.explanation_sheet(pixels, heats, ["a", "b"], "grad-cam")
    assert len(figure.axes) == 4
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", ""]
    sizes = [axes.images[0].get_array().shape for axes in figure.axes]  # type: ignore[union-attr]
    assert sizes == [(8, 8), (8, 8), (192, 192, 3), (192, 192, 3)]
    assert not any(axes.axison for axes in figure.axes)
    assert figure.axes[0].images[0].get_clim() == (0, 255)  # a dark face stays dark
    assert figure.get_suptitle() == "grad-cam"


# ── to pixels ──


def test_a_figure_becomes_a_colour_picture_of_its_size() -> None:
    figure = Figure(figsize=(2, 1))
    figure.set_facecolor("#ff0000")
    picture = plots.to_image(figure, dots_per_inch=50)
    assert isinstance(picture, Image.Image)
    assert (picture.size, picture.mode) == ((100, 50), "RGB")
    assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_every_report_figure_can_be_drawn_without_a_display() -> None:
    report = report_of({"anger": 4, "happiness": 40})
    for figure in (
        plots.confusion_matrix(report.confusion, "test"),
        plots.class_bars(report, "cnn"),
    ):
        pixels = np.asarray(plots.to_image(figure, dots_per_inch=40))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


# ── judgement ──


def test_a_reliability_diagram_shows_every_bin_that_has_faces_and_the_threshold() -> None:
    labels = np.array([0, 0, 0, 1])
    probabilities = np.full((4, 7), 0.02)
    probabilities[:, 0] = [0.88, 0.88, 0.5, 0.88]
    figure = plots.reliability_diagram(labels, probabilities, "test", threshold=0.7)
    upper, lower = figure.axes
    _, points, mark = upper.lines[0], upper.lines[1], upper.lines[2]
    np.testing.assert_allclose(points.get_xydata(), [[0.5, 1.0], [0.88, 2 / 3]])
    assert mark.get_xdata()[0] == 0.7  # type: ignore[index]
    assert [int(bar.get_height()) for bar in lower.patches if bar.get_height()] == [1, 3]  # type: ignore[attr-defined]
    assert legend(upper)[-1] == "sure from 0.70"


def test_precision_recall_curves_name_each_emotion_with_its_number() -> None:
    labels = np.array([3, 3, 4, 4])
    probabilities = np.zeros((4, 7))
    probabilities[:, 3] = [0.9, 0.4, 0.6, 0.1]
    probabilities[:, 4] = 1 - probabilities[:, 3]
    figure = plots.precision_recall(labels, probabilities, "test")
    axes = figure.axes[0]
    happiness = axes.lines[0].get_xydata()
    np.testing.assert_allclose(happiness, [[0, 1], [0.5, 1], [0.5, 0.5], [1, 2 / 3], [1, 0.5]])
    names = [axes.get_title(loc="left") for axes in figure.axes]
    assert names == ["happiness (n = 2)", "neutral (n = 2)"]
    assert list(axes.lines[1].get_ydata()) == [0.5, 0.5]  # type: ignore[arg-type]


def test_slices_stand_top_down_and_significant_ones_stand_out() -> None:
    figure = plots.slice_chart([("a (9)", -0.2, -0.3, -0.1, True), ("b (9)", 0, -0.1, 0.1, False)], "t")
    axes = figure.axes[0]
    assert ticks(list(axes.get_yticklabels())) == ["a (9)", "b (9)"]
    assert axes.yaxis_inverted()
    assert axes.lines[0].get_color() != axes.lines[2].get_color()


def test_score_against_minutes_has_a_point_for_each_model() -> None:
    points = {"fast": (3.0, 0.5, 0.4, 0.6), "best": (7.0, 0.55, 0.5, 0.6)}
    axes = plots.score_against_minutes(points, "test").axes[0]
    assert legend(axes) == ["fast", "best"]
    assert axes.get_xscale() == "log"


def test_mistakes_stand_in_rows_of_eight_with_their_captions() -> None:
    pixels = np.zeros((9, 8, 8), np.uint8)
    figure = plots.mistakes(pixels, [f"face {i}" for i in range(9)], "mistakes")
    assert len(figure.axes) == 16
    assert [axes.get_title() for axes in figure.axes if axes.images] == [f"face {i}" for i in range(9)]


def test_a_long_title_stays_inside_its_figure() -> None:
    long = "Confusion matrix, test part of a data set with a long name, identity split, 1,024 faces"
    figure = plots.confusion_matrix(np.eye(7, dtype=int).tolist(), long)
    figure.draw_without_rendering()  # type: ignore[no-untyped-call]
    shown = figure._suptitle.get_window_extent()  # type: ignore[attr-defined]
    assert figure.bbox.x0 <= shown.x0 < shown.x1 <= figure.bbox.x1
    assert figure.get_suptitle().replace("\n", " ") == long


def test_no_legend_covers_data() -> None:
    labels, probabilities = np.repeat(np.arange(7), 9), np.random.default_rng(0).random((63, 7))
    report = report_of(dict.fromkeys(EMOTIONS, 30))
    for figure in (
        plots.class_bars(report, "t"),
        plots.reliability_diagram(labels, probabilities, "t", threshold=0.9),
        plots.precision_recall(labels, probabilities, "t"),
        plots.score_against_minutes({"a": (1.0, 0.5, 0.4, 0.6), "b": (2.0, 0.5, 0.4, 0.6)}, "t"),
    ):
        figure.draw_without_rendering()  # type: ignore[no-untyped-call]
        (box,) = (one.get_window_extent() for one in figure.legends)
        assert all(axes.get_legend() is None for axes in figure.axes)
        assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_no_figure_has_its_legend_placed_by_a_search_which_on_a_slow_machine_takes_seconds() -> None:
    for path in Path(plots.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "legend":
                named = {keyword.arg for keyword in node.keywords}
                assert "loc" in named, f"{path.name}:{node.lineno}"
