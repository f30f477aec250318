"""Images that are there more than once, and training images that leak into the other splits.

Letters: n images, c channels, h height, w width, m rows, p pairs.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]

NEAR_BITS = 3
"""Bits of 64 by which the hashes of near-duplicates may differ."""
_OTHERS = ("validation", "test")
_HASH_ROWS, _HASH_COLUMNS = 8, 9
_LUMA = np.array([299, 587, 114], np.float64)
_BLOCKS = 6
"""With 3 different bits, 3 of 6 blocks of bits are equal at least."""
_IMAGES_PER_PART = 128
_MIX = np.uint64(0x9E3779B97F4A7C15)
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """What was found among the training images.

    Attributes:
        counts: "training": those equal, or nearly so, to another one of their class that stays;
            "validation", "test": those with the pixels of an image of that split; "contrary":
            those with the pixels of a training image of another class.
        dropped_m: Rows to leave out; of every class one row at least stays.
    """

    counts: Mapping[str, int]
    dropped_m: Rows = field(default_factory=lambda: np.empty(0, np.int64))

    def counts_with_dropped(self) -> dict[str, int]:
        """Return the counts, and under "dropped" how many rows are to be left out."""
        return {**self.counts, "dropped": len(self.dropped_m)}


def leaked(
    keys_m: NDArray[np.bytes_], of_others: Mapping[str, NDArray[np.bytes_]]
) -> dict[str, NDArray[np.bool_]]:
    """Return per other split which training images have the pixels of one of its images.

    Args:
        keys_m: `pixel_keys` of the training images.
        of_others: Those of the other splits.
    """
    return {split: np.isin(keys_m, keys) for split, keys in of_others.items()}


def look_for_leaks(
    images_nchw: NDArray[np.uint8], rows_m: Rows, of_others: Mapping[str, NDArray[np.bytes_]]
) -> Duplicates:
    """Return how many training images have the pixels of a validation or test image.

    Args:
        images_nchw: Pixels, uint8, shape (n, c, h, w); may be memory-mapped.
        rows_m: The training images among them.
        of_others: `pixel_keys` of the other splits.
    """
    leaks = leaked(pixel_keys(images_nchw, rows_m), of_others)
    return Duplicates(counts={split: int(found.sum()) for split, found in leaks.items()})


def find_duplicates(
    images_nchw: NDArray[np.uint8],
    labels_n: Rows,
    rows_m: Rows,
    of_others: Mapping[str, NDArray[np.bytes_]],
    *,
    near: bool,
) -> Duplicates:
    """Return which training images to leave out, and why.

    Args:
        images_nchw: Pixels, uint8, shape (n, c, h, w); may be memory-mapped.
        labels_n: Class indices, shape (n,).
        rows_m: The training images among them, ascending; the first of equal ones stays.
        of_others: `pixel_keys` of the other splits.
        near: Whether images that are nearly equal count as well.
    """
    keys_m, labels_m = pixel_keys(images_nchw, rows_m), labels_n[rows_m]
    leaks = leaked(keys_m, of_others)
    is_leaked = np.logical_or.reduce([np.zeros(len(rows_m), bool), *leaks.values()])
    is_again = np.zeros(len(rows_m), bool)
    rest = np.flatnonzero(~is_leaked)
    _, numbers_m = np.unique(keys_m, return_inverse=True)
    is_again[rest] = _repeats(numbers_m[rest], labels_m[rest])
    if near:
        rest = np.flatnonzero(~is_leaked & ~is_again)
        is_again[rest] = near_repeats(difference_hashes(images_nchw, rows_m[rest]), labels_m[rest])
    dropped = is_leaked | is_again
    for label in np.setdiff1d(labels_m, labels_m[~dropped]):
        dropped[np.flatnonzero(labels_m == label)[0]] = False
    return Duplicates(
        counts={
            "training": int(is_again.sum()),
            **{split: int(found.sum()) for split, found in leaks.items()},
            "contrary": _contrary(numbers_m, labels_m),
        },
        dropped_m=rows_m[dropped],
    )


def pixel_keys(images_nchw: NDArray[np.uint8], rows_m: Rows) -> NDArray[np.bytes_]:
    """Return a digest of the pixels of each row, 16 bytes in hexadecimal, shape (m,)."""
    keys = np.empty(len(rows_m), "S32")
    for at, row in enumerate(rows_m):
        pixels = np.ascontiguousarray(images_nchw[row])
        keys[at] = hashlib.blake2b(pixels.data, digest_size=16).hexdigest()
    return keys


def difference_hashes(images_nchw: NDArray[np.uint8], rows_m: Rows) -> Hashes:
    """Return the 64-bit difference hash of each row, shape (m,).

    The grey image is averaged to 8 rows of 9 cells; a bit says that a cell is brighter than its
    right neighbour. All sums are whole numbers, so that equal images have equal hashes anywhere.
    """
    _, channels, height, width = images_nchw.shape
    down = _overlaps(height, _HASH_ROWS)
    across = _overlaps(width, _HASH_COLUMNS).T
    luma = _LUMA if channels == len(_LUMA) else np.ones(channels)
    found = [np.empty((0, 8), np.uint8)]
    for start in range(0, len(rows_m), _IMAGES_PER_PART):
        part = images_nchw[rows_m[start : start + _IMAGES_PER_PART]]
        cells = down @ np.einsum("c,nchw->nhw", luma, part.astype(np.float64)) @ across
        is_brighter = cells[:, :, :-1] > cells[:, :, 1:]
        found.append(np.packbits(is_brighter.reshape(len(part), 64), axis=1))
    hashes: Hashes = np.ascontiguousarray(np.concatenate(found)).view(np.uint64)[:, 0]
    return hashes


def near_repeats(hashes_m: Hashes, labels_m: Rows) -> NDArray[np.bool_]:
    """Return which images are near to an earlier one of their class that stays, shape (m,).

    Two hashes with at most 3 different bits are equal in 3 of 6 blocks of bits, so only images
    that share one of 20 such keys are compared.
    """
    is_again = _repeats(hashes_m, labels_m)
    first = np.flatnonzero(~is_again)
    hashes, labels = hashes_m[first], labels_m[first]
    pairs = [np.empty((0, 2), np.int64), *_near_pairs(hashes, labels)]
    is_near = np.zeros(len(first), bool)
    # in the order of the later one: whether the earlier one stays is known by then
    for later, earlier in np.unique(np.concatenate(pairs), axis=0):
        is_near[later] |= not is_near[earlier]
    is_again[first] = is_near
    return is_again


def _repeats(values_m: NDArray[np.integer], labels_m: Rows) -> NDArray[np.bool_]:
    """Return which values were there before with the same label."""
    order = np.lexsort((np.arange(len(values_m)), labels_m, values_m))
    values, labels = values_m[order], labels_m[order]
    is_again = np.zeros(len(values_m), bool)
    is_again[order[1:]] = (values[1:] == values[:-1]) & (labels[1:] == labels[:-1])
    return is_again


def _near_pairs(hashes: Hashes, labels: Rows) -> Iterator[NDArray[np.int64]]:
    """Yield pairs (later, earlier) of one class, shape (p, 2); a pair may come more than once."""
    bits = np.arange(64, dtype=np.uint64)
    blocks = [
        np.bitwise_or.reduce(np.uint64(1) << bits[block::_BLOCKS]) for block in range(_BLOCKS)
    ]
    mixed = labels.astype(np.uint64) * _MIX
    for equal in itertools.combinations(blocks, _BLOCKS - NEAR_BITS):
        keys = (hashes & np.bitwise_or.reduce(equal)) ^ mixed
        order = np.argsort(keys, kind="stable")
        for left, right in _equal_neighbours(keys[order]):
            one, other = order[left], order[right]
            differing = np.ascontiguousarray(hashes[one] ^ hashes[other]).view(np.uint8)
            distance = _ONES[differing].reshape(-1, 8).sum(axis=1)
            is_near = (distance <= NEAR_BITS) & (labels[one] == labels[other])
            one, other = one[is_near], other[is_near]
            yield np.stack([np.maximum(one, other), np.minimum(one, other)], axis=1)


def _equal_neighbours(ordered: Hashes) -> Iterator[tuple[Rows, Rows]]:
    """Yield the positions of equal values, those one apart first, then two and so on."""
    left = np.arange(len(ordered))
    for distance in itertools.count(1):
        left = left[left + distance < len(ordered)]
        left = left[ordered[left] == ordered[left + distance]]
        if not len(left):
            return
        yield left, left + distance


def _contrary(numbers_m: Rows, labels_m: Rows) -> int:
    """Return how many images have the pixels of one with another label."""
    pairs = np.unique(np.stack([numbers_m, labels_m], axis=1), axis=0)
    labels_of = np.bincount(pairs[:, 0])
    return int((labels_of[numbers_m] > 1).sum())


def _overlaps(pixels: int, cells: int) -> NDArray[np.float64]:
    """Return by how much each cell covers each pixel, in whole units, shape (cells, pixels)."""
    pixel, cell = np.arange(pixels) * cells, np.arange(cells) * pixels
    end = np.minimum(pixel[None] + cells, cell[:, None] + pixels)
    start = np.maximum(pixel[None], cell[:, None])
    covered: NDArray[np.float64] = np.maximum(0, end - start).astype(np.float64)
    return covered


def notes_on(found: Duplicates, *, mode: str) -> tuple[str, ...]:
    """Return what a person should be told.

    Args:
        found: What was found among the training images.
        mode: ``data.deduplicate``.
    """
    counts = found.counts
    told = [f"{counts[split]} with the pixels of a {split} image" for split in _OTHERS]
    told = [text for text in told if not text.startswith("0 ")]
    if mode == "none":
        hint = "data.deduplicate: exact leaves them out"
        return (f"training images that leak: {', '.join(told)}; {hint}",) if told else ()
    notes = []
    if len(found.dropped_m):
        same = "nearly equal" if mode == "near" else "equal"
        if counts["training"]:
            told = [f"{counts['training']} {same} to another one of their class", *told]
        notes.append(f"{len(found.dropped_m)} training images left out: {', '.join(told)}")
    if counts["contrary"]:
        notes.append(
            f"{counts['contrary']} training images have the pixels of one of another class"
        )
    return tuple(notes)
