"""Stand-ins for what meters read: a sysfs tree, process files, a vendor library, a clock."""

import os
from pathlib import Path
from types import SimpleNamespace

from ecoautoml.energy.clock import Clock

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class HandClock(Clock):
    """A clock moved by hand."""

    def __init__(self):
        self.time_s = 100.0

    def now(self):
        return self.time_s


class FakePowercap:
    """A tree like /sys/class/powercap."""

    def __init__(self, root: Path):
        self.root = root
        (root / "intel-rapl").mkdir(parents=True)  # the control type: a folder without a name

    def zone(self, folder, name, energy_uj, range_uj=262_143_328_850, limit_w=None):
        path = self.root / folder
        path.mkdir()
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        if limit_w is not None:
            (path / "constraint_0_power_limit_uw").write_text(f"{limit_w * 1_000_000}\n")
        self.set(folder, energy_uj)

    def set(self, folder, energy_uj):
        (self.root / folder / "energy_uj").write_text(f"{energy_uj}\n")

    def add(self, folder, energy_uj):
        path = self.root / folder / "energy_uj"
        path.write_text(f"{int(path.read_text()) + energy_uj}\n")

    def refuse(self, folder):
        """Make the counter unreadable, for an administrator too: a folder cannot be read."""
        path = self.root / folder / "energy_uj"
        path.unlink()
        path.mkdir()


class FakeProc:
    """A tree like /proc, with the machine's busy time and some processes."""

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True)
        self.machine(busy_s=1000.0)

    def machine(self, busy_s):
        user = round(busy_s * TICKS_PER_S)
        # user nice system idle iowait irq softirq steal guest guest_nice
        (self.root / "stat").write_text(f"cpu  {user} 0 0 99999 88888 0 0 77777 66 0\ncpu0 0\n")

    def process(self, pid, parent=1, own_s=0.0, children_s=0.0, started=5):
        fields = ["S", str(parent), *["0"] * 9, str(round(own_s * TICKS_PER_S)), "0"]
        fields += [str(round(children_s * TICKS_PER_S)), "0", *["0"] * 4, str(started), "0"]
        (self.root / str(pid)).mkdir(exist_ok=True)
        (self.root / str(pid) / "stat").write_text(f"{pid} (a (b) c) {' '.join(fields)}\n")

    def end(self, pid):
        (self.root / str(pid) / "stat").unlink()
        (self.root / str(pid)).rmdir()


class NVMLError(Exception):
    """What the vendor library raises."""


class FakeNvml:
    """The vendor's library, with boards made for a test."""

    NVMLError = NVMLError
    NVML_GPU_VIRTUALIZATION_MODE_VGPU = 2

    def __init__(self, *boards, has_driver=True):
        self.boards = list(boards)
        self.has_driver = has_driver
        self.open_count = 0

    def nvmlInit(self):
        if not self.has_driver:
            raise NVMLError("NVML Shared Library Not Found")
        self.open_count += 1

    def nvmlShutdown(self):
        if self.open_count == 0:
            raise NVMLError("Uninitialized")
        self.open_count -= 1

    def nvmlDeviceGetCount(self):
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.boards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        for board in self.boards:
            if board.uuid == uuid:
                return board
        raise NVMLError("Not Found")

    def nvmlDeviceGetUUID(self, board):
        return board.uuid

    def nvmlDeviceGetName(self, board):
        return board.model

    def nvmlDeviceGetPciInfo(self, board):
        return SimpleNamespace(busId=board.bus)

    def nvmlDeviceGetVirtualizationMode(self, board):
        return 2 if board.is_virtual else 0

    def nvmlDeviceGetMigMode(self, board):
        if board.mig is None:
            raise NVMLError("Not Supported")
        return [board.mig, board.mig]

    def nvmlDeviceGetTotalEnergyConsumption(self, board):
        if board.lost is not None:
            raise NVMLError(board.lost)
        return board.energy_mj

    def nvmlDeviceGetComputeRunningProcesses(self, board):
        return [SimpleNamespace(pid=pid) for pid in board.pids]


class Board:
    """One board of the fake library."""

    def __init__(self, uuid, model="NVIDIA H200", bus="00000000:01:00.0", energy_mj=5_000_000):
        self.uuid, self.model, self.bus, self.energy_mj = uuid, model, bus, energy_mj
        self.is_virtual, self.mig, self.lost = False, None, None
        self.pids = [os.getpid()]
