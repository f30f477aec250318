import io
import json
import struct
import sys
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ecoautoml.config.models import (
    AutoData,
    DataConfig,
    HuggingfaceData,
    ImageFolderData,
    NumpyData,
    ParquetData,
    TorchvisionData,
)
from ecoautoml.data import load_images, load_labels, prepare_data
from ecoautoml.data.sources import SOURCES
from ecoautoml.data.sources.auto import resolve
from ecoautoml.errors import DataError, MissingExtraError


def png(seed, channels=1):
    shape = (6, 6) if channels == 1 else (6, 6, channels)
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path, labels, *, metadata=None, image="image", label="label", images=None):
    images = images or [png(seed) for seed in range(len(labels))]
    table = pa.table({image: images, label: labels})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def read(config):
    return SOURCES.get(config.kind)().read(config)


def parquet(path, **options):
    return ParquetData(kind="parquet", path=path, **options)


def test_every_kind_in_the_configuration_has_a_source():
    union = get_args(DataConfig)[0]
    kinds = {get_args(member.model_fields["kind"].annotation)[0] for member in get_args(union)}
    assert set(SOURCES.names()) == kinds - {"auto"}
    for name in SOURCES.names():
        assert SOURCES.get(name)


# --- image_folder ---------------------------------------------------------------------------


def images_in(path):
    return ImageFolderData(kind="image_folder", path=path)


def test_files_that_are_no_images_are_ignored_and_noted(make_folder):
    root = make_folder({"a": 2, "b": 2})
    (root / "a/notes.txt").write_text("hello")
    (root / "b/.DS_Store").write_text("")
    (root / "README.md").write_text("")
    (root / ".git").mkdir()
    raw = read(images_in(root))
    assert raw.class_names == ("a", "b")
    assert len(raw.train.images) == 4
    assert raw.notes == ("ignored 1 files that are not images (notes.txt)",)


def test_images_lie_at_any_depth_and_suffixes_in_any_case(make_folder):
    root = make_folder({"a/x": 2, "b/y/z": 1})
    (root / "b/y/z/00.png").rename(root / "b/y/z/00.PNG")
    raw = read(images_in(root))
    assert raw.class_names == ("a", "b")
    assert raw.train.labels.tolist() == [0, 0, 1]
    assert raw.train.names == ["a/x/00.png", "a/x/01.png", "b/y/z/00.PNG"]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_split_folders_are_understood(make_folder, tmp_path, name):
    make_folder({"a": 2, "b": 2}, at="x/train")
    make_folder({"a": 1, "b": 1}, at=f"x/{name}")
    raw = read(images_in(tmp_path / "x"))
    assert list(raw.present()) == ["train", "validation"]


def test_a_class_may_be_called_train(make_folder):
    raw = read(images_in(make_folder({"bus": 2, "train": 3})))
    assert raw.class_names == ("bus", "train")


def test_only_a_test_folder_is_an_error(make_folder, tmp_path):
    make_folder({"a": 2, "b": 2}, at="x/test")
    with pytest.raises(DataError, match="has test but no train folder"):
        read(images_in(tmp_path / "x"))


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds no class folders"):
        read(images_in(tmp_path))


def test_only_empty_class_folders_are_an_error(make_folder):
    with pytest.raises(DataError, match="hold no images"):
        read(images_in(make_folder({"a": 0, "b": 0})))


def test_loose_images_are_an_error_that_says_what_to_do(make_folder):
    with pytest.raises(DataError, match="into a folder of its own"):
        read(images_in(make_folder({"a": 2}) / "a"))


def test_a_missing_path_suggests_near_names(make_folder):
    root = make_folder({"a": 2}, at="flowers")
    with pytest.raises(DataError, match=r"there is no .*flower; did you mean .*flowers\?"):
        read(images_in(root.parent / "flower"))
    with pytest.raises(DataError, match="not even its folder"):
        read(images_in(root.parent / "nowhere/at/all"))


# --- parquet --------------------------------------------------------------------------------


def test_integer_labels_get_names_from_the_metadata(tmp_path):
    path = write_parquet(
        tmp_path / "x.parquet", [1, 0, 2], metadata={"label_names": "cat,dog, eel"}
    )
    raw = read(parquet(path))
    assert raw.class_names == ("cat", "dog", "eel")
    assert raw.train.labels.tolist() == [1, 0, 2]


def test_integer_labels_get_names_from_class_label_features(tmp_path):
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    raw = read(parquet(write_parquet(tmp_path / "x.parquet", [1, 0], metadata=metadata)))
    assert raw.class_names == ("cat", "dog")


def test_unnamed_labels_are_their_own_names(tmp_path):
    raw = read(parquet(write_parquet(tmp_path / "x.parquet", [30, 7, 30])))
    assert raw.class_names == ("7", "30")
    assert raw.train.labels.tolist() == [1, 0, 1]
    raw = read(parquet(write_parquet(tmp_path / "y.parquet", ["dog", "cat", "dog"])))
    assert raw.class_names == ("cat", "dog")


def test_images_may_be_structs_with_bytes(tmp_path):
    images = [{"bytes": png(0), "path": "a.png"}, {"bytes": None, "path": "b.png"}]
    path = write_parquet(tmp_path / "x.parquet", [0, 1], images=images)
    assert list(read(parquet(path)).train.images) == [png(0), None]


def test_the_test_file_beside_the_training_file_is_used_and_noted(tmp_path):
    path = write_parquet(tmp_path / "small_train.parquet", [0, 1] * 5)
    assert read(parquet(path)).test is None
    write_parquet(tmp_path / "small_test.parquet", [0, 1])
    raw = read(parquet(path))
    assert len(raw.test.labels) == 2
    assert "small_test.parquet, found beside small_train.parquet" in raw.notes[0]


def test_a_test_file_that_appears_later_is_noticed(tmp_path):
    path = write_parquet(tmp_path / "train.parquet", [0, 1] * 10)
    assert prepare_data(parquet(path), tmp_path / "p").counts["test"] == 3
    write_parquet(tmp_path / "test.parquet", [0, 1] * 4)
    assert prepare_data(parquet(path), tmp_path / "p").counts["test"] == 8


def test_a_named_test_file_wins(tmp_path):
    path = write_parquet(tmp_path / "train.parquet", [0, 1])
    write_parquet(tmp_path / "test.parquet", [0, 1])
    other = write_parquet(tmp_path / "other.parquet", [1, 1, 0])
    raw = read(parquet(path, test_path=other))
    assert raw.test.labels.tolist() == [1, 1, 0]
    assert raw.notes == ()


def test_a_folder_of_shards_is_read_by_split(tmp_path):
    for name, labels in {
        "train-00000-of-00002": [0, 1],
        "train-00001-of-00002": [1, 1, 1],
        "flowers_validation": [0],
        "test": [1, 0],
    }.items():
        write_parquet(tmp_path / "x" / f"{name}.parquet", labels)
    raw = read(parquet(tmp_path / "x"))
    assert raw.train.labels.tolist() == [0, 1, 1, 1, 1]
    assert len(raw.train.images) == 5
    assert {name: len(split.labels) for name, split in raw.present().items()} == {
        "train": 5,
        "validation": 1,
        "test": 2,
    }


def test_a_folder_without_a_training_file_is_an_error(tmp_path):
    write_parquet(tmp_path / "x/test.parquet", [0, 1])
    with pytest.raises(DataError, match=r"no Parquet file whose name says train .*test\.parquet"):
        read(parquet(tmp_path / "x"))


def test_a_missing_column_is_answered_with_the_columns_there_are(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", [0, 1], image="img")
    with pytest.raises(DataError, match=r"image_column: .* 'image'; its columns are img, label"):
        read(parquet(path))
    assert len(read(parquet(path, image_column="img")).train.images) == 2


def test_a_label_without_a_name_is_an_error(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", [0, -1], metadata={"label_names": "a,b"})
    with pytest.raises(DataError, match="holds the label -1"):
        read(parquet(path))


@pytest.mark.parametrize("labels", [[0.5, 1.0], [0, None], [[0, 1], [1, 0]]])
def test_labels_that_are_no_classes_are_an_error(tmp_path, labels):
    with pytest.raises(DataError, match="give integers or strings"):
        read(parquet(write_parquet(tmp_path / "x.parquet", labels)))


def test_an_image_column_without_bytes_is_an_error(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", [0, 1], images=["a.png", "b.png"])
    with pytest.raises(DataError, match="must hold encoded image bytes"):
        read(parquet(path))


def test_what_is_not_parquet_is_an_error(tmp_path):
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(parquet(tmp_path / "x.parquet"))


def test_a_table_without_rows_is_an_error(tmp_path):
    schema = pa.schema({"image": pa.binary(), "label": pa.int64()})
    pq.write_table(schema.empty_table(), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="not a single training image"):
        prepare_data(parquet(tmp_path / "x.parquet"), tmp_path / "p")


# --- numpy ----------------------------------------------------------------------------------


def archive(path, **arrays):
    np.savez(path, **arrays)
    return NumpyData(kind="numpy", path=path)


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,)])
def test_arrays_of_any_channels_are_read(tmp_path, shape):
    config = archive(
        tmp_path / "x.npz", x_train=pixels(12, 5, 7, *shape), y_train=np.arange(12) % 2
    )
    data = prepare_data(config, tmp_path / "p")
    assert data.channels == (3 if shape in ((3,), (4,)) else 1)
    assert data.image_size == 5


def test_all_three_splits_and_string_labels_are_read(tmp_path):
    y = np.array(["dog", "cat"])
    config = archive(
        tmp_path / "x.npz",
        **{f"x_{s}": pixels(2, 4, 4) for s in ("train", "val", "test")},
        **{f"y_{s}": y for s in ("train", "val", "test")},
    )
    data = prepare_data(config, tmp_path / "p")
    assert data.class_names == ("cat", "dog")
    assert data.counts == {"train": 2, "validation": 2, "test": 2}
    assert load_labels(data, "test").tolist() == [1, 0]
    assert np.array_equal(load_images(data, "validation")[:, 0], pixels(2, 4, 4))


def test_labels_may_stand_in_a_column(tmp_path):
    config = archive(tmp_path / "x.npz", x_train=pixels(2, 4, 4), y_train=np.array([[3], [5]]))
    assert read(config).class_names == ("3", "5")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_train": np.zeros(2)}, "integer or string"),
        ({"y_train": np.eye(2, dtype=int)}, "argmax"),
        ({"y_train": np.array([0, 1, 1])}, "2 images in x_train but 3 labels"),
        ({"x_train": pixels(2, 4, 4) / 255}, "save pixels as uint8"),
        ({"x_train": pixels(2, 3, 8, 8)}, "transpose"),
        ({"x_train": pixels(2, 64)}, r"shape \(2, 64\)"),
        ({"x_test": pixels(2, 4, 4), "y_test": np.array([0, 9])}, "holds the label 9"),
        ({"x_test": pixels(2, 4, 4)}, "no array 'y_test'; it holds x_train, y_train, x_test"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error(tmp_path, arrays, message):
    good = {"x_train": pixels(2, 4, 4), "y_train": np.array([0, 1])}
    with pytest.raises(DataError, match=message):
        read(archive(tmp_path / "x.npz", **(good | arrays)))


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "x.npz").write_text("hello")
    with pytest.raises(DataError, match=r"cannot be read as a \.npz archive"):
        read(NumpyData(kind="numpy", path=tmp_path / "x.npz"))


def test_objects_are_never_unpickled(tmp_path):
    config = archive(tmp_path / "x.npz", x_train=np.array([object()]), y_train=np.zeros(1, int))
    with pytest.raises(DataError, match="cannot be read"):
        read(config)


# --- torchvision ----------------------------------------------------------------------------


def write_mnist(folder, name, count):
    folder.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">iiii", 2051, count, 28, 28)
    (folder / f"{name}-images-idx3-ubyte").write_bytes(header + pixels(count, 28, 28).tobytes())
    labels = bytes(number % 10 for number in range(count))
    (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, count) + labels)


def test_a_torchvision_data_set_is_read_from_its_files(tmp_path):
    write_mnist(tmp_path / "MNIST/raw", "train", 40)
    write_mnist(tmp_path / "MNIST/raw", "t10k", 20)
    config = TorchvisionData(kind="torchvision", name="MNIST", path=tmp_path)
    data = prepare_data(config, tmp_path / "p")
    assert data.class_names[:2] == ("0 - zero", "1 - one")
    assert data.counts == {"train": 30, "validation": 10, "test": 20}
    assert np.array_equal(load_images(data, "test")[:, 0], pixels(20, 28, 28))
    assert load_labels(data, "test").tolist() == [number % 10 for number in range(20)]


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10", "SVHN", "DTD", "OxfordIIITPet"])
def test_an_absent_torchvision_data_set_says_how_to_get_it(tmp_path, name):
    config = TorchvisionData(kind="torchvision", name=name, path=tmp_path)
    with pytest.raises(DataError, match="download: true"):
        read(config)


def test_an_unknown_torchvision_name_gets_a_suggestion(tmp_path):
    with pytest.raises(DataError, match="'CIFAR1O'; did you mean 'CIFAR1"):
        read(TorchvisionData(kind="torchvision", name="CIFAR1O", path=tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FakeData", "cannot be made from a folder and a split"),
        ("EMNIST", "has no split called train"),
    ],
)
def test_a_torchvision_data_set_that_needs_more_is_refused(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        read(TorchvisionData(kind="torchvision", name=name, path=tmp_path))


# --- huggingface ----------------------------------------------------------------------------


def test_without_the_package_the_command_to_install_it_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match="pip install datasets"):
        read(HuggingfaceData(kind="huggingface", name="some/data"))


@pytest.fixture
def saved_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"])
    )

    def split(labels):
        images = [{"bytes": png(seed, 3), "path": None} for seed in range(len(labels))]
        return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)

    splits = datasets.DatasetDict(train=split([0, 1] * 5), validation=split([1, 0]))
    splits.save_to_disk(str(tmp_path / "saved"))
    return HuggingfaceData(kind="huggingface", name=str(tmp_path / "saved"))


@pytest.mark.filterwarnings("ignore")
def test_a_saved_hub_data_set_is_read(saved_dataset, tmp_path):
    data = prepare_data(saved_dataset, tmp_path / "p")
    assert data.class_names == ("cat", "dog")
    assert data.counts == {"train": 8, "validation": 2, "test": 2}
    assert load_images(data, "validation").shape == (2, 3, 6, 6)


@pytest.mark.filterwarnings("ignore")
def test_a_missing_hub_column_is_answered_with_the_columns_there_are(saved_dataset):
    config = saved_dataset.model_copy(update={"image_column": "img"})
    with pytest.raises(DataError, match="no column 'img'; its columns are image, label"):
        read(config)


# --- auto -----------------------------------------------------------------------------------


def auto(path):
    return AutoData(kind="auto", path=path, image_size=5, subset=7)


def test_auto_goes_by_what_stands_at_the_path(tmp_path, make_folder):
    file = write_parquet(tmp_path / "q/train.parquet", [0, 1])
    archive(tmp_path / "x.npz", x_train=pixels(2, 4, 4), y_train=np.array([0, 1]))
    expected = {
        make_folder({"a": 1}): "image_folder",
        file: "parquet",
        file.parent: "parquet",
        tmp_path / "x.npz": "numpy",
    }
    for path, kind in expected.items():
        config = resolve(auto(path))
        assert (config.kind, config.path) == (kind, path)
        assert (config.image_size, config.subset) == (5, 7)


def test_auto_says_what_it_found_and_what_it_understands(tmp_path, make_folder):
    (tmp_path / "x.csv").write_text("")
    (tmp_path / "empty").mkdir()
    for path, found in {
        tmp_path / "x.csv": r"a \.csv file",
        tmp_path / "empty": "an empty folder",
        make_folder({"a": 3}) / "a": r"a folder of loose files \(3 × \.png\)",
    }.items():
        with pytest.raises(DataError, match=found + ".*are understood"):
            resolve(auto(path))


def test_auto_and_the_kind_by_name_give_the_same_data(tmp_path, make_folder):
    root = make_folder({"a": 5, "b": 5})
    first = prepare_data(AutoData(kind="auto", path=root), tmp_path / "p")
    written = (tmp_path / "p/train_images.npy").stat().st_mtime_ns
    assert prepare_data(images_in(root), tmp_path / "p") == first
    assert (tmp_path / "p/train_images.npy").stat().st_mtime_ns == written
