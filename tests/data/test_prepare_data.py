import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from ecoautoml.config.models import DigitsData, ImageFolderData, NumpyData
from ecoautoml.data import PreparedData, load_images, load_labels, prepare_data
from ecoautoml.errors import DataError


def folder_config(path, **options):
    return ImageFolderData(kind="image_folder", path=path, **options)


def save_npz(path, counts, *, test_counts=None, shape=(6, 6)):
    rng = np.random.default_rng(0)

    def arrays(suffix, numbers):
        y = np.repeat(np.arange(len(numbers)), numbers)
        return {f"y_{suffix}": y, f"x_{suffix}": rng.integers(0, 256, (len(y), *shape), np.uint8)}

    np.savez(
        path, **arrays("train", counts), **(arrays("test", test_counts) if test_counts else {})
    )
    return path


def numpy_config(path, **options):
    return NumpyData(kind="numpy", path=path, **options)


def test_digits_are_split_by_class_and_described(tmp_path):
    data = prepare_data(DigitsData(), tmp_path / "prepared")
    assert data.counts == {"train": 1257, "validation": 270, "test": 270}
    assert data.class_names == tuple("0123456789")
    assert (data.channels, data.image_size, data.notes) == (1, 8, ())
    images, labels = load_images(data, "train"), load_labels(data, "train")
    assert images.shape == (1257, 1, 8, 8)
    assert images.dtype == np.uint8
    assert not images.flags.writeable
    assert labels.dtype == np.int64
    assert tuple(np.bincount(labels)) == data.class_counts
    assert data.mean[0] == pytest.approx((images / 255).mean())
    assert data.std[0] == pytest.approx((images / 255).std())
    for split in ("validation", "test"):
        assert np.bincount(load_labels(data, split)).min() >= 26


def test_no_image_is_in_two_splits(tmp_path):
    path = tmp_path / "x.npz"
    x = np.arange(200, dtype=np.uint8).reshape(200, 1, 1) * np.ones((1, 4, 4), np.uint8)
    np.savez(path, x_train=x, y_train=np.arange(200) % 4)
    data = prepare_data(numpy_config(path, image_size=4), tmp_path / "prepared")
    seen = [load_images(data, split)[:, 0, 0, 0] for split in data.counts]
    assert sorted(np.concatenate(seen)) == list(range(200))
    for split, values in zip(data.counts, seen, strict=True):
        assert np.array_equal(values % 4, load_labels(data, split))


def test_rgb_statistics_are_per_channel(tmp_path, make_folder):
    root = make_folder({"a": 10, "b": 10}, channels=3)
    data = prepare_data(folder_config(root), tmp_path / "prepared")
    images = load_images(data, "train") / 255
    assert data.channels == 3
    assert data.mean == pytest.approx(images.mean(axis=(0, 2, 3)))
    assert data.std == pytest.approx(images.std(axis=(0, 2, 3)))


def test_constant_images_still_have_a_std_to_divide_by(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x_train=np.zeros((8, 4, 4), np.uint8), y_train=np.arange(8) % 2)
    assert prepare_data(numpy_config(path), tmp_path / "p").std == (pytest.approx(1 / 255),)


def test_it_can_be_written_as_json_and_read_back(tmp_path):
    data = prepare_data(DigitsData(subset=20), tmp_path / "prepared")
    adapter = TypeAdapter(PreparedData)
    assert adapter.validate_json(adapter.dump_json(data)) == data


def test_the_split_seed_alone_decides_the_splits(tmp_path):
    def drawn_for_test(name, **options):
        data = prepare_data(DigitsData(**options), tmp_path / name)
        return load_images(data, "test").tobytes()

    first = drawn_for_test("a")
    assert drawn_for_test("b") == first
    assert drawn_for_test("c", subset=50) == first
    assert drawn_for_test("d", split_seed=1) != first


def test_a_second_call_reuses_what_is_there(tmp_path, make_folder):
    config = folder_config(make_folder({"a": 5, "b": 5}))
    first = prepare_data(config, tmp_path / "p")
    written = (tmp_path / "p/train_images.npy").stat().st_mtime_ns
    assert prepare_data(config, tmp_path / "p") == first
    assert (tmp_path / "p/train_images.npy").stat().st_mtime_ns == written


def test_a_changed_source_or_configuration_is_read_anew(tmp_path, make_folder):
    root = make_folder({"a": 5, "b": 5})
    prepare_data(folder_config(root), tmp_path / "p")
    Image.new("L", (8, 8)).save(root / "a/new.png")
    assert sum(prepare_data(folder_config(root), tmp_path / "p").counts.values()) == 11
    (root / "a/new.png").unlink()
    assert sum(prepare_data(folder_config(root), tmp_path / "p").counts.values()) == 10
    assert prepare_data(folder_config(root, image_size=4), tmp_path / "p").image_size == 4


def test_a_moved_folder_is_still_good(tmp_path):
    first = prepare_data(DigitsData(), tmp_path / "p")
    (tmp_path / "p").rename(tmp_path / "q")
    again = prepare_data(DigitsData(), tmp_path / "q")
    assert again.folder == str(tmp_path / "q")
    assert again.counts == first.counts
    assert load_images(again, "train").shape[0] == first.counts["train"]


def test_half_written_data_are_written_again(tmp_path):
    prepare_data(DigitsData(), tmp_path / "p")
    (tmp_path / "p/test_labels.npy").unlink()
    data = prepare_data(DigitsData(), tmp_path / "p")
    assert len(load_labels(data, "test")) == 270


def test_nothing_is_left_behind_when_preparing_fails(tmp_path, make_folder):
    with pytest.raises(DataError):
        prepare_data(folder_config(make_folder({"a": 5})), tmp_path / "out/p")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="a folder of its own"):
        prepare_data(DigitsData(), tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_images_of_mixed_sizes_meet_at_the_median_short_side(tmp_path, make_folder):
    root = make_folder({"a": 4, "b": 3}, size=(20, 12))
    make_folder({"c": 5}, size=(9, 31))
    data = prepare_data(folder_config(root), tmp_path / "p")
    assert data.image_size == 12
    assert load_images(data, "train").shape[2:] == (12, 12)


def test_the_default_size_is_at_most_224(tmp_path, make_folder):
    data = prepare_data(
        folder_config(make_folder({"a": 3, "b": 3}, size=(300, 260))), tmp_path / "p"
    )
    assert data.image_size == 224


def test_the_configured_size_and_channels_win(tmp_path, make_folder):
    root = make_folder({"a": 3, "b": 3}, channels=3)
    data = prepare_data(folder_config(root, image_size=16, channels="grey"), tmp_path / "p")
    assert load_images(data, "test").shape[1:] == (1, 16, 16)


def test_one_colour_image_makes_all_of_them_rgb(tmp_path, make_folder):
    root = make_folder({"a": 4, "b": 4})
    make_folder({"b": 1}, channels=3)
    assert prepare_data(folder_config(root), tmp_path / "p").channels == 3


def test_grey_images_stored_in_colour_become_grey_and_a_note_says_so(tmp_path, make_folder):
    root = make_folder({"a": 4, "b": 4})
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            image.convert("RGB").save(path)
    data = prepare_data(folder_config(root), tmp_path / "p")
    assert load_images(data, "train").shape[1] == data.channels == len(data.mean) == 1
    assert "grey" in data.notes[0]
    assert prepare_data(folder_config(root, channels="rgb"), tmp_path / "p").channels == 3


def test_a_corrupt_image_is_skipped_named_and_counted(tmp_path, make_folder):
    root = make_folder({"a": 5, "b": 5})
    (root / "a/02.png").write_bytes(b"no image")
    whole = (root / "b/03.png").read_bytes()
    (root / "b/03.png").write_bytes(whole[: len(whole) - 40])
    data = prepare_data(folder_config(root), tmp_path / "p")
    assert sum(data.counts.values()) == 8
    assert "2 of 10 images" in data.notes[0]
    assert "a/02.png" in data.notes[0]
    assert "b/03.png" in data.notes[0]


def test_a_corrupt_image_is_refused_when_asked_so(tmp_path, make_folder):
    root = make_folder({"a": 5, "b": 5})
    (root / "a/02.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 10 images .*a/02\.png.*on_corrupt: skip"):
        prepare_data(folder_config(root, on_corrupt="refuse"), tmp_path / "p")


def test_only_corrupt_images_are_an_error(tmp_path, make_folder):
    root = make_folder({"a": 2, "b": 2})
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="4 of 4 images could not be read"):
        prepare_data(folder_config(root), tmp_path / "p")


def test_a_class_folder_without_images_is_dropped_and_noted(tmp_path, make_folder):
    root = make_folder({"a": 5, "b": 0, "c": 5})
    data = prepare_data(folder_config(root), tmp_path / "p")
    assert data.class_names == ("a", "c")
    assert set(load_labels(data, "train")) == {0, 1}
    assert "dropped 1 classes without images (b)" in data.notes


def test_a_single_class_is_an_error(tmp_path, make_folder):
    with pytest.raises(DataError, match=r"one class \(a\); a classifier needs at least two"):
        prepare_data(folder_config(make_folder({"a": 5, "b": 0})), tmp_path / "p")


def test_classes_with_too_few_images_are_named(tmp_path, make_folder):
    root = make_folder({"cat": 9, "dog": 2, "eel": 1})
    with pytest.raises(DataError, match=r"\(dog: 2, eel: 1\); each needs at least 3") as caught:
        prepare_data(folder_config(root), tmp_path / "p")
    assert "add images" in str(caught.value)


def test_fewer_images_than_splits_times_classes_is_an_error(tmp_path):
    path = save_npz(tmp_path / "x.npz", [1] * 30)
    with pytest.raises(DataError, match="and 25 more"):
        prepare_data(numpy_config(path), tmp_path / "p")


def test_two_images_suffice_when_the_data_bring_their_test_images(tmp_path):
    two = save_npz(tmp_path / "two.npz", [2, 2], test_counts=[1, 1])
    counts = prepare_data(numpy_config(two), tmp_path / "p").counts
    assert counts == {"train": 2, "validation": 2, "test": 2}
    one = save_npz(tmp_path / "one.npz", [2, 1], test_counts=[1, 1])
    with pytest.raises(DataError, match="at least 2 so that images can be held out for validation"):
        prepare_data(numpy_config(one), tmp_path / "p")


def test_three_images_give_each_split_one(tmp_path):
    path = save_npz(tmp_path / "x.npz", [3, 3, 3])
    data = prepare_data(numpy_config(path), tmp_path / "p")
    assert data.counts == {"train": 3, "validation": 3, "test": 3}
    for split in data.counts:
        assert sorted(load_labels(data, split)) == [0, 1, 2]


def test_own_splits_are_left_alone(tmp_path, make_folder):
    make_folder({"a": 4, "b": 4}, at="x/train")
    make_folder({"a": 2, "b": 1}, at="x/val")
    make_folder({"a": 1, "b": 1}, at="x/test")
    data = prepare_data(folder_config(tmp_path / "x"), tmp_path / "p")
    assert data.counts == {"train": 8, "validation": 3, "test": 2}


def test_a_class_only_the_test_images_have_is_an_error(tmp_path, make_folder):
    make_folder({"a": 4, "b": 4}, at="x/train")
    make_folder({"a": 2, "zebra": 1}, at="x/test")
    with pytest.raises(DataError, match=r"test images hold classes without .*\(zebra\)"):
        prepare_data(folder_config(tmp_path / "x"), tmp_path / "p")


def test_fractions_that_leave_no_training_images_are_an_error(tmp_path):
    with pytest.raises(DataError, match="leave nothing to train on"):
        prepare_data(DigitsData(test_fraction=0.5, validation_fraction=0.5), tmp_path / "p")


def test_a_subset_thins_out_the_training_images_only(tmp_path):
    data = prepare_data(DigitsData(subset=100), tmp_path / "p")
    assert data.counts == {"train": 100, "validation": 270, "test": 270}
    assert all(9 <= count <= 11 for count in data.class_counts)
    assert data.notes == ("trains on a subset of 100 of 1257 images",)


def test_a_subset_larger_than_the_data_uses_all_and_says_so(tmp_path):
    data = prepare_data(DigitsData(subset=100_000), tmp_path / "p")
    assert data.counts["train"] == 1257
    assert "only 1257: all are used" in data.notes[0]


def test_a_subset_smaller_than_the_classes_is_an_error(tmp_path):
    with pytest.raises(DataError, match="set at least 10"):
        prepare_data(DigitsData(subset=9), tmp_path / "p")


def test_preparing_does_not_load_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from ecoautoml.config.models import DigitsData\n"
        "from ecoautoml.data import prepare_data\n"
        "from ecoautoml.data.sources import SOURCES\n"
        "[SOURCES.get(name) for name in SOURCES.names()]\n"
        f"prepare_data(DigitsData(), Path({str(tmp_path / 'p')!r}))\n"
        "print([name for name in ('torch', 'timm', 'onnxruntime') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
