"""Traps of the GPU's counter, on a stand-in for the vendor's library."""

import os

import pytest
from energy_fakes import Board, FakeNvml, FakeProc, HandClock

from ecoautoml.energy.nvml import NvmlMeter, visible_devices
from ecoautoml.energy.processes import ProcessTree
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import Provenance

A = "GPU-aaaaaaaa-0000-0000-0000-000000000000"
B = "GPU-bbbbbbbb-0000-0000-0000-000000000000"
MIG = "MIG-cccccccc-0000-0000-0000-000000000000"


def two_boards(**kwargs):
    # The library lists them against the bus order, as it may.
    return FakeNvml(
        Board(B, bus="00000000:65:00.0", **kwargs), Board(A, bus="00000000:17:00.0", **kwargs)
    )


def one_board(tmp_path, *others, clock=None):
    """Return a board used by this process (42), the meter on it and its fake processes."""
    proc = FakeProc(tmp_path / "proc")
    proc.process(os.getpid())
    board = Board(A)
    board.pids = [os.getpid(), *others]
    meter = NvmlMeter([A], FakeNvml(board), clock or HandClock(), tree=ProcessTree(proc.root))
    return board, meter, proc


def test_millijoules_become_joules_of_that_board(tmp_path):
    clock = HandClock()
    board, meter, _ = one_board(tmp_path, clock=clock)
    before = meter.read()
    board.energy_mj += 1_500_000
    clock.time_s += 3.0
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.component == f"gpu:{A}"
    assert reading.energy_j == pytest.approx(1500.0)
    assert reading.duration_s == pytest.approx(3.0)
    assert reading.provenance is Provenance.MEASURED
    assert reading.source == "nvml:NVIDIA H200"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [A, B]),
        ("0", [A]),
        ("1", [B]),
        ("1,0", [B, A]),
        (B, [B]),
        ("GPU-bbbb", [B]),
        (f"{B}, 0", [B, A]),
        (MIG, [MIG]),
        ("", []),
        ("-1", []),
        ("0,7,1", [A]),
        ("GPU-", []),
        ("nonsense", []),
    ],
)
def test_visible_devices_are_read_as_cuda_does(visible, expected):
    """UUIDs end in a ValueError in zeus 0.16.0; index orders differ: unslothai/unsloth#8917."""
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_devices(two_boards(), environ) == expected


def test_numbers_of_unequal_boards_are_refused_unless_in_bus_order():
    """CUDA numbers the fastest first by default, the library does not."""
    nvml = FakeNvml(Board(A, model="slow", bus="1"), Board(B, model="fast", bus="2"))
    with pytest.raises(ConfigError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        visible_devices(nvml, {"CUDA_VISIBLE_DEVICES": "0"})
    meter = NvmlMeter(None, nvml, environ={"CUDA_VISIBLE_DEVICES": "0"})
    assert "CUDA_DEVICE_ORDER" in meter.is_available().reason
    in_order = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert visible_devices(nvml, in_order) == [B]
    assert visible_devices(nvml, {"CUDA_VISIBLE_DEVICES": A}) == [A]


def test_a_mig_instance_is_unknown(tmp_path):
    """The library has energy for whole boards only: kepler, gpu-power-monitoring.md."""
    meter = NvmlMeter(None, two_boards(), environ={"CUDA_VISIBLE_DEVICES": MIG})
    (reading,) = meter.read()
    assert reading.component == f"gpu:{MIG}"
    assert reading.energy_j is None
    assert "MIG" in reading.reason


def test_a_board_split_by_mig_is_unknown():
    board = Board(A)
    board.mig = 1
    (reading,) = NvmlMeter([A], FakeNvml(board)).read()
    assert reading.energy_j is None
    assert "MIG" in reading.reason


@pytest.mark.parametrize("how", ["virtual", "refuses", "stands at 0"])
def test_a_virtual_gpu_is_unknown_and_not_zero(how):
    """Reported as 0 kWh in mlco2/codecarbon#1316."""
    board = Board(A)
    board.is_virtual = how == "virtual"
    board.lost = "Not Supported" if how == "refuses" else None
    board.energy_mj = 0 if how == "stands at 0" else 5
    meter = NvmlMeter([A], FakeNvml(board))
    before = meter.read()
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.energy_j is None
    assert reading.reason
    assert not meter.is_available().ok


def test_a_foreign_process_makes_it_a_share(tmp_path):
    """The counter is the board's: kepler, docs/developer/design/architecture."""
    board, meter, proc = one_board(tmp_path)
    before = meter.read()
    board.energy_mj += 900_000
    proc.process(900)
    proc.process(901)
    board.pids += [900, 901]
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.provenance is Provenance.ATTRIBUTED
    assert reading.energy_j == pytest.approx(300.0)


def test_own_children_on_the_board_are_not_foreign(tmp_path):
    board, meter, proc = one_board(tmp_path)
    proc.process(43, parent=os.getpid())
    board.pids.append(43)
    assert meter.read()[0].sharers == 1


def test_a_worker_is_asked_about_by_its_number(tmp_path):
    board, meter, proc = one_board(tmp_path)
    proc.process(43, parent=os.getpid())
    proc.process(44, parent=os.getpid())
    board.pids = [43, 44]
    assert meter.read(43)[0].sharers == 2
    assert meter.read()[0].sharers == 1


def test_before_the_own_process_uses_the_board_a_foreign_one_is_still_foreign(tmp_path):
    board, meter, proc = one_board(tmp_path)
    proc.process(900)
    board.pids = [900]
    assert meter.read()[0].sharers == 2
    board.pids = []
    assert meter.read()[0].sharers == 1


def test_in_a_container_one_unknown_number_is_taken_for_the_own_process(tmp_path):
    """The library speaks of the host's process numbers inside a container."""
    board, meter, _ = one_board(tmp_path)
    board.pids = [31337]
    assert meter.read()[0].sharers == 1
    board.pids = [31337, 31338]
    assert meter.read()[0].sharers == 2


def test_a_driver_loaded_anew_makes_the_window_unknown(tmp_path):
    board, meter, _ = one_board(tmp_path)
    before = meter.read()
    board.energy_mj = 1000
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.energy_j is None
    assert "lost count" in reading.reason
    before = meter.read()
    board.energy_mj = 9000
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.energy_j == pytest.approx(8.0)


def test_without_driver_or_library_it_is_unavailable_and_unknown():
    meter = NvmlMeter(None, FakeNvml(has_driver=False))
    assert "Shared Library Not Found" in meter.is_available().reason
    assert meter.read()[0].energy_j is None
    meter.close()


def test_closing_gives_the_library_back_once():
    nvml = FakeNvml(Board(A))
    meter = NvmlMeter([A], nvml)
    assert nvml.open_count == 1
    meter.close()
    meter.close()
    assert nvml.open_count == 0
    assert meter.read()[0].energy_j is None


def test_the_device_is_synchronised_before_a_read_about_the_own_process():
    waited = []
    meter = NvmlMeter([A], FakeNvml(Board(A)), synchronize=lambda: waited.append(1))
    meter.read()
    meter.read(pid=1)
    assert waited == [1]
