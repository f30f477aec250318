import re
from pathlib import Path

import pytest
import yaml

from ecoautoml.runtimes import RUNTIMES
from ecoautoml.spaces import list_spaces, load_space
from ecoautoml.spaces.vocabulary import (
    ARCHITECTURES,
    AUGMENTATIONS,
    COMPRESSION,
    HYPERPARAMETERS,
    STAGE,
)

README = (Path(__file__).resolve().parents[2] / "search_spaces" / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS, ids=["space", "python"])
def test_spaces_in_the_readme_load(text):
    assert load_space(yaml.safe_load(text)).dimensions


def test_readme_names_every_runtime():
    for name in RUNTIMES.names():
        assert f"`{name}`" in README, name


def test_readme_names_every_space_and_every_key():
    keys = {key for rules in ARCHITECTURES.values() for key in rules}
    for word in {*list_spaces(), *keys, *STAGE, *HYPERPARAMETERS, *AUGMENTATIONS, *COMPRESSION}:
        assert f"`{word}" in README or f"{word}:" in README, word
