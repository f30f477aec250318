"""ecoautoml: image models that are accurate and cheap to run, found with little energy.

``search(config)`` runs a search and returns a `SearchResult`; ``with measure() as m`` bills a
block of code; ``SearchResult.read(folder)`` opens an earlier run; ``EcoModel.load(folder)``
predicts with an exported model. Everything raised on purpose derives from `EcoAutoMLError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecoautoml.errors import EcoAutoMLError

if TYPE_CHECKING:
    from ecoautoml.api import search
    from ecoautoml.config.models import SearchConfig
    from ecoautoml.deploy import EcoModel
    from ecoautoml.measuring import measure
    from ecoautoml.result import SearchResult

__all__ = [
    "EcoAutoMLError",
    "EcoModel",
    "SearchConfig",
    "SearchResult",
    "__version__",
    "measure",
    "search",
]

__version__ = "0.1.0"

_LATE = {
    "EcoModel": "ecoautoml.deploy",
    "SearchConfig": "ecoautoml.config.models",
    "SearchResult": "ecoautoml.result",
    "measure": "ecoautoml.measuring",
    "search": "ecoautoml.api",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that ``import ecoautoml`` stays quick."""
    if name not in _LATE:
        raise AttributeError(f"module 'ecoautoml' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return __all__
