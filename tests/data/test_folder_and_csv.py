"""One's own faces: a folder per emotion, or a csv."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from layouts import draw, find, labelled, parts, read, said, write

from fer_mlops.config import DataConfig
from fer_mlops.config.recipes import (
    build_experiment,
    experiment_from_json,
    flatten,
    parse_assignments,
    settings_as_json,
)
from fer_mlops.data.datasets.identities import person_of
from fer_mlops.data.quality.annotations import label_findings
from fer_mlops.data.table import FaceTable, Note
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.metrics.identities import unnamed_identity

# ── whose face it is ──


@pytest.mark.parametrize(
    ("path", "person"),
    [
        ("anna_01.png", "anna"),
        ("anna (2).png", "anna"),
        ("anna-b-3.png", "anna b"),
        ("anna.png", "anna"),
        ("Anna Lee 07.jpg", "anna lee"),
        ("imogen_3.png", "imogen"),
        ("faye.1.png", "faye"),
        ("ben/01.png", "ben"),
        ("ben/deeper/01.png", "ben"),
    ],
)
def test_a_path_tells_a_person_by_folder_or_by_file_name(path: str, person: str) -> None:
    assert person_of(path) == (person, "folder" if "/" in path else "file name")


@pytest.mark.parametrize(
    "name",
    [
        "0001.png",
        "IMG_0001.jpg",
        "IMG_20240131_120501.jpg",
        "im123.png",
        "DSC_0042.JPG",
        "PXL_20230102_123.jpg",
        "Screenshot 2024-01-31 12.05.01.png",
        "WhatsApp Image 2024-01-31 at 12.05.01.jpeg",
        "IMG-20240131-WA0001.jpg",
        "frame_0012_face_1.png",
        "Training_3908.jpg",
        "PrivateTest_88305.jpg",
        "train_00001_aligned.jpg",
        "image0000006.jpg",
        "ffhq_10.png",
        "happy_12.png",
        "Anger (3).png",
        "face.png",
        "_-_.png",
    ],
)
def test_what_cameras_scripts_and_collections_call_files_names_nobody(name: str) -> None:
    assert person_of(name) == (None, "file name")


def test_a_name_full_of_blanks_is_read_at_once() -> None:
    assert person_of("img" + "_" * 20_000 + "anna.png")[0] == "anna"


# ── a folder per emotion ──


@pytest.mark.parametrize("name", ["anna_01.png", "anna/01.png", "anna/deep/01.png"])
def test_a_folder_tells_people_by_file_name_or_by_subfolder(name: str, tmp_path: Path) -> None:
    draw(tmp_path / "happy" / name)
    table = read("folder", tmp_path)
    assert labelled(table) == {f"happy/{name}": ("happiness", "anna")}
    origin = "folder" if "/" in name else "file name"
    assert table.notes == (
        Note("identities", f"1 people, identified by {origin} (1)"),
        Note("spelling", "labels also spelled happy (1)", ("happy (1)",)),
    )


def test_images_that_tell_no_person_count_as_one_each_and_a_note_says_so(tmp_path: Path) -> None:
    for name in ("anger/0001.png", "anger/IMG_0002.png", "fear/0001.png", "fear/anna_1.png"):
        draw(tmp_path / name)
    table = read("folder", tmp_path)
    nobody = ["anger/0001.png", "anger/IMG_0002.png", "fear/0001.png"]
    assert table.identities.tolist() == [*(unnamed_identity(path) for path in nobody), "anna"]
    assert table.notes == (
        Note("identities", "1 people, identified by file name (1)"),
        Note(
            "no-identity",
            "3 images without a person's name: each counts as one person, so an identity split cannot "
            "keep a person's photos together: " + ", ".join(nobody),
            tuple(nobody),
        ),
    )


def test_folders_of_parts_above_the_emotions_are_the_publishers_split(tmp_path: Path) -> None:
    for name in ("Training/happy/anna_1.png", "val/sad/ben_1.png", "test/happy/eve_1.png"):
        draw(tmp_path / name)
    assert parts(read("folder", tmp_path)) == {
        "Training/happy/anna_1.png": "train",
        "test/happy/eve_1.png": "test",
        "val/sad/ben_1.png": "valid",
    }


def test_a_folder_beside_the_parts_that_is_none_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "happy" / "anna_1.png")
    draw(tmp_path / "extra" / "happy" / "ben_1.png")
    with pytest.raises(DataError, match=r"^unknown emotion 'extra'"):
        read("folder", tmp_path)


def test_a_folder_of_contempt_is_left_out_and_counted(tmp_path: Path) -> None:
    draw(tmp_path / "contempt" / "anna_1.png")
    draw(tmp_path / "fear" / "anna_1.png")
    table = read("folder", tmp_path)
    assert table.paths == ("fear/anna_1.png",)
    assert said(table)["outside-emotion"] == (
        "1 contempt face left out, not one of the seven emotions: contempt/anna_1.png"
    )


def test_a_folder_reads_images_only_and_nothing_hidden_or_left_by_an_unpacker(tmp_path: Path) -> None:
    draw(tmp_path / "happy" / "anna_1.PNG")
    draw(tmp_path / "happy" / ".ipynb_checkpoints" / "anna_1-checkpoint.png")
    draw(tmp_path / "happy" / "__MACOSX" / "anna_1.png")
    draw(tmp_path / "happy" / "._anna_1.png")
    draw(tmp_path / ".thumbnails" / "anna_1.png")
    draw(tmp_path / "__MACOSX" / "happy" / "anna_1.png")
    (tmp_path / "happy" / "notes.txt").write_text("shot in May")
    (tmp_path / "faces.json").write_text("{}")
    table = read("folder", tmp_path)
    assert table.paths == ("happy/anna_1.PNG",)
    assert set(said(table)) == {"identities", "spelling", "not-read"}
    assert said(table)["not-read"] == "1 file not read, not an image in a known format: 1 .txt"


def test_an_image_beside_the_emotions_has_no_label(tmp_path: Path) -> None:
    draw(tmp_path / "fear" / "anna_1.png")
    draw(tmp_path / "cover.png")
    draw(tmp_path / ".hidden.png")
    assert said(read("folder", tmp_path))["no-label"] == "1 file without a label left out: cover.png"


def test_two_spellings_of_one_emotion_are_one_emotion(tmp_path: Path) -> None:
    draw(tmp_path / "happy" / "anna_1.png")
    draw(tmp_path / "Joy" / "ben_1.png")
    table = read("folder", tmp_path)
    assert table.counts()["happiness"] == 2
    assert said(table)["spelling"] == "labels also spelled Joy (1), happy (1)"


def test_a_folder_that_is_no_emotion_is_refused_or_noted_when_reading_on(tmp_path: Path) -> None:
    draw(tmp_path / "hapy" / "anna_1.png")
    draw(tmp_path / "fear" / "anna_2.png")
    with pytest.raises(DataError, match=r"^unknown emotion 'hapy'; did you mean 'happy'\? Or name its"):
        read("folder", tmp_path)
    table = read("folder", tmp_path, is_strict=False)
    assert table.paths == ("fear/anna_2.png",)
    assert said(table)["unknown-emotion"] == (
        "1 row with an unknown emotion: hapy/anna_1.png: unknown emotion 'hapy'; did you mean 'happy'? "
        'Or name its emotion, or leave it out: --set data.labels=\'{"hapy": "drop"}\''
    )


def test_an_empty_folder_that_is_no_emotion_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    draw(tmp_path / "fear" / "anna_2.png")
    assert read("folder", tmp_path).paths == ("fear/anna_2.png",)


def test_a_folder_without_images_says_what_it_should_look_like(tmp_path: Path) -> None:
    (tmp_path / "happy").mkdir()
    with pytest.raises(DataError, match=rf"expected {tmp_path.name}/happiness/face\.jpg and so on$"):
        read("folder", tmp_path)


def test_links_may_leave_the_folder_and_a_link_back_up_ends(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere" / "1.png")
    draw(tmp_path / "elsewhere" / "anna_2.png")
    happy = tmp_path / "set" / "happy"
    happy.mkdir(parents=True)
    (happy / "eve_1.png").symlink_to(tmp_path / "elsewhere" / "anna_2.png")
    (happy / "ben").symlink_to(tmp_path / "elsewhere")
    (happy / "round").symlink_to(happy)
    assert labelled(read("folder", tmp_path / "set")) == {
        "happy/ben/1.png": ("happiness", "ben"),
        "happy/ben/anna_2.png": ("happiness", "ben"),
        "happy/eve_1.png": ("happiness", "eve"),
    }


def test_a_link_to_nothing_is_a_missing_file(tmp_path: Path) -> None:
    draw(tmp_path / "fear" / "anna_1.png")
    (tmp_path / "fear" / "ben_1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"^fear/ben_1\.png: no image at "):
        read("folder", tmp_path)
    assert read("folder", tmp_path, on_bad_image="skip").paths == ("fear/anna_1.png",)


@pytest.mark.skipif(os.name == "nt", reason="no such file names")
def test_odd_file_names_are_names_all_the_same(tmp_path: Path) -> None:
    for name in ("a:b_1.png", "c\\d_1.png", "é_1.png", "x;y_1.png"):
        draw(tmp_path / "fear" / name)
    assert len(read("folder", tmp_path)) == 4


@pytest.mark.parametrize("left", ["@eaDir", "#recycle", "$RECYCLE.BIN", ".thumbs", "__MACOSX"])
def test_what_a_storage_system_keeps_beside_faces_is_no_face(left: str, tmp_path: Path) -> None:
    draw(tmp_path / "fear" / "anna_1.jpg")
    draw(tmp_path / "fear" / left / "anna_1.jpg" / "SYNOPHOTO_THUMB_M.jpg")
    draw(tmp_path / left / "1.jpg")
    (tmp_path / "fear" / "Thumbs.db").write_bytes(b"")
    table = read("folder", tmp_path)
    assert table.paths == ("fear/anna_1.jpg",)
    assert "not-read" not in said(table)


def test_runs_that_were_kept_among_the_faces_are_no_emotion(tmp_path: Path) -> None:
    draw(tmp_path / "fear" / "anna_1.jpg")
    draw(tmp_path / "mlruns" / "1" / "0123" / "artifacts" / "calibration.png")
    (tmp_path / "mlflow.db").write_bytes(b"")
    assert read("folder", tmp_path).paths == ("fear/anna_1.jpg",)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".avif", ".pgm", ".ppm", ".jp2", ".webp", ".JPEG"])
def test_every_kind_of_picture_that_pillow_decodes_is_read(suffix: str, tmp_path: Path) -> None:
    draw(tmp_path / "fear" / f"anna_1{suffix}")
    assert read("folder", tmp_path).paths == (f"fear/anna_1{suffix}",)


def test_files_that_are_not_read_are_counted_by_suffix_with_what_to_do(tmp_path: Path) -> None:
    draw(tmp_path / "fear" / "anna_1.jpg")
    for name in ("anger/1.heic", "anger/2.HEIC", "fear/clip.mp4", "fear/README"):
        write(tmp_path / name)
    table = read("folder", tmp_path)
    assert said(table)["not-read"] == (
        "4 files not read, not an image in a known format: 2 .heic, 1 .mp4, 1 without suffix"
    )
    (finding,) = [one for one in label_findings(table.notes, DataConfig()) if one.kind == "not-read"]
    assert (finding.num, finding.remedy[:27]) == (4, "save pictures (such as a ph")


def test_a_folder_of_unread_files_alone_says_what_they_are(tmp_path: Path) -> None:
    write(tmp_path / "fear" / "1.heic")
    with pytest.raises(
        DataError, match=r"and so on; 1 file is not read, not an image in a known format: 1 \.heic$"
    ):
        read("folder", tmp_path)


def test_a_folder_above_the_emotions_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "happy" / "anna_1.jpg")
    with pytest.raises(DataError, match=rf"'images'; did you mean '{tmp_path}/images'\?$"):
        read("folder", tmp_path)


@pytest.mark.parametrize("place", ["images", "archive/images"])
def test_a_folder_above_the_parts_is_told(place: str, tmp_path: Path) -> None:
    for part in ("train", "validation"):
        draw(tmp_path / place / part / "happy" / f"{part}_1.jpg")
    first = place.partition("/")[0]
    with pytest.raises(DataError, match=rf"'{first}'; did you mean '{tmp_path}/{place}'\?$"):
        read("folder", tmp_path)
    assert len(read("folder", tmp_path / place)) == 2


def test_labels_of_other_names_are_mapped_or_left_out(tmp_path: Path) -> None:
    for name in ("0/anna_1.jpg", "Ahegao/anna_2.jpg", "happy/anna_3.jpg"):
        draw(tmp_path / name)
    with pytest.raises(DataError, match=r"unknown emotion '0'; .*--set data.labels='{\"0\": \"drop\"}'"):
        read("folder", tmp_path)
    experiment = build_experiment(
        "cnn", settings=parse_assignments(['data.labels={0: anger, "ahegao": "drop"}'])
    )
    table = read("folder", tmp_path, labels=experiment.data.labels)
    assert labelled(table) == {
        "0/anna_1.jpg": ("anger", "anna"),
        "happy/anna_3.jpg": ("happiness", "anna"),
    }
    assert said(table)["dropped-label"] == ("1 image left out because of data.labels: Ahegao/anna_2.jpg")
    assert experiment_from_json(settings_as_json(experiment)) == experiment
    assert flatten(experiment)["data.labels"] == '{"0": "anger", "ahegao": "drop"}'


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"0": "rage"}, "data.labels of '0' must be one of drop, anger"),
        ("0=anger", "data.labels must be a mapping"),
        ("a: b: c", "data.labels must be a mapping"),
    ],
)
def test_labels_that_map_to_nothing_known_are_refused(labels: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_experiment("cnn", settings={"data.labels": labels})


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "archive.zip"
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="is an archive; unpack it, and pass the folder with --data"):
        find(file, tmp_path / "cache")


# ── csv ──


def csv_of(root: Path, *lines: str) -> Path:
    for name in ("anna_1.png", "anna_2.png", "deep/0001.png"):
        draw(root / name)
    return write(root / "faces.csv", *lines)


def test_a_csv_takes_identity_from_its_column(tmp_path: Path) -> None:
    table = read(
        "csv",
        csv_of(
            tmp_path,
            "image,emotion,identity,source",
            "anna_1.png,anger,,web",
            "anna_2.png,sadness,Anna B,film",
            "deep/0001.png,fear,,",
        ),
    )
    assert labelled(table) == {
        "anna_1.png": ("anger", unnamed_identity("anna_1.png")),
        "anna_2.png": ("sadness", "anna b"),
        "deep/0001.png": ("fear", unnamed_identity("deep/0001.png")),
    }
    assert table.sources.tolist() == ["web", "film", tmp_path.name]
    assert said(table) == {
        "identities": "1 people, identified by column identity (1)",
        "no-identity": "2 images without a person's name: each counts as one person, so an "
        "identity split cannot keep a person's photos together: anna_1.png, deep/0001.png",
    }
    assert (table.name, table.root) == ("faces", tmp_path)


def test_other_columns_are_kept_with_the_faces(tmp_path: Path) -> None:
    table = read("csv", csv_of(tmp_path, "Image,Emotion,Age", "anna_2.png,fear,9", "anna_1.png,fear,"))
    assert {name: values.tolist() for name, values in table.columns.items()} == {"age": ["", "9"]}


def test_a_column_of_parts_is_the_publishers_split(tmp_path: Path) -> None:
    lines = ("anna_1.png,fear,TRAIN", "anna_2.png,fear,val", "deep/0001.png,fear,")
    assert parts(read("csv", csv_of(tmp_path, "image,emotion,part", *lines))) == {
        "anna_1.png": "train",
        "anna_2.png": "valid",
        "deep/0001.png": "",
    }


def read_leniently(file: Path) -> FaceTable:
    return read("csv", file, is_strict=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("anna_2.png,hapy,", "unknown emotion 'hapy'; did you mean 'happy'?"),
        (",happy,", "no image is named"),
        ("none.png,happy,", "no image at "),
        ("../outside.png,happy,", "image '../outside.png' lies outside "),
        ("anna_2.png,happy,holdout", "part must be train, valid or test, got 'holdout'"),
    ],
)
def test_an_error_in_a_csv_names_its_line_and_is_noted_when_reading_on(
    line: str, message: str, tmp_path: Path
) -> None:
    draw(tmp_path / "outside.png")
    file = csv_of(tmp_path / "inside", "image,emotion,part", "anna_1.png,happy,", line)
    with pytest.raises(DataError) as caught:
        read("csv", file)
    assert str(caught.value).startswith(f"faces.csv line 3: {message}")
    table = read_leniently(file)
    assert table.paths == ("anna_1.png",)
    met = [text for note in table.notes for text in note.examples]
    assert any(text.startswith(f"faces.csv line 3: {message}") for text in met)


def test_a_row_without_emotion_is_noted_and_left_out(tmp_path: Path) -> None:
    table = read(
        "csv", csv_of(tmp_path, "image,emotion", "anna_1.png,fear", "anna_2.png,", "deep/0001.png")
    )
    assert table.paths == ("anna_1.png",)
    assert said(table)["no-label"] == "2 files without a label left out: anna_2.png, deep/0001.png"


def test_backslashes_of_another_system_are_slashes(tmp_path: Path) -> None:
    assert read("csv", csv_of(tmp_path, "image,emotion", "deep\\0001.png,fear")).paths == (
        "deep/0001.png",
    )


@pytest.mark.parametrize("header", ["", "file,label", "image"])
def test_a_csv_without_its_columns_is_refused(header: str, tmp_path: Path) -> None:
    found = header.replace(",", ", ") or "none"
    with pytest.raises(DataError, match=rf"faces\.csv' needs columns image, emotion; it has {found}$"):
        read("csv", csv_of(tmp_path, header))


@pytest.mark.parametrize(
    "rows", [(), ("anna_1.png,contempt",), ("anna_1.png,joy", "anna_1.png,sad"), ("anna_1.png,",)]
)
def test_a_csv_without_one_usable_face_is_refused(rows: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no labelled face of the seven emotions: "):
        read("csv", csv_of(tmp_path, "image,emotion", *rows))
