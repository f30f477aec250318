"""A stand-in for the GPU vendor's library, and boards whose counters tick on a virtual clock."""

import bisect
import os
import random
from types import SimpleNamespace

from ecoautoml.energy.clock import Clock

NOT_SUPPORTED, NOT_FOUND, LOST = 3, 6, 15


class NVMLError(Exception):
    """What the vendor library raises."""

    def __init__(self, message, value=LOST):
        super().__init__(message)
        self.value = NOT_SUPPORTED if message == "Not Supported" else value


class FakeNvml:
    """The vendor's library, with boards made for a test.

    With a clock, every read of a counter or of a power takes ``latency_s`` of it.
    """

    NVMLError = NVMLError
    NVML_SUCCESS = 0
    NVML_ERROR_NOT_SUPPORTED = NOT_SUPPORTED
    NVML_GPU_VIRTUALIZATION_MODE_VGPU = 2
    NVML_FI_DEV_POWER_AVERAGE = 185
    NVML_FI_DEV_POWER_INSTANT = 186
    NVML_FI_DEV_ENERGY = 191
    NVML_POWER_SCOPE_GPU = 0
    NVML_VALUE_TYPE_UNSIGNED_INT = 1
    NVML_VALUE_TYPE_UNSIGNED_LONG = 2
    NVML_VALUE_TYPE_UNSIGNED_LONG_LONG = 3
    NVML_VALUE_TYPE_SIGNED_LONG_LONG = 4
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    _nvmlGetFunctionPointer = None

    def __init__(self, *boards, has_driver=True, clock=None, latency_s=0.0):
        self.boards = list(boards)
        self.has_driver = has_driver
        self.open_count = 0
        self.counter_reads = 0
        self._clock, self._latency_s = clock, latency_s

    def nvmlInit(self):
        if not self.has_driver:
            raise NVMLError("NVML Shared Library Not Found")
        self.open_count += 1

    def nvmlShutdown(self):
        if self.open_count == 0:
            raise NVMLError("Uninitialized")
        self.open_count -= 1

    def nvmlSystemGetDriverVersion(self):
        return "580.159.03"

    def nvmlDeviceGetCount(self):
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.boards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        for board in self.boards:
            if board.uuid == uuid:
                return board
        raise NVMLError("Not Found", NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle):
        return handle.uuid

    def nvmlDeviceGetName(self, handle):
        return handle.model

    def nvmlDeviceGetPciInfo(self, handle):
        return SimpleNamespace(busId=handle.bus)

    def nvmlDeviceGetVirtualizationMode(self, handle):
        return 2 if handle.is_virtual else 0

    def nvmlDeviceGetMigMode(self, device):
        if device.mig is None:
            raise NVMLError("Not Supported")
        return [device.mig, device.mig]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self._take_time(handle)
        if not handle.has_counter:
            raise NVMLError("Not Supported")
        return handle.energy_mj

    def nvmlDeviceGetFieldValues(self, handle, fieldIds):
        self._take_time(handle)
        return [self._field(handle, field) for field, _scope in fieldIds]

    def nvmlDeviceGetPowerUsage(self, handle):
        self._take_time(handle)
        return self._told(handle.usage_mw)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._told(handle.limit_mw)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._told(handle.temperature_c)

    def nvmlDeviceGetClockInfo(self, handle, type):
        return {self.NVML_CLOCK_SM: handle.sm_mhz, self.NVML_CLOCK_MEM: 3201}[type]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        if not handle.knows_event_reasons:
            raise NVMLError("Function Not Found", 13)
        return handle.event_reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return handle.event_reasons

    def nvmlDeviceGetPerformanceState(self, handle):
        return handle.performance_state

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        if handle.pids is None:
            raise NVMLError("Not Supported")
        return [SimpleNamespace(pid=pid) for pid in handle.pids]

    def nvmlDeviceGetProcessUtilization(self, handle, timeStamp):
        if handle.samples is None:
            raise NVMLError("Not Supported")
        found = [sample for sample in handle.samples if sample.timeStamp > timeStamp]
        if not found:
            raise NVMLError("Not Found", NOT_FOUND)
        return found

    def _take_time(self, board):
        self.counter_reads += 1
        if self._clock is not None:
            self._clock.pass_by(self._latency_s)
        if board.lost is not None:
            raise NVMLError(board.lost)

    def _field(self, board, field):
        energy_mj = board.energy_mj if board.has_field else None
        number, value_type, value = {
            self.NVML_FI_DEV_ENERGY: ("ullVal", 3, energy_mj),
            self.NVML_FI_DEV_POWER_INSTANT: ("uiVal", 1, board.instant_mw),
            self.NVML_FI_DEV_POWER_AVERAGE: ("uiVal", 1, board.average_mw),
        }[field]
        return SimpleNamespace(
            nvmlReturn=NOT_SUPPORTED if value is None else 0,
            valueType=value_type,
            value=SimpleNamespace(**{number: value}),
            timestamp=board.stamp_us,
        )

    def _told(self, value):
        if value is None:
            raise NVMLError("Not Supported")
        return value


class Board:
    """One board of the fake library, moved by hand."""

    def __init__(self, uuid, model="NVIDIA H200", bus="00000000:01:00.0", energy_mj=5_000_000):
        self.uuid, self.model, self.bus, self.energy_mj = uuid, model, bus, energy_mj
        self.is_virtual, self.mig, self.lost = False, None, None
        self.has_counter, self.has_field = True, False
        self.instant_mw = self.average_mw = self.usage_mw = None
        self.stamp_us = 0
        self.limit_mw, self.temperature_c, self.sm_mhz = 700_000, 40, 1980
        self.event_reasons, self.knows_event_reasons, self.performance_state = 0, True, 0
        self.pids = [os.getpid()]
        self.samples = None

    def sample(self, time_us, **utilisation):
        """Add utilisation samples, p900=30 for 30 % of process 900."""
        self.samples = self.samples or []
        for name, percent in utilisation.items():
            pid = int(name.removeprefix("p"))
            self.samples.append(SimpleNamespace(pid=pid, timeStamp=time_us, smUtil=percent))


class VirtualClock(Clock):
    """A clock on which only calls, reads and waiting take time."""

    def __init__(self, time_s=1000.0):
        self.time_s = time_s
        self.waits = []

    def now(self):
        return self.time_s

    def wait(self, seconds):
        self.waits.append(seconds)
        self.pass_by(seconds)

    def pass_by(self, seconds):
        self.time_s += seconds


class Power:
    """Watts over time: idle, but for the loads that ran, one after the other."""

    def __init__(self, idle_w=75.0):
        self.idle_w = idle_w
        self._starts_s, self._excess_w, self._before_j = [], [], []
        self._end_s, self._sum_j = 0.0, 0.0

    def run(self, start_s, end_s, power_w):
        """Add a load that drew so many watts in all from one time to the other."""
        assert start_s >= self._end_s - 1e-9
        self._starts_s += [start_s, end_s]
        self._excess_w += [power_w - self.idle_w, 0.0]
        self._before_j.append(self._sum_j)
        self._sum_j += (power_w - self.idle_w) * (end_s - start_s)
        self._before_j.append(self._sum_j)
        self._end_s = end_s

    def joules(self, time_s):
        """Return the joules drawn from time 0 until then."""
        index = bisect.bisect_right(self._starts_s, time_s) - 1
        if index < 0:
            return self.idle_w * time_s
        since_s = time_s - self._starts_s[index]
        return self.idle_w * time_s + self._before_j[index] + self._excess_w[index] * since_s

    def watts(self, time_s):
        """Return the watts drawn at that time."""
        index = bisect.bisect_right(self._starts_s, time_s) - 1
        return self.idle_w + (self._excess_w[index] if index >= 0 else 0.0)


class TickingBoard(Board):
    """A board whose counter moves every tick, by what its sensor saw of the time since.

    Args:
        clock: The virtual clock.
        tick_s: Seconds between two moves.
        seen_s: Seconds of each tick, its last, that the sensor averages over; None: all.
        jitter_s: Moves come up to so much late.
    """

    def __init__(self, clock, uuid="GPU-a", *, tick_s=0.1, seen_s=None, jitter_s=0.0, **kwargs):
        self.clock, self.tick_s, self.power = clock, tick_s, Power()
        self._seen_s = tick_s if seen_s is None else seen_s
        self._jitter_s, self._random = jitter_s, random.Random(7)
        self._moved_s, self._due_s, self._late_s = clock.now(), clock.now() + tick_s, 0.0
        self._counted_j = 5000.0
        super().__init__(uuid, **kwargs)

    @property
    def energy_mj(self):
        while self.clock.now() >= self._due_s + self._late_s:
            seen_j = self.power.joules(self._due_s) - self.power.joules(self._due_s - self._seen_s)
            self._counted_j += seen_j * self.tick_s / self._seen_s
            self._moved_s = self._due_s + self._late_s
            self._due_s += self.tick_s
            self._late_s = self._random.uniform(0.0, self._jitter_s)
        return round(self._counted_j * 1000)

    @energy_mj.setter
    def energy_mj(self, value):
        pass  # this counter counts by itself

    @property
    def stamp_us(self):
        return round(self._moved_s * 1e6)

    @stamp_us.setter
    def stamp_us(self, value):
        pass

    def run(self, duration_s, power_w):
        """Draw so many watts for so long, beginning now."""
        start_s = self.clock.now()
        self.clock.pass_by(duration_s)
        self.power.run(start_s, self.clock.now(), power_w)
