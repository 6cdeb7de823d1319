"""From a source to faces that are decoded and divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import write
from PIL import Image
from tiny import tiny

from fer_mlops.config import DataConfig
from fer_mlops.data.loading import divide_faces, prepare_data, read_faces
from fer_mlops.data.quality.annotations import label_findings
from fer_mlops.errors import DataError
from fer_mlops.images.arrays import CachedImages
from fer_mlops.progress import ignore_progress
from fer_mlops.training.train import train_classifier


def test_each_part_has_its_own_faces_and_labels(faces_folder: Path, tmp_path: Path) -> None:
    data = prepare_data(tiny("cnn", faces_folder), tmp_path)
    assert {part: len(faces) for part, faces in data.parts.items()} == {
        part: len(rows) for part, rows in data.split.parts().items()
    }
    _, pixels = read_faces(DataConfig(source=str(faces_folder)), 32, tmp_path)
    for part, rows in data.split.parts().items():
        faces = data.parts[part]
        assert isinstance(faces.pixels, CachedImages)
        assert np.array_equal(faces.pixels[:], pixels[rows])
        assert np.array_equal(faces.labels, data.table.labels[rows])
        assert np.array_equal(faces.identities, data.table.identities[rows])


def test_models_of_any_image_size_have_the_same_split(faces_folder: Path, tmp_path: Path) -> None:
    digests = {
        prepare_data(tiny("cnn", faces_folder, cnn__image_size=size), tmp_path).digest()
        for size in (24, 32, 40)
    }
    assert len(digests) == 1


@pytest.mark.parametrize("seed", range(4))
def test_one_photo_under_two_names_is_in_one_part(seed: int, faces_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    originals = sorted(faces_folder.glob("*/*.png"))
    for path in originals:
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for path in originals[::20]:
        with Image.open(path) as image:
            stranger = f"stranger{path.stem[1:4]}{path.parent.name}_1.jpg"
            image.resize((80, 80)).save(folder / path.parent.name / stranger)
    config = DataConfig(source=str(folder))
    table, _ = read_faces(config, 32, tmp_path / "cache")
    split = divide_faces(table, config, seed, tmp_path / "cache")
    part_of = {table.paths[row]: part for part, rows in split.parts().items() for row in rows}
    for path in originals[::20]:
        emotion = path.parent.name
        copy = f"{emotion}/stranger{path.stem[1:4]}{emotion}_1.jpg"
        assert part_of[copy] == part_of[f"{emotion}/{path.name}"]
    trained_on = prepare_data(tiny("cnn", folder, seed=seed), tmp_path / "cache")
    assert trained_on.split.digest(table) == split.digest(table)


@pytest.mark.parametrize("kind", ["random", "csv"])
def test_near_duplicates_are_not_looked_for_where_they_change_nothing(
    kind: str, faces_folder: Path, tmp_path: Path
) -> None:
    config = DataConfig(source=str(faces_folder), split="random")
    table, _ = read_faces(config, 32, tmp_path / "cache")
    stages: list[str] = []

    def progress(name: str, _: int):  # type: ignore[no-untyped-def]
        stages.append(name)
        return ignore_progress

    split = divide_faces(table, config, 0, tmp_path / "cache", progress)
    if kind == "csv":
        file = tmp_path / "split.csv"
        file.write_text(split.as_csv(table))
        again = divide_faces(table, DataConfig(split=str(file)), 0, tmp_path / "cache", progress)
        assert again.digest(table) == split.digest(table)
    assert stages == []


def test_faces_that_are_almost_black_are_told_when_they_are_read(
    faces_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "faces"
    for number, path in enumerate(sorted(faces_folder.glob("*/*.png"))):
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            gray = np.asarray(image.convert("L"), dtype=np.uint16)
        Image.fromarray(gray * 257 if number else gray << 4).save(target)  # one has 12 bits only
    table, _ = read_faces(DataConfig(source=str(folder)), 32, tmp_path / "cache")
    (note,) = [note for note in table.notes if note.kind == "almost-black"]
    assert note.text.startswith(f"1 of {len(table)} faces are almost black: no pixel reaches 64 of 255")
    assert note.examples == (table.paths[0],)
    (finding,) = label_findings([note], DataConfig())
    assert finding.severity == "warning"  # so that the run has a tag of it
    bright, _ = read_faces(DataConfig(source=str(faces_folder)), 32, tmp_path / "cache")
    assert not [note for note in bright.notes if note.kind == "almost-black"]


# ── soft labels ──


def voted_faces(root: Path) -> Path:
    """Lays out 84 faces of FER+: seven votes for one emotion, three for the next."""
    generator = np.random.default_rng(0)
    order = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
    header = f"Usage,Image name,{','.join(order)},contempt,unknown,NF"
    faces, votes = ["emotion,pixels,Usage"], [header]
    for number in range(84):
        part = ("Training", "Training", "PublicTest", "PrivateTest")[number // 7 % 4]
        counts = [0] * 10
        counts[number % 7], counts[(number + 1) % 7] = 7, 3
        faces.append(f"0,{' '.join(map(str, generator.integers(0, 256, 48 * 48)))},{part}")
        votes.append(f"{part},fer{number:07}.png,{','.join(map(str, counts))}")
    write(root / "fer2013.csv", *faces)
    write(root / "fer2013new.csv", *votes)
    return root


@pytest.mark.parametrize("family", ["cnn", "transfer"])
def test_votes_are_fitted_in_training_alone(family: str, tmp_path: Path) -> None:
    source = voted_faces(tmp_path / "voted")
    chosen = {"data__split": "given", "training__soft_labels": True, "training__loss": "logit_adjusted"}
    experiment = tiny(family, source, **chosen)
    data = prepare_data(experiment, tmp_path)
    votes = data.table.votes
    assert votes is not None
    train = data.parts["train"]
    assert train.targets is not None
    np.testing.assert_array_equal(train.targets, votes[data.split.train])
    assert data.parts["valid"].targets is None
    assert data.parts["test"].targets is None
    np.testing.assert_allclose(train.class_counts(), train.targets.sum(0), rtol=1e-6)
    hard = prepare_data(tiny(family, source, data__split="given"), tmp_path)
    assert hard.parts["train"].targets is None
    losses = [_first_loss(one, each) for one, each in ((experiment, data), (experiment, hard))]
    assert losses[0] != losses[1]


def _first_loss(experiment, data) -> float:  # type: ignore[no-untyped-def]
    seen: list[float] = []
    train_classifier(
        experiment,
        data.parts["train"],
        data.parts["valid"],
        on_step=lambda step: seen.append(step.metrics["train/loss"]),
        cache=data.cache,
    )
    return seen[0]


def test_soft_labels_of_a_data_set_without_votes_are_refused(faces_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"training.soft_labels needs votes .* remove the setting, or use"
    ):
        prepare_data(tiny("cnn", faces_folder, training__soft_labels=True), tmp_path)
