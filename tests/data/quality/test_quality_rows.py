"""What reading met, copies, people and sizes: each planted, counted exactly."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crowds import crowd, images, kinds, the
from PIL import Image

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.duplicates import THUMBNAIL, near_duplicate_clusters
from fer_mlops.data.file_info import read_records
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.quality.annotations import label_findings
from fer_mlops.data.quality.class_balance import (
    LIKENESS,
    balance_findings,
    balance_listing,
    class_sizes,
    interval_width,
)
from fer_mlops.data.quality.duplicates import copy_findings, groups_of_equal
from fer_mlops.data.quality.findings import Finding
from fer_mlops.data.quality.leakage import leak_findings, leak_listing, make_splits
from fer_mlops.data.quality.report import give_verdict
from fer_mlops.data.table import FaceTable, Note, Row, make_table
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.identities import unnamed_identity

CONFIG = DataConfig()


def faces_of(counts: dict[str, int], num_people: int = 10**6, folder: Path = Path()) -> FaceTable:
    """Returns a table of faces that are on no disk, dealt to so many people in turn."""
    emotions = [emotion for emotion, count in counts.items() for _ in range(count)]
    rows = [Row(f"{i:05}.png", e, f"p{i % num_people}", "drawn") for i, e in enumerate(emotions)]
    return make_table("tiny", folder, rows, [])


# what reading met


def read_csv(folder: Path, text: str, **settings: object) -> Sequence[Finding]:
    for name in "abcd":
        if not (folder / f"{name}.png").exists():
            Image.new("L", (8, 8)).save(folder / f"{name}.png")
    (folder / "list.csv").write_text("image,emotion\n" + text)
    config = DataConfig(source=str(folder / "list.csv"), **settings)  # type: ignore[arg-type]
    table = load_faces(Request(cache=folder, config=config, is_strict=False))
    return label_findings(table.notes, config)


@pytest.mark.parametrize(
    ("rows", "kind", "severity", "num"),
    [
        ("b.png,hapy\nc.png,sad", "unknown-emotion", "error", 1),
        ("gone.png,happy\ngone2.png,happy", "missing-file", "error", 2),
        ("../b.png,happy", "escaping-path", "error", 1),
        (",happy", "malformed-row", "error", 1),
        ("a.png,happy\na.png,happiness", "repeated-rows", "note", 2),
        ("b.png,happy\nb.png,sad", "conflicting-rows", "warning", 1),
        ("b.png,contempt", "outside-emotion", "note", 1),
        ("b.png,", "no-label", "note", 1),
        ("b.png,HAPPINESS\nc.png,Happy", "spelling", "note", 2),
    ],
)
def test_what_reading_met_is_a_finding_with_its_number(
    rows: str, kind: str, severity: str, num: int, tmp_path: Path
) -> None:
    found = read_csv(tmp_path, f"a.png,happiness\n{rows}\n")
    finding = the(found, kind)
    assert (finding.severity, finding.num) == (severity, num)
    assert len(finding.examples) == num


def test_an_unknown_spelling_comes_with_the_nearest_known(tmp_path: Path) -> None:
    finding = the(read_csv(tmp_path, "a.png,happy\nb.png,hapy\n"), "unknown-emotion")
    (told,) = images(finding)
    assert told.startswith("list.csv line 3: unknown emotion 'hapy'; did you mean 'happy'? Or name its")


def test_missing_files_are_a_warning_where_training_leaves_them_out(tmp_path: Path) -> None:
    found = read_csv(tmp_path, "a.png,happy\ngone.png,happy\n", on_bad_image="skip")
    assert the(found, "missing-file").severity == "warning"


def test_images_that_tell_no_person_are_a_warning(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "0001.png")
    finding = the(read_csv(tmp_path, "0001.png,happy\n"), "no-identity")
    assert (finding.severity, finding.num) == ("warning", 1)


def test_plain_facts_are_no_findings() -> None:
    facts = [Note("about", "drawn"), Note("identities", "3 people"), Note("relabelled", "1 label")]
    assert label_findings(facts, CONFIG) == []


def test_a_kind_of_note_from_later_is_a_note() -> None:
    (finding,) = label_findings([Note("new-kind", "something", ("a",))], CONFIG)  # type: ignore[arg-type]
    assert (finding.severity, finding.what, finding.num) == ("note", "something", 1)


# copies


def find_copies(table: FaceTable, folder: Path) -> list[Finding]:
    _, thumbnails = load_images(table, THUMBNAIL, folder / "cache")
    return copy_findings(table, read_records(table), near_duplicate_clusters(thumbnails))


def test_identical_files_are_counted_across_labels_and_people(tmp_path: Path) -> None:
    table = crowd(tmp_path, 6)
    for copy, original in (
        ("001-anger-0.bmp", "000-anger-0.bmp"),
        ("002-anger-0.bmp", "000-anger-0.bmp"),
        ("003-sadness-0.bmp", "003-fear-0.bmp"),
    ):
        shutil.copy(tmp_path / original, tmp_path / copy)
    found = find_copies(table, tmp_path)
    assert kinds(found) == [
        "identical-files",
        "identical-files-across-labels",
        "identical-files-across-people",
    ]
    whole = the(found, "identical-files")
    assert (whole.num, whole.severity) == (2, "warning")
    assert whole.what == "2 files are stored under two or more file names (5 images)"
    assert images(the(found, "identical-files-across-labels")) == ["003-fear-0.bmp", "003-sadness-0.bmp"]
    assert the(found, "identical-files-across-people").num == 1


def test_near_duplicates_are_found_and_identical_ones_not_told_twice(tmp_path: Path) -> None:
    table = crowd(tmp_path, 6)
    shutil.copy(tmp_path / "000-anger-0.bmp", tmp_path / "000-disgust-0.bmp")
    with Image.open(tmp_path / "003-fear-0.bmp") as face:
        face.point(lambda value: value * 0.9).save(tmp_path / "004-fear-0.bmp")
    found = find_copies(table, tmp_path)
    near = the(found, "near-duplicates")
    assert near.num == 1
    assert [(e.image, e.caption) for e in near.examples] == [
        ("003-fear-0.bmp", "1: fear"),
        ("004-fear-0.bmp", "1: fear"),
    ]
    assert the(found, "near-duplicates-across-people").examples[1].caption == "1: p4"
    assert "near-duplicates-across-labels" not in kinds(found)
    assert the(found, "identical-files").num == 1


def test_equal_values_are_grouped_by_their_rows() -> None:
    groups = groups_of_equal(np.array(["b", "a", "c", "b", "a", "b"]))
    assert [list(rows) for rows in groups] == [[0, 3, 5], [1, 4]]
    assert groups_of_equal(np.array([])) == []


# people


def leaks(table: FaceTable, config: DataConfig, clusters: object = None) -> list[Finding]:
    splits, failures = make_splits(table, config, 0, clusters)  # type: ignore[arg-type]
    return [*failures, *leak_findings(table, splits, config.split, clusters)]  # type: ignore[arg-type]


def test_known_people_are_a_warning_of_the_random_split_and_else_a_note() -> None:
    table = faces_of(dict.fromkeys(EMOTIONS, 24), num_people=12)  # 14 faces each: all are known
    (warned,) = leaks(table, DataConfig(split="random"))
    assert (warned.kind, warned.severity, warned.num) == ("known-people", "warning", 35)
    assert warned.what.startswith("a random split has 100% of its test faces from people")
    (noted,) = leaks(table, CONFIG)
    assert (noted.kind, noted.severity, noted.num) == ("known-people", "note", 35)


def test_people_seen_once_cannot_leak() -> None:
    table = faces_of(dict.fromkeys(EMOTIONS, 24))
    assert leaks(table, CONFIG) == leaks(table, DataConfig(split="random")) == []


def test_a_doubtful_name_on_both_sides_is_no_known_person() -> None:
    table = faces_of(dict.fromkeys(EMOTIONS, 24), num_people=12)
    nobody = np.array([unnamed_identity(name) for name in table.identities])
    assert leaks(replace(table, identities=nobody), DataConfig(split="random")) == []


def test_a_given_split_is_examined_like_any_other() -> None:
    table = faces_of({"happiness": 20, "sadness": 20}, num_people=20)
    parts = np.array(["train"] * 10 + ["test"] * 10 + ["valid"] * 10 + ["train"] * 10)
    table = replace(table, parts=parts)
    config = DataConfig(split="given")
    found = [finding for finding in leaks(table, config) if finding.severity == "warning"]
    assert [(finding.kind, finding.num) for finding in found] == [("known-people", 10)]
    assert "a given split has 100%" in found[0].what
    splits, _ = make_splits(table, config, 0, None)
    columns = leak_listing(table, splits, None).columns
    assert [c for c in columns if "given" in c] == ["given: person", "given: person + emotion"]


def test_shares_are_told_by_emotion() -> None:
    table = faces_of({"happiness": 20, "sadness": 20}, num_people=20)
    table = replace(
        table, parts=np.array(["train"] * 10 + ["test"] * 10 + ["train"] * 10 + ["test"] * 10)
    )
    splits, _ = make_splits(table, DataConfig(split="given"), 0, None)
    rows = {row[0]: row for row in leak_listing(table, {"given": splits["given"]}, None).rows}
    # each person's happy and sad face are in one part
    assert rows["all"] == ("all", 0.0, 0.0)
    assert rows["sadness"] == ("sadness", 0.0, 0.0)
    assert rows["fear"] == ("fear", -1, -1)


def test_copies_on_both_sides_of_the_chosen_split_are_a_warning() -> None:
    table = faces_of(dict.fromkeys(EMOTIONS, 24))
    splits, _ = make_splits(table, DataConfig(split="random"), 0, None)
    clusters = np.arange(len(table))
    split = splits["random"]
    clusters[split.test[:3]] = clusters[split.train[0]]
    (finding,) = leaks(table, DataConfig(split="random"), clusters)
    assert (finding.kind, finding.severity, finding.num) == ("copies-across-parts", "warning", 3)
    assert leaks(table, CONFIG, clusters) == []  # the identity split keeps them together


def test_a_split_that_cannot_be_made_is_an_error_only_if_it_is_chosen() -> None:
    table = faces_of(dict.fromkeys(EMOTIONS, 10), num_people=2)
    finding = the(leaks(table, CONFIG), "no-split")
    assert (finding.severity, finding.consequence) == (
        "error",
        "the identity split cannot be made, so training stops",
    )
    assert "no-split" not in kinds(leaks(table, DataConfig(split="random")))


def test_a_split_file_is_examined(tmp_path: Path) -> None:
    table = faces_of({"happiness": 20, "sadness": 20}, num_people=20)
    lines = [
        f"{path},{'test' if i < 10 else 'valid' if i < 12 else 'train'}"
        for i, path in enumerate(table.paths)
    ]
    (tmp_path / "split.csv").write_text("image,part\n" + "\n".join(lines))
    config = DataConfig(split=str(tmp_path / "split.csv"))
    splits, failures = make_splits(table, config, 0, None)
    assert failures == []
    found = leak_findings(table, splits, "file", None)
    assert (
        "a file split has 100%"
        in the([f for f in found if f.severity == "warning"], "known-people").what
    )


def test_an_emotion_of_one_person_is_a_warning() -> None:
    table = faces_of({"happiness": 30, "disgust": 30})
    people = table.identities.astype("<U20")
    people[table.labels == EMOTIONS.index("disgust")] = ["dwarakish"] * 16 + [f"q{i}" for i in range(14)]
    finding = the(leaks(replace(table, identities=people), CONFIG), "one-person")
    assert finding.num == 1
    assert finding.what == (
        "one person dominates an emotion: 53% of disgust is 'dwarakish', of 15 people"
    )


# sizes


def sizes_of(table: FaceTable, config: DataConfig = CONFIG) -> list[Finding]:
    return balance_findings(class_sizes(table, config, None))


def test_wilsons_interval_is_as_published() -> None:
    # 10 of 20: 0.299 to 0.701 (Agresti and Coull, 1998, by their formula)
    assert interval_width(0.5, 20) == pytest.approx(0.401, abs=1e-3)
    assert interval_width(0.8, 100) == pytest.approx(0.155, abs=1e-3)
    assert interval_width(0.5, 0) == 1.0


def test_faces_of_one_person_are_worth_less() -> None:
    alone = class_sizes(faces_of({"fear": 100}), CONFIG, None)[2]
    assert alone.effective == alone.test_faces == 20
    crowded = class_sizes(faces_of({"fear": 100}, num_people=4), CONFIG, None)[2]
    assert crowded.effective == pytest.approx(20 / (1 + 4 * LIKENESS))  # 5 test faces of each
    assert crowded.width > alone.width


def test_the_share_that_is_tested_counts() -> None:
    table = faces_of({"fear": 100})
    assert class_sizes(table, DataConfig(test_share=0.4), None)[2].test_faces == 40
    splits, _ = make_splits(faces_of({"fear": 100, "anger": 100}), DataConfig(test_share=0.4), 0, None)
    made = class_sizes(faces_of({"fear": 100, "anger": 100}), CONFIG, splits["identity"])
    assert made[2].test_faces == 40


def test_emotions_too_small_for_a_claim_are_named_with_what_can_be_known() -> None:
    found = sizes_of(faces_of({**dict.fromkeys(EMOTIONS, 150), "fear": 144}))
    (finding,) = found
    assert (finding.kind, finding.severity, finding.num) == ("few-faces", "warning", 1)
    assert "fear (±17 points; test has 29 faces of 29 people)" in finding.what


def test_imbalance_is_told_with_what_guessing_scores() -> None:
    finding = the(sizes_of(faces_of({"neutral": 3000, "fear": 200})), "imbalance")
    assert finding.what == (
        "neutral has 15 times the faces of fear; always predicting neutral scores an accuracy of 0.94"
    )
    assert kinds(sizes_of(faces_of({**dict.fromkeys(EMOTIONS, 200), "neutral": 1999}))) == []


def test_absent_emotions_are_noted() -> None:
    finding = the(sizes_of(faces_of({"neutral": 200, "fear": 200})), "absent-emotion")
    assert (finding.severity, finding.num) == ("note", 5)
    assert "anger, disgust, happiness, sadness, surprise" in finding.what


def test_sizes_are_listed_by_emotion() -> None:
    listing = balance_listing(class_sizes(faces_of({"fear": 30, "anger": 10}, 10), CONFIG, None))
    assert listing.rows[2][:5] == ("fear", 30, 0.75, 10, 0.1)
    assert {len(row) for row in listing.rows} == {len(listing.columns)}


# the verdict


def test_the_verdict_says_what_scores_are_worth() -> None:
    table = faces_of({"neutral": 500, "fear": 50})
    sizes = class_sizes(table, CONFIG, None)
    verdict = give_verdict([], sizes, "identity")
    assert verdict == (
        "Scores on the 110 test faces of the identity split: an accuracy of 80% will be known to "
        "±7.4 points; the scores of fear will be mostly chance."
    )


def test_too_few_faces_of_every_emotion_are_told_without_naming_all() -> None:
    few = faces_of(dict.fromkeys(EMOTIONS, 20))
    finding = the(sizes_of(few), "few-faces")
    assert "the recall of every emotion (±" in finding.what
    verdict = give_verdict([], class_sizes(few, CONFIG, None), "identity")
    assert verdict.endswith("the scores of every emotion will be mostly chance.")
    some = faces_of({**dict.fromkeys(EMOTIONS[:5], 20), "sadness": 900})
    assert "and 2 more" in the(sizes_of(some), "few-faces").what


def test_the_verdict_names_what_stops_training_first() -> None:
    error = Finding(kind="no-split", severity="error", what="", consequence="", remedy="", num=1)
    assert give_verdict([error], [], "identity") == "Training stops on this data: fix 1 error first."
