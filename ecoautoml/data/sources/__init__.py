"""Where images come from: one file per kind of data, loaded on first use.

Main entry: ``SOURCES.get(kind)().read(config)`` gives `RawSplits`. Errors: `DataError` for what
cannot be read, `MissingExtraError` when a source needs a package that is not installed.
"""

from typing import Any

from ecoautoml.data.sources.base import DataSource, RawSplit, RawSplits
from ecoautoml.registry import Entry, Registry

SOURCES: Registry[DataSource[Any]] = Registry(
    "kind of data",
    (
        Entry(
            name="digits",
            target="ecoautoml.data.sources.digits:DigitsSource",
            description="scikit-learn's bundled digits, 8×8 grey",
        ),
        Entry(
            name="image_folder",
            target="ecoautoml.data.sources.image_folder:ImageFolderSource",
            description="a folder with one folder of images per class",
        ),
        Entry(
            name="parquet",
            target="ecoautoml.data.sources.parquet:ParquetSource",
            description="Parquet files with image bytes and a label",
        ),
        Entry(
            name="numpy",
            target="ecoautoml.data.sources.numpy_archive:NumpySource",
            description="a NumPy archive (.npz) with x_train and y_train",
        ),
        Entry(
            name="torchvision",
            target="ecoautoml.data.sources.torchvision:TorchvisionSource",
            description="a data set of torchvision by its class name",
        ),
        Entry(
            name="huggingface",
            target="ecoautoml.data.sources.huggingface:HuggingfaceSource",
            description="a data set of the Hugging Face hub, or a local folder of one",
        ),
    ),
)

__all__ = ["SOURCES", "DataSource", "RawSplit", "RawSplits"]
