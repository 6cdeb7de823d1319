"""Dividing faces into train, valid and test."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from fer_mlops.config import CnnExperiment, DataConfig
from fer_mlops.data.quality.leakage import find_known_people
from fer_mlops.data.splits import Split, groups_of, split_faces
from fer_mlops.data.table import FaceTable, Row, make_table
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.metrics.identities import unnamed_identity

KINDS = ("identity", "random")


def faces(labels: list[int], people: list[int]) -> FaceTable:
    """Returns a table of faces without files; row i has label i and person i."""
    rows = [
        Row(f"{i:04}.png", EMOTIONS[label], f"p{person}", "none")
        for i, (label, person) in enumerate(zip(labels, people, strict=True))
    ]
    return make_table("tiny", Path(), rows, [])


def crowd(num_people: int = 60, emotions: int = 7, each: int = 1) -> FaceTable:
    """Returns every person with every emotion ``each`` times."""
    triples = [(label, p) for p in range(num_people) for label in range(emotions) for _ in range(each)]
    return faces([label for label, _ in triples], [person for _, person in triples])


def uneven() -> FaceTable:
    """Returns 400 faces of 120 people, 8 to 1 between the most and the least frequent emotion."""
    generator = np.random.default_rng(0)
    labels = generator.choice(7, 400, p=np.array([8, 4, 2, 1, 8, 4, 2]) / 29)
    return faces(labels.tolist(), generator.integers(0, 120, 400).tolist())


def people_in(table: FaceTable, rows: np.ndarray) -> set[str]:
    return set(table.identities[rows].tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_three_parts_are_disjoint_and_together_the_table(kind: str, seed: int) -> None:
    table = uneven()
    split = split_faces(table, DataConfig(split=kind), seed)
    assert split.kind == kind
    assert sorted(np.concatenate([split.train, split.valid, split.test]).tolist()) == list(range(400))
    for rows in split.parts().values():
        assert rows.tolist() == sorted(rows.tolist())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_person_is_in_two_parts_of_an_identity_split(seed: int) -> None:
    table = uneven()
    split = split_faces(table, DataConfig(), seed)
    train, valid, test = (people_in(table, rows) for rows in split.parts().values())
    assert not train & valid
    assert not train & test
    assert not valid & test
    assert find_known_people(table, split).share == 0


def test_the_default_split_is_the_identity_split() -> None:
    assert split_faces(crowd(), DataConfig(), 0).kind == "identity"


def test_a_random_split_gives_every_part_its_share_of_every_emotion_to_one_face() -> None:
    table = uneven()
    split = split_faces(table, DataConfig(split="random", valid_share=0.1, test_share=0.2), 0)
    totals = np.bincount(table.labels, minlength=7)
    for rows, share in ((split.train, 0.7), (split.valid, 0.1), (split.test, 0.2)):
        counts = np.bincount(table.labels[rows], minlength=7)
        assert np.abs(counts - totals * share).max() <= 1


def test_an_identity_split_of_equal_people_is_exactly_stratified() -> None:
    table = crowd(num_people=60)
    split = split_faces(table, DataConfig(valid_share=0.1, test_share=0.2), 0)
    assert np.bincount(table.labels[split.test]).tolist() == [12] * 7
    for rows, share in ((split.train, 0.7), (split.valid, 0.1)):
        counts = np.bincount(table.labels[rows])
        assert np.ptp(counts) == 0  # whole people have one face of each emotion
        assert abs(counts[0] - 60 * share) <= 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_identity_split_of_unequal_people_is_stratified_within_tolerance(seed: int) -> None:
    table = uneven()
    split = split_faces(table, DataConfig(valid_share=0.1, test_share=0.2), seed)
    totals = np.bincount(table.labels, minlength=7)
    for rows, share in ((split.train, 0.7), (split.valid, 0.1), (split.test, 0.2)):
        counts = np.bincount(table.labels[rows], minlength=7)
        assert np.abs(counts - totals * share).max() <= 6
        assert counts.min() >= 1
        assert abs(len(rows) / 400 - share) < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_split_and_another_seed_another(kind: str) -> None:
    table, config = uneven(), DataConfig(split=kind)
    digests = [split_faces(table, config, seed).digest(table) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_seed_that_the_config_takes_makes_a_split_too(kind: str) -> None:
    seed = CnnExperiment(seed=2**32 - 1).seed
    assert split_faces(crowd(), DataConfig(split=kind), seed).kind == kind


def test_a_digest_changes_when_one_row_changes_its_part() -> None:
    table = crowd(2)
    rows = np.arange(len(table))
    before = Split(kind="identity", train=rows[:8], valid=rows[8:10], test=rows[10:])
    after = Split(kind="identity", train=rows[:9], valid=rows[9:10], test=rows[10:])
    assert before.digest(table) != after.digest(table)
    assert len(before.digest(table)) == 16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "said"), [(1, "1 face;"), (2, "2 faces;")])
def test_an_emotion_that_cannot_fill_three_parts_is_refused(kind: str, count: int, said: str) -> None:
    labels = [0] * 30 + [1] * 30 + [2] * count
    table = faces(labels, list(range(len(labels))))
    with pytest.raises(DataError) as caught:
        split_faces(table, DataConfig(split=kind), 0)
    assert str(caught.value).startswith(f"fear has {said} each emotion needs at least 3, ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [3, 4])
def test_an_emotion_with_fewer_faces_than_folds_is_divided_without_a_warning(
    kind: str, count: int
) -> None:
    labels = [0] * 50 + [1] * 50 + [2] * count
    table = faces(labels, list(range(len(labels))))
    split = split_faces(table, DataConfig(split=kind), 0)
    assert 2 in table.labels[split.train]


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_emotion_of_very_unequal_people_still_comes_near_its_share(seed: int) -> None:
    sizes = [12, 6, 4, 3, 2, 1, 1, 1]  # faces of fear, person by person
    fear = [person for person, size in enumerate(sizes) for _ in range(size)]
    labels = [2] * 30 + [0, 1] * 100
    table = faces(labels, fear + list(range(10, 210)))
    split = split_faces(table, DataConfig(test_share=0.2), seed)
    assert 5 <= (table.labels[split.test] == 2).sum() <= 7  # 20 % of 30 is 6


def test_one_emotion_alone_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"^all faces show one emotion; a classifier needs at least two$"
    ):
        split_faces(faces([3] * 50, list(range(50))), DataConfig(), 0)


def test_an_emotion_without_any_face_is_fine() -> None:
    split = split_faces(crowd(emotions=2), DataConfig(), 0)
    assert all(len(rows) for rows in split.parts().values())


@pytest.mark.parametrize(("folds", "parts"), [(0, 3), (4, 4)])
def test_too_few_people_are_refused_with_the_way_out(folds: int, parts: int) -> None:
    table = crowd(num_people=parts - 1, each=5)
    with pytest.raises(DataError) as caught:
        split_faces(table, DataConfig(folds=folds), 0)
    assert str(caught.value) == (
        f"{parts - 1} people cannot be divided into {parts} parts; add people, identify them with "
        "--identity-pattern, or use --split random, "
        "whose scores are too good"
    )
    assert split_faces(table, DataConfig(split="random", folds=folds), 0).kind == "random"


@pytest.mark.parametrize("seed", range(5))
def test_an_emotion_that_one_person_shows_goes_to_training(seed: int) -> None:
    labels, people = [0, 1] * 50 + [2] * 30, [i // 2 for i in range(100)] + [99] * 30
    table = faces(labels, people)
    split = split_faces(table, DataConfig(), seed)
    assert (table.labels[split.train] == 2).sum() == 30


def test_an_emotion_that_training_would_not_see_is_refused() -> None:
    table = replace(faces([0, 1] * 20, list(range(40))), parts=np.array(["train", "test"] * 20))
    with pytest.raises(DataError, match=r"^no train face shows disgust, so no model can learn it; "):
        split_faces(table, DataConfig(split="given"), 0)


@pytest.mark.parametrize("seed", range(10))
def test_an_emotion_of_three_people_is_in_every_part(seed: int) -> None:
    sizes = [9, 1, 4]
    fear = [person for person, size in enumerate(sizes) for _ in range(size)]
    table = faces([2] * 14 + [0, 1] * 100, fear + [person // 3 for person in range(30, 230)])
    split = split_faces(table, DataConfig(), seed)
    assert all(2 in table.labels[rows] for rows in split.parts().values())
    assert all({0, 1} <= set(table.labels[rows].tolist()) for rows in split.parts().values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_does_not_depend_on_the_order_of_the_rows(kind: str) -> None:
    table = uneven()
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = table.select(order)
    parts = [
        {part: {t.paths[row] for row in rows} for part, rows in split.parts().items()}
        for t, split in ((t, split_faces(t, DataConfig(split=kind), 0)) for t in (table, shuffled))
    ]
    assert parts[0] == parts[1]


@pytest.mark.parametrize("seed", range(3))
def test_near_duplicates_of_two_people_are_in_one_part_of_an_identity_split(seed: int) -> None:
    table = uneven()
    clusters = np.random.default_rng(2).integers(0, 300, len(table))
    split = split_faces(table, DataConfig(), seed, clusters)
    groups = groups_of(table, clusters)
    train, valid, test = (set(groups[rows].tolist()) for rows in split.parts().values())
    assert not train & valid
    assert not train & test
    assert not valid & test


def test_people_and_near_duplicates_are_joined_into_one_group() -> None:
    table = faces([0] * 6, [1, 1, 2, 3, 3, 4])
    groups = groups_of(table, np.array([0, 1, 1, 2, 3, 4]))
    assert len({groups[0], groups[1], groups[2]}) == 1
    assert len(set(groups.tolist())) == 3
    assert groups[3] == groups[4]


@pytest.mark.parametrize("seed", range(6))
def test_a_person_with_very_many_faces_goes_to_train(seed: int) -> None:
    """150 faces would be most of valid and half of test, whose score would be that person's."""
    people = [0] * 150 + list(range(1, 1351))
    table = faces([i % 2 for i in range(1500)], people)
    split = split_faces(table, DataConfig(), seed)
    assert "p0" in people_in(table, split.train)


@pytest.mark.parametrize("seed", range(6))
def test_no_part_gets_more_of_a_source_than_its_share(seed: int) -> None:
    people = [person for person in range(100) for _ in range(10)] + list(range(100, 1100))
    table = faces([i % 2 for i in range(2000)], people)
    is_film = np.isin(table.identities, [f"p{person}" for person in range(10)])
    table = replace(table, sources=np.where(is_film, "film", "street"))
    split = split_faces(table, DataConfig(), seed)
    assert (table.sources[split.test] == "film").sum() <= 20
    assert (table.sources[split.valid] == "film").sum() <= 10


# ── folds ──


@pytest.mark.parametrize("kind", KINDS)
def test_every_face_is_a_test_face_of_one_fold(kind: str) -> None:
    table = uneven()
    splits = [split_faces(table, DataConfig(split=kind, folds=4, fold=k), 0) for k in range(4)]
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(400))
    for split in splits:
        assert sorted(np.concatenate(list(split.parts().values())).tolist()) == list(range(400))
        assert abs(len(split.valid) - 40) <= 4
        if kind == "identity":
            assert find_known_people(table, split).share == 0
            assert not people_in(table, split.valid) & people_in(table, split.train)


# ── given parts ──


def given(parts: str) -> FaceTable:
    """Returns a face for each letter: r train, v valid, t test, - none."""
    words = {"r": "train", "v": "valid", "t": "test", "-": ""}
    table = faces([i % 2 for i in range(len(parts))], [i // 2 for i in range(len(parts))])
    return replace(table, parts=np.array([words[letter] for letter in parts]))


def test_given_parts_are_kept() -> None:
    split = split_faces(given("rrvttrrvvt"), DataConfig(split="given"), 0)
    assert split.kind == "given"
    assert split.train.tolist() == [0, 1, 5, 6]
    assert split.valid.tolist() == [2, 7, 8]
    assert split.test.tolist() == [3, 4, 9]


def test_given_parts_without_valid_have_it_taken_from_train_by_identity() -> None:
    table = given("r" * 80 + "t" * 20)
    split = split_faces(table, DataConfig(split="given", valid_share=0.1, test_share=0.2), 0)
    assert split.test.tolist() == list(range(80, 100))
    assert len(split.valid) == 10  # an eighth of what is not test
    assert not people_in(table, split.valid) & people_in(table, split.train)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("rrrr", "tiny has no test part of its own; use --split identity"),
        ("----", "tiny has no train and a test part of its own; use --split identity"),
        ("rtr-", "1 faces of tiny are in no given part: 0003.png"),
    ],
)
def test_given_parts_that_are_not_there_are_refused(parts: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        split_faces(given(parts), DataConfig(split="given"), 0)
    assert str(caught.value) == message


# ── a split file ──


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_that_was_saved_is_the_same_split_again(kind: str, tmp_path: Path) -> None:
    table = uneven()
    made = split_faces(table, DataConfig(split=kind), 3)
    file = tmp_path / "split.csv"
    file.write_text(made.as_csv(table))
    assert file.read_text().splitlines()[:2] == [
        "image,emotion,identity,part",
        f"0000.png,{EMOTIONS[table.labels[0]]},{table.identities[0]},"
        + next(part for part, rows in made.parts().items() if 0 in rows),
    ]
    again = split_faces(table, DataConfig(split=str(file)), 99)
    assert again.kind == "file"
    assert again.digest(table) == made.digest(table)


@pytest.mark.parametrize("letter", ["\u00fc", "u\u0308"])
def test_a_split_file_names_faces_in_either_unicode_form(letter: str, tmp_path: Path) -> None:
    table = uneven()
    table = replace(table, paths=tuple(f"{path} J{letter}rgen.png" for path in table.paths))
    made = split_faces(table, DataConfig(), 3)
    form: Literal["NFC", "NFD"] = "NFD" if len(letter) == 1 else "NFC"  # the other one
    file = tmp_path / "split.csv"
    file.write_text(unicodedata.normalize(form, made.as_csv(table)), encoding="utf-8")
    assert split_faces(table, DataConfig(split=str(file)), 99).digest(table) == made.digest(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,part\n0000.png,train\n", "has no part for 3 of 4 faces: 0001.png, 0002.png, "),
        ("image,part\n0000.png,dev\n", "s.csv line 2: part must be train, valid or test, got 'dev'"),
        ("image,emotion\n", "needs columns image, part; it has image, emotion"),
        (
            "image,part\n" + "".join(f"000{i}.png,train\n" for i in range(4)),
            "no face is left for valid; add faces",
        ),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        split_faces(given("rrrr"), DataConfig(split=str(file)), 0)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("each", [3, 4, 5, 6, 8])
@pytest.mark.parametrize("emotions", [2, 7])
def test_a_handful_of_faces_is_divided_or_refused_but_never_a_crash(
    emotions: int, each: int, kind: str
) -> None:
    count = emotions * each
    table = faces([i % emotions for i in range(count)], list(range(count)))
    try:
        split = split_faces(table, DataConfig(split=kind), 0)
    except DataError:
        return
    assert all(len(rows) for rows in split.parts().values())
    assert set(table.labels[split.train].tolist()) == set(range(emotions))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("valid_share", "test_share"),
    [(0.02, 0.1), (0.05, 0.2), (0.1, 0.2), (0.1, 0.4), (0.3, 0.3), (0.4, 0.4), (0.45, 0.45)],
)
def test_every_pair_of_shares_that_the_config_takes_is_kept_to(
    valid_share: float, test_share: float, kind: str
) -> None:
    table = crowd()
    config = DataConfig(split=kind, valid_share=valid_share, test_share=test_share)
    split = split_faces(table, config, 0)
    for rows, share in ((split.valid, valid_share), (split.test, test_share)):
        assert len(rows) / len(table) == pytest.approx(share, rel=0.15, abs=1 / 60)


def test_known_people_are_counted_by_faces_of_test() -> None:
    table = faces([0, 1, 0, 1, 0, 1], [7, 7, 7, 8, 9, 8])
    split = Split(
        kind="random", train=np.array([0, 3]), valid=np.array([4]), test=np.array([1, 2, 4, 5])
    )
    assert find_known_people(table, split).share == 0.75


def with_unnamed(table: FaceTable, rows: list[int]) -> FaceTable:
    identities = table.identities.astype(object)
    for row in rows:
        identities[row] = unnamed_identity(table.paths[row])
    return replace(table, identities=identities.astype(np.str_))


HALVES = Split(kind="random", train=np.array([0, 3]), valid=np.array([4]), test=np.array([1, 2, 5]))


@pytest.mark.parametrize(
    ("unnamed", "tag", "sentence", "caution"),
    [
        ([], "0.667", "67% of the test faces show a person from train.", "Optimistic: 67%"),
        (
            [0, 1, 2, 3, 4, 5],
            "unknown: nobody is named",
            "The share of test faces that show a person from train is unknown: nobody is named.",
            "Perhaps optimistic: The share",
        ),
        (
            [1, 2],
            "0.000 of the named; 2 of 3 test faces name nobody",
            "0% of the test faces that name a person show one from train; for the others it is "
            "unknown: 2 of 3 test faces name nobody.",
            "Perhaps optimistic: 0%",
        ),
        (
            [0],
            "0.000 of the named; 1 of 2 train faces name nobody",
            "0% of the test faces that name a person show one from train; for the others it is "
            "unknown: 1 of 2 train faces name nobody.",
            "Perhaps optimistic: 0%",
        ),
    ],
)
def test_known_people_are_said_to_be_unknown_where_nobody_is_named(
    unnamed: list[int], tag: str, sentence: str, caution: str
) -> None:
    known = find_known_people(
        with_unnamed(faces([0, 1, 0, 1, 0, 1], [7, 7, 7, 8, 9, 10]), unnamed), HALVES
    )
    assert known.tag() == tag
    assert known.sentence() == sentence
    assert known.caution().startswith(caution)


def test_an_honest_split_needs_no_caution() -> None:
    assert find_known_people(faces([0, 1, 0, 1, 0, 1], [1, 2, 3, 4, 5, 6]), HALVES).caution() == ""
