"""What a user writes: a frozen pydantic tree, read from YAML with overrides.

Entry point: `load_config`. Errors: `ConfigError`, one short message naming file, key, what was
given and what is allowed.
"""

from ecoautoml.config.load import load_config
from ecoautoml.config.models import SearchConfig

__all__ = ["SearchConfig", "load_config"]
