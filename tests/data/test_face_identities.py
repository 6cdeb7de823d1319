"""Identities by face: linking, the setting, and what names and faces say of each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fer_mlops.config import DataConfig
from fer_mlops.data import face_identities
from fer_mlops.data.face_identities import LINKED, align_faces, embed_faces, identify, link_faces
from fer_mlops.data.loading import load_table
from fer_mlops.data.quality.faces import face_findings
from fer_mlops.data.quality.leakage import find_known_people
from fer_mlops.data.splits import Split
from fer_mlops.data.table import FaceTable, Row, make_table
from fer_mlops.errors import ConfigError
from fer_mlops.metrics.identities import count_people, is_named, unnamed_identity


def table_of(*identities: str, root: Path = Path()) -> FaceTable:
    rows = [
        Row(f"{n:02d}.png", "fear", name or unnamed_identity(f"{n:02d}.png"), "web")
        for n, name in enumerate(identities)
    ]
    return make_table("faces", root, rows, ())


def people(num: int, photos: int, spread: float, seed: int = 0) -> np.ndarray:
    """Embeddings of people .8 apart from each other, whose photos are ``spread`` apart."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(num, 128))
    centres *= 0.8 / np.sqrt(2) / np.linalg.norm(centres, axis=1, keepdims=True)
    noise = generator.normal(size=(num, photos, 128)) * spread / np.sqrt(2 * 128)
    return (centres[:, None] + noise).reshape(-1, 128).astype(np.float32)


def partition(groups: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == one).tolist()) for one in np.unique(groups)}


def test_photos_of_one_person_are_linked_and_strangers_are_not() -> None:
    groups = link_faces(people(40, 5, 0.35))
    assert partition(groups) == {frozenset(range(5 * n, 5 * n + 5)) for n in range(40)}


def test_a_chain_of_near_faces_does_not_join_strangers() -> None:
    chain = np.zeros((9, 128), dtype=np.float32)
    chain[:, 0] = np.arange(9) * 0.3  # each 0.3 from the next, the ends 2.4 apart
    groups = link_faces(chain)
    spans = [chain[groups == one, 0] for one in np.unique(groups)]
    assert max(np.ptp(span) for span in spans) <= 0.6


def test_a_face_that_was_not_found_is_linked_to_nobody() -> None:
    embeddings = people(2, 2, 0.1)
    embeddings[1] = np.nan
    assert link_faces(embeddings).tolist() == [0, -1, 1, 1]
    assert link_faces(embeddings[1:2]).tolist() == [-1]
    assert link_faces(embeddings[:0]).tolist() == []


def test_equal_photos_are_linked_in_any_number() -> None:
    assert len(set(link_faces(np.ones((7, 128), dtype=np.float32)).tolist())) == 1


def test_groups_are_those_of_scipys_average_linkage() -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    embeddings = people(30, 4, 0.5, seed=3)
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(2)[np.triu_indices(120, 1)]
    expected = hierarchy.fcluster(hierarchy.linkage(squared, "average"), LINKED**2, "distance")
    assert partition(link_faces(embeddings)) == partition(expected)


@pytest.fixture
def by_face(monkeypatch: pytest.MonkeyPatch):
    """Embeddings that a test chooses, in place of dlib's."""

    def choose(embeddings: np.ndarray) -> None:
        monkeypatch.setattr(face_identities, "embed_faces", lambda *_: embeddings)

    return choose


def test_faces_join_what_names_and_faces_join(tmp_path: Path, by_face) -> None:
    embeddings = people(3, 2, 0.1)  # photos 0 1, 2 3, 4 5
    embeddings[5] = np.nan
    by_face(embeddings)
    table = table_of("anna", "anne", "", "", "ben", "")
    found = identify(table, "faces", tmp_path)
    assert found.identities.tolist() == [
        "anna",
        "anna",
        "face of 02.png",
        "face of 02.png",
        "ben",
        "unnamed: 05.png",
    ]
    assert is_named(found.identities).tolist() == [True] * 5 + [False]
    split = Split(kind="random", train=np.array([0, 2]), valid=np.array([4]), test=np.array([1, 3]))
    known = find_known_people(found, split)
    assert known.share == 1.0
    assert "1 of the 2 test faces are identified by face only" in known.sentence()
    said = {note.kind: note for note in found.notes}
    assert "3 people" in said["identities"].text
    assert said["no-identity"].examples == ("05.png",)


def test_names_are_used_unless_asked_otherwise_and_none_names_nobody(tmp_path: Path) -> None:
    table = table_of("anna", "")
    assert identify(table, "auto", tmp_path) is table
    assert identify(table, "names", tmp_path) is table
    assert not is_named(identify(table, "none", tmp_path).identities).any()


def test_one_face_under_two_names_and_two_faces_under_one_are_findings() -> None:
    embeddings = people(4, 2, 0.1)
    table = table_of("anna", "anne", "ben", "ben", "ben", "ben", "", "")
    findings = face_findings(table, embeddings, link_faces(embeddings))
    found = {finding.kind: finding for finding in findings}
    assert set(found) == {"one-face-many-names", "many-faces-one-name", "unnamed-people"}
    pictures = [example.image for example in found["one-face-many-names"].examples]
    assert pictures == ["00.png", "01.png"]
    assert "ben" in found["many-faces-one-name"].what
    assert [example.image for example in found["unnamed-people"].examples] == ["06.png", "07.png"]


def test_names_that_agree_with_faces_raise_nothing() -> None:
    embeddings = people(3, 2, 0.1)
    table = table_of("anna", "anna", "ben", "ben", "eve", "eve")
    assert face_findings(table, embeddings, link_faces(embeddings)) == []


def test_without_dlib_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_identities, "find_spec", lambda name: None)
    Image.new("L", (9, 9)).save(tmp_path / "00.png")
    with pytest.raises(ConfigError, match=r"fer-mlops\[face\]"):
        embed_faces(table_of("", root=tmp_path), tmp_path / "cache")


def test_the_network_is_dlibs_own() -> None:
    dlib = pytest.importorskip("dlib")
    dlib_face = pytest.importorskip("fer_mlops.models.dlib_face")
    path = dlib_face._installed(dlib_face._FILE)
    chips = np.random.default_rng(0).integers(0, 256, (2, 150, 150), dtype=np.uint8)
    network = dlib_face.fetch_embedding_network()
    torch.set_num_threads(1)
    own = face_identities._embed(network, chips)
    colours = [np.repeat(chip[..., None], 3, axis=2) for chip in chips]
    theirs = dlib.face_recognition_model_v1(str(path)).compute_face_descriptor(colours)
    np.testing.assert_allclose(own, np.array(theirs), atol=1e-5)


def test_an_image_without_a_face_has_no_embedding_and_is_read_once(tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    Image.new("L", (60, 50), 90).save(tmp_path / "00.png")
    table = replace(table_of(""), root=tmp_path)
    _, is_found = align_faces(tmp_path, table.paths)
    assert not is_found.any()
    assert np.isnan(embed_faces(table, tmp_path / "cache")).all()
    kept = list((tmp_path / "cache").glob("embeddings-*.npy"))
    assert len(kept) == 1
    np.save(kept[0], np.zeros((1, 128), np.float32))
    assert (embed_faces(table, tmp_path / "cache") == 0).all()


def test_the_setting_reaches_every_command_through_one_reader(tmp_path: Path, by_face) -> None:
    for name in ("anna_1", "anna_2", "ben_1", "ben_2"):
        for emotion in ("fear", "anger"):
            (tmp_path / emotion).mkdir(exist_ok=True)
            Image.new("L", (8, 8), len(name)).save(tmp_path / emotion / f"{name}.png")
    by_face(np.ones((8, 128), dtype=np.float32))
    found = {}
    for identities in ("auto", "names", "faces", "none"):
        config = DataConfig(source=str(tmp_path), identities=identities)
        table = load_table(config, tmp_path / "cache")
        found[identities] = count_people(table.identities)
    assert found == {"auto": (2, 0), "names": (2, 0), "faces": (1, 0), "none": (0, 8)}
