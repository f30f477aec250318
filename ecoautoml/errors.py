"""Everything ecoautoml raises on purpose.

::

    EcoAutoMLError
    ├── ConfigError          the user's YAML, flags or arguments are wrong (exit code 2)
    │   ├── SpaceError       a search space is wrong
    │   └── DataError        the images or labels cannot be used
    ├── RunError             a run folder cannot be opened, resumed or read (exit code 2)
    ├── MissingExtraError    an optional dependency is not installed (exit code 2)
    ├── MeterError           an energy meter stopped answering
    ├── RuntimeExportError   a model could not be exported to, or run in, its runtime
    └── TrialError           one trial cannot go on; the search records it and goes on
"""


class EcoAutoMLError(Exception):
    """Root of every error this package raises on purpose."""


class ConfigError(EcoAutoMLError):
    """What the user asked for is not possible; the message says what to change."""


class SpaceError(ConfigError):
    """A search space names something that does not exist or cannot be built."""


class DataError(ConfigError):
    """The images or their labels cannot be used."""


class RunError(EcoAutoMLError):
    """A run folder cannot be opened, resumed or read."""


class MissingExtraError(EcoAutoMLError):
    """An optional dependency is missing; the message holds the pip command."""


class MeterError(EcoAutoMLError):
    """An energy meter stopped answering in the middle of a window."""


class RuntimeExportError(EcoAutoMLError):
    """A model could not be exported to its runtime, or gives other outputs there."""


class TrialError(EcoAutoMLError):
    """One trial cannot go on (NaN loss, out of memory, ...); the search goes on."""
