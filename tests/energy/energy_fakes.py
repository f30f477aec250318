"""Stand-ins for what meters read: sysfs trees, process files, a vendor library, a clock."""

import os
from pathlib import Path

from nvml_fakes import Board, FakeNvml, NVMLError

from ecoautoml.energy.clock import Clock

__all__ = [
    "Board",
    "FakeNvml",
    "FakePerf",
    "FakePowercap",
    "FakeProc",
    "HandClock",
    "NVMLError",
]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def write_whole(path, text):
    """Write a file so that whoever reads it meanwhile sees the old text or the new one."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(text)
    unfinished.replace(path)


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
        write_whole(self.root / folder / "energy_uj", f"{energy_uj}\n")

    def add(self, folder, energy_uj):
        path = self.root / folder / "energy_uj"
        write_whole(path, f"{int(path.read_text()) + energy_uj}\n")

    def refuse(self, folder):
        """Make the counter unreadable, for an administrator too: a folder cannot be read."""
        path = self.root / folder / "energy_uj"
        path.unlink()
        path.mkdir()


class FakePerf:
    """A tree like /sys/bus/event_source/devices/power, and the counters behind it."""

    UNIT_J = 2.0**-32

    def __init__(self, root: Path, cpumask="0"):
        self.root = root
        (root / "events").mkdir(parents=True)
        (root / "type").write_text("23\n")
        (root / "cpumask").write_text(f"{cpumask}\n")
        self.codes, self.counts, self.opened = {}, {}, []
        self.refused = self.lost = None

    def event(self, name, code, unit="Joules"):
        self.codes[name] = code
        (self.root / "events" / name).write_text(f"event=0x{code:02x}\n")
        (self.root / "events" / f"{name}.scale").write_text("2.3283064365386962890625e-10\n")
        (self.root / "events" / f"{name}.unit").write_text(f"{unit}\n")

    def add(self, name, energy_j, cpu=0):
        key = (self.codes[name], cpu)
        self.counts[key] = self.counts.get(key, 0) + round(energy_j / self.UNIT_J)

    def open_counter(self, pmu, config, cpu):
        if self.refused is not None:
            raise self.refused
        assert pmu == 23
        counter = FakePerfCounter(self, (config, cpu))
        self.opened.append(counter)
        return counter


class FakePerfCounter:
    """One open event of the fake tree."""

    def __init__(self, perf, key):
        self.perf, self.key, self.is_closed = perf, key, False

    def read(self):
        assert not self.is_closed
        if self.perf.lost is not None:
            raise self.perf.lost
        return self.perf.counts.get(self.key, 0)

    def close(self):
        assert not self.is_closed
        self.is_closed = True


class FakeProc:
    """A tree like /proc, with the machine's busy time and some processes."""

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True)
        self.machine(busy_s=1000.0)

    def machine(self, busy_s):
        user = round(busy_s * TICKS_PER_S)
        # user nice system idle iowait irq softirq steal guest guest_nice
        write_whole(self.root / "stat", f"cpu  {user} 0 0 99999 88888 0 0 77777 66 0\ncpu0 0\n")

    def sgx(self):
        (self.root / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu vme sgx avx2\n")

    def paranoid(self, level):
        (self.root / "sys/kernel").mkdir(parents=True)
        (self.root / "sys/kernel/perf_event_paranoid").write_text(f"{level}\n")

    def process(self, pid, parent=1, own_s=0.0, children_s=0.0, started=5):
        fields = ["S", str(parent), *["0"] * 9, str(round(own_s * TICKS_PER_S)), "0"]
        fields += [str(round(children_s * TICKS_PER_S)), "0", *["0"] * 4, str(started), "0"]
        (self.root / str(pid)).mkdir(exist_ok=True)
        write_whole(self.root / str(pid) / "stat", f"{pid} (a (b) c) {' '.join(fields)}\n")

    def end(self, pid):
        (self.root / str(pid) / "stat").unlink()
        (self.root / str(pid)).rmdir()
