"""Published data sets: each label map, part, vote and trap on a drawn fixture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from layouts import (
    SQUARE,
    annotate,
    draw,
    find,
    labelled,
    lay_out_affectnet,
    lay_out_fer2013,
    lay_out_ferplus,
    lay_out_jaffe,
    lay_out_muxspace,
    lay_out_rafdb,
    parts,
    read,
    said,
    write,
)
from PIL import Image

from fer_mlops.data.datasets import fer2013, ferplus, muxspace
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.metrics.identities import is_named


def emotions(table: FaceTable) -> dict[str, str]:
    """Returns path to emotion."""
    return {path: emotion for path, (emotion, _) in labelled(table).items()}


# ── Muxspace ──


def muxspace_of(root: Path, files: Iterable[str], *rows: str) -> Path:
    (root / "images").mkdir(parents=True)
    for name in files:
        draw(root / "images" / name)
    write(root / "data" / "legend.csv", "user.id,image,emotion", *rows)
    return root


def test_muxspace_reads_identity_source_annotator_and_uppercase_labels(tmp_path: Path) -> None:
    table = read("muxspace", lay_out_muxspace(tmp_path))
    assert labelled(table) == {
        "images/Kajol_12.jpg": ("sadness", "Kajol"),
        "images/Tony_Blair_0001.jpg": ("neutral", "Tony_Blair"),
        "images/Tony_Blair_0002.jpg": ("happiness", "Tony_Blair"),
    }
    assert table.sources.tolist() == ["actors", "lfw", "lfw"]
    assert table.columns["annotator"].tolist() == ["jhamski", "628", "628"]
    assert said(table) == {
        "identities": "2 people, identified by published file name (3)",
        "spelling": "labels also spelled SADNESS (1)",
    }


def test_muxspace_dirt_is_left_out_and_counted(tmp_path: Path) -> None:
    root = muxspace_of(
        tmp_path,
        ["Once_1.jpg", "Twice_1.jpg", "Torn_1.jpg", "Proud_1.jpg", "Mute_1.jpg"],
        "1,Once_1.jpg,neutral",
        "1,Twice_1.jpg,anger",
        "2,Twice_1.jpg,ANGER",
        "3,Twice_1.jpg,anger",
        "1,Torn_1.jpg,sadness",
        "2,Torn_1.jpg,surprise",
        "1,Proud_1.jpg,contempt",
        "1,Gone_1.jpg,fear",
    )
    table = read("muxspace", root, on_bad_image="skip")
    assert labelled(table) == {
        "images/Once_1.jpg": ("neutral", "Once"),
        "images/Twice_1.jpg": ("anger", "Twice"),
    }
    assert [note.text for note in table.notes][2:] == [
        "2 repeated rows counted once: images/Twice_1.jpg, images/Twice_1.jpg",
        "1 image with two labels left out: images/Torn_1.jpg",
        "1 contempt face left out, not one of the seven emotions: images/Proud_1.jpg",
        "1 file without a label left out: images/Mute_1.jpg",
        f"1 row without a file left out: {Path('data/legend.csv')} line 9: no image at "
        f"{str(root / 'images/Gone_1.jpg')!r}",
    ]


def test_muxspace_names_the_line_of_an_unknown_emotion(tmp_path: Path) -> None:
    root = muxspace_of(tmp_path, ["A_1.jpg"], "1,A_1.jpg,neutral", "1,A_1.jpg,hapy")
    with pytest.raises(DataError) as caught:
        read("muxspace", root)
    legend = Path("data") / "legend.csv"
    assert str(caught.value).startswith(
        f"{legend} line 3: unknown emotion 'hapy'; did you mean 'happy'? Or name its emotion"
    )


def test_muxspace_without_its_columns_is_refused(tmp_path: Path) -> None:
    root = muxspace_of(tmp_path, ["A_1.jpg"])
    write(root / "data" / "legend.csv", "image,emotion", "A_1.jpg,neutral")
    with pytest.raises(
        DataError, match=r"needs columns user\.id, image, emotion; it has image, emotion$"
    ):
        read("muxspace", root)


def test_muxspace_without_one_labelled_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no labelled face .*: no-label: images/A_1\.jpg$"):
        read("muxspace", muxspace_of(tmp_path, ["A_1.jpg"]))


def test_a_folder_that_is_no_muxspace_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="get Muxspace with 'fer-mlops data download muxspace'"):
        read("muxspace", tmp_path)


@pytest.mark.parametrize(
    ("image", "person"),
    [
        ("Tony_Blair_0090.jpg", "Tony_Blair"),
        ("SalmanKhan_12.jpg", "SalmanKhan"),
        ("Kajol_12a.jpg", "Kajol"),
        ("Jean-Claude_Trichet_0001.jpeg", "Jean-Claude_Trichet"),
    ],
)
def test_a_muxspace_file_name_less_its_number_is_the_person(image: str, person: str) -> None:
    assert muxspace.identity_of(image) == person


# ── FER2013 ──


def test_fer2013_unpacks_its_csv_and_keeps_the_challenges_parts(tmp_path: Path) -> None:
    table = read("fer2013", lay_out_fer2013(tmp_path / "set"))
    assert emotions(table) == {
        "test/00002.png": "neutral",
        "train/00000.png": "anger",
        "train/00003.png": "surprise",
        "valid/00001.png": "happiness",
    }
    assert parts(table) == {path: path.split("/")[0] for path in table.paths}
    assert not is_named(table.identities).any()
    assert table.sources.tolist() == ["fer2013"] * 4
    assert set(said(table)) == {"no-identity"}
    assert table.root.parent == tmp_path / "cache"


def test_fer2013_codes_are_the_challenges() -> None:
    assert [fer2013.CODES[code] for code in "0123456"] == [
        "anger",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
        "neutral",
    ]


def test_fer2013_pixels_are_rows_from_the_top_left(tmp_path: Path) -> None:
    pixels = np.arange(2304) % 251
    text = " ".join(map(str, pixels))
    file = write(
        tmp_path / "fer2013.csv", "emotion,pixels,Usage", f"0,{text},Training", f"1,{SQUARE},Training"
    )
    table = read("fer2013", file)
    with Image.open(table.root / "train" / "00000.png") as face:
        np.testing.assert_array_equal(np.asarray(face), pixels.reshape(48, 48))


def test_fer2013_of_the_later_csv_has_its_columns_in_another_order(tmp_path: Path) -> None:
    file = write(tmp_path / "icml_face_data.csv", "emotion, Usage, pixels", f"2,PrivateTest,{SQUARE}")
    table = find(file, tmp_path / "cache")
    assert (table.name, parts(table), emotions(table)) == (
        "fer2013",
        {"test/00000.png": "test"},
        {"test/00000.png": "fear"},
    )


def test_fer2013_without_usage_has_no_parts(tmp_path: Path) -> None:
    file = write(tmp_path / "train.csv", "emotion,pixels", f"2,{SQUARE}")
    assert parts(find(f"fer2013:{file}", tmp_path / "cache")) == {"faces/00000.png": ""}


def test_fer2013_is_unpacked_once_and_again_when_the_csv_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay_out_fer2013(tmp_path / "set")
    first = read("fer2013", root)
    with monkeypatch.context() as patch:
        patch.delattr(fer2013, "_draw_face")
        assert read("fer2013", root).digest() == first.digest()
    with (root / "fer2013.csv").open("a") as file:
        file.write(f"1,{SQUARE},Training\n")
    assert len(read("fer2013", root)) == len(first) + 1


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        ("7 7 7", "3 pixels, not 48 x 48"),
        (SQUARE.replace("7", "x"), "pixels are not numbers from 0 to 255"),
        (SQUARE.replace("7", "256"), "pixels are not numbers from 0 to 255"),
        ("", "0 pixels, not 48 x 48"),
    ],
)
def test_fer2013_pixels_that_are_none_name_their_line(pixels: str, problem: str, tmp_path: Path) -> None:
    root = lay_out_fer2013(tmp_path / "set")
    with (root / "fer2013.csv").open("a") as file:
        file.write(f"1,{pixels},Training\n")
    with pytest.raises(DataError) as caught:
        read("fer2013", root)
    assert str(caught.value) == (
        f"fer2013.csv line 6: {problem}; or leave such rows out with --on-bad-image skip"
    )
    table = read("fer2013", root, on_bad_image="skip")
    assert len(table) == 4
    assert said(table)["unreadable"] == f"1 unreadable image left out: fer2013.csv line 6: {problem}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"7,{SQUARE},Training", "fer2013.csv line 6: unknown emotion '7'; known emotions: "),
        (f"1,{SQUARE},Holdout", "fer2013.csv line 6: unknown Usage 'Holdout'"),
    ],
)
def test_fer2013_rows_that_cannot_be_understood_name_their_line(
    row: str, message: str, tmp_path: Path
) -> None:
    root = lay_out_fer2013(tmp_path / "set")
    with (root / "fer2013.csv").open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(DataError) as caught:
        read("fer2013", root)
    assert str(caught.value).startswith(message)
    assert len(read("fer2013", root, is_strict=False)) == 4


def test_fer2013_that_cannot_be_unpacked_leaves_nothing_behind(tmp_path: Path) -> None:
    file = write(tmp_path / "set" / "fer2013.csv", "emotion,Usage", "1,Training")
    with pytest.raises(DataError, match="needs columns emotion, pixels; it has emotion, usage"):
        read("fer2013", file.parent)
    assert list((tmp_path / "cache").iterdir()) == []


def test_fer2013_in_folders_has_its_parts_by_file_name(tmp_path: Path) -> None:
    names = ("train/angry/Training_3.jpg", "test/angry/PublicTest_4.jpg", "test/sad/PrivateTest_5.jpg")
    for name in (*names, "test/sad/renamed.jpg"):
        draw(tmp_path / name)
    table = find(tmp_path, tmp_path / "cache")
    assert table.name == "fer2013"
    assert parts(table) == {
        "test/angry/PublicTest_4.jpg": "valid",
        "test/sad/PrivateTest_5.jpg": "test",
        "test/sad/renamed.jpg": "test",
        "train/angry/Training_3.jpg": "train",
    }
    assert not is_named(table.identities).any()


# ── FER+ ──

COLUMNS = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def ferplus_of(root: Path, *votes: str, usage: str = "Training") -> Path:
    write(
        root / "fer2013.csv",
        "emotion,pixels,Usage",
        *(f"{n % 7},{SQUARE},Training" for n in range(len(votes))),
    )
    lines = (f"{usage},fer{n:07}.png,{numbers}" for n, numbers in enumerate(votes))
    write(root / "fer2013new.csv", COLUMNS, *lines)
    return root


def test_ferplus_joins_votes_by_row_and_keeps_the_parts_and_the_older_label(tmp_path: Path) -> None:
    table = read("ferplus", lay_out_ferplus(tmp_path / "set"))
    assert emotions(table) == {"train/00000.png": "anger", "valid/00001.png": "happiness"}
    assert parts(table) == {"train/00000.png": "train", "valid/00001.png": "valid"}
    assert table.columns["fer2013"].tolist() == ["anger", "happiness"]
    assert table.votes is not None
    # 6 anger and 2 disgust; the single votes for neutral and contempt are outliers
    np.testing.assert_allclose(table.votes[0], [0.75, 0.25, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(table.votes[1], np.eye(7)[EMOTIONS.index("happiness")])
    assert said(table)["not-a-face"] == (
        "1 image that annotators call no face or unknown left out: test/00002.png"
    )
    assert said(table)["no-majority"] == "1 image without a majority of votes left out: train/00003.png"


@pytest.mark.parametrize(
    ("votes", "kind"),
    [
        ("0,0,0,0,0,0,0,0,10,0", "not-a-face"),  # unknown
        ("0,2,0,0,0,0,0,0,0,8", "not-a-face"),  # NF
        ("5,0,0,5,0,0,0,0,0,0", "no-majority"),  # a tie
        ("4,2,2,2,0,0,0,0,0,0", "no-majority"),  # less than half
        ("1,1,1,1,1,1,1,1,1,1", "no-majority"),  # nothing but outliers
        ("0,2,0,0,0,0,0,8,0,0", "outside-emotion"),  # contempt
    ],
)
def test_ferplus_leaves_out_what_its_majority_mode_leaves_out(
    votes: str, kind: str, tmp_path: Path
) -> None:
    table = read("ferplus", ferplus_of(tmp_path / "set", "0,10,0,0,0,0,0,0,0,0", votes))
    assert table.paths == ("train/00000.png",)
    assert [note.kind for note in table.notes if note.examples == ("train/00001.png",)] == [kind]


def test_ferplus_counts_a_majority_after_outliers_are_gone(tmp_path: Path) -> None:
    # 4 of 10 is less than half, 4 of the 7 that remain is more
    table = read("ferplus", ferplus_of(tmp_path / "set", "4,1,1,3,1,0,0,0,0,0"))
    assert emotions(table) == {"train/00000.png": "neutral"}


def test_ferplus_votes_for_contempt_unknown_and_no_face_are_taken_from_the_shares(
    tmp_path: Path,
) -> None:
    root = ferplus_of(tmp_path / "set", "12,0,0,4,0,0,0,2,2,2", "0,2,0,0,0,2,0,8,0,0")
    dropped, counted = read("ferplus", root), read("ferplus", root, contempt="disgust")
    assert dropped.votes is not None
    assert counted.votes is not None
    np.testing.assert_allclose(dropped.votes, [[0, 0, 0, 0, 0.75, 0.25, 0]])
    assert emotions(counted) == {"train/00000.png": "neutral", "train/00001.png": "disgust"}
    np.testing.assert_allclose(
        counted.votes,
        [[0, 2 / 18, 0, 0, 12 / 18, 4 / 18, 0], [0, 10 / 12, 0, 2 / 12, 0, 0, 0]],
        atol=1e-6,
    )


def test_ferplus_takes_an_image_without_a_name_for_no_face_whatever_the_votes(tmp_path: Path) -> None:
    root = ferplus_of(tmp_path / "set", "0,10,0,0,0,0,0,0,0,0", "0,10,0,0,0,0,0,0,0,0")
    votes = root / "fer2013new.csv"
    votes.write_text(votes.read_text().replace("fer0000001.png", ""))
    assert read("ferplus", root).paths == ("train/00000.png",)


def test_ferplus_shares_of_nothing_are_none() -> None:
    assert ferplus.shares({"contempt": 3}, "drop") is None
    assert ferplus.majority({}) == ""


@pytest.mark.parametrize("extra", ["", "Training,,0,0,0,0,0,0,0,0,0,10\n" * 2])
def test_ferplus_files_of_different_length_are_refused(extra: str, tmp_path: Path) -> None:
    root = ferplus_of(tmp_path / "set", "0,10,0,0,0,0,0,0,0,0")
    with (root / "fer2013.csv").open("a") as file:
        file.write(f"1,{SQUARE},Training\n")
    with (root / "fer2013new.csv").open("a") as file:
        file.write(extra)
    with pytest.raises(DataError, match=r"must have the same rows in the same order$") as caught:
        read("ferplus", root)
    assert str(caught.value).startswith("fer2013new.csv line 4 " if extra else "fer2013.csv line 3 ")


def test_ferplus_files_in_different_order_are_refused(tmp_path: Path) -> None:
    root = ferplus_of(tmp_path / "set", "0,10,0,0,0,0,0,0,0,0", usage="PublicTest")
    with pytest.raises(DataError, match=r"^fer2013new\.csv line 2 has no counterpart"):
        read("ferplus", root)


def test_ferplus_votes_that_are_no_numbers_name_their_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^fer2013new\.csv line 2: votes are not whole numbers$"):
        read("ferplus", ferplus_of(tmp_path / "set", "0,ten,0,0,0,0,0,0,0,0"))


def test_ferplus_without_the_pixels_says_what_is_missing(tmp_path: Path) -> None:
    file = write(tmp_path / "fer2013new.csv", COLUMNS)
    with pytest.raises(DataError, match=r"needs fer2013new\.csv and fer2013\.csv side by side"):
        find(file, tmp_path / "cache")


# ── RAF-DB ──


def test_rafdb_has_its_own_order_of_labels_parts_and_attributes(tmp_path: Path) -> None:
    table = read("rafdb", lay_out_rafdb(tmp_path / "set"))
    assert emotions(table) == {
        "Image/aligned/test_0001_aligned.jpg": "neutral",
        "Image/aligned/train_00001_aligned.jpg": "sadness",
        "Image/aligned/train_00002_aligned.jpg": "surprise",
    }
    assert table.parts.tolist() == ["test", "train", "train"]
    assert {name: values[0] for name, values in table.columns.items()} == {
        "age": "70+",
        "gender": "female",
        "race": "Asian",
    }
    assert set(said(table)) == {"no-identity"}


def test_rafdb_labels_are_the_publishers(tmp_path: Path) -> None:
    lines = [f"train_{code:05}.jpg {code}" for code in range(1, 8)]
    write(tmp_path / "EmoLabel" / "list_patition_label.txt", *lines)
    for code in range(1, 8):
        draw(tmp_path / "Image" / "aligned" / f"train_{code:05}_aligned.jpg")
    table = read("rafdb", tmp_path)
    assert list(emotions(table).values()) == [
        "surprise",
        "fear",
        "disgust",
        "happiness",
        "sadness",
        "anger",
        "neutral",
    ]


def test_rafdb_is_found_in_basic_and_by_its_other_spelling(tmp_path: Path) -> None:
    root = lay_out_rafdb(tmp_path / "set" / "basic")
    labels = root / "EmoLabel" / "list_patition_label.txt"
    labels.rename(labels.with_name("list_partition_label.txt"))
    table = find(root.parent, tmp_path / "cache")
    assert (table.name, len(table), table.root) == ("rafdb", 3, root)


def test_rafdb_without_crops_reads_the_photos_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "EmoLabel" / "list_patition_label.txt", "train_00001.jpg 5", "test_0001.jpg 4")
    for stem in ("train_00001", "test_0001"):
        draw(tmp_path / "Image" / "original" / f"{stem}.jpg")
    table = read("rafdb", tmp_path)
    assert emotions(table) == {
        "Image/original/test_0001.jpg": "happiness",
        "Image/original/train_00001.jpg": "sadness",
    }
    assert said(table)["about"].startswith("faces are read from Image/original, whole photos; ")
    for stem in ("train_00001", "test_0001"):
        draw(tmp_path / "Image" / "aligned" / f"{stem}_aligned.jpg")
    assert read("rafdb", tmp_path).paths[0] == "Image/aligned/test_0001_aligned.jpg"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_00001.jpg", "line 4: expected 'train_00001.jpg 5', got 'train_00001.jpg'"),
        ("dev_00001.jpg 5", "line 4: expected 'train_00001.jpg 5', got 'dev_00001.jpg 5'"),
        ("train_00001.jpg 8", "line 4: unknown emotion '8'; known emotions: "),
        ("train_00009.jpg 5", "line 4: no image at "),
    ],
)
def test_rafdb_names_the_line_it_cannot_understand(line: str, message: str, tmp_path: Path) -> None:
    root = lay_out_rafdb(tmp_path / "set")
    with (root / "EmoLabel" / "list_patition_label.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError) as caught:
        read("rafdb", root)
    assert str(caught.value).startswith(f"list_patition_label.txt {message}")


@pytest.mark.parametrize("top", ["DATASET", "."])
def test_rafdb_published_again_has_its_labels_as_folders(top: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    draw(root / top / "train" / "1" / "train_00002_aligned.jpg")
    draw(root / top / "train" / "5" / "train_00001_aligned.jpg")
    draw(root / top / "test" / "7" / "test_0001_aligned.jpg")
    write(root / "train_labels.csv", "image,label", "train_00001_aligned.jpg,5")
    table = find(root, tmp_path / "cache")
    assert table.name == "rafdb"
    assert emotions(table) == {
        "test/7/test_0001_aligned.jpg": "neutral",
        "train/1/train_00002_aligned.jpg": "surprise",
        "train/5/train_00001_aligned.jpg": "sadness",
    }
    assert table.parts.tolist() == ["test", "train", "train"]


# ── AffectNet ──


def test_affectnet_of_2017_has_its_validation_set_as_test_and_contempt_by_option(tmp_path: Path) -> None:
    root = lay_out_affectnet(tmp_path / "set")
    dropped, counted = read("affectnet", root), read("affectnet", root, contempt="anger")
    assert emotions(dropped) == {
        "Manually_Annotated_Images/689/a.jpg": "happiness",
        "Manually_Annotated_Images/689/c.JPG": "sadness",
    }
    assert dropped.parts.tolist() == ["train", "test"]
    assert dropped.columns["valence"].tolist() == ["0.8", "-0.8"]
    assert dropped.columns["arousal"].tolist() == ["0.1", "-0.3"]
    assert said(dropped)["about"] == (
        "part test is AffectNet's validation set, since its test labels are not published"
    )
    assert emotions(counted)["Manually_Annotated_Images/25/b.jpg"] == "anger"
    assert said(counted)["outside-emotion"] == "1 contempt face counted as anger"


def test_affectnet_labels_are_the_publishers_and_three_are_no_emotion(tmp_path: Path) -> None:
    lines = [f"{code}.jpg,{code}" for code in range(11)]
    write(
        tmp_path / "Manually_Annotated_file_lists" / "training.csv",
        "subDirectory_filePath,expression",
        *lines,
    )
    for code in range(11):
        draw(tmp_path / "Manually_Annotated_Images" / f"{code}.jpg")
    table = find(tmp_path, tmp_path / "cache")
    assert table.name == "affectnet"
    assert list(emotions(table).values()) == [
        "neutral",
        "happiness",
        "sadness",
        "surprise",
        "fear",
        "disgust",
        "anger",
    ]
    assert said(table)["not-a-face"].startswith(
        "3 images that annotators call no face or unknown left out"
    )
    assert said(table)["outside-emotion"].startswith("1 contempt face left out")


def lay_out_later_affectnet(root: Path) -> Path:
    train, valid = root / "train_set", root / "val_set"
    for stem, code in (("7", "3"), ("12", "7"), ("13", "6")):
        draw(train / "images" / f"{stem}.jpg")
        annotate(train / "annotations", stem, exp=code, val="-0.25", aro="0.5", lnd="1;2")
    draw(valid / "images" / "7.jpg")
    annotate(valid / "annotations", "7", exp=0)
    return root


def test_affectnet_of_later_reads_one_annotation_file_an_image(tmp_path: Path) -> None:
    root = lay_out_later_affectnet(tmp_path / "set")
    draw(root / "train_set" / "images" / "99.jpg")
    table = find(root, tmp_path / "cache")
    assert table.name == "affectnet"
    assert emotions(table) == {
        "train_set/images/13.jpg": "anger",
        "train_set/images/7.jpg": "surprise",
        "val_set/images/7.jpg": "neutral",
    }
    assert table.parts.tolist() == ["train", "train", "test"]
    assert table.columns["valence"].tolist() == ["-0.25", "-0.25", ""]
    assert table.columns["arousal"].tolist() == ["0.5", "0.5", ""]
    assert said(table)["no-label"] == "1 file without a label left out: train_set/images/99.jpg"


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x02\x00", b"3", b"\x93NUMPY\x01\x00\x02\x00xx"])
def test_affectnet_annotations_that_are_none_are_named(content: bytes, tmp_path: Path) -> None:
    root = lay_out_later_affectnet(tmp_path / "set")
    (root / "train_set" / "annotations" / "7_exp.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"^train_set/annotations/7_exp\.npy: "):
        read("affectnet", root)
    assert len(read("affectnet", root, is_strict=False)) == 2


def test_affectnet_runs_no_code_from_an_annotation(tmp_path: Path) -> None:
    root = lay_out_later_affectnet(tmp_path / "set")
    np.save(root / "train_set" / "annotations" / "7_exp.npy", np.array({"3": 3}), allow_pickle=True)
    with pytest.raises(DataError, match=r"^train_set/annotations/7_exp\.npy: .*OBJECT"):
        read("affectnet", root)


def test_affectnet_that_is_none_says_what_it_looks_for(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"has neither training\.csv with Manually_Annotated_Images/ nor "
    ):
        read("affectnet", tmp_path)


# ── JAFFE ──


def test_jaffe_has_person_and_emotion_in_the_file_name(tmp_path: Path) -> None:
    root = lay_out_jaffe(tmp_path / "set")
    draw(root / "KR.SU3.82..tiff")
    draw(root / "cover.png")
    table = read("jaffe", root)
    assert labelled(table) == {
        "KA.AN1.39.tiff": ("anger", "KA"),
        "KA.NE2.27.tiff": ("neutral", "KA"),
        "KR.SU3.82..tiff": ("surprise", "KR"),
        "YM.SU3.60.tiff": ("surprise", "YM"),
    }
    assert said(table) == {
        "identities": "3 people, identified by published file name (4)",
        "no-label": "1 file without a label left out: cover.png",
    }


@pytest.mark.parametrize(
    ("code", "emotion"),
    list(zip(("AN", "DI", "FE", "HA", "NE", "SA", "SU"), EMOTIONS, strict=True)),
)
def test_jaffe_codes_are_the_publishers(code: str, emotion: str, tmp_path: Path) -> None:
    draw(tmp_path / f"TM.{code}1.190.tiff")
    assert list(emotions(read("jaffe", tmp_path)).values()) == [emotion]
