"""Whose face it is, by name: codes of published sets, words that are no person, names in doubt."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import draw, read, said, write

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.datasets.doubts import doubtful_names
from fer_mlops.data.datasets.identities import person_of
from fer_mlops.data.quality.annotations import label_findings
from fer_mlops.data.splits import split_faces
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.identities import is_named


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("AF01ANS.JPG", "f01"),  # KDEF
        ("BF01HAS.JPG", "f01"),
        ("AM35SUHL.JPG", "m35"),
        ("S005_001_00000011.png", "s005"),  # CK+
        ("ckplus_S010_001_00000014.png", "s010"),
        ("Rafd090_01_Caucasian_female_angry_frontal.jpg", "01"),
        ("Rafd135_01_Caucasian_female_happy_left.jpg", "01"),
        ("KA.AN1.39.tiff", "ka"),  # JAFFE
        ("KA.HA2.tiff", "ka"),
        ("S001-028-0042.png", "s001"),  # MMI
        ("P001_Anger_000.jpeg", "p001"),  # Oulu-CASIA
        ("1a.jpg", "1"),  # FEI
        ("1b.jpg", "1"),
        ("CFD-WM-001-014-HO.jpg", "wm 001"),
        ("01F_AN_C.BMP", "01f"),  # NimStim
        ("F0001_AN01WH_F2D.bmp", "f0001"),  # BU-3DFE
        ("004_o_m_a_a.jpg", "004"),  # FACES
        ("1001_DFA_ANG_XX.jpg", "1001"),  # CREMA-D
        ("03-01-06-01-02-01-12.jpg", "12"),  # RAVDESS
        ("m-001-01.bmp", "m 001"),  # AR
        ("subject01.happy.gif", "subject01"),  # Yale
        ("anna_jpg.rf.3f2c9a1b.jpg", "anna"),  # Roboflow
        ("anna_png.rf.deadbeefcafe.jpg", "anna"),
        ("Tony_Blair_0090.jpg", "tony blair"),  # Labeled Faces in the Wild
    ],
)
def test_the_codes_of_published_sets_tell_the_person(name: str, person: str) -> None:
    assert person_of(name) == (person, "file name")


@pytest.mark.parametrize(
    "name",
    [
        "anna_happy_3.png",
        "Anna-Happy (3).jpg",
        "happy_anna_3.png",
        "03_anna_happy.jpg",
        "annaHappy3.png",
        "annahappy3.png",
        "annasad.png",
        "ANNA_SURPRISED_1.JPG",
        "anna_feliz_2.jpg",
        "anna_traurig_2.jpg",
        "anna_грусть_2.jpg",
        unicodedata.normalize("NFD", "anna_überrascht_2.jpg"),
        "anna_happy_a.jpg",
        "anna_HA_1.png",
        "anna_smiling_left.png",
        "20240131_anna_002.png",
        "s2_anna_fear.png",
        "anna_cropped_aligned_01 copy.png",
        "anna_3fa85f64-5717-4562-b3fc-2c963f66afa6.png",
        "happy/anna_1.png",
        "2024-01-31/anna_1.png",
        "session 2/anna_1.png",
    ],
)
def test_emotion_case_number_and_edit_are_no_part_of_a_person(name: str) -> None:
    assert person_of(name)[0] == "anna"


@pytest.mark.parametrize(
    "name",
    [
        "001_sad_02.jpg",
        "WIN_20240101_12_00_00_Pro.jpg",
        "image_2024-01-01.png",
        "d41d8cd98f00b204e9800998ecf8427e.jpg",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709.png",
        "3fa85f64-5717-4562-b3fc-2c963f66afa6.jpg",
        "dQw4w9WgXcQ.jpg",
        "aGVsbG8gd29ybGQ.jpg",
        "angry_actor_104.jpg",
        "person_12.jpg",
        "p001.png",
        "F0012.png",
        "m_3_happy.png",
        "pexels-anna-shvets-3771836.jpg",
        "IMG_E0001.jpg",
        "Photo on 2024-01-01 at 12.00 #3.jpg",
        "AF01_happy.jpg",
    ],
)
def test_hashes_counters_and_ambiguous_codes_name_nobody(name: str) -> None:
    assert person_of(name) == (None, "file name")


@pytest.mark.parametrize("folder", ["p1", "001", "subject 3", "anna", "7f3a2b9c"])
def test_a_folder_of_one_person_may_be_a_code(folder: str) -> None:
    assert person_of(f"{folder}/IMG_0001.jpg") == (folder, "folder")


@pytest.mark.parametrize("folder", ["images", "batch 3", "20240131", "2024-01-31", "happy"])
def test_a_folder_of_a_collection_is_nobody(folder: str) -> None:
    assert person_of(f"{folder}/0001.jpg") == (None, "file name")


# ── names in doubt ──


def test_names_of_one_emotion_each_are_doubtful() -> None:
    shown = {f"anna{n} {emotion}": [emotion] for n in range(9) for emotion in EMOTIONS}
    assert doubtful_names(shown) == dict.fromkeys(shown)


def test_only_the_emotion_whose_names_show_nothing_else_is_doubtful() -> None:
    people = {f"anna {n}": EMOTIONS[1:] for n in "abcdefghi"}
    odd = {f"anna {n} gloomy": EMOTIONS[:1] for n in "abcdefghi"} | {"gloomy eve": EMOTIONS[:1]}
    persons = {name: name.removesuffix(" gloomy") for name in odd} | {"gloomy eve": None}
    assert doubtful_names({**people, **odd}) == persons


def test_full_names_with_one_photo_each_are_believed() -> None:
    words = [first + last for first in SYLLABLES for last in SYLLABLES]
    shown = {f"{word} {word[::-1]}son": ["anger"] for word in words}
    assert not doubtful_names(shown)
    assert doubtful_names({f"{name} gloomy": emotions for name, emotions in shown.items()})
    assert doubtful_names({name: emotions * 2 for name, emotions in shown.items()})


def test_people_with_one_photo_among_others_are_believed() -> None:
    several = {f"a{n}": ("anger", "fear") for n in range(3)}
    single = {f"b{n}": ("anger",) for n in range(12)}
    assert not doubtful_names({**several, **single})


def folder_of(root: Path, name: Callable[[int, str, int], str], people: int = 30) -> FaceTable:
    """Returns the table of ``people`` x 7 emotions x 2 in folders, without files."""
    gathering = FaceTableBuilder(root.name, root, Request(cache=root, config=DataConfig()))
    for emotion in EMOTIONS:
        for person in range(people):
            for take in range(2):
                image = name(person, emotion, take)
                identity, origin = person_of(image)
                gathering.add(
                    f"{emotion}/{image}",
                    emotion,
                    identity=identity,
                    identity_from=origin,
                    columns={"truth": str(person)},
                    is_there=True,
                )
    return gathering.table()


CODES = dict(zip(EMOTIONS, ("AN", "DI", "AF", "HA", "NE", "SA", "SU"), strict=True))
SPOKEN = dict(
    zip(EMOTIONS, ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"), strict=True)
)
SYLLABLES = ("an", "be", "lu", "mi", "ro", "te")


def given_name(person: int) -> str:
    return "".join(SYLLABLES[(person // 6**k) % 6] for k in range(3)) + "na"


STYLES: dict[str, Callable[[int, str, int], str]] = {
    "KDEF": lambda p, e, t: f"{'AB'[t]}{'FM'[p % 2]}{p + 1:02d}{CODES[e]}S.JPG",
    "CK+": lambda p, e, t: f"S{p + 5:03d}_{EMOTIONS.index(e) + 1:03d}_{t + 1:08d}.png",
    "RaFD": lambda p, e, t: f"Rafd{90 + 45 * t:03d}_{p + 1:02d}_Caucasian_male_{SPOKEN[e]}_frontal.jpg",
    "anna_happy_3": lambda p, e, t: f"{given_name(p)}_{SPOKEN[e]}_{t}.png",
    "UUID": lambda p, e, t: f"{uuid.uuid5(uuid.NAMESPACE_URL, f'{p}{e}{t}')}.jpg",
    "numbered": lambda p, e, t: f"{p * 2 + t:04d}.jpg",
    "Anna-Happy (3)": lambda p, e, t: f"{given_name(p).title()}-{SPOKEN[e].title()} ({t}).jpg",
    "AnnaHappy3": lambda p, e, t: f"{given_name(p).title()}{SPOKEN[e].title()}{t}.jpg",
    "001_sad_02": lambda p, e, t: f"{p:03d}_{SPOKEN[e]}_{t:02d}.jpg",
    "subject01.happy": lambda p, e, t: f"subject{p:02d}.{SPOKEN[e]}{t}.gif",
    "p001_fear_0": lambda p, e, t: f"p{p:03d}_{e}_{t}.png",
    "unknown words": lambda p, e, t: f"{given_name(p)}_{e[::-1]}_{t}.png",
    "one unknown word": lambda p, e, t: f"{given_name(p)}_{'gloomy' if e == 'sadness' else e}_{t}.png",
    "glued unknown codes": lambda p, e, t: f"{given_name(p)}{e[:1].upper()}{e[-2:]}{t}.png",
    "base64": lambda p, e, t: (
        base64.urlsafe_b64encode(hashlib.sha256(f"{p}{e}{t}".encode()).digest()).decode()[:16] + ".jpg"
    ),
    "letters": lambda p, e, t: (
        "".join(chr(97 + digit % 26) for digit in hashlib.sha256(f"{p}{e}{t}".encode()).digest()[:9])
        + ".jpg"
    ),
    "takes by letter": lambda p, e, t: f"{given_name(p)}_{e}_{'ab'[t]}.png",
    "other case": lambda p, e, t: f"{given_name(p).upper() if t else given_name(p)}_{t}.png",
}


@pytest.mark.parametrize("style", STYLES)
def test_no_test_face_is_of_a_person_in_train_unless_its_person_is_said_to_be_unknown(
    style: str, tmp_path: Path
) -> None:
    table = folder_of(tmp_path, STYLES[style])
    split = split_faces(table, DataConfig(), seed=0)
    truth = table.columns["truth"]
    is_leaked = np.isin(truth[split.test], truth[split.train])
    assert not (is_leaked & is_named(table.identities[split.test])).any()


@pytest.mark.parametrize("style", ["KDEF", "CK+", "RaFD", "anna_happy_3", "p001_fear_0", "AnnaHappy3"])
def test_thirty_people_are_counted_as_thirty_or_fifteen_pairs(style: str, tmp_path: Path) -> None:
    table = folder_of(tmp_path, STYLES[style])
    assert len(np.unique(table.identities)) == 30
    assert "doubtful-identity" not in said(table)


def test_names_in_doubt_are_a_warning_with_a_remedy_and_count_as_nobody(tmp_path: Path) -> None:
    table = folder_of(tmp_path, STYLES["unknown words"])
    assert not is_named(table.identities).any()
    (finding,) = label_findings(table.notes, DataConfig())
    assert (finding.kind, finding.severity, finding.num) == ("doubtful-identity", "warning", 210)
    assert finding.what.startswith("210 of 210 people show one emotion only, such as ")
    assert finding.what.endswith("or a number; 420 faces count as unnamed")
    assert "--identity-pattern" in finding.remedy
    assert "identities" not in said(table)


def test_one_name_for_all_faces_may_be_the_collections_and_names_nobody(tmp_path: Path) -> None:
    table = folder_of(tmp_path, lambda p, e, t: f"studio_p{p:03d}_{t}.png")
    assert not is_named(table.identities).any()
    assert len(np.unique(table.identities)) == len(table)
    assert said(table)["doubtful-identity"].startswith("all 420 faces have one name, 'studio'")


def test_faces_of_a_doubtful_name_stay_together(tmp_path: Path) -> None:
    table = folder_of(tmp_path, STYLES["unknown words"])
    assert len(np.unique(table.identities)) == 210


def test_people_whom_a_column_states_are_believed_but_looked_at(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        emotion = EMOTIONS[number % 2]
        draw(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{emotion},{number} {emotion}")
    table = read("csv", write(tmp_path / "faces.csv", "image,emotion,identity", *rows))
    assert is_named(table.identities).all()
    assert said(table)["doubtful-identity"].endswith("; check the names")


@pytest.mark.parametrize("cell", ["", "?", "unknown", "NaN", "N/A", "None", " - "])
def test_a_cell_that_says_unknown_names_nobody(cell: str, tmp_path: Path) -> None:
    draw(tmp_path / "anna_1.png")
    table = read(
        "csv", write(tmp_path / "faces.csv", "image,emotion,identity", f"anna_1.png,fear,{cell}")
    )
    assert not is_named(table.identities).any()


# ── letters ──


def test_composed_and_decomposed_names_are_one_person(tmp_path: Path) -> None:
    rows = ["image,emotion"]
    for letter in "abc":
        for take, form in enumerate(("NFC", "NFD")):
            name = f"fear/J\u00fcrgen {letter}_{take}.png"
            draw(tmp_path / unicodedata.normalize(form, name))
            rows.append(f"{unicodedata.normalize('NFC', name)},fear")
    table = read("folder", tmp_path)
    assert sorted(set(table.identities.tolist())) == [f"j\u00fcrgen {letter}" for letter in "abc"]
    listed = read("csv", write(tmp_path / "faces.csv", *rows))
    assert listed.paths == table.paths
    assert listed.identities.tolist() == table.identities.tolist()
