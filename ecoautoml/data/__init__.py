"""Images and labels: read once from where they are, prepared on disk, fed to training as tensors.

Main entries: `prepare_data` turns the ``data`` section of a configuration into `PreparedData`
(uint8 arrays in a folder) with NumPy and Pillow alone; ``ecoautoml.data.tensors`` and
``ecoautoml.data.augment`` feed training from it and need torch, so they are imported where
training happens. A kind of data is one file in ``ecoautoml.data.sources``.

Errors: `DataError` for images or labels that cannot be used, `MissingExtraError` when a source
needs a package that is not installed.
"""

from ecoautoml.data.prepare import prepare_data, read_prepared
from ecoautoml.data.prepared import PreparedData, load_images, load_labels

__all__ = ["PreparedData", "load_images", "load_labels", "prepare_data", "read_prepared"]
