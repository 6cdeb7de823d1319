"""From a source to faces that are decoded and divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny

from fer_mlops.config import DataConfig
from fer_mlops.pixels import StoredFaces
from fer_mlops.preparation import divide_faces, prepare_data, read_faces


def test_each_part_has_its_own_faces_and_labels(faces_folder: Path, tmp_path: Path) -> None:
    data = prepare_data(tiny("cnn", faces_folder), tmp_path)
    assert {part: len(faces) for part, faces in data.parts.items()} == {
        part: len(rows) for part, rows in data.split.parts().items()
    }
    _, pixels = read_faces(DataConfig(source=str(faces_folder)), 32, tmp_path)
    for part, rows in data.split.parts().items():
        faces = data.parts[part]
        assert isinstance(faces.pixels, StoredFaces)
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


@pytest.mark.parametrize("kind", ["random", "csv"])
def test_near_duplicates_are_not_looked_for_where_they_change_nothing(
    kind: str, faces_folder: Path, tmp_path: Path
) -> None:
    config = DataConfig(source=str(faces_folder), split="random")
    table, _ = read_faces(config, 32, tmp_path / "cache")
    stages: list[str] = []

    def begin(name: str, _: int):  # type: ignore[no-untyped-def]
        stages.append(name)
        return lambda _: None

    split = divide_faces(table, config, 0, tmp_path / "cache", begin)
    if kind == "csv":
        file = tmp_path / "split.csv"
        file.write_text(split.as_csv(table))
        again = divide_faces(table, DataConfig(split=str(file)), 0, tmp_path / "cache", begin)
        assert again.digest(table) == split.digest(table)
    assert stages == []
