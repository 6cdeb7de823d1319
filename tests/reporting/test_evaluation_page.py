"""What is said of a trained model: judgement, page, card."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.evaluation.full_report import ModelEvaluation, confident_mistakes, evaluate_predictions
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.evaluation.robustness import CORRUPTIONS, Curve, Robustness
from fer_mlops.metrics.identities import unnamed_identity
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting.evaluation_page import render_page
from fer_mlops.reporting.evaluation_plots import HeatMapSheet, pictures
from fer_mlops.reporting.model_card import Origin, make_card

CALIBRATION = Calibration(
    bias=(0.0,) * 7,
    temperature=1.0,
    prior_strength=0.5,
    log_prior=tuple(np.log([0.02, 0.02, 0.02, 0.4, 0.5, 0.02, 0.02]).tolist()),
    balanced_strength=0.0,
    threshold=0.6,
)
CURVE = Curve((0.9, 0.8, 0.7, 0.6, 0.5, 0.4), (0.9, 0.8, 0.7, 0.6, 0.5, 0.4))


@pytest.fixture
def answers(faces_folder: Path, tmp_path: Path) -> LabelledPredictions:
    """Of all drawn faces, right but for every tenth, which is called happy, surely."""
    config = DataConfig(source=str(faces_folder))
    table = load_faces(Request(cache=tmp_path, config=config))
    said = np.where(np.arange(len(table)) % 10 == 0, 3, table.labels)
    logits = np.eye(7, dtype=np.float32)[said] * 4
    logits[0, 3] = 9
    return LabelledPredictions(table=table, logits=logits, calibration=CALIBRATION)


@pytest.fixture
def judged(answers: LabelledPredictions) -> ModelEvaluation:
    pixels = np.zeros((len(answers), 32, 32), np.uint8)
    robustness = Robustness(num_faces=50, curves=dict.fromkeys(CORRUPTIONS, CURVE))
    return evaluate_predictions("test part of drawn, identity split", answers, pixels, robustness)


def origin(**changes: object) -> Origin:
    usual = Origin(
        name="fer-classifier/3",
        run_id="abc",
        data="drawn: 140 faces; data and split 0123. Nobody's rights.",
        split="identity, seed 0",
        weights="",
        caution="",
    )
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def test_a_judgement_has_a_report_at_each_point_slices_and_robustness(judged: ModelEvaluation) -> None:
    assert set(judged.reports) == {"default", "natural", "balanced"}
    assert {one.trait for one in judged.slices.slices} >= {"brightness"}
    told = json.loads(json.dumps(judged.as_dict(), allow_nan=False))
    assert told["points"]["natural"]["num_faces"] == 140
    assert told["robustness"]["mean"] == pytest.approx(0.6)
    flat = judged.metrics("test")
    assert flat["test_balanced/accuracy"] == judged.reports["balanced"].accuracy.value
    assert flat["test/robustness_clean"] == 0.9
    assert judged.confidence["answered_share"] > 0
    assert flat["test/worst_slice_gap"] == judged.slices.worst_gap
    assert len(flat) <= 21


def test_a_model_with_one_operating_point_is_reported_once(answers: LabelledPredictions) -> None:
    plain = dataclasses.replace(answers, calibration=dataclasses.replace(CALIBRATION, log_prior=()))
    judged = evaluate_predictions("faces", plain, np.zeros((140, 32, 32), np.uint8))
    assert list(judged.reports) == ["default"]


def test_confident_mistakes_are_the_wrong_answers_most_confident_first(
    answers: LabelledPredictions,
) -> None:
    rows = confident_mistakes(answers, most=500)
    wrong = answers.probabilities().argmax(1) != answers.labels
    assert rows[0] == 0
    assert sorted(rows.tolist()) == np.flatnonzero(wrong).tolist()
    assert len(confident_mistakes(answers, most=3)) == 3


def test_every_picture_of_a_judgement_is_drawn(judged: ModelEvaluation) -> None:
    shown = pictures(judged, "test")
    assert set(shown) == {
        "confusion_matrix",
        "per_class",
        "reliability",
        "precision_recall",
        "slices",
        "robustness",
        "mistakes",
    }
    assert shown["robustness"].get_suptitle() == "Corrupted images, test, 50 faces"


def test_a_page_says_scores_with_intervals_warnings_and_shows_pictures(judged: ModelEvaluation) -> None:
    face, heat = np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 8), np.float32)
    sheet = HeatMapSheet(faces=face, heats=heat, captions=["fear\n→ anger 50%"], method="gradcam")
    sheets = {judged.faces: sheet}
    page = render_page("models:/x/1", [judged], ["run abc"], sheets, ["Too <good>."])
    report = judged.report
    assert f"{report.macro_f1.value:.3f} <small>[{report.macro_f1.low:.3f}, " in page
    assert "Too &lt;good&gt;." in page
    assert "AUROC" in page
    assert "balanced" in page
    assert "fewer than 30" in page  # 20 drawn faces of each emotion
    assert page.count("<svg") == 5
    assert page.count("<img") >= 2 + 3
    assert 'alt="heat map of fear → anger 50%"' in page
    assert 'src="http' not in page
    assert "<script" not in page


def test_a_cell_of_the_confusion_matrix_opens_its_faces_and_is_blank_without(
    judged: ModelEvaluation,
) -> None:
    page = re.sub(r'"data:[^"]*"', "", render_page("m", [judged], [], {}))
    opened = re.findall(r'popovertarget="([^"]+)">(\d+)<', page)
    counts = judged.report.confusion
    wrong = sum(num > 0 for row, each in enumerate(counts) for i, num in enumerate(each) if i != row)
    assert len(opened) == wrong > 0
    for anchor, num in opened:
        label, predicted = anchor.split("-")[2:]
        assert f'<section popover id="{anchor}"><h3>{label} → {predicted}: {num} face' in page
    assert page.count("<td></td>") == sum(num == 0 for each in counts for num in each)


def of_people(answers: LabelledPredictions, identities: list[str]) -> ModelEvaluation:
    """Returns the judgement of the same answers where the faces are of these people."""
    table = dataclasses.replace(answers.table, identities=np.array(identities))
    pixels = np.zeros((len(answers), 32, 32), np.uint8)
    return evaluate_predictions("faces", dataclasses.replace(answers, table=table), pixels)


def told(judged: ModelEvaluation) -> tuple[str, str]:
    """Returns the page and the card of a judgement, without pictures."""
    page = render_page("m", [judged], [], {})
    return re.sub(r'"data:[^"]*"', "", page), make_card(classifier(), judged, origin()).markdown


def test_a_page_says_what_an_interval_means(judged: ModelEvaluation) -> None:
    page, card = told(judged)
    accuracy = judged.report.accuracy
    between = f"The 95% interval is {accuracy.low:.1%} to {accuracy.high:.1%} (over people)"
    assert f"{between}: 95 of 100 such intervals contain the true score." in page
    for text in (page, card):
        assert "With only 20 people the intervals are rough and probably too narrow." in text
        assert "95% intervals over people" in text
        assert "No intervals" not in text


def test_fewer_than_five_people_are_told_without_an_interval(answers: LabelledPredictions) -> None:
    judged = of_people(answers, [f"p{i % 3}" for i in range(len(answers))])
    page, card = told(judged)
    for text in (page, card):
        assert "No intervals: they need at least 5 people, here 3." in text
        assert "[–]" in text
        assert "nan" not in text
    assert "interval is" not in page
    assert "fewer than 10 people to compare" in page
    assert "No slice has enough faces and people to be tested" in card
    assert not any(name.endswith(("_low", "_high")) for name in judged.metrics("test"))
    json.dumps(judged.as_dict(), allow_nan=False)


def test_intervals_over_faces_whose_people_nothing_names_say_so(answers: LabelledPredictions) -> None:
    names = [unnamed_identity(path) for path in answers.table.paths]
    assert of_people(answers, names).as_dict()["people_known_by"] == "unknown"
    for text in told(of_people(answers, names)):
        assert "over faces, taken as independent: nobody is named" in text
        assert "over people" not in text
    for text in told(of_people(answers, [*names[:40], *(f"p{i}" for i in range(len(names) - 40))])):
        assert "over people, and over 40 faces that name nobody, taken as independent" in text


def test_several_data_sets_stand_side_by_side(judged: ModelEvaluation) -> None:
    other = dataclasses.replace(judged, faces="all of elsewhere")
    page = render_page("models:/x/1", [judged, other], [], {})
    assert "Data set by data set" in page
    assert page.count("all of elsewhere") >= 2
    assert "Data set by data set" not in render_page("models:/x/1", [judged], [], {})


def classifier() -> Classifier:
    class Nothing:
        def logits(self, pixels: object) -> np.ndarray:
            raise AssertionError("a card asks a model nothing")

    return Classifier(family="cnn", image_size=48, scorer=Nothing(), calibration=CALIBRATION)


def test_a_card_says_use_data_split_scores_limits_and_how_to_load(judged: ModelEvaluation) -> None:
    card = make_card(classifier(), judged, origin(weights="dlib's author (CC0)"))
    for said in (
        "# fer-classifier/3",
        "cnn, gray faces of 48 × 48 px",
        "140 faces of 20 people",
        f"| natural | {judged.reports['natural'].accuracy} |",
        "| fear * | 20 |",
        "Art. 5(1)(f)",
        "Art. 50(3)",
        "Nobody's rights",
        "dlib's author (CC0)",
        "Fewer than 30 test faces of anger",
        'load_model("models:/fer-classifier/3")',
        "Temperature 1.00",
    ):
        assert said in card.markdown, said
    assert len(card.markdown) < 5000
    assert "Optimistic" not in card.markdown
    assert "<img" in card.html


def test_a_card_of_a_leaking_split_says_so_first(judged: ModelEvaluation) -> None:
    card = make_card(classifier(), judged, origin(caution="Optimistic: 40% known."))
    assert card.markdown.index("Optimistic") < card.markdown.index("## Scores")
    assert "Optimistic" in card.html


def test_a_card_never_outgrows_the_registrys_description(judged: ModelEvaluation) -> None:
    assert len(make_card(classifier(), judged, origin(data="long " * 2000)).markdown) <= 5000
