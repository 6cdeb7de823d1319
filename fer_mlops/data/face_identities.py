"""Identities by face: photos of one person, linked by the embeddings of dlib's network.

The network maps an aligned face to 128 numbers. dlib's author links two photos nearer than 0.6, which
also links one pair of strangers in a hundred. A data set of n faces has n² / 2 pairs, so this module is
stricter: it links clusters whose average distance is below LINKED (benchmarks/identities.py measures
precision and recall).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache as once
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fer_mlops.data.duplicates import join
from fer_mlops.data.image_cache import files_key, read_in_chunks
from fer_mlops.data.table import FaceTable, Note
from fer_mlops.errors import ConfigError, DataError, without_extra
from fer_mlops.files import write_bytes
from fer_mlops.images.reading import gray_photo
from fer_mlops.metrics.identities import face_identity, is_named, unnamed_identity
from fer_mlops.models.dlib_face import DEVIATION, MEAN, fetch_embedding_network, landmarks_file
from fer_mlops.progress import Progress, no_progress

Embeddings = NDArray[np.float32]  # shape [n, 128]; rows are nan for photos without a detected face

LINKED = 0.46  # average distance of two groups of photos below which they count as one person
_VERSION = 1  # to be raised when embeddings change
# side of an aligned face in pixels, and padding in face sides, as in the network's training
_SIDE, _PADDING = 150, 0.25
# range of a photo's longer side for the detector, in pixels; other photos are resized
_LEAST, _MOST = 160, 1000
# margin in sides, and size in pixels, of a second try, which tight crops need to be detected
_MARGIN, _ENLARGED = 0.25, 250
_CHUNK = 64
_ROWS = 2048


def identify(
    table: FaceTable, identities: str, cache: Path, progress: Progress = no_progress
) -> FaceTable:
    """Returns the table with the identities of the setting ``data.identities``.

    Args:
        table: Faces with identities by name.
        identities: ``auto`` or ``names`` (unchanged), ``faces`` (photos with one name or one face are
            one person), ``none`` (no identities).
        cache: Folder for the embeddings.
        progress: Called at the start of the stage.

    Raises:
        ConfigError: dlib is not installed.
        DataError: A file is missing, or the cache cannot be written.
    """
    if identities == "none":
        nobody = np.array([unnamed_identity(path) for path in table.paths], dtype=np.str_)
        return _renamed(table, nobody, Note("about", "identities are not used: --identities none"))
    if identities != "faces":
        return table
    groups = link_faces(embed_faces(table, cache, progress))
    people = _people(table, groups)
    has_face = groups >= 0
    num_people, num_faces = len(set(people[is_named(people)].tolist())), int(has_face.sum())
    text = (
        f"{num_people} people, identified by name and face (a face was found in {num_faces} of "
        f"{len(table)})"
    )
    return _renamed(table, people, Note("identities", text))


def _renamed(table: FaceTable, identities: NDArray[np.str_], note: Note) -> FaceTable:
    kept = tuple(old for old in table.notes if old.kind not in ("identities", "no-identity"))
    nobody = tuple(p for p, named in zip(table.paths, is_named(identities), strict=True) if not named)
    text = f"{len(nobody)} images without a person's name or a detected face: each counts as one person"
    unnamed = (Note("no-identity", text, nobody),) if nobody else ()
    return replace(table, identities=identities, notes=(*kept, note, *unnamed))


def _people(table: FaceTable, groups: NDArray[np.int64]) -> NDArray[np.str_]:
    """Returns the identity of each photo; photos joined by a name or a face share one.

    It is their most frequent name, ``face of PATH`` without a name, unnamed without a name and a face.
    """
    rows = np.arange(len(table))
    ties = []
    for tie, counts in ((table.identities, rows >= 0), (groups, groups >= 0)):
        own = rows[counts]
        _, first, inverse = np.unique(tie[counts], return_index=True, return_inverse=True)
        ties.append(np.stack([own, own[first[inverse]]], axis=1))
    person = join(len(table), *ties)
    names: dict[int, Counter[str]] = {}
    for row in rows[is_named(table.identities)]:
        names.setdefault(int(person[row]), Counter())[str(table.identities[row])] += 1
    # backwards, so that the first path of a person is the last to be set
    first_path = {int(person[row]): table.paths[row] for row in rows[::-1] if groups[row] >= 0}
    people = []
    for row in rows:
        found = names.get(int(person[row]))
        if found:
            people.append(min(found, key=lambda name: (-found[name], name)))
        else:
            path = first_path.get(int(person[row]))
            people.append(face_identity(path) if path else str(table.identities[row]))
    return np.array(people, dtype=np.str_)


def link_faces(embeddings: Embeddings, linked: float = LINKED) -> NDArray[np.int64]:
    """Returns a number for each face [n], equal for photos of one person; -1 where no face was found.

    Average linkage on squared distances (UPGMA): groups are joined, nearest first, while the mean
    squared distance of their faces is below ``linked`` squared, so a chain of near faces does not join
    strangers. Memory grows with n, time with n².
    """
    # scipy's linkage keeps all n²/2 distances, gigabytes from 20,000 faces on. A group is stored as its
    # mean and variance, which give the distance exactly; all pairs of mutual nearest neighbours are
    # joined in one step, which gives the same groups (Murtagh, Computer Journal 26, 1983).
    found = np.flatnonzero(np.isfinite(embeddings).all(1))
    groups = np.full(len(embeddings), -1, dtype=np.int64)
    means = embeddings[found].astype(np.float32)
    variances, sizes = np.zeros(len(found), dtype=np.float32), np.ones(len(found), dtype=np.float32)
    own = np.arange(len(found))
    active = own
    while len(active) > 1:
        nearest, distances = _nearest(means[active], variances[active])
        is_near = distances < linked**2
        order = np.arange(len(active))
        first = np.flatnonzero(is_near & (nearest[nearest] == order) & (order < nearest))
        if not len(first):
            if not is_near.any():
                break
            first = np.array([distances.argmin()])  # equal distances in a ring: any pair will do
        second = nearest[first]
        a, b = active[first], active[second]
        share = sizes[a] / (sizes[a] + sizes[b])
        apart = ((means[a] - means[b]) ** 2).sum(1)
        variances[a] = share * variances[a] + (1 - share) * variances[b] + share * (1 - share) * apart
        means[a] = share[:, None] * means[a] + (1 - share)[:, None] * means[b]
        sizes[a] += sizes[b]
        joined = np.arange(len(found))
        joined[b] = a
        own = joined[own]
        is_near[second] = False
        active = active[is_near]  # a group with no near neighbour never gets one
    groups[found] = np.unique(own, return_inverse=True)[1]
    return groups


def _nearest(
    means: Embeddings, variances: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns each group's nearest other group and their mean squared distance, [groups] each."""
    lengths = (means**2).sum(1) + variances
    nearest = np.zeros(len(means), dtype=np.int64)
    distances = np.zeros(len(means), dtype=np.float32)
    for start in range(0, len(means), _ROWS):
        rows = slice(start, start + _ROWS)
        apart = lengths[rows, None] + lengths - 2 * means[rows] @ means.T
        apart[np.arange(len(apart)), np.arange(start, start + len(apart))] = np.inf
        nearest[rows], distances[rows] = apart.argmin(1), apart.min(1)
    return nearest, distances


def embed_faces(table: FaceTable, cache: Path, progress: Progress = no_progress) -> Embeddings:
    """Returns the embedding of each photo's largest face, computed once and kept in ``cache``.

    Raises:
        ConfigError: dlib is not installed.
        DataError: A file is missing, or the cache cannot be written.
    """
    path = cache / f"embeddings-{files_key(table, f'faces {_VERSION}')}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    if not can_embed():
        raise ConfigError(without_extra("face", "--identities faces needs dlib and its weights"))
    network = fetch_embedding_network().to(memory_format=torch.channels_last)
    advance = progress("comparing faces", len(table))
    parts = []
    for chips, is_found in read_in_chunks(align_faces, table, _CHUNK):
        embedded = np.full((len(chips), 128), np.nan, dtype=np.float32)
        if is_found.any():
            embedded[is_found] = _embed(network, chips[is_found])
        parts.append(embedded)
        advance(len(chips))
    embeddings = np.concatenate(parts)
    content = io.BytesIO()
    np.save(content, embeddings)
    write_bytes(path, content.getvalue())
    return embeddings


@torch.inference_mode()
def _embed(network: torch.nn.Module, chips: NDArray[np.uint8]) -> Embeddings:
    images = torch.from_numpy(chips).float().div(255)[:, None].expand(-1, 3, -1, -1)
    mean, deviation = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(DEVIATION).view(1, 3, 1, 1)
    normalised = ((images - mean) / deviation).contiguous(memory_format=torch.channels_last)
    return np.asarray(network(normalised).numpy(), dtype=np.float32)


def align_faces(root: Path, paths: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns the largest face of each photo, upright and centred, uint8 [k, 150, 150], and whether
    a face was found [k]."""
    chips = np.zeros((len(paths), _SIDE, _SIDE), dtype=np.uint8)
    is_found = np.zeros(len(paths), dtype=bool)
    for number, path in enumerate(paths):
        try:
            photo = gray_photo(root / path)
        except DataError:  # reported when the faces are read, which stops or leaves it out
            continue
        longer = max(photo.size)
        size = min(max(longer, _LEAST), _MOST)
        chip = _align(_resized(photo, size / longer))
        if chip is None:
            wide = np.pad(np.asarray(photo), round(_MARGIN * longer), mode="edge")
            chip = _align(_resized(Image.fromarray(wide), _ENLARGED / max(wide.shape)))
        if chip is not None:
            chips[number], is_found[number] = chip, True
    return chips, is_found


def _resized(photo: Image.Image, scale: float) -> NDArray[np.uint8]:
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return np.asarray(photo.resize(size, Image.Resampling.BICUBIC))


def _align(gray: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    import dlib

    detector, predictor = _dlib_models()
    boxes = detector(gray, 0)
    if not len(boxes):
        return None
    colours = np.ascontiguousarray(np.repeat(gray[..., None], 3, axis=2))
    shape = predictor(colours, max(boxes, key=lambda box: box.area()))
    return np.asarray(dlib.get_face_chip(colours, shape, size=_SIDE, padding=_PADDING)[..., 0])


@once  # in each worker process
def _dlib_models() -> tuple[Any, Any]:
    import dlib

    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(landmarks_file()))


def can_embed() -> bool:
    """Returns whether the extra ``face`` is installed."""
    return all(find_spec(name) is not None for name in ("dlib", "face_recognition_models"))
