"""Every data set's true layout, drawn tiny."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import DATASETS, load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS

SQUARE = " ".join(["7"] * 2304)
"""The pixels of a flat face of 48 x 48."""


def draw(path: Path, shade: int = 128) -> Path:
    """Saves a tiny flat picture at ``path`` and makes the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)
    return path


def write(path: Path, *lines: str) -> Path:
    """Writes a text file and makes the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def annotate(folder: Path, stem: str, **values: str | float) -> None:
    """Writes AffectNet's annotations of one image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        np.save(folder / f"{stem}_{name}.npy", np.array(value))


def read(name: str, path: Path, *, is_strict: bool = True, **settings: object) -> FaceTable:
    """Returns what data set ``name`` makes of ``path``."""
    config = DataConfig(source=str(path), **settings)  # type: ignore[arg-type]
    request = Request(cache=path.parent / "cache", config=config, is_strict=is_strict)
    return DATASETS[name].load(path, request)


def find(source: str | Path, cache: Path, **settings: object) -> FaceTable:
    """Returns what ``--data SOURCE`` reads."""
    config = DataConfig(source=str(source), **settings)  # type: ignore[arg-type]
    return load_faces(Request(cache=cache, config=config))


def labelled(table: FaceTable) -> dict[str, tuple[str, str]]:
    """Returns path to (emotion, identity)."""
    emotions = [EMOTIONS[label] for label in table.labels]
    return dict(zip(table.paths, zip(emotions, table.identities.tolist(), strict=True), strict=True))


def parts(table: FaceTable) -> dict[str, str]:
    """Returns path to the publisher's part."""
    return dict(zip(table.paths, table.parts.tolist(), strict=True))


def said(table: FaceTable) -> dict[str, str]:
    """Returns kind to text of the notes."""
    return {note.kind: note.text for note in table.notes}


def lay_out_sample(root: Path) -> Path:
    return root


def lay_out_muxspace(root: Path) -> Path:
    for name in ("Tony_Blair_0002.jpg", "Tony_Blair_0001.jpg", "Kajol_12.jpg"):
        draw(root / "images" / name)
    write(
        root / "data" / "legend.csv",
        "user.id,image,emotion",
        "628,Tony_Blair_0002.jpg,happiness",
        "628,Tony_Blair_0001.jpg,neutral",
        "jhamski,Kajol_12.jpg,SADNESS",
    )
    return root


def lay_out_fer2013(root: Path) -> Path:
    return write(
        root / "fer2013.csv",
        "emotion,pixels,Usage",
        f"0,{SQUARE},Training",
        f"3,{SQUARE},PublicTest",
        f"6,{SQUARE},PrivateTest",
        f"5,{SQUARE},Training",
    ).parent


def lay_out_ferplus(root: Path) -> Path:
    lay_out_fer2013(root)
    write(
        root / "fer2013new.csv",
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF",
        "Training,fer0000000.png,1,0,0,0,6,2,0,1,0,0",
        "PublicTest,fer0000001.png,0,10,0,0,0,0,0,0,0,0",
        "PrivateTest,,0,0,0,0,0,0,0,0,0,10",
        "Training,fer0000002.png,0,0,5,5,0,0,0,0,0,0",
    )
    return root


def lay_out_rafdb(root: Path) -> Path:
    write(
        root / "EmoLabel" / "list_patition_label.txt",
        "train_00001.jpg 5",
        "train_00002.jpg 1",
        "test_0001.jpg 7",
    )
    for stem in ("train_00001", "train_00002", "test_0001"):
        draw(root / "Image" / "aligned" / f"{stem}_aligned.jpg")
        landmarks = ["41.25\t38.6"] * 5
        write(root / "Annotation" / "manual" / f"{stem}_manu_attri.txt", *landmarks, "1", "2", "4")
    return root


def lay_out_affectnet(root: Path) -> Path:
    header = (
        "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
        "valence,arousal"
    )
    write(
        root / "training.csv",
        header,
        "689/a.jpg,1,1,4,4,1.5;2;3,1,0.8,0.1",
        "25/b.jpg,1,1,4,4,1;2,7,-0.5,0",
    )
    write(root / "validation.csv", header, "689/c.JPG,1,1,4,4,1;2,2,-0.8,-0.3")
    for name in ("689/a.jpg", "25/b.jpg", "689/c.JPG"):
        draw(root / "Manually_Annotated_Images" / name)
    return root


def lay_out_jaffe(root: Path) -> Path:
    for name in ("KA.AN1.39.tiff", "KA.NE2.27.tiff", "YM.SU3.60.tiff"):
        draw(root / name)
    (root / "README_FIRST.txt").write_text("read me")
    return root


def lay_out_folder(root: Path) -> Path:
    draw(root / "happy" / "ben_2.png")
    draw(root / "happy" / "anna_1.png")
    draw(root / "sad" / "anna_2.png")
    return root


def lay_out_csv(root: Path) -> Path:
    draw(root / "faces" / "b.png")
    draw(root / "faces" / "a.png")
    return write(
        root / "faces.csv", "image,emotion,identity", "faces/b.png,fear,ben", "faces/a.png,joy,anna"
    )


LAYOUTS: dict[str, Callable[[Path], Path]] = {  # a new data set: one function, one line
    "sample": lay_out_sample,
    "muxspace": lay_out_muxspace,
    "ferplus": lay_out_ferplus,
    "fer2013": lay_out_fer2013,
    "rafdb": lay_out_rafdb,
    "affectnet": lay_out_affectnet,
    "jaffe": lay_out_jaffe,
    "folder": lay_out_folder,
    "csv": lay_out_csv,
}
