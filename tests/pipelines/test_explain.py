"""What ``explain`` writes: overlays, sheets, numbers and a page, all or none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import fer
from maps import report_on_maps
from PIL import Image

from fer_mlops.config import CnnConfig
from fer_mlops.data.datasets import sample
from fer_mlops.data.image_files import FaceImages, find_images
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.evaluation.attribution.report import maps_are_trustworthy
from fer_mlops.models import build_network
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.pipelines import explain
from fer_mlops.pipelines.explain import explain_images

CONFIG = CnnConfig(image_size=32, widths=(8, 16), depths=(1, 1), hidden=8)
NEUTRAL = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


def network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    scorer = NetworkScorer(build_network("cnn", CONFIG, 7), CONFIG)
    return Classifier(family="cnn", image_size=32, scorer=scorer, calibration=NEUTRAL)


class Bright:
    """Sees happiness in bright faces, and sadness in dark ones."""

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(pixels), 7), np.float32)
        logits[:, EMOTIONS.index("happiness")] = pixels.mean((1, 2)) / 20
        logits[:, EMOTIONS.index("sadness")] = 6
        return logits


def bright() -> Classifier:
    return Classifier(family="baseline", image_size=24, scorer=Bright(), calibration=NEUTRAL)


@pytest.fixture
def images(tmp_path: Path) -> FaceImages:
    """Two bright faces and two dark ones, one with a name that is no HTML."""
    generator = np.random.default_rng(0)
    for name, light in (("a", 200), ("b<b>&", 210), ("c", 40), ("d", 30)):
        face = generator.integers(light - 30, light + 30, (40, 40)).astype(np.uint8)
        (tmp_path / "faces").mkdir(exist_ok=True)
        Image.fromarray(face).save(tmp_path / "faces" / f"{name}.png")
    return find_images([tmp_path / "faces"], tmp_path / "cache")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_model_writes_an_overlay_of_each_face_a_mean_numbers_and_a_page(
    images: FaceImages, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (seen,) = explain_images([("mine", bright())], images, out)
    assert names(out) == [
        "000_a_happiness_occlusion.png",
        "001_b<b>&_happiness_occlusion.png",
        "002_c_sadness_occlusion.png",
        "003_d_sadness_occlusion.png",
        "explanations.json",
        "index.html",
        "mean_heat.png",
    ]
    with Image.open(out / "000_a_happiness_occlusion.png") as overlay:
        assert overlay.size == (192, 192)
    assert (seen.method, seen.layer, seen.report) == ("occlusion", "", None)
    (numbers,) = json.loads((out / "explanations.json").read_text())
    assert numbers["measured"] is None
    face = numbers["faces"][2]
    assert (Path(face["image"]).name, face["explained"]) == ("c.png", "sadness")
    assert face["sadness"] == pytest.approx(seen.probabilities[2, EMOTIONS.index("sadness")], abs=1e-6)
    page = (out / "index.html").read_text()
    assert "b<b>" not in page
    assert "b&lt;b&gt;&amp;.png" in page
    assert page.count("<img") == 4 + 4  # faces and overlays
    assert page.count("<svg") == 1  # mean maps
    assert "http" not in page.replace("http-equiv", "")
    assert "use --measure" in page


def test_one_emotion_can_be_explained_in_every_face(images: FaceImages, tmp_path: Path) -> None:
    (seen,) = explain_images([("mine", bright())], images, tmp_path / "out", target="happiness")
    assert seen.targets.tolist() == [EMOTIONS.index("happiness")] * 4
    assert seen.prediction(3)[0] == "sadness"
    assert "003_d_happiness_occlusion.png" in names(tmp_path / "out")
    assert "; map: happiness" in (tmp_path / "out" / "index.html").read_text()


def test_two_models_stand_side_by_side_with_their_answers(images: FaceImages, tmp_path: Path) -> None:
    out = tmp_path / "out"
    models = [("one", network(1)), ("two", bright())]
    one, two = explain_images(models, images, out, layer="features.0")
    assert (one.method, one.layer) == ("gradcam", "features.0")
    assert (two.method, two.layer) == ("occlusion", "")
    assert {"side_by_side.png", "b_mean_heat.png"} <= set(names(out))
    assert sum(name.startswith("000_") for name in names(out)) == 2
    with Image.open(out / "side_by_side.png") as sheet:
        assert sheet.size == (3 * (3 * 128 + 10) + 10, 2 * (128 + 36) + 50)
    page = (out / "index.html").read_text()
    assert "Grad-CAM of features.0" in page
    for row in range(4):
        for each in (one, two):
            emotion, confidence = each.prediction(row)
            assert f"{emotion} {confidence:.0%}" in page


def test_figures_are_measured_on_request(images: FaceImages, tmp_path: Path) -> None:
    (seen,) = explain_images([("mine", network(1))], images, tmp_path / "out", with_measures=True)
    assert seen.report is not None
    assert seen.report.num_faces == 4
    assert seen.layer == "features.1.2"
    (numbers,) = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert numbers["measured"] == seen.report.as_dict()
    assert "figures.png" in names(tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"{seen.report.removal.deletion_area:.3f}" in page
    assert maps_are_trustworthy(seen.report)[1] in page


def test_the_drawn_sample_is_known_by_name_with_what_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "NUM_IDENTITIES", 1)
    found = find_images([Path("sample")], tmp_path / "cache")
    assert len(found.paths) == 7 * sample.VARIANTS
    happy = next(row for row, path in enumerate(found.paths) if path.parent.name == "happiness")
    rows, labels = np.array([happy, happy]), np.array([EMOTIONS.index(e) for e in ("happiness", "fear")])
    as_drawn, as_another = found.regions(rows, labels)
    assert {region.feature for region in as_drawn} & {"mouth", "left eye"}
    assert as_another == ()
    (seen,) = explain_images(
        [("m", network(1))], found, tmp_path / "out", target="happiness", with_measures=True
    )
    assert seen.report is not None
    assert seen.report.hits is not None
    assert list(seen.report.hits.by_emotion) == ["happiness"]
    assert seen.report.hits.num_faces == 2
    assert "On the action units" in (tmp_path / "out" / "index.html").read_text()


def test_nothing_is_left_where_a_folder_cannot_be_filled(
    images: FaceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"^cannot write to '.*file': File exists; "):
        explain_images([("mine", bright())], images, tmp_path / "file")

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(explain, "render_page", full)
    with pytest.raises(DataError, match="No space left on device"):
        explain_images([("mine", bright())], images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_more_than_two_models_and_layers_for_none_are_refused(
    images: FaceImages, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="one model, or two side by side; got 3 --model"):
        explain_images([("mine", bright())] * 3, images, tmp_path / "out")
    with pytest.raises(ConfigError, match="uses no layer"):
        explain_images([("mine", bright())], images, tmp_path / "out", layer="features")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "lowers the answer faster than blurring random places (area 0.20 against 0.50, 10 faces)"),
        ({"deletion_area": 0.6}, "lowers the answer no faster than blurring random places"),
        ({"num_faces": 1}, "area 0.20 against 0.50, 1 face); little of the maps is left"),
        ({"num_faces": 9}, "; too few faces for a claim"),
        ({"likeness": 0.9}, "most of the maps is left when the weights are shuffled"),
        ({"peak": 0.25}, "on 25% of 9 drawn faces (10% by chance, 30% for the maps of other emotions)"),
    ],
)
def test_the_verdict_names_what_speaks_against_the_maps(changes: dict[str, Any], said: str) -> None:
    report = report_on_maps(**changes)
    is_good, sentence = maps_are_trustworthy(report)
    assert is_good == (not changes)
    assert said in sentence
    assert "drawn" not in maps_are_trustworthy(replace(report, hits=None))[1]
    assert "shuffled" not in maps_are_trustworthy(replace(report, sanity=None))[1]


def test_explain_by_hand(world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network(1).save(world / "model")
    words = ["explain", str(faces_folder / "happiness"), "--model", "model"]
    code, out, err = fer(capfd, *words, "--measure", "--out", "looked")
    assert code == 0, err
    assert "p000_0.png" in out
    assert "inside the face ellipse" in out
    assert "looked/index.html" in out
    for extra, status, sentence in (
        (["--layer", "features.9"], 2, "did you mean features.1? choose features (8 x 8), features.0"),
        (["--method", "occlusion", "--layer", "features"], 2, "uses no layer"),
        (["--target", "rage"], 2, "'rage' is not one of"),
        (["--model", "a"], 1, "no model 'a'"),
        (["--model", "model", "--model", "model"], 2, "got 3 --model"),
    ):
        code, _, err = fer(capfd, *words, *extra, "--out", "not")
        assert (code, "Traceback" in err) == (status, False), err
        assert sentence in err
        assert not (world / "not").exists()
