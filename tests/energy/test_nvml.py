"""Traps of the GPU's counter, on a stand-in for the vendor's library."""

import inspect
import os

import pynvml
import pytest
from energy_fakes import Board, FakeNvml, FakeProc, HandClock
from nvml_fakes import NVMLError

from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.gpu.boards import field_value, visible_devices
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import Provenance

A = "GPU-aaaaaaaa-0000-0000-0000-000000000000"
B = "GPU-bbbbbbbb-0000-0000-0000-000000000000"
MIG = "MIG-cccccccc-0000-0000-0000-000000000000"


def test_the_stand_in_has_the_shape_of_the_real_library():
    """So that what is asked of it here can be asked of the installed nvidia-ml-py."""
    for name in dir(FakeNvml):
        if not name.startswith(("nvml", "NVML", "_nvml")) or name == "NVMLError":
            continue
        real, ours = getattr(pynvml, name), getattr(FakeNvml, name)
        if not callable(ours):
            assert name == "_nvmlGetFunctionPointer" or real == ours
            continue
        expected = list(inspect.signature(ours).parameters)[1:]
        if name != "nvmlDeviceGetComputeRunningProcesses":  # wrapped: takes anything
            assert list(inspect.signature(real).parameters)[: len(expected)] == expected, name
    fields = {name for name, _ in pynvml.c_nvmlFieldValue_t._fields_}
    assert fields >= {"nvmlReturn", "valueType", "value", "timestamp"}
    assert dict(pynvml.c_nvmlValue_t._fields_).keys() >= {"uiVal", "ulVal", "ullVal", "sllVal"}
    sample = {name for name, _ in pynvml.c_nvmlProcessUtilizationSample_t._fields_}
    assert sample >= {"pid", "timeStamp", "smUtil"}


@pytest.mark.parametrize(
    ("value_type", "member"),
    [(1, "uiVal"), (2, "ulVal"), (3, "ullVal"), (4, "sllVal")],
)
def test_fields_of_the_real_library_are_decoded_by_their_type(value_type, member):
    answer = pynvml.c_nvmlFieldValue_t(valueType=value_type, timestamp=1_500_000)
    setattr(answer.value, member, 123_456)

    class OneField(FakeNvml):
        def nvmlDeviceGetFieldValues(self, handle, fieldIds):
            return [answer]

    assert field_value(OneField(), None, 191) == (123_456, 1.5)
    answer.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
    assert field_value(OneField(), None, 191) is None
    answer.nvmlReturn, answer.valueType = 0, 0  # a double is no counter
    assert field_value(OneField(), None, 191) is None


def test_errors_of_the_real_library_carry_the_number_that_is_looked_at():
    assert (
        pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED).value == NVMLError("Not Supported").value
    )


def two_boards(**kwargs):
    # The library lists them against the bus order, as it may.
    return FakeNvml(
        Board(B, bus="00000000:65:00.0", **kwargs), Board(A, bus="00000000:17:00.0", **kwargs)
    )


def one_board(tmp_path, *others, clock=None):
    """Return a board used by this process, the meter on it and its fake processes."""
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


def test_every_board_is_a_component_and_none_is_added_to_another():
    clock = HandClock()
    nvml = two_boards()
    meter = NvmlMeter(None, nvml, clock, environ={})
    before = meter.read()
    for board, joules in zip(nvml.boards, (100, 200), strict=True):
        board.energy_mj += 1000 * joules
    clock.time_s += 1.0
    readings = meter.readings_between(before, meter.read())
    assert {reading.component: reading.energy_j for reading in readings} == pytest.approx(
        {f"gpu:{A}": 200.0, f"gpu:{B}": 100.0}
    )


def test_a_board_named_twice_is_read_once():
    """Under DDP every rank of a node sees the same boards: each board's joules count once."""
    meter = NvmlMeter(None, two_boards(), environ={"CUDA_VISIBLE_DEVICES": f"0,{A},GPU-aaaa"})
    assert [reading.component for reading in meter.read()] == [f"gpu:{A}"]


def test_one_board_that_cannot_be_read_does_not_hide_the_others():
    nvml = two_boards()
    nvml.boards[0].mig = 1
    meter = NvmlMeter(None, nvml, environ={})
    known = {reading.component: reading.energy_j for reading in meter.read()}
    assert known[f"gpu:{A}"] == pytest.approx(5000.0)
    assert known[f"gpu:{B}"] is None
    assert B in meter.is_available().reason


def test_the_field_is_read_where_it_is_the_same_counter(tmp_path):
    board, meter, _ = one_board(tmp_path)
    board.has_field = True
    assert meter.read()[0].energy_j == pytest.approx(5000.0)


def test_a_field_in_another_unit_than_the_counter_is_not_believed(tmp_path):
    board = Board(A)

    class Microjoules(FakeNvml):
        def nvmlDeviceGetFieldValues(self, handle, fieldIds):
            (answer,) = super().nvmlDeviceGetFieldValues(handle, fieldIds)
            if answer.nvmlReturn == 0:
                answer.value.ullVal *= 1000
            return [answer]

    board.has_field = True
    assert NvmlMeter([A], Microjoules(board)).read()[0].energy_j == pytest.approx(5000.0)


def test_more_than_twice_the_power_limit_is_a_fault_and_no_joules(tmp_path):
    """A delta that no board can have drawn is a counter gone wrong."""
    clock = HandClock()
    board, meter, _ = one_board(tmp_path, clock=clock)
    before = meter.read()
    board.energy_mj += 20_000_000  # 20 kJ in 10 s at a limit of 700 W
    clock.time_s += 10.0
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.energy_j is None
    assert "power limit of 700 W" in reading.reason


def test_a_window_of_half_a_tick_says_that_it_means_little(tmp_path):
    """Windows under 2 s are noisy and read low: ml-energy/blog, thermally-stable-profiling.md."""
    clock = HandClock()
    board, meter, _ = one_board(tmp_path, clock=clock)
    before = meter.read()
    board.energy_mj += 50_000
    clock.time_s += 0.05
    short = meter.readings_between(before, meter.read())[0]
    clock.time_s += 9.95
    long = meter.readings_between(before, meter.read())[0]
    assert short.relative_uncertainty > 1
    assert long.relative_uncertainty == pytest.approx(0.05 + 0.008)


def test_a_late_tick_in_a_short_window_is_no_fault(tmp_path):
    clock = HandClock()
    board, meter, _ = one_board(tmp_path, clock=clock)
    before = meter.read()
    board.energy_mj += 70_000  # a tick's 70 J within a millisecond
    clock.time_s += 0.001
    assert meter.readings_between(before, meter.read())[0].energy_j == pytest.approx(70.0)


def test_a_counter_that_stands_still_is_unknown_and_not_zero(tmp_path):
    """A board that is on draws power: mlco2/codecarbon#1316 reported 0 kWh."""
    clock = HandClock()
    _, meter, _ = one_board(tmp_path, clock=clock)
    before = meter.read()
    clock.time_s += 6.0
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.energy_j is None
    assert "stood still" in reading.reason


def test_a_board_lost_within_a_window_is_unknown_and_back_it_counts_on(tmp_path):
    clock = HandClock()
    board, meter, _ = one_board(tmp_path, clock=clock)
    before = meter.read()
    board.lost = "GPU is lost"
    lost = meter.read()
    assert meter.readings_between(before, lost)[0].energy_j is None
    assert "GPU is lost" in meter.readings_between(before, lost)[0].reason
    board.lost = None
    board.energy_mj += 50_000
    clock.time_s += 1.0
    assert meter.readings_between(before, meter.read())[0].energy_j == pytest.approx(50.0)


def test_the_other_package_of_the_same_name_is_refused_with_the_way_out():
    """The package pynvml clashes with nvidia-ml-py: both install a module pynvml."""

    class Impostor:
        pass

    availability = NvmlMeter(None, Impostor()).is_available()
    assert not availability.ok
    assert "nvidia-ml-py" in availability.reason


def test_a_superchip_says_that_its_processor_may_be_in_the_counter():
    """zeus 0.16.0 documents the energy of a GH200 as that of the whole superchip."""
    meter = NvmlMeter([A], FakeNvml(Board(A, model="NVIDIA GH200 480GB")))
    assert "processor beside it" in meter.is_available().detail


def test_the_drivers_version_is_told():
    assert NvmlMeter([A], FakeNvml(Board(A))).driver_version() == "580.159.03"
    assert NvmlMeter(None, FakeNvml(has_driver=False)).driver_version() is None
