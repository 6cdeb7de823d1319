"""The exported graph: one file, calibrated, described, and checked against the model it was made of."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from quick import SIDE, blobs, bundle, nonsense

from fer_mlops import load
from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, ModelError
from fer_mlops.models.classifier import Classifier
from fer_mlops.models.onnx import OnnxScorer
from fer_mlops.serving import onnx_export
from fer_mlops.serving.onnx_export import data_of, export_int8, export_onnx


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier.load(bundle(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def exported(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    made = export_onnx(classifier, "the model", path)
    assert made.num_bytes == path.stat().st_size
    assert made.largest_difference < 1e-5
    return path


def labelled(count: int, seed: int) -> Faces:
    pixels = np.stack(blobs(count, SIDE, seed))
    labels = nonsense().predict_proba(pixels).argmax(1)
    return Faces(pixels=pixels, labels=labels, identities=np.arange(count).astype(str))


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_the_file_answers_as_the_model_does(exported: Path, classifier: Classifier, count: int) -> None:
    pixels = np.zeros((0, SIDE, SIDE), np.uint8) if not count else np.stack(blobs(count, SIDE))
    ours, theirs = classifier.predict_proba(pixels), load(exported).classifier
    assert isinstance(theirs.scorer, OnnxScorer)
    np.testing.assert_allclose(theirs.predict_proba(pixels), ours, atol=1e-5)
    np.testing.assert_allclose(theirs.scorer.probabilities(pixels), ours, atol=1e-5)


def test_onnxruntime_alone_can_use_the_file(exported: Path, classifier: Classifier) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert told["emotions"].split(",") == list(EMOTIONS)
    side = int(told["image_size"])
    assert f"[n, {side}, {side}]" in told["preprocessing"]
    assert float(told["threshold"]) == classifier.calibration.threshold
    assert told["arithmetic"] == "float32"
    faces = np.stack(blobs(3, side))
    (probabilities,) = session.run(["probabilities"], {"faces": faces})
    np.testing.assert_allclose(probabilities, classifier.predict_proba(faces), atol=1e-5)


def test_the_file_has_the_operating_points(exported: Path, classifier: Classifier) -> None:
    images = blobs(20, SIDE)
    expected = classifier.calibration.at("balanced")
    answers = load(exported).predict(images, point="balanced")
    logits = classifier.scorer.logits(np.stack(images))
    np.testing.assert_allclose(answers.probabilities, expected.probabilities(logits), atol=1e-5)
    assert answers.is_sure.tolist() == (answers.probabilities.max(1) >= expected.threshold).tolist()


def test_8_bits_are_smaller_and_tell_what_they_cost(
    classifier: Classifier, exported: Path, tmp_path: Path
) -> None:
    path = tmp_path / "small.onnx"
    valid = labelled(100, 7)
    made = export_int8(classifier, "the model", path, labelled(100, 8), valid)
    graph = onnx.load(path)
    assert "QuantizeLinear" in {node.op_type for node in graph.graph.node}
    assert made.loss is not None
    ours = load(path).classifier.predict_proba(valid.pixels)
    right = float((ours.argmax(1) == valid.labels).mean())
    assert made.loss.accuracy == pytest.approx(right)
    assert made.loss.accuracy_lost == pytest.approx(1 - right)  # the labels are the model's answers
    assert made.loss.changed == pytest.approx(1 - right)
    assert made.largest_difference > 1e-4
    told = {one.key: one.value for one in graph.metadata_props}
    assert told["arithmetic"] == "int8"
    assert json.loads(told["int8_cost"])["accuracy"] == made.loss.accuracy


def test_a_graph_that_differs_is_not_written(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "MOST_OFF", 0.0)
    with pytest.raises(ModelError, match=r"differ by \S+, more than 0e\+00; no file was written"):
        export_onnx(classifier, "the model", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_network_is_refused(exported: Path, classifier: Classifier) -> None:
    class Other:
        def logits(self, pixels: np.ndarray) -> np.ndarray:
            return np.zeros((len(pixels), 7), np.float32)

    other = Classifier(
        family="baseline", image_size=SIDE, scorer=Other(), calibration=classifier.calibration
    )
    with pytest.raises(ModelError, match="this baseline is no network"):
        export_onnx(other, "svm", Path("never.onnx"))
    with pytest.raises(ModelError, match="an ONNX model already"):
        export_onnx(load(exported).classifier, "again", Path("never.onnx"))


def test_a_file_that_is_not_ours_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ModelError, match="cannot be read as an ONNX model"):
        load(tmp_path / "text.onnx")
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy")
    graph = onnx.helper.make_graph([node], "other", [x], [y])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10
    )
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="was not written by 'fer-mlops export'"):
        load(tmp_path / "other.onnx")


def test_without_the_packages_the_way_out_is_told(
    exported: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'fer-mlops\[onnx\]'"):
        load(exported)
    with pytest.raises(ConfigError, match=r"pip install 'fer-mlops\[onnx\]'"):
        export_onnx(classifier, "the model", Path("never.onnx"))


def test_a_folder_does_not_tell_what_8_bits_are_measured_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the model by models:/ or runs:/"):
        data_of(str(tmp_path), None, tmp_path)


def test_the_documented_lines_answer_a_photo_on_its_side_as_the_model_does(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "predicting.md").read_text(encoding="utf-8")
    (lines,) = [
        block.partition("```")[0]
        for block in page.split("```python\n")
        if block.startswith("import numpy as np, onnxruntime")
    ]
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported, "model.onnx")
    exif = Image.Exif()
    exif[274] = 6
    face = Image.fromarray(blobs(1, 60)[0]).crop((0, 0, 60, 40))
    face.transpose(Image.Transpose.ROTATE_90).save("face.jpg", exif=exif, quality=95)
    names: dict[str, Any] = {}
    exec(lines, names)
    answer = load(exported).predict("face.jpg")
    assert names["probabilities"][0] == pytest.approx(list(answer.probabilities.values()), abs=1e-5)
    assert answer.emotion in capsys.readouterr().out


def test_the_preprocessing_in_the_file_is_named_truly(exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map["preprocessing"]
    assert "turned upright as EXIF says" in told
    assert "Pillow's BILINEAR" in told
