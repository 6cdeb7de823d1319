"""The model as MLflow stores it: what it takes from a data frame and from MLflow's own server."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, scoring_server
from PIL import Image
from quick import blobs, bundle, encoded, nonsense

import fer_mlops
from fer_mlops.emotions import EMOTIONS
from fer_mlops.tracking.logged_model import SIGNATURE

CODE = Path(fer_mlops.__file__).parent / "tracking" / "registered_model.py"
FACES = [encoded(image) for image in blobs(4)]
TEXTS = [base64.b64encode(face).decode() for face in FACES]
NO_IMAGE = base64.b64encode(b"x" * 30_000).decode()
EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\n"
    b"0 0 48 48 rectfill\nshowpage\n%%EOF\n"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PyFuncModel:
    folder = tmp_path_factory.mktemp("model")
    mlflow.pyfunc.save_model(
        str(folder / "stored"),
        python_model=str(CODE),
        artifacts={"classifier": str(bundle(folder))},
        signature=SIGNATURE,
        pip_requirements=["mlflow"],
    )
    return mlflow.pyfunc.load_model(str(folder / "stored"))


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return nonsense().predict_proba(nonsense().prepare(FACES))


def refused(model: PyFuncModel, cell: object) -> str:
    """Returns what is said of a table whose second image is ``cell``."""
    with pytest.raises(MlflowException) as caught:
        model.predict(pd.DataFrame({"image": pd.Series([FACES[0], cell], dtype=object)}))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    return caught.value.message


def sent(model: PyFuncModel, body: object, kind: str = "application/json") -> np.ndarray:
    """Returns the probabilities that MLflow's server answers a request's body with."""
    text = body if isinstance(body, str) else json.dumps(body)
    response = scoring_server.invocations(text, kind, model, model.metadata.get_input_schema())
    rows = json.loads(response.response)["predictions"]
    return np.array([[row[emotion] for emotion in EMOTIONS] for row in rows])


# ── a data frame ──


@pytest.mark.parametrize("index", [[7, 7, 0, 3], ["b", "a", "b", "c"], [0.5, -1.0, 2.5, 9.0]])
def test_answers_keep_the_index_of_the_table(
    model: PyFuncModel, expected: np.ndarray, index: list[object]
) -> None:
    answers = model.predict(pd.DataFrame({"image": FACES}, index=pd.Index(index, name="photo")))
    assert answers.index.tolist() == index
    assert answers.index.name == "photo"
    np.testing.assert_allclose(answers[list(EMOTIONS)].to_numpy(), expected, atol=1e-6)


def test_answers_beside_a_shuffled_or_filtered_table_stand_at_their_own_faces(
    model: PyFuncModel, expected: np.ndarray
) -> None:
    table = pd.DataFrame({"image": FACES}).sample(frac=1, random_state=1).iloc[1:]
    table["confidence"] = model.predict(table[["image"]])["confidence"]
    np.testing.assert_allclose(table["confidence"], expected.max(1)[table.index], atol=1e-6)


def test_an_empty_table_is_answered_by_an_empty_one(model: PyFuncModel) -> None:
    answers = model.predict(pd.DataFrame({"image": FACES}).iloc[:0])
    assert answers.shape == (0, 10)
    assert list(answers.columns) == ["emotion", "confidence", *EMOTIONS, "is_sure"]


def test_base64_text_is_the_image_it_stands_for(model: PyFuncModel, expected: np.ndarray) -> None:
    lines = f"{TEXTS[2][:40]}\n{TEXTS[2][40:]}"
    cells = [TEXTS[0], f"data:image/png;base64,{TEXTS[1]}", lines, TEXTS[3].encode()]
    answers = model.predict(pd.DataFrame({"image": pd.Series(cells, dtype=object)}))
    np.testing.assert_allclose(answers[list(EMOTIONS)].to_numpy(), expected, atol=1e-6)


def test_an_image_that_is_itself_text_is_not_taken_for_base64(model: PyFuncModel) -> None:
    ascii_face = b"P2 2 2 255 10 19 99 255 "  # also 16 letters of base64
    answers = model.predict(pd.DataFrame({"image": [ascii_face]}))
    own = nonsense().predict_proba(nonsense().prepare([ascii_face]))
    np.testing.assert_allclose(answers[list(EMOTIONS)].to_numpy(), own, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (None, "is missing; give its file's bytes, or base64 of them"),
        (float("nan"), "is missing"),
        (pd.NA, "is missing"),
        (pd.NaT, "is missing"),
        (bytearray(FACES[1]), "is bytearray;"),
        (memoryview(FACES[1]), "is memoryview;"),
        (np.frombuffer(FACES[1], np.uint8), "is ndarray;"),
        (np.zeros((40, 40), np.uint8), "is ndarray;"),
        (Path("/etc/passwd"), "is PosixPath;"),
        ([1, 2], "is list;"),
        (3, "is int;"),
        ("/etc/passwd", "is text that is no base64, and a path is never opened;"),
        ("é" * 30_000, "is text that is no base64"),
        ("", ": image cannot be read as an image: it is empty"),
        (b"", ": image cannot be read as an image: it is empty"),
        (NO_IMAGE, ": image cannot be read as an image: it is none of JPEG, PNG"),
        (b"x" * 30_000, ": image cannot be read as an image: it is none of JPEG, PNG"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_image_is_one_short_sentence_with_its_number(
    cell: object, says: str, model: PyFuncModel
) -> None:
    told = refused(model, cell)
    assert told.startswith(f"image 1 of 2{'' if says.startswith(':') else ' '}{says}")
    assert len(told) < 200
    assert "\n" not in told


# ── files and programs of the server ──


def test_no_file_that_a_client_names_is_opened(
    model: PyFuncModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["face", "face.png", "abcd/efg", str(tmp_path / "face.png"), f"file://{tmp_path}/face.png"]
    for name in ("face", "face.png"):
        (tmp_path / name).write_bytes(FACES[1])
    (tmp_path / "abcd").mkdir()
    (tmp_path / "abcd" / "efg").write_bytes(FACES[1])  # its path is good base64
    there = [refused(model, cell) for name in names for cell in (name, name.encode())]
    (tmp_path / "face").unlink()
    (tmp_path / "face.png").unlink()
    (tmp_path / "abcd" / "efg").unlink()
    assert there == [refused(model, cell) for name in names for cell in (name, name.encode())]


@pytest.mark.parametrize("name", ["/etc/passwd", "/no/such/file", "/root", "/"])
def test_a_request_tells_nothing_of_the_servers_files(name: str, model: PyFuncModel) -> None:
    requests: list[tuple[object, str]] = [
        (f"image\n{name}\n", "text/csv"),
        ({"inputs": {"image": [name]}}, "application/json"),
        ({"instances": [name]}, "application/json"),
        ({"instances": [{"image": name}]}, "application/json"),
        ({"dataframe_split": {"columns": ["image"], "data": [[name]]}}, "application/json"),
        ({"dataframe_records": [{"image": name}]}, "application/json"),
    ]
    for body, kind in requests:
        with pytest.raises(MlflowException) as caught:
            sent(model, body, kind)
        told = caught.value.message
        assert not any(word in told for word in ("Errno", "identify", "directory", "No such"))
        assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize("head", [b"", b"\xc5\xd0\xd3\xc6\x1e\0\0\0\xff\0\0\0" + b"\0" * 18])
def test_eps_starts_no_program(head: bytes, model: PyFuncModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*words: object, **_: Any) -> None:
        raise AssertionError(f"{words} was started")

    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, start)
    monkeypatch.setattr(os, "system", start)
    assert "it is none of JPEG" in refused(model, head + EPS)


# ── requests to MLflow's server ──


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"image": text} for text in TEXTS]},
        {"dataframe_split": {"columns": ["image"], "data": [[text] for text in TEXTS]}},
        {"inputs": {"image": TEXTS}},
        {"inputs": [{"image": text} for text in TEXTS]},
        {"inputs": TEXTS},
        {"instances": [{"image": text} for text in TEXTS]},
        {"instances": TEXTS},
    ],
    ids=lambda body: f"{next(iter(body))} {type(next(iter(body.values()))).__name__}",
)
def test_every_form_of_json_has_the_same_answer(
    body: object, model: PyFuncModel, expected: np.ndarray
) -> None:
    np.testing.assert_allclose(sent(model, body), expected, atol=1e-6)


def test_csv_and_parquet_have_the_same_answer(model: PyFuncModel, expected: np.ndarray) -> None:
    csv = sent(model, "\n".join(["image", *TEXTS, ""]), "text/csv")
    np.testing.assert_allclose(csv, expected, atol=1e-6)
    content = io.BytesIO()
    pd.DataFrame({"image": FACES}).to_parquet(content)
    schema = model.metadata.get_input_schema()
    kind = scoring_server.CONTENT_TYPE_PARQUET
    response = scoring_server.invocations(content.getvalue(), kind, model, schema)
    rows = json.loads(response.response)["predictions"]
    assert [row["confidence"] for row in rows] == pytest.approx(expected.max(1).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f"image\n{NO_IMAGE}\n", "text/csv"),
        ({"inputs": {"image": [NO_IMAGE]}}, "application/json"),
        ({"instances": [NO_IMAGE]}, "application/json"),
        ({"dataframe_records": [{"image": NO_IMAGE}]}, "application/json"),
    ],
)
def test_no_message_holds_the_picture_that_was_sent(body: object, kind: str, model: PyFuncModel) -> None:
    with pytest.raises(MlflowException) as caught:
        sent(model, body, kind)
    assert len(caught.value.serialize_as_json()) < 300
    assert caught.value.message.startswith("image 0 of 1: image cannot be read as an image: it is none")


def test_a_photo_on_its_side_is_turned_before_it_is_answered(model: PyFuncModel) -> None:
    face = Image.fromarray(blobs(1, side=64)[0]).crop((0, 0, 64, 40))
    exif = Image.Exif()
    exif[274] = 6
    lying = io.BytesIO()
    face.transpose(Image.Transpose.ROTATE_90).save(lying, "TIFF", exif=exif)
    upright = encoded(np.asarray(face))
    answers = model.predict(pd.DataFrame({"image": [upright, lying.getvalue()]}))
    assert answers["confidence"][0] == pytest.approx(answers["confidence"][1], abs=1e-6)
