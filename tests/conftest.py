"""What all tests share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _nobodys_calibration(tmp_path_factory):
    """Keep a calibration that a developer has made out of what tests see, also in subprocesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield
