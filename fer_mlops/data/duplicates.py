"""Near duplicates: pairs of faces from the same photo, and their clusters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fer_mlops.images.arrays import Images

THUMBNAIL = 32  # side of the compared faces, in pixels
# Correlation of two thumbnails from which they count as one photo. On 11,732 faces of Muxspace all 27
# pairs above it were the same photo or neighbours in one film scene; below it, faces only looked
# similar.
_ALIKE = 0.96
_MOST_BITS = 14  # most bits of 64 in which the hashes of a candidate pair may differ
_SORTINGS = 24  # number of sort orders of the hashes, each by other random bits
# number of sort orders with mirror images, which double the hashes; fewer suffice, since a re-published
# copy differs in few bits
_MIRROR_SORTINGS = 12
_WINDOW = 16  # neighbours in a sorting that a hash is compared with
_CHUNK = 4096

Hashes = NDArray[np.uint64]  # shape [n]
Pairs = NDArray[np.int64]  # shape [pairs, 2]; rows of two faces, the smaller first


def near_duplicate_clusters(thumbnails: Images) -> NDArray[np.int64]:
    """Returns a cluster number for each thumbnail [n]; near duplicates share it, transitively."""
    return join(len(thumbnails), near_duplicate_pairs(thumbnails))


def near_duplicate_pairs(thumbnails: Images) -> Pairs:
    """Returns pairs of gray faces uint8 [n, 32, 32] from one photo.

    It may be resized, recompressed, brightened, mirrored or slightly cropped. Equal thumbnails are
    paired with the first of them. Among the rest, pairs with similar perceptual hashes are verified by
    the correlation of their thumbnails.
    """
    hashes, mirrored, contents = _fingerprints(thumbnails)
    _, first, inverse = np.unique(contents, return_index=True, return_inverse=True)
    rows = np.arange(len(thumbnails))
    copies = np.flatnonzero(first[inverse] != rows)
    found = [np.stack([first[inverse[copies]], copies], axis=1)]
    different = np.sort(first)
    as_they_are = ((pairs, False) for pairs in _candidates(hashes[different]))
    one_mirrored = ((pairs, True) for pairs in _crossed(hashes[different], mirrored[different]))
    for candidates, is_mirrored in chain(as_they_are, one_mirrored):
        pairs = np.sort(different[candidates], axis=1)
        clusters = join(len(thumbnails), *found)
        # pairs that others have joined need no comparison
        pairs = pairs[clusters[pairs[:, 0]] != clusters[pairs[:, 1]]]
        for start in range(0, len(pairs), _CHUNK):
            some = pairs[start : start + _CHUNK]
            found.append(some[_correlation(thumbnails, some, is_mirrored=is_mirrored) >= _ALIKE])
    return np.unique(np.concatenate(found), axis=0)


def join(n: int, *edges: Pairs) -> NDArray[np.int64]:
    """Returns the connected component [n] of each of ``n`` rows in the graph of ``edges``."""
    joined = np.concatenate(edges)
    graph = coo_array((np.ones(len(joined), dtype=bool), (joined[:, 0], joined[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _fingerprints(thumbnails: Images) -> tuple[Hashes, Hashes, Hashes]:
    """Returns three hashes of each face [n]: of its appearance, its mirror image and its content."""
    hashes = np.zeros((3, len(thumbnails)), dtype=np.uint64)
    for start in range(0, len(thumbnails), _CHUNK):
        faces = thumbnails[start : start + _CHUNK]
        low = dctn(faces.astype(np.float32), axes=(1, 2))[:, :8, :8]
        digests = [hashlib.blake2b(face.tobytes(), digest_size=8).digest() for face in faces]
        contents = np.frombuffer(b"".join(digests), np.uint64)
        hashes[:, start : start + _CHUNK] = _hash_of(low), _hash_of(low * _MIRROR), contents
    return hashes[0], hashes[1], hashes[2]


# in a mirror image, coefficients of odd horizontal frequency have the opposite sign
_MIRROR = np.array([1, -1] * 4, dtype=np.float32)


def _hash_of(low: NDArray[np.float32]) -> Hashes:
    """Returns the pHash [n]: a bit for each coefficient [n, 8, 8] above the face's median."""
    flat = low.reshape(-1, 64)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.asarray(np.packbits(bits, axis=1).view(np.uint64)[:, 0])


def _crossed(hashes: Hashes, mirrored: Hashes) -> Iterator[Pairs]:
    """Yields pairs of faces in which the hash of one is near the mirrored hash of the other."""
    n = len(hashes)
    for pairs in _candidates(np.concatenate([hashes, mirrored]), _MIRROR_SORTINGS):
        crossed = pairs[(pairs < n).sum(1) == 1] % n
        yield crossed[crossed[:, 0] != crossed[:, 1]]


def _candidates(hashes: Hashes, num: int = _SORTINGS) -> Iterator[Pairs]:
    """Yields pairs of hashes that differ in few bits, as far as sorting makes them neighbours.

    Locality-sensitive hashing: hashes that agree in some random bits become neighbours when sorted by
    those bits.
    """
    n = len(hashes)
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)
    # as many as would distinguish all faces if the hashes were random
    num_bits = max(n - 1, 1).bit_length()
    weights = 1 << np.arange(num_bits, dtype=np.int64)
    generator = np.random.default_rng(0)  # fixed, so that a data set has the same pairs everywhere
    for _ in range(num):
        key = bits[:, generator.permutation(64)[:num_bits]] @ weights
        order = np.lexsort((hashes, key))
        found = [np.zeros((0, 2), dtype=np.int64)]
        for step in range(1, min(_WINDOW, n - 1) + 1):
            left, right = order[:-step], order[step:]
            differing = np.bitwise_count(hashes[left] ^ hashes[right])
            near = (key[left] == key[right]) & (differing <= _MOST_BITS)
            found.append(np.stack([left[near], right[near]], axis=1))
        yield np.concatenate(found)


def _correlation(thumbnails: Images, pairs: Pairs, *, is_mirrored: bool) -> NDArray[np.float32]:
    """Returns Pearson's correlation of the pixels of each pair, -1 to 1; flat faces correlate 0.

    The second face of each pair is mirrored if ``is_mirrored``.
    """
    standard = []
    for side in (0, 1):
        order, back = np.unique(pairs[:, side], return_inverse=True)
        chosen = thumbnails[order][:, :, :: -1 if is_mirrored and side else 1]
        faces = chosen.reshape(len(order), -1).astype(np.float32)
        faces -= faces.mean(1, keepdims=True)
        faces /= np.linalg.norm(faces, axis=1, keepdims=True) + 1e-6
        standard.append(faces[back])
    return np.asarray(np.einsum("ij,ij->i", *standard), dtype=np.float32)
