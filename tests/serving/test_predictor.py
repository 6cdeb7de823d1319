"""A trained model in use: whatever an image comes in, the answer is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from quick import blobs, bundle, encoded, nonsense, save_blobs

from fer_mlops import load
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError, ModelError
from fer_mlops.serving.predictions import Prediction
from fer_mlops.serving.predictor import Predictor, as_image


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(bundle(tmp_path_factory.mktemp("model")))


def test_every_form_of_an_image_has_the_same_answer(model: Predictor, tmp_path: Path) -> None:
    image = blobs(1)[0]
    file = tmp_path / "face.png"
    file.write_bytes(encoded(image))
    forms = [
        str(file),
        file,
        encoded(image),
        bytearray(encoded(image)),
        memoryview(encoded(image)),
        image,
        image[..., None],
        np.stack([image] * 3, axis=2),
        np.stack([image] * 3 + [np.full_like(image, 255)], axis=2),
        Image.fromarray(image),
    ]
    one = model.predict(file)
    assert isinstance(one, Prediction)
    together = model.predict(forms)
    for form, answer in zip(forms, together, strict=True):
        alone = model.predict(form)
        assert alone == one
        assert answer.emotion == one.emotion
        assert answer.probabilities == pytest.approx(one.probabilities, abs=1e-5)


def test_an_answer_holds_what_the_classifier_says(model: Predictor) -> None:
    image = blobs(1)[0]
    classifier = nonsense()
    expected = classifier.predict_proba(classifier.prepare([encoded(image)]))[0]
    answer = model.predict(image)
    assert list(answer.probabilities) == list(EMOTIONS)
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-6)
    assert answer.emotion == EMOTIONS[expected.argmax()]
    assert answer.confidence == max(answer.probabilities.values())
    assert answer.is_sure == (answer.confidence >= 0.4)


def test_many_images_are_answered_in_order_whatever_holds_them(model: Predictor) -> None:
    images = blobs(600)  # more than two batches
    alone = [model.predict(image).confidence for image in images[::97]]
    for many in (
        images,
        tuple(images),
        iter(images),
        np.stack(images),
        np.stack([np.stack(images)] * 3, 3),
    ):
        answers = model.predict(many)
        assert len(answers) == 600
        assert [a.confidence for a in answers[::97]] == pytest.approx(alone, abs=1e-5)
    assert answers[-1] == list(answers)[-1]
    assert len({a.emotion for a in answers}) > 1


def test_one_thread_answers_as_many_do(model: Predictor) -> None:
    images = [*blobs(300), b"no image"]
    alone, together = (list(load(model.name, num_threads=number).stream(images)) for number in (1, 3))
    assert alone[:300] == together[:300]
    assert str(alone[300]) == str(together[300])


def test_nothing_is_answered_with_nothing(model: Predictor) -> None:
    assert list(model.predict([])) == []
    assert model.predict([]).to_frame().shape == (0, 10)
    assert list(model.stream([])) == []


def test_a_frame_has_the_columns_of_the_registered_model(model: Predictor) -> None:
    answers = model.predict(blobs(5))
    table = answers.to_frame()
    assert list(table.columns) == ["emotion", "confidence", *EMOTIONS, "is_sure"]
    assert table["emotion"].tolist() == [a.emotion for a in answers]
    assert table["is_sure"].tolist() == [a.is_sure for a in answers]
    np.testing.assert_array_equal(table[list(EMOTIONS)].to_numpy(), answers.probabilities)


def test_a_bad_image_is_named_by_its_number(model: Predictor, tmp_path: Path) -> None:
    images = [*blobs(300), tmp_path / "nowhere.png"]
    with pytest.raises(
        DataError, match=r"^image 300 of 301: '.*nowhere.png' cannot be read as an image"
    ):
        model.predict(images)
    with pytest.raises(DataError, match=r"^image cannot be read as an image"):
        model.predict(b"no image")


def test_a_stream_goes_on_after_a_bad_image(model: Predictor) -> None:
    good = blobs(2)
    first, bad, last = model.stream([good[0], b"", good[1]])
    assert first == model.predict(good)[0]
    assert isinstance(bad, DataError)
    assert last == model.predict(good)[1]


def test_a_stream_takes_two_batches_ahead_at_most(model: Predictor) -> None:
    taken = []

    def images() -> object:
        for image in blobs(1) * 2000:
            taken.append(1)
            yield image

    next(model.stream(images()))  # type: ignore[arg-type]
    assert len(taken) == 512


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((8, 8), np.float32), "float32 does not state its white value"),
        (np.zeros((8, 8), np.uint16), "uint16 does not state"),
        (np.zeros((3, 8, 9), np.uint8), r"shape \(3, 8, 9\) is not an image"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\) is not an image"),
        (np.zeros(8, np.uint8), r"shape \(8,\) is not an image"),
        (3, "not builtins.int"),
        (None, "not builtins.NoneType"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(image: object, says: str, model: Predictor) -> None:
    with pytest.raises(DataError, match=says):
        as_image(image)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"image 1 of 2: .*{says}"):
        model.predict([blobs(1)[0], image])  # type: ignore[list-item]
    if not isinstance(image, np.ndarray) or image.ndim != 3:
        with pytest.raises(DataError, match=says):
            model.predict(image)  # type: ignore[call-overload]


def test_colours_are_red_green_blue(model: Predictor) -> None:
    red, green, blue = blobs(3)
    colour = np.stack([red, green, blue], axis=2)
    gray = np.asarray(Image.fromarray(colour).convert("L"))
    assert model.predict(colour) == model.predict(gray)
    assert model.predict(colour[..., ::-1]) != model.predict(gray)


def test_points_and_thresholds_change_the_answer_as_calibration_says(model: Predictor) -> None:
    images = blobs(40, seed=5)
    pixels = nonsense().prepare([encoded(image) for image in images])
    for point in ("default", "natural", "balanced"):
        at = nonsense().calibration.at(point)
        expected = at.probabilities(nonsense().scorer.logits(pixels))
        answers = model.predict(images, point=point)
        np.testing.assert_allclose(answers.probabilities, expected, atol=1e-6)
        assert answers.is_sure.tolist() == (expected.max(1) >= at.threshold).tolist()
    assert model.predict(images, threshold=0).is_sure.all()
    assert not model.predict(images, threshold=1).is_sure.any()
    assert 0 < model.predict(images).is_sure.sum() < 40
    assert model.predict(images[0], threshold=0).is_sure


@pytest.mark.parametrize("options", [{"point": "fair"}, {"threshold": 1.5}, {"threshold": float("nan")}])
def test_points_and_thresholds_that_cannot_be_are_refused(
    model: Predictor, options: dict[str, object]
) -> None:
    for ask in (model.predict, lambda *a, **k: list(model.stream(*a, **k)), model.find):
        with pytest.raises(ConfigError, match=r"point must be one of|threshold must be between"):
            ask(blobs(1)[0], **options)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["nowhere", "nowhere.onnx", "models:/fer-classifier@champion"])
def test_a_model_that_is_not_there_is_one_sentence(name: str, world: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        load(name)


def test_importing_the_package_loads_nothing_heavy_until_load_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys, fer_mlops\n"
        "assert not {'torch', 'numpy', 'PIL', 'mlflow'} & set(sys.modules)\n"
        "from fer_mlops import load\n"
        "assert load.__module__ == 'fer_mlops.serving.predictor'\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_package_without_that_name_says_so() -> None:
    with pytest.raises(ImportError, match="cannot import name 'lode'"):
        from fer_mlops import lode  # noqa: F401


def test_files_of_a_folder_are_read_once_each(model: Predictor, tmp_path: Path) -> None:
    names = save_blobs(tmp_path, 3)
    answers = model.predict(tmp_path / name for name in names)
    assert [a.confidence for a in answers] == pytest.approx(
        [a.confidence for a in model.predict(blobs(3))], abs=1e-6
    )
