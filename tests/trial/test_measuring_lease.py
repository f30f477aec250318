"""Whoever measures a model holds the device's lease meanwhile."""

import threading

import numpy as np
import pytest
from digits_tensors import digits

from ecoautoml.config.models import CpuTimeMeterConfig, MeasureConfig
from ecoautoml.energy.lease import DeviceLease
from ecoautoml.energy.select import open_meters
from ecoautoml.errors import MeterError
from ecoautoml.runtimes.base import Session
from ecoautoml.trial import measure


class CountingSession(Session):
    """A model that only counts how often it is called."""

    calls = 0
    batch_size = 1

    def run(self, images_bchw):
        self.calls += 1
        return np.zeros((1, 10), dtype=np.float32)


def can_be_taken(path):
    try:
        with DeviceLease(path, timeout_s=0.0):
            return True
    except MeterError:
        return False


@pytest.fixture
def lease_path(tmp_path, monkeypatch):
    """Return where the leases of this test are, apart from the machine's own."""

    def path(device):
        return tmp_path / f"{device}.lock"

    monkeypatch.setattr(measure, "lease_path", path)
    return path


@pytest.fixture
def measuring():
    """Return a model, and a thread that measures it on the processor and keeps what it finds."""
    session, found = CountingSession(), []
    meters = open_meters(CpuTimeMeterConfig(kind="cpu_time"), "cpu")
    config = MeasureConfig(max_seconds=0.05)
    thread = threading.Thread(
        target=lambda: found.append(
            measure.measure_session(session, digits(8), meters, config, "cpu")
        )
    )
    yield session, thread, found
    thread.join()
    meters.close()


def test_a_model_is_not_called_while_somebody_else_measures_on_its_device(lease_path, measuring):
    session, thread, found = measuring
    with DeviceLease(lease_path("cpu")):
        thread.start()
        thread.join(timeout=1.0)  # twenty times what measuring takes at most
        assert thread.is_alive()
        assert session.calls == 0
    thread.join(timeout=30.0)
    assert session.calls > 0
    assert found[0].latency_ms > 0


def test_the_lease_is_held_while_the_model_runs_and_given_back_after_it(
    lease_path, measuring, monkeypatch
):
    session, thread, found = measuring
    free = []

    def run(images_bchw):
        free.append(can_be_taken(lease_path("cpu")))
        return np.zeros((1, 10), dtype=np.float32)

    monkeypatch.setattr(session, "run", run)
    thread.start()
    thread.join(timeout=30.0)
    assert free
    assert not any(free)
    assert found
    assert can_be_taken(lease_path("cpu"))


def test_another_device_is_not_waited_for(lease_path, measuring):
    session, thread, _ = measuring
    with DeviceLease(lease_path("cuda:0")):
        thread.start()
        thread.join(timeout=30.0)
        assert session.calls > 0
