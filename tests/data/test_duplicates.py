import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from ecoautoml.cli.progress import PlainProgress
from ecoautoml.config.models import DigitsData, NumpyData
from ecoautoml.data import load_images, load_labels, prepare_data
from ecoautoml.data.duplicates import NEAR_BITS, difference_hashes, near_repeats, pixel_keys

DIGITS = load_digits()
PIXELS, LABELS = (DIGITS.images * 15.9375).astype(np.uint8), DIGITS.target


def archive(folder, *, train, validation=slice(1000, 1200), test=slice(1200, 1400), more=()):
    """Write digits as .npz, with further training images (pixels, label) behind."""
    x, y = PIXELS[train], LABELS[train]
    if more:
        x = np.concatenate([x, np.stack([pixels for pixels, _ in more])])
        y = np.concatenate([y, [label for _, label in more]])
    folder.mkdir(exist_ok=True)
    np.savez(
        folder / "x.npz",
        **{"x_train": x, "y_train": y, "x_val": PIXELS[validation], "y_val": LABELS[validation]},
        **{"x_test": PIXELS[test], "y_test": LABELS[test]},
    )
    return folder / "x.npz"


def prepared(path, mode="none", **options):
    config = NumpyData(kind="numpy", path=path, deduplicate=mode, **options)
    return prepare_data(config, path.parent / f"prepared-{mode}")


def repeated(*rows):
    return tuple((PIXELS[row], LABELS[row]) for row in rows)


# --- equal images ---------------------------------------------------------------------------------


def test_digits_hold_no_image_twice(tmp_path):
    data = prepare_data(DigitsData(deduplicate="exact"), tmp_path / "p")
    assert data.duplicates == dict.fromkeys(
        ("training", "validation", "test", "contrary", "dropped"), 0
    )
    assert data.notes == ()
    whole = prepare_data(DigitsData(), tmp_path / "whole")
    assert np.array_equal(load_images(data, "train"), load_images(whole, "train"))


def test_images_that_leak_are_counted_and_told_but_stay(tmp_path):
    path = archive(tmp_path / "a", train=slice(300), more=repeated(1000, 1001, 1200))
    data = prepared(path)
    assert data.counts["train"] == 303
    assert data.duplicates == {"validation": 2, "test": 1}
    (note,) = data.notes
    assert note == (
        "training images that leak: 2 with the pixels of a validation image, 1 with the pixels of "
        "a test image; data.deduplicate: exact leaves them out"
    )


def test_what_was_counted_is_shown_where_the_search_tells_what_it_read(tmp_path, capsys):
    data = prepared(archive(tmp_path / "a", train=slice(300), more=repeated(1000)))
    PlainProgress().listeners().on_data(data)
    assert "Note: training images that leak: 1 with the pixels" in capsys.readouterr().out


def test_exact_leaves_out_repeats_and_leaks_and_keeps_the_first_of_equal_ones(tmp_path):
    more = repeated(5, 5, 7, 1000, 1200, 1200)
    data = prepared(archive(tmp_path / "a", train=slice(300), more=more), "exact")
    assert data.duplicates == {
        "training": 3,
        "validation": 1,
        "test": 2,
        "contrary": 0,
        "dropped": 6,
    }
    assert np.array_equal(load_images(data, "train")[:, 0], PIXELS[:300])
    assert np.array_equal(load_labels(data, "train"), LABELS[:300])
    assert sum(data.class_counts) == data.counts["train"] == 300
    assert data.notes == (
        "6 training images left out: 3 equal to another one of their class, 1 with the pixels of "
        "a validation image, 2 with the pixels of a test image",
    )


def test_equal_pixels_under_two_labels_stay_and_are_told(tmp_path):
    more = ((PIXELS[5], (LABELS[5] + 1) % 10),)
    data = prepared(archive(tmp_path / "a", train=slice(300), more=more), "exact")
    assert (data.counts["train"], data.duplicates["contrary"]) == (301, 2)
    assert data.notes == ("2 training images have the pixels of one of another class",)


def test_no_class_loses_its_last_image(tmp_path):
    """All nines of the training set are validation images."""
    eights = tuple(np.flatnonzero(LABELS[:300] != 9))
    nines = tuple(np.flatnonzero(LABELS[1000:1200] == 9) + 1000)
    data = prepared(archive(tmp_path / "a", train=list(eights), more=repeated(*nines)), "exact")
    assert data.class_counts[9] == 1
    assert data.duplicates["dropped"] == data.duplicates["validation"] - 1 == len(nines) - 1


def test_a_subset_is_drawn_from_what_is_left(tmp_path):
    path = archive(tmp_path / "a", train=slice(100), more=repeated(*range(100)))
    data = prepared(path, "exact", subset=100)
    assert (data.counts["train"], data.duplicates["training"]) == (100, 100)
    assert len(np.unique(load_images(data, "train"), axis=0)) == 100


def test_held_out_images_do_not_depend_on_it(tmp_path):
    first, second = (
        prepare_data(DigitsData(deduplicate=mode), tmp_path / mode) for mode in ("none", "near")
    )
    for split in ("validation", "test"):
        assert np.array_equal(load_images(first, split), load_images(second, split))


def test_another_wish_prepares_again(tmp_path):
    path = archive(tmp_path / "a", train=slice(300), more=repeated(5))
    folder = tmp_path / "p"
    config = NumpyData(kind="numpy", path=path)
    assert prepare_data(config, folder).counts["train"] == 301
    config = config.model_copy(update={"deduplicate": "exact"})
    assert prepare_data(config, folder).counts["train"] == 300
    assert prepare_data(config, folder).duplicates["training"] == 1


# --- nearly equal images --------------------------------------------------------------------------


def photographs(count, *, seed=0):
    """Return grey crops of photographs, 32 pixels a side."""
    draws = np.random.default_rng(seed)
    crops = []
    for index in range(count):
        whole = load_sample_images().images[index % 2].mean(axis=2)
        top, left = (int(draws.integers(0, side - 128)) for side in whole.shape)
        crops.append(whole[top : top + 128 : 4, left : left + 128 : 4])
    return np.stack(crops).astype(np.uint8)


def test_near_leaves_out_what_only_differs_a_little(tmp_path):
    crops = photographs(60)
    hashes = difference_hashes(crops[:, None], np.arange(60))
    crops = crops[~near_repeats(hashes, np.zeros(60, int))][:50]
    noise = np.random.default_rng(1).integers(-1, 2, crops[:20].shape)
    noisy = np.clip(crops[:20].astype(int) + noise, 0, 255).astype(np.uint8)
    labels = np.arange(50) % 2
    x = np.concatenate([crops, noisy, noisy])
    y = np.concatenate([labels, labels[:20], 1 - labels[:20]])  # the last of another class
    others = photographs(40, seed=9)
    np.savez(
        tmp_path / "x.npz",
        **{"x_train": x, "y_train": y, "x_val": others[:20], "y_val": labels[:20]},
        **{"x_test": others[20:], "y_test": labels[:20]},
    )
    exact = prepared(tmp_path / "x.npz", "exact")
    assert exact.duplicates["training"] == 0
    assert exact.duplicates["contrary"] == 40
    near = prepared(tmp_path / "x.npz", "near")
    assert near.counts["train"] == 90 - near.duplicates["training"]
    assert 15 <= near.duplicates["training"] <= 20
    kept = {image.tobytes() for image in load_images(near, "train")}
    assert all(image.tobytes() in kept for image in crops)
    assert "nearly equal" in near.notes[0]


def slow_repeats(hashes, labels):
    kept, again = [], []
    for at, (one, label) in enumerate(zip(hashes.tolist(), labels.tolist(), strict=True)):
        is_near = any(
            labels[other] == label and (one ^ int(hashes[other])).bit_count() <= NEAR_BITS
            for other in kept
        )
        again.append(is_near)
        if not is_near:
            kept.append(at)
    return np.array(again)


@pytest.mark.parametrize("seed", range(3))
def test_the_search_by_blocks_finds_what_comparing_all_with_all_finds(seed):
    draws = np.random.default_rng(seed)
    hashes = draws.integers(0, 2**63, 40, dtype=np.uint64)[draws.integers(0, 40, 500)]
    for _ in range(5):  # up to 5 bits are turned
        turned = np.uint64(1) << draws.integers(0, 64, 500).astype(np.uint64)
        hashes ^= np.where(draws.random(500) < 0.6, turned, np.uint64(0))
    labels = draws.integers(0, 3, 500)
    found = near_repeats(hashes, labels)
    assert np.array_equal(found, slow_repeats(hashes, labels))
    assert 50 < found.sum() < 450


def test_every_three_bits_are_found():
    for bits in itertools.combinations(range(0, 64, 5), 3):
        pair = np.array([0x0F1E2D3C4B5A6978, 0x0F1E2D3C4B5A6978], np.uint64)
        pair[1] ^= np.bitwise_or.reduce(np.uint64(1) << np.array(bits, np.uint64))
        assert near_repeats(pair, np.zeros(2, int)).tolist() == [False, True]


def test_hashes_are_those_worked_out_cell_by_cell():
    images = photographs(20)[:, None]
    hashes = difference_hashes(images, np.arange(20))
    for image, found in zip(images[:, 0], hashes, strict=True):
        wide = np.repeat(np.repeat(image.astype(int), 8, axis=0), 9, axis=1)
        cells = wide.reshape(8, 32, 9, 32).sum(axis=(1, 3))
        bits = np.packbits((cells[:, :-1] > cells[:, 1:]).ravel())
        assert bits.tobytes() == found.tobytes()


@pytest.mark.parametrize("side", [4, 8, 9, 28])
def test_flat_images_of_any_side_have_no_brighter_cell(side):
    flat = np.full((3, 3, side, side), [[[[0]]], [[[77]]], [[[255]]]], np.uint8)
    assert difference_hashes(flat, np.arange(3)).tolist() == [0, 0, 0]


def test_keys_tell_apart_what_differs_in_one_pixel():
    images = np.repeat(PIXELS[:1, None], 3, axis=0)
    images[2, 0, 3, 3] ^= 1
    first, second, third = pixel_keys(images, np.arange(3))
    assert first == second != third


def test_no_images_have_no_repeats():
    nothing = np.empty(0, np.int64)
    assert near_repeats(nothing.astype(np.uint64), nothing).shape == (0,)
    assert difference_hashes(PIXELS[:, None], nothing).shape == (0,)
