"""Data sets: what each makes of its layout, and of the dirt in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_mlops.datasets import DATASETS, csv_file, folder, load_faces, muxspace, sample
from fer_mlops.datasets.drawing import ACTION_UNITS
from fer_mlops.datasets.table import FaceTable, Row, make_table, resolve_repeats, shorten
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.images import gray_face


def draw(path: Path, shade: int = 128) -> Path:
    """Saves a tiny flat picture at ``path`` and makes the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)
    return path


def labelled(table: FaceTable) -> dict[str, tuple[str, str]]:
    """Returns path to (emotion, identity)."""
    emotions = [EMOTIONS[label] for label in table.labels]
    return dict(zip(table.paths, zip(emotions, table.identities.tolist(), strict=True), strict=True))


@pytest.fixture
def two_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawn sample with 2 people instead of 70."""
    monkeypatch.setattr(sample, "NUM_IDENTITIES", 2)


# ── one contract for every data set ──


def lay_out_sample(root: Path) -> Path:
    return root


def lay_out_muxspace(root: Path) -> Path:
    for name in ("Tony_Blair_0002.jpg", "Tony_Blair_0001.jpg", "Kajol_12.jpg"):
        draw(root / "images" / name)
    (root / "data").mkdir()
    (root / "data" / "legend.csv").write_text(
        "user.id,image,emotion\n"
        "628,Tony_Blair_0002.jpg,happiness\n"
        "628,Tony_Blair_0001.jpg,neutral\n"
        "jhamski,Kajol_12.jpg,SADNESS\n"
    )
    return root


def lay_out_folder(root: Path) -> Path:
    draw(root / "happy" / "ben_2.png")
    draw(root / "happy" / "anna_1.png")
    draw(root / "sad" / "anna_2.png")
    return root


def lay_out_csv(root: Path) -> Path:
    draw(root / "faces" / "b.png")
    draw(root / "faces" / "a.png")
    file = root / "faces.csv"
    file.write_text("image,emotion,identity\nfaces/b.png,fear,ben\nfaces/a.png,joy,anna\n")
    return file


LAYOUTS: dict[str, Callable[[Path], Path]] = {  # a new data set: one function, one line
    "sample": lay_out_sample,
    "muxspace": lay_out_muxspace,
    "folder": lay_out_folder,
    "csv": lay_out_csv,
}


@pytest.mark.usefixtures("two_people")
@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_keeps_the_promises_of_a_table(name: str, tmp_path: Path) -> None:
    source = LAYOUTS[name](tmp_path)
    table = DATASETS[name](source)
    assert len(table) == len(table.labels) == len(table.identities) == len(table.sources) >= 2
    assert list(table.paths) == sorted(set(table.paths))
    assert not any("\\" in path or Path(path).is_absolute() for path in table.paths)
    assert all(gray_face(table.root / path, 16).shape == (16, 16) for path in table.paths)
    assert table.labels.dtype == np.int64
    assert set(table.labels.tolist()) <= set(range(7))
    assert len(set(table.labels.tolist())) >= 2
    assert "" not in table.identities.tolist()
    assert "" not in table.sources.tolist()
    assert table.name
    assert DATASETS[name](source).digest() == table.digest()


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "sample"])
def test_every_data_set_on_disk_is_found_out_by_its_layout(name: str, tmp_path: Path) -> None:
    source = LAYOUTS[name](tmp_path)
    found = load_faces(str(source), tmp_path / "cache")
    assert found.digest() == DATASETS[name](source).digest()
    assert found.name == DATASETS[name](source).name


# ── finding out what a source is ──


@pytest.mark.usefixtures("two_people")
def test_the_word_sample_means_the_drawn_sample_in_the_cache(tmp_path: Path) -> None:
    table = load_faces("sample", tmp_path)
    assert table.name == "sample"
    assert table.root.parent == tmp_path


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "sample"])
def test_a_data_set_named_without_a_path_asks_for_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^data set '{name}' needs a path: .*--data PATH$"):
        load_faces(name, tmp_path)


@pytest.mark.parametrize("source", ["nowhere", "~nobody-has-this-name/faces"])
def test_a_source_that_is_nothing_is_refused_with_what_it_could_be(source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^no data set or path '{source}'; --data takes 'sample', "):
        load_faces(source, tmp_path)


@pytest.mark.parametrize("source", [".", "../mine", "happy/.."])
def test_the_folder_one_stands_in_has_a_name_too(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out_folder(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert load_faces(source, tmp_path / "cache").name == "mine"


# ── Muxspace ──


def muxspace_of(root: Path, files: list[str], rows: list[str]) -> Path:
    for name in files:
        draw(root / "images" / name)
    (root / "data").mkdir()
    (root / "data" / "legend.csv").write_text("\n".join(["user.id,image,emotion", *rows, ""]))
    return root


def test_muxspace_reads_identity_source_and_uppercase_labels(tmp_path: Path) -> None:
    table = muxspace.load(lay_out_muxspace(tmp_path))
    assert labelled(table) == {
        "images/Kajol_12.jpg": ("sadness", "Kajol"),
        "images/Tony_Blair_0001.jpg": ("neutral", "Tony_Blair"),
        "images/Tony_Blair_0002.jpg": ("happiness", "Tony_Blair"),
    }
    assert table.sources.tolist() == ["actors", "lfw", "lfw"]
    assert table.notes == ()


def test_muxspace_dirt_is_left_out_and_counted(tmp_path: Path) -> None:
    root = muxspace_of(
        tmp_path,
        ["Once_1.jpg", "Twice_1.jpg", "Torn_1.jpg", "Proud_1.jpg", "Mute_1.jpg"],
        [
            "1,Once_1.jpg,neutral",
            "1,Twice_1.jpg,anger",
            "2,Twice_1.jpg,ANGER",
            "3,Twice_1.jpg,anger",
            "1,Torn_1.jpg,sadness",
            "2,Torn_1.jpg,surprise",
            "1,Proud_1.jpg,contempt",
            "1,Gone_1.jpg,fear",
        ],
    )
    table = muxspace.load(root)
    assert labelled(table) == {
        "images/Once_1.jpg": ("neutral", "Once"),
        "images/Twice_1.jpg": ("anger", "Twice"),
    }
    assert table.notes == (
        "2 repeated rows counted once",
        "1 images with two labels left out: images/Torn_1.jpg",
        "1 contempt faces left out: not one of the seven emotions",
        "1 rows without a file left out: Gone_1.jpg",
        "1 files without a label left out: Mute_1.jpg",
    )


def test_muxspace_names_the_line_of_an_unknown_emotion(tmp_path: Path) -> None:
    root = muxspace_of(tmp_path, ["A_1.jpg"], ["1,A_1.jpg,neutral", "1,A_1.jpg,hapy"])
    with pytest.raises(DataError) as caught:
        muxspace.load(root)
    legend = Path("data") / "legend.csv"
    assert str(caught.value) == f"{legend} line 3: unknown emotion 'hapy'; did you mean 'happy'?"


def test_muxspace_without_its_columns_is_refused(tmp_path: Path) -> None:
    root = muxspace_of(tmp_path, ["A_1.jpg"], [])
    (root / "data" / "legend.csv").write_text("image,emotion\nA_1.jpg,neutral\n")
    with pytest.raises(DataError, match=r"needs columns user\.id, image, emotion, has \['image', "):
        muxspace.load(root)


def test_muxspace_without_one_labelled_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labelled face"):
        muxspace.load(muxspace_of(tmp_path, ["A_1.jpg"], []))


def test_a_folder_that_is_no_muxspace_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pass its folder with --data"):
        muxspace.load(tmp_path)


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


# ── a folder per emotion ──


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("anna_01.png", "anna"),
        ("anna (2).png", "anna"),
        ("anna-b-3.png", "anna-b"),
        ("anna.png", "anna"),
        ("ben/01.png", "ben"),
        ("ben/deeper/01.png", "ben"),
    ],
)
def test_a_folder_tells_people_by_file_name_or_by_subfolder(
    name: str, identity: str, tmp_path: Path
) -> None:
    draw(tmp_path / "happy" / name)
    table = folder.load(tmp_path)
    assert labelled(table) == {f"happy/{name}": ("happiness", identity)}
    assert table.notes == ()


def test_images_that_tell_no_person_count_as_one_each_and_a_note_says_so(tmp_path: Path) -> None:
    for name in ("happy/0001.png", "happy/0002.png", "sad/0001.png", "sad/anna_1.png"):
        draw(tmp_path / name)
    table = folder.load(tmp_path)
    assert table.identities.tolist() == ["happy/0001.png", "happy/0002.png", "sad/0001.png", "anna"]
    assert table.notes == (
        "3 images tell no person and count as one each, so the identity split cannot protect them: "
        "0001.png, 0001.png, 0002.png",
    )


def test_a_folder_of_contempt_is_left_out_and_counted(tmp_path: Path) -> None:
    draw(tmp_path / "contempt" / "anna_1.png")
    draw(tmp_path / "fear" / "anna_1.png")
    table = folder.load(tmp_path)
    assert table.paths == ("fear/anna_1.png",)
    assert table.notes == ("1 contempt faces left out: not one of the seven emotions",)


def test_a_folder_reads_images_only_and_nothing_hidden(tmp_path: Path) -> None:
    draw(tmp_path / "happy" / "anna_1.PNG")
    draw(tmp_path / "happy" / ".ipynb_checkpoints" / "anna_1-checkpoint.png")
    draw(tmp_path / "happy" / "._anna_1.png")
    draw(tmp_path / ".thumbnails" / "anna_1.png")
    (tmp_path / "happy" / "notes.txt").write_text("shot in May")
    (tmp_path / "faces.json").write_text("{}")
    assert folder.load(tmp_path).paths == ("happy/anna_1.PNG",)


def test_two_spellings_of_one_emotion_are_one_emotion(tmp_path: Path) -> None:
    draw(tmp_path / "happy" / "anna_1.png")
    draw(tmp_path / "Joy" / "ben_1.png")
    assert folder.load(tmp_path).counts()["happiness"] == 2


def test_a_folder_that_is_no_emotion_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "hapy" / "anna_1.png")
    with pytest.raises(DataError, match=r"^unknown emotion 'hapy'; did you mean 'happy'\?$"):
        folder.load(tmp_path)


def test_a_folder_without_images_says_what_it_should_look_like(tmp_path: Path) -> None:
    (tmp_path / "happy").mkdir()
    with pytest.raises(DataError, match=rf"expected {tmp_path.name}/happiness/face\.jpg and so on$"):
        folder.load(tmp_path)


# ── csv ──


def csv_of(root: Path, text: str) -> Path:
    for name in ("anna_1.png", "anna_2.png", "deep/0001.png"):
        draw(root / name)
    file = root / "faces.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_csv_takes_identity_from_its_column_else_from_the_file_name(tmp_path: Path) -> None:
    file = csv_of(
        tmp_path,
        "image,emotion,identity,source\n"
        "anna_1.png,happy,,web\n"
        "anna_2.png,sad,Anna B,film\n"
        "deep/0001.png,fear,,\n",
    )
    table = csv_file.load(file)
    assert labelled(table) == {
        "anna_1.png": ("happiness", "anna"),
        "anna_2.png": ("sadness", "Anna B"),
        "deep/0001.png": ("fear", "deep/0001.png"),
    }
    assert table.sources.tolist() == ["web", "film", tmp_path.name]
    assert table.notes == ()
    assert (table.name, table.root) == ("faces", tmp_path)


def test_a_csv_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = csv_of(tmp_path, "\ufeffimage,emotion\r\nanna_1.png,happy\r\n")
    assert labelled(csv_file.load(file)) == {"anna_1.png": ("happiness", "anna")}


def test_csv_repeats_conflicts_and_contempt_are_left_out_and_counted(tmp_path: Path) -> None:
    file = csv_of(
        tmp_path,
        "image,emotion\n"
        "anna_1.png,happy\n"
        "anna_1.png,happiness\n"
        "anna_2.png,sad\n"
        "anna_2.png,angry\n"
        "deep/0001.png,contempt\n",
    )
    table = csv_file.load(file)
    assert table.paths == ("anna_1.png",)
    assert table.notes == (
        "1 repeated rows counted once",
        "1 images with two labels left out: anna_2.png",
        "1 contempt faces left out: not one of the seven emotions",
    )


@pytest.mark.parametrize("other", ["./anna_1.png", "deep/../anna_1.png"])
def test_two_ways_to_write_one_path_are_one_image(other: str, tmp_path: Path) -> None:
    file = csv_of(tmp_path, f"image,emotion\nanna_1.png,happy\n{other},happy\nanna_2.png,sad\n")
    assert csv_file.load(file).paths == ("anna_1.png", "anna_2.png")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("anna_2.png,hapy", "unknown emotion 'hapy'; did you mean 'happy'?"),
        ("anna_2.png", "unknown emotion ''; known emotions: "),
        (",happy", "no image is named"),
        ("none.png,happy", "no image at "),
        ("../outside.png,happy", "image '../outside.png' lies outside the csv's folder"),
    ],
)
def test_an_error_in_a_csv_names_its_line(line: str, message: str, tmp_path: Path) -> None:
    draw(tmp_path / "outside.png")
    file = csv_of(tmp_path / "inside", f"image,emotion\nanna_1.png,happy\n{line}\n")
    with pytest.raises(DataError) as caught:
        csv_file.load(file)
    assert str(caught.value).startswith(f"faces.csv line 3: {message}")


@pytest.mark.parametrize("header", ["", "file,label\n", "image\n"])
def test_a_csv_without_its_columns_is_refused(header: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs columns image,emotion\[,identity\], has "):
        csv_file.load(csv_of(tmp_path, header))


@pytest.mark.parametrize("rows", ["", "anna_1.png,contempt\n", "anna_1.png,joy\nanna_1.png,sad\n"])
def test_a_csv_without_one_usable_face_is_refused(rows: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"faces\.csv' has no labelled face"):
        csv_file.load(csv_of(tmp_path, f"image,emotion\n{rows}"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot read '.*anna_1\.png': "):
        csv_file.load(draw(tmp_path / "anna_1.png"))


# ── the drawn sample ──


def test_the_sample_is_drawn_alike_twice_and_every_face_differs(tmp_path: Path) -> None:
    drawings = []
    for name in ("one", "two"):
        sample.draw_sample(tmp_path / name, num_identities=1, variants=2, seed=5)
        drawings.append([path.read_bytes() for path in sorted((tmp_path / name).glob("*/*.png"))])
    assert drawings[0] == drawings[1]
    assert len(set(drawings[0])) == len(drawings[0]) == 14


def test_more_people_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    for number in (1, 2):
        sample.draw_sample(tmp_path / str(number), num_identities=number, variants=1, seed=5)
    first = sorted((tmp_path / "1").glob("*/*.png"))
    assert len(first) == 7
    for path in first:
        assert (tmp_path / "2" / path.parent.name / path.name).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("two_people")
def test_the_sample_has_every_person_with_every_emotion_equally_often(tmp_path: Path) -> None:
    table = sample.load(tmp_path)
    assert table.counts() == dict.fromkeys(EMOTIONS, 2 * sample.VARIANTS)
    people, faces = np.unique(table.identities, return_counts=True)
    assert people.tolist() == ["p000", "p001"]
    assert faces.tolist() == [7 * sample.VARIANTS] * 2
    with Image.open(table.root / table.paths[0]) as face:
        assert (face.size, face.mode) == ((sample.SIDE, sample.SIDE), "RGB")


@pytest.mark.usefixtures("two_people")
def test_the_sample_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sample.load(tmp_path)
    monkeypatch.delattr(sample, "draw_sample")
    assert sample.load(tmp_path).digest() == first.digest()


def test_a_drawing_that_was_interrupted_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, **_: int) -> None:
        draw(folder / "anger" / "p000_0.png")
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "draw_sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample.load(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("two_people")
def test_a_process_that_comes_second_takes_the_drawing_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_sample = sample.draw_sample

    def overtaken(folder: Path, **settings: int) -> None:
        monkeypatch.setattr(sample, "draw_sample", draw_sample)
        sample.load(tmp_path)  # the other process, which starts later and ends earlier
        draw_sample(folder, **settings)

    monkeypatch.setattr(sample, "draw_sample", overtaken)
    assert len(sample.load(tmp_path)) == 2 * 7 * sample.VARIANTS
    assert len(list(tmp_path.iterdir())) == 1


def test_every_emotion_can_be_drawn() -> None:
    assert tuple(ACTION_UNITS) == EMOTIONS


# ── the table ──

ROWS = [
    Row("b.png", "fear", "ben", "web"),
    Row("a.png", "anger", "anna", "web"),
    Row("c.png", "fear", "ben", "film"),
]


def test_a_table_is_sorted_by_path_whatever_the_order_on_disk() -> None:
    tables = [make_table("t", Path(), rows, []) for rows in (ROWS, ROWS[::-1])]
    assert tables[0].paths == ("a.png", "b.png", "c.png")
    assert tables[0].labels.tolist() == [0, 2, 2]
    assert tables[0].digest() == tables[1].digest()


def test_a_table_counts_all_seven_emotions() -> None:
    counts = make_table("t", Path(), ROWS, []).counts()
    assert counts == {**dict.fromkeys(EMOTIONS, 0), "anger": 1, "fear": 2}


@pytest.mark.parametrize(
    "changed",
    [
        Row("b2.png", "fear", "ben", "web"),
        Row("b.png", "sadness", "ben", "web"),
        Row("b.png", "fear", "anna", "web"),
    ],
)
def test_a_digest_changes_with_any_path_label_or_person(changed: Row) -> None:
    before = make_table("t", Path(), ROWS, []).digest()
    after = make_table("t", Path(), [changed, *ROWS[1:]], []).digest()
    assert after != before
    assert len(before) == 16


def test_selecting_keeps_rows_together_and_adds_notes() -> None:
    chosen = make_table("t", Path("r"), ROWS, ["first"]).select([2, 0], "second")
    assert labelled(chosen) == {"c.png": ("fear", "ben"), "a.png": ("anger", "anna")}
    assert chosen.paths == ("c.png", "a.png")
    assert chosen.sources.tolist() == ["film", "web"]
    assert chosen.notes == ("first", "second")
    assert (chosen.name, chosen.root) == ("t", Path("r"))


def test_repeats_are_resolved_whatever_their_order() -> None:
    rows = [ROWS[0], ROWS[1], ROWS[0], Row("a.png", "fear", "anna", "web")]
    assert resolve_repeats(rows) == (
        [ROWS[0]],
        ["1 repeated rows counted once", "1 images with two labels left out: a.png"],
    )
    assert resolve_repeats(ROWS) == (ROWS, [])


def test_a_long_list_is_cut_and_says_by_how_much() -> None:
    assert shorten(["c", "b", "a"]) == "a, b, c"
    assert shorten(["d", "c", "b", "a"]) == "a, b, c and 1 more"
