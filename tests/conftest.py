"""What all tests share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _nobodys_calibration(tmp_path_factory):
    """Keep a calibration that a developer has made out of what tests see, also in subprocesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """A search of a few seconds whose model takes images resized once more; only read from it."""
    from exported_models import searched

    return searched(tmp_path_factory.mktemp("small_run"))


@pytest.fixture(scope="session")
def digit_files(small_run, tmp_path_factory):
    """The first validation images of that search as PNG files."""
    from exported_models import image_files

    return image_files(small_run, tmp_path_factory.mktemp("digit_files"))


@pytest.fixture
def one_thread():
    """Train on one thread, as workers do."""
    import torch  # takes seconds, which most tests need not wait for

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
