"""Data sets: what all of them promise, how one is found, and what becomes of dirt."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import LAYOUTS, draw, find, labelled, lay_out_ferplus, lay_out_folder, read, said, write

from fer_mlops.config import DataConfig
from fer_mlops.data import relabel
from fer_mlops.data.csv_reader import read_csv, read_words
from fer_mlops.data.datasets import DATASETS, sample
from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.table import FaceTable, Note, Row, hash_files, make_table, shorten
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.files import make_once
from fer_mlops.images.reading import gray_face
from fer_mlops.metrics.identities import unnamed_identity

PAGE = Path(__file__).parents[2] / "docs" / "data_sets.md"
ON_DISK = [name for name in DATASETS if name != "sample"]


@pytest.fixture
def two_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawn sample with 2 people instead of 70."""
    monkeypatch.setattr(sample, "NUM_IDENTITIES", 2)


# ── one contract for every data set ──


@pytest.mark.usefixtures("two_people")
@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_keeps_the_promises_of_a_table(name: str, tmp_path: Path) -> None:
    source = LAYOUTS[name](tmp_path / "set")
    table = read(name, source)
    num_faces = len(table.paths)
    assert num_faces >= 2
    for values in (table.labels, table.identities, table.sources, table.parts, *table.columns.values()):
        assert len(values) == num_faces
    assert list(table.paths) == sorted(set(table.paths))
    assert not any("\\" in path or Path(path).is_absolute() for path in table.paths)
    assert all(gray_face(table.root / path, 16).shape == (16, 16) for path in table.paths)
    assert table.labels.dtype == np.int64
    assert set(table.labels.tolist()) <= set(range(7))
    assert len(set(table.labels.tolist())) >= 2
    assert "" not in table.identities.tolist()
    assert "" not in table.sources.tolist()
    assert set(table.parts.tolist()) <= {"train", "valid", "test", ""}
    if table.votes is not None:
        assert table.votes.shape == (num_faces, 7)
        np.testing.assert_allclose(table.votes.sum(axis=1), 1, atol=1e-6)
    assert table.name
    again = read(name, source)
    assert (again.digest(), again.notes) == (table.digest(), table.notes)


@pytest.mark.parametrize("name", ON_DISK)
def test_every_data_set_on_disk_is_found_by_its_layout_and_by_its_name(
    name: str, tmp_path: Path
) -> None:
    source = LAYOUTS[name](tmp_path / "set")
    expected = read(name, source)
    for text in (str(source), f"{name}:{source}"):
        found = find(text, source.parent / "cache")
        assert (found.name, found.notes) == (expected.name, expected.notes)
        assert replace(found, contents=None).digest() == expected.digest()


@pytest.mark.usefixtures("two_people")
@pytest.mark.parametrize("name", DATASETS)
def test_no_data_set_takes_the_layout_of_another(name: str, tmp_path: Path) -> None:
    source = LAYOUTS[name](tmp_path / "set")
    source.mkdir(exist_ok=True) if name == "sample" else None
    general = {"folder", "csv"} | ({"fer2013"} if name == "ferplus" else set())  # FER+ holds FER2013 too
    takers = {other for other, dataset in DATASETS.items() if dataset.recognises(source)}
    assert takers - general == {name} - general - {"sample"}


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_every_data_set_says_what_it_is_where_it_is_and_on_what_terms(dataset: DataSet) -> None:
    assert dataset.layout
    assert dataset.where
    assert re.fullmatch(r"[A-Z].+\.", dataset.terms)
    assert f"| `{dataset.name}` |" in PAGE.read_text()


@pytest.mark.parametrize("name", ON_DISK)
def test_every_data_set_refuses_an_empty_folder_in_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        find(f"{name}:{tmp_path / 'empty'}", tmp_path / "cache")


# ── finding out what a source is ──


@pytest.mark.usefixtures("two_people")
def test_the_word_sample_means_the_drawn_sample_in_the_cache(tmp_path: Path) -> None:
    table = find("sample", tmp_path)
    assert table.name == "sample"
    assert table.root.parent == tmp_path


def test_a_users_folder_called_sample_is_not_taken_for_the_drawn_faces(tmp_path: Path) -> None:
    source = lay_out_folder(tmp_path / "sample")
    assert find(str(source), tmp_path / "cache").name == "sample (folder)"


@pytest.mark.parametrize("name", ON_DISK)
def test_a_data_set_named_without_a_path_asks_for_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^data set '{name}' needs a path: .*--data PATH$"):
        find(name, tmp_path)


@pytest.mark.parametrize("source", ["nowhere", "~nobody-has-this-name/faces", "mine:nowhere"])
def test_a_source_that_is_nothing_is_refused_with_what_it_could_be(source: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=rf"^no data set or path '{source}'; --data takes 'sample', "
    ) as e:
        find(source, tmp_path)
    assert str(e.value).endswith(f" (looked in {str(Path.cwd())!r})")


def test_a_mistyped_path_gets_the_nearest_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    with pytest.raises(DataError) as caught:
        find(str(tmp_path / "facse"), tmp_path)
    wanted = str(tmp_path / "faces")
    assert (
        str(caught.value) == f"no data set or path {str(tmp_path / 'facse')!r}; did you mean {wanted!r}?"
    )


def test_a_name_with_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find(f"jaffe:{tmp_path / 'gone'}", tmp_path)
    assert str(caught.value) == f"no folder or file at {str(tmp_path / 'gone')!r} for data set 'jaffe'"


def test_a_name_before_the_path_beats_the_layout(tmp_path: Path) -> None:
    source = lay_out_ferplus(tmp_path / "set")
    assert find(source, tmp_path / "cache").name == "ferplus"
    assert find(f"fer2013:{source}", tmp_path / "cache").name == "fer2013"


@pytest.mark.parametrize("source", [".", "../mine", "happy/.."])
def test_the_folder_one_stands_in_has_a_name_too(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out_folder(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert find(source, tmp_path / "cache").name == "mine"


# ── gathering: what becomes of dirt ──


def gather(root: Path, *, is_strict: bool = True, **settings: object) -> FaceTableBuilder:
    config = DataConfig(**settings)  # type: ignore[arg-type]
    return FaceTableBuilder("mine", root, Request(cache=root, config=config, is_strict=is_strict))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    for name in ("a_1.png", "b_1.png", "c_1.png"):
        draw(tmp_path / name)
    return tmp_path


def test_a_repeated_row_counts_once_and_two_labels_count_not_at_all(faces: Path) -> None:
    gathering = gather(faces)
    for image, emotion in [
        ("a_1.png", "fear"),
        ("b_1.png", "fear"),
        ("./a_1.png", "fear"),
        ("b_1.png", "anger"),
        ("deep/../a_1.png", "fear"),
    ]:
        gathering.add(image, emotion, identity="x")
    table = gathering.table()
    assert labelled(table) == {"a_1.png": ("fear", "x")}
    assert table.notes[1:] == (
        Note("repeated-rows", "2 repeated rows counted once: a_1.png, a_1.png", ("a_1.png", "a_1.png")),
        Note("conflicting-rows", "1 image with two labels left out: b_1.png", ("b_1.png",)),
    )


def test_contempt_is_left_out_or_counted_as_the_emotion_that_was_chosen(faces: Path) -> None:
    tables = []
    for contempt in ("drop", "disgust"):
        gathering = gather(faces, contempt=contempt)
        gathering.add("a_1.png", "Contempt", identity="a")
        gathering.add("b_1.png", "fear", identity="b")
        tables.append(gathering.table())
    dropped, counted = tables
    assert labelled(dropped) == {"b_1.png": ("fear", "b")}
    assert said(dropped)["identities"] == "1 people, identified by published file name (1)"
    assert said(dropped)["outside-emotion"] == (
        "1 contempt face left out, not one of the seven emotions: a_1.png"
    )
    assert labelled(counted) == {"a_1.png": ("disgust", "a"), "b_1.png": ("fear", "b")}
    assert said(counted)["outside-emotion"] == "1 contempt face counted as disgust"


@pytest.mark.parametrize(
    ("image", "emotion", "message"),
    [
        ("a_1.png", "hapy", "line 2: unknown emotion 'hapy'; did you mean 'happy'?"),
        ("", "fear", "line 2: no image is named"),
        ("../a_1.png", "fear", "line 2: image '../a_1.png' lies outside "),
        ("/etc/a_1.png", "fear", "line 2: image '/etc/a_1.png' lies outside "),
        ("C:\\a_1.png", "fear", "line 2: image 'C:\\\\a_1.png' lies outside "),
        ("deep/../../a_1.png", "fear", "line 2: image 'deep/../../a_1.png' lies outside "),
        ("gone.png", "fear", "line 2: no image at "),
        ("bad\0name.png", "fear", "line 2: no image at "),
    ],
)
def test_a_row_that_cannot_be_used_stops_with_its_line_unless_all_are_wanted(
    image: str, emotion: str, message: str, faces: Path
) -> None:
    for is_strict in (True, False):
        gathering = gather(faces, is_strict=is_strict)
        gathering.add("b_1.png", "anger", where="line 1")
        gathering.add(image, emotion, where="line 2")
        if is_strict:
            with pytest.raises(DataError) as caught:
                gathering.table()
            assert str(caught.value).startswith(message)
        else:
            table = gathering.table()
            assert table.paths == ("b_1.png",)
            assert any(note.examples and note.examples[0].startswith(message) for note in table.notes)


def test_a_missing_file_is_left_out_where_bad_images_are_to_be_skipped(faces: Path) -> None:
    gathering = gather(faces, on_bad_image="skip")
    gathering.add("gone.png", "fear", where="line 1")
    gathering.add("a_1.png", "fear", where="line 2", identity="a")
    table = gathering.table()
    assert table.paths == ("a_1.png",)
    assert said(table)["missing-file"].startswith("1 row without a file left out: line 1: no image at ")


def test_many_bad_rows_are_counted_in_the_message_about_the_first(faces: Path) -> None:
    gathering = gather(faces)
    for line in (1, 2, 3):
        gathering.add("gone.png", "fear", where=f"line {line}")
    with pytest.raises(DataError) as caught:
        gathering.table()
    assert str(caught.value) == (
        f"line 1: no image at {str(faces / 'gone.png')!r} (and 2 more; 'fer-mlops data check' lists "
        "them); or leave such rows out with --on-bad-image skip"
    )


def test_a_row_without_an_emotion_is_an_image_without_a_label(faces: Path) -> None:
    gathering = gather(faces)
    gathering.add("a_1.png", " ")
    gathering.add("b_1.png", "fear", identity="b")
    assert said(gathering.table())["no-label"] == "1 file without a label left out: a_1.png"


def test_a_table_of_nothing_says_the_first_reason(faces: Path) -> None:
    gathering = gather(faces)
    gathering.add("a_1.png", "contempt")
    with pytest.raises(DataError) as caught:
        gathering.table()
    assert str(caught.value) == (
        f"{str(faces)!r} has no labelled face of the seven emotions: outside-emotion: a_1.png"
    )


def test_spellings_are_counted_and_identities_told_apart_from_images_that_tell_none(faces: Path) -> None:
    gathering = gather(faces)
    gathering.add("a_1.png", "HAPPY", identity="a")
    gathering.add("b_1.png", "happiness", identity="a", identity_from="column identity")
    gathering.add("c_1.png", "HAPPY")
    assert gathering.table().notes == (
        Note("identities", "1 people, identified by published file name (1), column identity (1)"),
        Note("spelling", "labels also spelled HAPPY (2)", ("HAPPY (2)",)),
        Note(
            "no-identity",
            "1 image without a person's name: each counts as one person, so an identity split cannot "
            "keep a person's photos together: "
            "c_1.png",
            ("c_1.png",),
        ),
    )


def test_a_pattern_tells_people_whatever_the_adapter_thinks(faces: Path) -> None:
    gathering = gather(faces, identity_pattern=r"^([ab])_(?:\d)")
    for image in ("a_1.png", "b_1.png", "c_1.png"):
        gathering.add(image, "fear", identity="nobody")
    table = gathering.table()
    assert table.identities.tolist() == ["a", "b", unnamed_identity("c_1.png")]
    assert said(table)["identities"] == "2 people, identified by identity pattern (2)"


def test_a_pattern_that_finds_the_word_unknown_names_nobody(faces: Path) -> None:
    gathering = gather(faces, identity_pattern=r"^([a-zA-Z]+)_")
    for image in ("a_1.png", "Unknown_1.png"):
        gathering.add(image, "fear", is_there=True)
    assert gathering.table().identities.tolist() == [unnamed_identity("Unknown_1.png"), "a"]


# ── labels put right after a review ──


def table_of(*rows: Row) -> FaceTable:
    return make_table("mine", Path("r"), rows, [])


def test_a_review_changes_labels_and_votes_and_leaves_faces_out(tmp_path: Path) -> None:
    even = tuple(1 / 7 for _ in EMOTIONS)
    table = table_of(
        *(Row(f"{name}.png", "fear", "x", "web", votes=even) for name in ("a", "b", "c", "d", "e"))
    )
    lines = ("a.png,Sad", "b.png,Sad", "b.png,drop", "c.png,contempt", "d.png,", "e.png,fear")
    review = write(tmp_path / "review.csv", "image,emotion", *lines)
    changed = relabel.relabel(table, review)
    assert labelled(changed) == {
        "a.png": ("sadness", "x"),
        "d.png": ("fear", "x"),
        "e.png": ("fear", "x"),
    }
    assert changed.votes is not None
    assert changed.votes[0].tolist() == [0, 0, 0, 0, 0, 1, 0]
    np.testing.assert_allclose(changed.votes[1], even, atol=1e-6)
    assert changed.notes[-1].kind == "relabelled"
    assert changed.notes[-1].examples == ("a.png", "b.png", "c.png")
    assert re.fullmatch(
        r"review\.csv \(digest [0-9a-f]{16}\) changed 1 labels and left 2 faces out: a\.png, b.+ c\.png",
        changed.notes[-1].text,
    )
    assert table.labels.tolist() == [2] * 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gone.png,fear", "review.csv line 2: mine has no image 'gone.png'"),
        ("a.png,hapy", "review.csv line 2: unknown emotion 'hapy'; did you mean 'happy'?"),
    ],
)
def test_a_review_of_something_unknown_names_its_line(line: str, message: str, tmp_path: Path) -> None:
    review = write(tmp_path / "review.csv", "image,emotion", line)
    with pytest.raises(DataError) as caught:
        relabel.relabel(table_of(Row("a.png", "fear", "x", "web")), review)
    assert str(caught.value) == message


def test_a_review_is_applied_to_whatever_is_loaded(tmp_path: Path) -> None:
    source = lay_out_folder(tmp_path / "set")
    review = write(tmp_path / "review.csv", "image,emotion", "sad/anna_2.png,fear")
    assert find(source, tmp_path, relabel=str(review)).counts()["fear"] == 1


# ── lines ──


def test_a_csv_is_read_whatever_a_spreadsheet_made_of_it(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    for text in (
        "image,emotion\na, fear \n",
        "\ufeffImage;EMOTION\r\n\r\na;fear\r\n",
        ' image\temotion\n"a"\tfear',
    ):
        file.write_text(text, encoding="utf-8", newline="")
        (line,) = read_csv(file, ("image", "emotion"))
        assert line == {"image": "a", "emotion": "fear"}
    assert line.number == 2


def test_words_come_with_the_number_of_their_line(tmp_path: Path) -> None:
    file = write(tmp_path / "list.txt", "a.jpg 5", "", "b.jpg\t7  x")
    assert list(read_words(file)) == [(1, ["a.jpg", "5"]), (3, ["b.jpg", "7", "x"])]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    picture = draw(tmp_path / "anna_1.png")
    for reader in (lambda: list(read_words(picture)), lambda: list(read_csv(picture, ("image",)))):
        with pytest.raises(DataError, match=r"^cannot read '.*anna_1\.png': it is not UTF-8 text"):
            reader()


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for reader in (lambda: list(read_words(tmp_path)), lambda: list(read_csv(tmp_path, ("image",)))):
        with pytest.raises(DataError, match=r"^cannot read '.*': Is a directory$"):
            reader()


# ── folders that appear whole or not at all ──


def test_a_folder_is_filled_once(tmp_path: Path) -> None:
    for text in ("first", "second"):
        folder = make_once(tmp_path / "deep" / "made", lambda aside, text=text: write(aside / "a", text))  # type: ignore[misc]
    assert (folder / "a").read_text() == "first\n"
    assert [path.name for path in folder.parent.iterdir()] == ["made"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("no")])
def test_a_filling_that_was_interrupted_leaves_nothing_behind(
    error: BaseException, tmp_path: Path
) -> None:
    def interrupted(aside: Path) -> None:
        draw(aside / "a.png")
        raise error

    with pytest.raises(type(error)):
        make_once(tmp_path / "made", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_comes_second_takes_the_folder_of_the_first(tmp_path: Path) -> None:
    def overtaken(aside: Path) -> None:
        make_once(tmp_path / "made", lambda other: write(other / "a", "first"))  # type: ignore[arg-type,return-value]
        write(aside / "a", "second")

    assert (make_once(tmp_path / "made", overtaken) / "a").read_text() == "first\n"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError) as caught:
        make_once(tmp_path / "made", full)
    assert str(caught.value) == (
        f"cannot write {str(tmp_path / 'made')!r}: No space left on device; free space or set "
        "FER_MLOPS_CACHE to another folder"
    )


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


@pytest.mark.parametrize("change", [{"path": "b2.png"}, {"emotion": "sadness"}, {"identity": "anna"}])
def test_a_digest_changes_with_any_path_label_or_person(change: dict[str, str]) -> None:
    before = make_table("t", Path(), ROWS, []).digest()
    after = make_table("t", Path(), [replace(ROWS[0], **change), *ROWS[1:]], []).digest()  # type: ignore[arg-type]
    assert after != before
    assert len(before) == 16


def test_selecting_keeps_rows_together_and_adds_notes() -> None:
    votes = np.eye(7)
    rows = [
        replace(row, part=part, votes=tuple(votes[number]), columns={"age": str(number)})
        for number, (row, part) in enumerate(zip(ROWS, ("train", "test", "valid"), strict=True))
    ]
    first, second = Note("about", "first"), Note("unreadable", "second", ("b.png",))
    chosen = make_table("t", Path("r"), rows, [first]).select([2, 0], second)
    assert labelled(chosen) == {"c.png": ("fear", "ben"), "a.png": ("anger", "anna")}
    assert chosen.paths == ("c.png", "a.png")
    assert chosen.sources.tolist() == ["film", "web"]
    assert chosen.parts.tolist() == ["valid", "test"]
    assert chosen.columns["age"].tolist() == ["2", "1"]
    assert chosen.votes is not None
    assert chosen.votes.argmax(axis=1).tolist() == [2, 1]
    assert chosen.notes == (first, second)
    assert (chosen.name, chosen.root) == ("t", Path("r"))


def test_a_table_has_votes_only_where_every_face_has() -> None:
    voted = replace(ROWS[0], votes=(0, 0, 1, 0, 0, 0, 0))
    assert make_table("t", Path(), [voted, ROWS[1]], []).votes is None
    assert make_table("t", Path(), [voted], []).votes is not None


def test_a_column_that_some_faces_lack_is_empty_there() -> None:
    table = make_table("t", Path(), [replace(ROWS[0], columns={"age": "9"}), ROWS[1]], [])
    assert table.columns["age"].tolist() == ["", "9"]


def test_a_note_shows_as_its_text() -> None:
    assert str(Note("about", "drawn", ("a",))) == "drawn"


def test_a_long_list_is_cut_and_says_by_how_much() -> None:
    assert shorten(["c", "b", "a"]) == "a, b, c"
    assert shorten(["d", "c", "b", "a"]) == "a, b, c and 1 more"


# ── the page ──


def test_the_worked_data_set_in_the_docs_works(tmp_path: Path) -> None:
    page = (PAGE.parent / "extend.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    names: dict[str, object] = {}
    exec(code, names)
    dataset = names["DATASET"]
    assert isinstance(dataset, DataSet)
    root = tmp_path / "studio"
    for name in ("anna_happy_3.png", "ben_contempt_1.png", "ben_sad_2.png", "cover.png"):
        draw(root / name)
    assert dataset.recognises(root)
    table = dataset.load(root, Request(cache=tmp_path, config=DataConfig()))
    assert labelled(table) == {
        "anna_happy_3.png": ("happiness", "anna"),
        "ben_sad_2.png": ("sadness", "ben"),
    }
    assert said(table)["no-label"] == "1 file without a label left out: cover.png"
    assert table.name == "studio"
    assert not any(other.recognises(root) for name, other in DATASETS.items() if name != "folder")


def test_a_table_s_digest_changes_with_a_picture_and_not_with_its_place_or_time(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        draw(tmp_path / folder / "faces" / "fear" / "anna_1.png", 1)
        draw(tmp_path / folder / "faces" / "anger" / "anna_2.png", 2)
    first, second = (find(tmp_path / folder / "faces", tmp_path) for folder in ("a", "b"))
    os.utime(tmp_path / "b" / "faces" / "fear" / "anna_1.png", (1, 1))
    assert first.digest() == second.digest() == find(tmp_path / "b" / "faces", tmp_path).digest()
    draw(tmp_path / "b" / "faces" / "fear" / "anna_1.png", 3)
    changed = find(tmp_path / "b" / "faces", tmp_path)
    assert changed.digest() != first.digest()
    assert changed.select([0]).digest() == first.select([0]).digest()


@pytest.mark.parametrize("place", [0, 150_000, 299_999])
def test_a_large_file_is_hashed_by_its_size_beginning_middle_and_end(place: int, tmp_path: Path) -> None:
    content = bytearray(300_000)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "longer").write_bytes(bytes(300_001))
    content[place] = 1
    (tmp_path / "b").write_bytes(content)
    hashes = hash_files(tmp_path, ["a", "b", "longer", "gone"])
    assert len(set(hashes.tolist())) == 4
    assert hashes[3] == 0
