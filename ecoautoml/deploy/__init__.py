"""Using what a search has found: a model exported into a folder of its own, and predictions.

Entry points: `EcoModel` (load and predict; no torch where the format needs none) and
`export_model` (a trial's model → a folder with all that is needed to use it).

Errors: `RunError` for what holds no model, `DataError` for images that cannot be used,
`MissingExtraError` when a format's library is missing, `RuntimeExportError` when a model cannot be
exported, gives other outputs there, or the folder cannot be written.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoautoml.deploy.export import Exported, export_model
    from ecoautoml.deploy.model import EcoModel, Prediction

__all__ = ["EcoModel", "Exported", "Prediction", "export_model"]

_LATE = {
    "EcoModel": "ecoautoml.deploy.model",
    "Exported": "ecoautoml.deploy.export",
    "Prediction": "ecoautoml.deploy.model",
    "export_model": "ecoautoml.deploy.export",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use: exporting needs torch, predicting mostly does not."""
    if name not in _LATE:
        raise AttributeError(f"module 'ecoautoml.deploy' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
