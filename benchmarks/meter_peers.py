"""The same counters and loads through ecoautoml, Zeus and CodeCarbon, side by side.

    python benchmarks/meter_peers.py --install      # once: an environment of the peers' own
    python benchmarks/meter_peers.py [--out benchmarks/results/meter_peers.json]

Counters are a tree like /sys/class/powercap, driven live by a thread with known watts; all three
read the same files over the same 2 s. Zeus and CodeCarbon are pointed there by their own classes
(`RAPLCPUs` and its folder, `IntelRAPL(rapl_dir=…)`); Zeus's wrap counter runs as it is. Loads are
real processes on this machine. The peers run in an environment of their own, since they must not be
dependencies: nothing of them is imported here.

A cell that is off by more than 2 % of the truth is marked with "!". For Zeus, the "CPUs" it lists
are added up, as its `cpu_energy` is one figure for each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEERS = Path(tempfile.gettempdir()) / "ecoautoml-peers"
PACKAGES = ("zeus==0.16.0", "codecarbon==3.3.2")
SECONDS = 2.0
RANGE_UJ = 65_532_610_987
"""A counter's range as many machines have it, in µJ."""
TOLERANCE = 0.02
WORK = """
import sys, time
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    sum(range(1000))
"""


# --- counters -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A counter: its folder below the control type, its name, its watts and where it starts."""

    folder: str
    name: str
    watts: float
    start_uj: int = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Zones, the watts that are really drawn by the processor, and what is special."""

    title: str
    zones: tuple[Zone, ...]
    truth_w: float | None


def _package(index: int, watts: float, name: str | None = None, **about: Any) -> Zone:
    return Zone(folder=f"intel-rapl:{index}", name=name or f"package-{index}", watts=watts, **about)


CASES = (
    Case(
        title="two packages, a dram and a core zone",
        zones=(
            _package(0, 30.0),
            _package(1, 20.0, start_uj=7_000_000_000),
            Zone(folder="intel-rapl:0:0", name="core", watts=22.0),
            Zone(folder="intel-rapl:0:1", name="dram", watts=4.0),
        ),
        truth_w=50.0,
    ),
    Case(
        title="wrap in the middle of the window",
        zones=(_package(0, 50.0, start_uj=RANGE_UJ - 50_000_000),),
        truth_w=50.0,
    ),
    Case(
        title="wrap 50 ms before the window ends",
        zones=(_package(0, 50.0, start_uj=RANGE_UJ - round(50e6 * (SECONDS - 0.05))),),
        truth_w=50.0,
    ),
    Case(
        title="psys beside the package it contains",
        zones=(_package(0, 38.0), _package(1, 96.0, name="psys")),
        truth_w=38.0,
    ),
    Case(
        title="two dies that mirror one counter",
        zones=(
            _package(0, 68.0, name="package-0-die-0"),
            _package(1, 68.0, name="package-0-die-1"),
        ),
        truth_w=68.0,
    ),
    Case(
        title="one package, seen twice (mmio and MSR)",
        zones=(
            _package(0, 38.0),
            Zone(folder="intel-rapl-mmio:0", name="package-0", watts=38.0),
        ),
        truth_w=38.0,
    ),
)


class LiveCounters:
    """A powercap tree whose counters move all the time, as the kernel's do.

    Args:
        root: Where to make it; ``class`` below it is what /sys/class/powercap is.
        zones: What is in it.
    """

    def __init__(self, root: Path, zones: Sequence[Zone]) -> None:
        self.folder = root / "class"
        self.folder.mkdir(parents=True)
        self._zones = {self._make(root / "devices", zone): zone for zone in zones}
        self._base_s: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _make(self, devices: Path, zone: Zone) -> int:
        kind = zone.folder.split(":")[0]
        parent = ":".join(zone.folder.split(":")[:2])
        path = devices / kind / parent
        if zone.folder != parent:
            path /= zone.folder
        path.mkdir(parents=True)
        for link in (kind, parent, zone.folder):  # the class folder holds links, all side by side
            target = path if link == zone.folder else devices / kind
            with contextlib.suppress(FileExistsError):
                (self.folder / link).symlink_to(target)
        (path / "name").write_text(f"{zone.name}\n")
        (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        descriptor = os.open(path / "energy_uj", os.O_RDWR | os.O_CREAT)
        os.pwrite(descriptor, b"%015d\n" % zone.start_uj, 0)
        return descriptor

    def __enter__(self) -> LiveCounters:
        self._thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._stop.set()
        self._thread.join()
        for descriptor in self._zones:
            os.close(descriptor)

    def go(self) -> None:
        """Let the counters begin to move away from where they start."""
        self._base_s = time.monotonic()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            elapsed_s = 0.0 if self._base_s is None else time.monotonic() - self._base_s
            for descriptor, zone in self._zones.items():
                value_uj = (zone.start_uj + round(1e6 * zone.watts * elapsed_s)) % RANGE_UJ
                os.pwrite(descriptor, b"%015d\n" % value_uj, 0)


# --- peers, in their own environment --------------------------------------------------------------


def as_peer(name: str, folder: str, load: str | None) -> None:
    """Be one of the peers: open and close a window around a load, or as standard input says."""
    begin, end = PEER[name](folder)
    print("ready", flush=True)
    sys.stdin.readline()
    begin()
    print("begun", flush=True)
    cpu_s = None
    if load is None:
        sys.stdin.readline()
    else:
        cpu_s = LOADS[load]()  # as its own children: it may track those only
    print(json.dumps({"found": end(), "cpu_s": cpu_s}), flush=True)


Window = tuple[Callable[[], None], Callable[[], Any]]


def zeus_counters(folder: str) -> Window:
    import zeus.device.cpu.rapl as rapl

    rapl.RAPL_DIR = f"{folder}/intel-rapl"
    rapl.rapl_is_available.cache_clear()
    cpus = rapl.RAPLCPUs().cpus
    before: list[float] = []

    def read() -> list[float]:
        return [_zeus_cpu_mj(cpu) / 1e3 for cpu in cpus]

    return (
        lambda: before.extend(read()),
        lambda: sum(after - first for first, after in zip(before, read(), strict=True)),
    )


def _zeus_cpu_mj(cpu: Any) -> float:
    # 0.16 renamed its methods; the older name is kept for whoever runs it on an older one
    read = getattr(cpu, "get_total_energy_consumption", None) or cpu.getTotalEnergyConsumption
    return float(read().cpu_mj)


def zeus_monitor(folder: str) -> Window:
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor()

    def end() -> dict[str, Any]:
        found = monitor.end_window("window", sync_execution=False)
        cpu = getattr(found, "cpu_energy", None)
        return {"total": found.total_energy, "cpu": cpu and sum(cpu.values())}

    return lambda: monitor.begin_window("window", sync_execution=False), end


def codecarbon_counters(folder: str) -> Window:
    from codecarbon.core.cpu import IntelRAPL
    from codecarbon.core.units import Time

    counters = IntelRAPL(rapl_dir=folder)
    started: list[float] = []

    def begin() -> None:
        started.append(time.monotonic())
        counters.start()

    def end() -> float:
        details = counters.get_cpu_details(Time.from_seconds(time.monotonic() - started[0]))
        return 3.6e6 * sum(kwh for name, kwh in details.items() if "Power" not in name)

    return begin, end


def codecarbon_tracker(mode: str) -> Callable[[str], Window]:
    def make(folder: str) -> Window:
        from codecarbon import OfflineEmissionsTracker

        tracker = OfflineEmissionsTracker(
            country_iso_code="USA",
            tracking_mode=mode,
            measure_power_secs=1,
            save_to_file=False,
            save_to_api=False,
            allow_multiple_runs=True,
            log_level="critical",
        )

        def end() -> dict[str, float]:
            tracker.stop()
            data = tracker.final_emissions_data
            return {"cpu": 3.6e6 * data.cpu_energy, "ram": 3.6e6 * data.ram_energy}

        return tracker.start, end

    return make


PEER: Mapping[str, Callable[[str], Window]] = {
    "zeus counters": zeus_counters,
    "zeus": zeus_monitor,
    "codecarbon counters": codecarbon_counters,
    "codecarbon machine": codecarbon_tracker("machine"),
    "codecarbon process": codecarbon_tracker("process"),
}


class Peer:
    """A peer at work in its environment.

    Args:
        name: Which.
        folder: The counters' folder.
        load: A load it is to run itself; None: the window is opened and closed by words.
    """

    def __init__(self, name: str, folder: Path, load: str | None = None) -> None:
        self.name = name
        arguments = ["--peer", name, "--folder", str(folder)]
        self._process = subprocess.Popen(
            [str(PEERS / "bin" / "python"), str(Path(__file__).resolve()), *arguments]
            + (["--load", load] if load else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PEERS,
        )

    def wait(self, word: str) -> None:
        """Wait until it says so; libraries may print before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return
        errors = self._process.communicate()[1].strip().splitlines()
        raise RuntimeError(f"{self.name}: {errors[-1] if errors else 'it ended'}")

    def say(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Return what it found, once it has ended."""
        output, errors = self._process.communicate()
        lines = [line for line in output.splitlines() if line.startswith('{"found"')]
        if not lines:
            raise RuntimeError(f"{self.name}: {errors.strip().splitlines()[-1:]}")
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer


# --- loads ----------------------------------------------------------------------------------------


def _children(count: int, seconds: float) -> float:
    """Run children one after the other; return the CPU seconds the kernel counted for them."""
    before = os.times()
    for _ in range(count):
        subprocess.run([sys.executable, "-c", WORK, str(seconds)], check=True)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def _nothing() -> float:
    time.sleep(4.0)
    return 0.0


LOADS: Mapping[str, Callable[[], float]] = {
    "nothing, for 4 s": _nothing,
    "one child, busy for 4 s": lambda: _children(1, 4.0),
    "40 children, 0.1 s each": lambda: _children(40, 0.1),
}


# --- side by side ---------------------------------------------------------------------------------


def compare_counters(case: Case, folder: Path) -> dict[str, Any]:
    """Return the joules each says for the same two seconds, and the truth."""
    from ecoautoml.energy.base import Scope
    from ecoautoml.energy.cpu.rapl import RaplMeter

    with LiveCounters(folder, case.zones) as counters:
        names = ("zeus counters", "codecarbon counters")
        peers = [Peer(name, counters.folder) for name in names]
        for peer in peers:
            peer.wait("ready")
        ours = RaplMeter(counters.folder, scope=Scope.DEVICE)
        counters.go()  # now that everybody is there
        for peer in peers:
            peer.say()
        started_s, before = time.monotonic(), ours.read()
        for peer in peers:
            peer.wait("begun")
        time.sleep(max(started_s + SECONDS - time.monotonic(), 0.0))
        elapsed_s, after = time.monotonic() - started_s, ours.read()
        for peer in peers:
            peer.say()
        joules = {one.component: one.energy_j for one in ours.readings_between(before, after)}
        ours.close()
        found = {peer.name: peer.result()["found"] for peer in peers}
    return {
        "truth_j": None if case.truth_w is None else case.truth_w * elapsed_s,
        "ours_j": joules.get("cpu"),
        "zeus_j": found["zeus counters"],
        "codecarbon_j": found["codecarbon counters"],
    }


def compare_loads(load: str, folder: Path) -> dict[str, Any]:
    """Return what each says of a load on this machine; everybody runs it once, in turn."""
    from ecoautoml.energy.cpu.rapl import RaplMeter
    from ecoautoml.measuring import measure

    with measure("cpu") as bill:
        cpu_s = LOADS[load]()
    counter = RaplMeter()
    found: dict[str, Any] = {
        "ours_cpu_s": cpu_s,
        "ours_j": bill.energy_j,
        "ours_provenance": bill.provenance,
        "ours_has_counter": counter.is_available().ok,
    }
    counter.close()
    for name in ("zeus", "codecarbon machine", "codecarbon process"):
        peer = Peer(name, folder, load)
        peer.wait("ready")
        peer.say()
        found[name] = peer.result()
    return found


# --- printing -------------------------------------------------------------------------------------


def cell(joules: float | None, truth_j: float | None) -> str:
    if joules is None:
        return "unknown"
    is_off = truth_j is None or abs(joules - truth_j) > TOLERANCE * abs(truth_j)
    return f"{joules:.1f}{' !' if is_off else '  '}"


def print_counters(results: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"{'counters, for 2 s':<42}{'truth J':>10}{'ours':>12}{'Zeus':>12}{'CodeCarbon':>14}")
    for title, row in results.items():
        cells = [cell(row[f"{who}_j"], row["truth_j"]) for who in ("ours", "zeus", "codecarbon")]
        print(f"{title:<42}{row['truth_j']:>8.1f}  {cells[0]:>12}{cells[1]:>12}{cells[2]:>14}")


def print_loads(results: Mapping[str, Mapping[str, Any]]) -> None:
    print(
        f"\n{'loads on this machine':<28}{'CPU s':>7}{'ours J':>12}{'Zeus total':>12}"
        f"{'Zeus cpu':>10}{'CodeCarbon machine':>24}{'process':>20}"
    )
    for title, row in results.items():
        zeus = row["zeus"]["found"]
        mark = "" if row["ours_provenance"] == "measured" else "~"
        parts = [
            f"{each['cpu']:.2f} + {each['ram']:.0f} RAM"
            for each in (row[f"codecarbon {mode}"]["found"] for mode in ("machine", "process"))
        ]
        print(
            f"{title:<28}{row['ours_cpu_s']:>7.2f}{mark + format(row['ours_j'], '.2f'):>12}"
            f"{zeus['total']:>12}{zeus['cpu']!s:>10}{parts[0]:>24}{parts[1]:>20}"
        )
    one, many = (results[name] for name in list(results)[1:])
    ours = [row["ours_j"] / row["ours_cpu_s"] for row in (many, one)]
    theirs = [_process_cpu_w(row) for row in (many, one)]
    print(
        "A CPU second in 40 children against one in a single child: ours "
        f"{ours[0] / ours[1]:.3f} times the joules, CodeCarbon process "
        f"{theirs[0] / theirs[1]:.3f} times (its processor's part)"
    )


def _process_cpu_w(row: Mapping[str, Any]) -> float:
    """Return CodeCarbon's joules of the processor per CPU second of the load it ran."""
    peer = row["codecarbon process"]
    return float(peer["found"]["cpu"]) / float(peer["cpu_s"])


# --- all of it ------------------------------------------------------------------------------------


def install() -> None:
    subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES]
    subprocess.run(pip, check=True)


def versions() -> dict[str, str]:
    code = (
        "import json; from importlib.metadata import version as v; "
        "print(json.dumps({n: v(n) for n in ('zeus', 'codecarbon')}))"
    )
    done = subprocess.run(
        [str(PEERS / "bin" / "python"), "-c", code], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"the peers are not installed in {PEERS}; run this with --install")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install the peers first")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/meter_peers.json")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        as_peer(options.peer, options.folder, options.load)
        return
    if options.install:
        install()
    if not (PEERS / "bin" / "python").exists():
        sys.exit(f"the peers are not installed in {PEERS}; run this with --install")
    compare(versions(), options.out)


def compare(peers: Mapping[str, str], out: Path) -> None:
    from ecoautoml.study.environment import environment

    about = environment("cpu", (), 0)
    about.pop("git_commit")
    hardware = about["hardware"]
    print(f"{hardware['processor']}, {hardware['cores']} cores, {hardware['system']}")
    print(", ".join(f"{name} {version}" for name, version in peers.items()))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        counters = {
            case.title: compare_counters(case, folder / str(index))
            for index, case in enumerate(CASES)
        }
        print_counters(counters)
        loads = {load: compare_loads(load, folder) for load in LOADS}
        print_loads(loads)
    tree = {"environment": about, "peers": peers, "counters": counters, "loads": loads}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(tree, indent=2) + "\n")


if __name__ == "__main__":
    main()
