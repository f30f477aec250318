"""Whose joules a board's are when several processes compute on it."""

import itertools
import os

import pytest
from energy_fakes import Board, FakeNvml, FakeProc, HandClock

from ecoautoml.energy.base import Scope
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.gpu.board_shares import BY_NUMBER, BY_UTILISATION, Users, share_of
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.records.energy_reading import Provenance

OWN = os.getpid()
CERTAIN = 0.05 + 0.8 * 0.1 / 1.0
"""Uncertainty of the whole board's joules over a second: its gain, and 0.8 ticks at the edges."""


class Shared:
    """A board, the processes of a machine, and meters of several scopes on it."""

    def __init__(self, tmp_path, *, listed=(OWN,), running=()):
        self.clock = HandClock()
        self.proc = FakeProc(tmp_path / "proc")
        self.proc.process(OWN)
        for pid in running:
            self.proc.process(pid)
        self.board = Board("GPU-a")
        self.board.pids, self.board.samples = list(listed), []
        self.nvml = FakeNvml(self.board)

    def meter(self, scope=Scope.TREE):
        tree = ProcessTree(self.proc.root)
        return NvmlMeter(["GPU-a"], self.nvml, self.clock, tree=tree, scope=scope)

    def spend(self, joules, seconds=1.0, **utilisation):
        self.board.energy_mj += round(1000 * joules)
        self.clock.time_s += seconds
        if utilisation:
            self.board.sample(round(self.clock.time_s * 1e6), **utilisation)


def between(meter, before, after):
    (reading,) = meter.readings_between(before, after)
    return reading


def test_a_foreign_process_makes_it_a_share_by_number_when_nothing_else_is_told(tmp_path):
    """The counter is the board's: kepler, docs/developer/design/architecture."""
    shared = Shared(tmp_path)
    meter = shared.meter()
    before = meter.read()
    for pid in (900, 901):
        shared.proc.process(pid)
        shared.board.pids.append(pid)
    shared.spend(900)
    reading = between(meter, before, meter.read())
    assert reading.provenance is Provenance.ATTRIBUTED
    assert reading.energy_j == pytest.approx(300.0)
    assert reading.idle_share == pytest.approx(1 / 3)
    assert reading.relative_uncertainty == pytest.approx(CERTAIN + BY_NUMBER)


def test_a_foreign_process_that_has_ended_by_then_still_makes_it_a_share(tmp_path):
    shared = Shared(tmp_path, listed=(OWN, 900), running=(900,))
    meter = shared.meter()
    before = meter.read()
    shared.board.pids = [OWN]
    shared.spend(100)
    reading = between(meter, before, meter.read())
    assert reading.provenance is Provenance.ATTRIBUTED
    assert reading.energy_j == pytest.approx(50.0)


def test_utilisation_decides_where_the_driver_samples_it(tmp_path):
    shared = Shared(tmp_path, listed=(OWN, 900), running=(900,))
    shared.board.sample(1, **{f"p{OWN}": 1})  # before the window: not of it
    meter = shared.meter()
    before = meter.read()
    shared.spend(100, **{f"p{OWN}": 75, "p900": 25})
    reading = between(meter, before, meter.read())
    assert reading.energy_j == pytest.approx(75.0)
    assert reading.idle_share == pytest.approx(0.75)
    assert reading.relative_uncertainty == pytest.approx(CERTAIN + BY_UTILISATION)


def test_between_two_samples_shares_stay_as_they_were_and_are_given_up_when_stale(tmp_path):
    """The driver samples a few times a second, and reads come more often near a counter's move."""
    shared = Shared(tmp_path, listed=(OWN, 900), running=(900,))
    meter = shared.meter()
    meter.read()
    shared.spend(100, 0.2, **{f"p{OWN}": 80, "p900": 20})
    before = meter.read()
    for _ in range(5):
        shared.spend(10, 0.1)
        after = meter.read()
    assert between(meter, before, after).energy_j == pytest.approx(40.0)
    shared.spend(10, 3.0)
    assert between(meter, after, meter.read()).energy_j == pytest.approx(5.0)


def test_windows_add_up_though_shares_change_within_them(tmp_path):
    shared = Shared(tmp_path, listed=(OWN, 900), running=(900,))
    meter = shared.meter()
    reads = [meter.read()]
    for joules, seconds, own in [(100, 1.0, 80), (400, 2.0, 10), (50, 0.5, 100)]:
        shared.spend(joules, seconds, **{f"p{OWN}": own, "p900": 100 - own})
        reads.append(meter.read())
    parts = [between(meter, *pair) for pair in itertools.pairwise(reads)]
    whole = between(meter, reads[0], reads[-1])
    assert whole.energy_j == pytest.approx(80 + 40 + 50)
    assert sum(part.energy_j for part in parts) == pytest.approx(whole.energy_j)
    idle_w = {"gpu:GPU-a": 75.0}
    assert sum(part.net_j(idle_w) for part in parts) == pytest.approx(whole.net_j(idle_w))


def test_trees_the_own_process_and_the_others_add_up_to_the_device(tmp_path):
    """Two workers, the process that started them, and a stranger: nothing twice, nothing lost."""
    listed = (OWN, 43, 44, 900)
    shared = Shared(tmp_path, listed=listed, running=(900,))
    shared.proc.process(43, parent=OWN)
    shared.proc.process(44, parent=OWN)
    workers, main = shared.meter(), shared.meter(Scope.PROCESS)
    others, device = shared.meter(Scope.OTHERS), shared.meter(Scope.DEVICE)
    asked = [(workers, 43), (workers, 44), (main, None), (others, None), (device, None)]
    before = [meter.read(pid) for meter, pid in asked]
    for step in range(4):
        weights = {f"p{pid}": 10 + 7 * step + 3 * index for index, pid in enumerate(listed)}
        shared.spend(100 + 50 * step, 0.5 + step, **weights)
        after = [meter.read(pid) for meter, pid in asked]
    found = [between(meter, *ends) for (meter, _), *ends in zip(asked, before, after, strict=True)]
    *parts, whole = found
    assert whole.energy_j == pytest.approx(700.0)
    assert whole.provenance is Provenance.MEASURED
    assert all(part.provenance is Provenance.ATTRIBUTED for part in parts)
    assert sum(part.energy_j for part in parts) == pytest.approx(700.0)
    assert sum(part.idle_share for part in parts) == pytest.approx(1.0)
    idle_w = {"gpu:GPU-a": 75.0}
    net_j = sum(part.net_j(idle_w) for part in parts)
    assert net_j + 75.0 * whole.duration_s == pytest.approx(700.0)


def test_alone_all_is_ours_and_nothing_is_the_others_or_the_main_processs(tmp_path):
    shared = Shared(tmp_path, listed=(43,))
    shared.proc.process(43, parent=OWN)
    scopes = [Scope.TREE, Scope.PROCESS, Scope.OTHERS, Scope.DEVICE]
    meters = [shared.meter(scope) for scope in scopes]
    before = [meter.read() for meter in meters]
    shared.spend(100, p43=90)
    found = [
        between(meter, start, meter.read()) for meter, start in zip(meters, before, strict=True)
    ]
    assert [reading.energy_j for reading in found] == pytest.approx([100.0, 0.0, 0.0, 100.0])
    assert [reading.idle_share for reading in found] == pytest.approx([1.0, 0.0, 0.0, 1.0])
    assert found[0].provenance is Provenance.MEASURED


def test_a_meter_of_the_whole_board_still_says_how_many_use_it(tmp_path):
    """Idle power that was read while somebody worked is none: kepler's docs on idle power."""
    shared = Shared(tmp_path, listed=(OWN,), running=(900,))
    device = shared.meter(Scope.DEVICE)
    assert device.read()[0].sharers == 1
    shared.board.pids = [OWN, 900]
    assert device.read()[0].sharers == 2


def test_a_board_nobody_computes_on_is_the_askers(tmp_path):
    """A candidate that leaves its GPU idle still pays for it."""
    shared = Shared(tmp_path, listed=())
    tree, others = shared.meter(), shared.meter(Scope.OTHERS)
    before = tree.read(), others.read()
    shared.spend(75)
    assert between(tree, before[0], tree.read()).energy_j == pytest.approx(75.0)
    assert between(others, before[1], others.read()).energy_j == 0.0


def test_where_processes_are_not_listed_all_is_ours_but_not_measured(tmp_path):
    shared = Shared(tmp_path)
    shared.board.pids = None
    tree, others = shared.meter(), shared.meter(Scope.OTHERS)
    before = tree.read(), others.read()
    shared.spend(75)
    reading = between(tree, before[0], tree.read())
    assert reading.energy_j == pytest.approx(75.0)
    assert reading.provenance is Provenance.ATTRIBUTED
    assert reading.relative_uncertainty > 1
    unknown = between(others, before[1], others.read())
    assert unknown.energy_j is None
    assert "cannot be told" in unknown.reason


def test_a_busy_process_that_was_never_listed_is_seen_by_its_utilisation(tmp_path):
    """Lists at both ends miss what came and went in between."""
    shared = Shared(tmp_path, running=(900,))
    shared.board.sample(1, **{f"p{OWN}": 1})
    meter = shared.meter()
    before = meter.read()
    shared.spend(100, 2.0, **{f"p{OWN}": 50, "p900": 50})
    reading = between(meter, before, meter.read())
    assert reading.provenance is Provenance.ATTRIBUTED
    assert reading.energy_j == pytest.approx(50.0)


def test_a_desktops_trifle_does_not_unmake_a_measurement(tmp_path):
    shared = Shared(tmp_path, running=(900,))
    shared.board.sample(1, **{f"p{OWN}": 1})
    meter = shared.meter()
    before = meter.read()
    shared.spend(100, 2.0, **{f"p{OWN}": 97, "p900": 3})
    reading = between(meter, before, meter.read())
    assert reading.provenance is Provenance.MEASURED
    assert reading.energy_j == pytest.approx(100.0)


def test_left_overs_in_the_drivers_buffer_count_for_nothing(tmp_path):
    shared = Shared(tmp_path, listed=(OWN, 900), running=(900,))
    shared.board.sample(1, **{f"p{OWN}": 1})
    meter = shared.meter()
    before = meter.read()
    shared.spend(100, **{f"p{OWN}": 50, "p900": 50})
    shared.board.sample(round(shared.clock.time_s * 1e6), p900=4_000_000_000)
    shared.board.sample(0, p900=100)
    assert between(meter, before, meter.read()).energy_j == pytest.approx(50.0)


def test_in_a_container_the_one_unknown_number_gets_its_own_utilisation(tmp_path):
    """The library speaks of the host's process numbers inside a container."""
    shared = Shared(tmp_path, listed=(31337,))
    meter, main = shared.meter(), shared.meter(Scope.PROCESS)
    before = meter.read(), main.read()
    shared.spend(100, p31337=80)
    reading = between(meter, before[0], meter.read())
    assert reading.energy_j == pytest.approx(100.0)
    assert reading.provenance is Provenance.MEASURED
    assert between(main, before[1], main.read()).energy_j == 0.0


def test_in_a_container_several_unknown_numbers_are_shared_out_evenly(tmp_path):
    shared = Shared(tmp_path, listed=(31337, 31338))
    meter, others = shared.meter(), shared.meter(Scope.OTHERS)
    before = meter.read(), others.read()
    shared.spend(100, p31337=80, p31338=20)
    reading = between(meter, before[0], meter.read())
    assert reading.energy_j == pytest.approx(50.0)
    assert reading.relative_uncertainty == pytest.approx(CERTAIN + BY_NUMBER)
    assert between(others, before[1], others.read()).energy_j is None


def test_a_stranger_that_has_ended_is_not_taken_for_the_own_process(tmp_path):
    shared = Shared(tmp_path, listed=(900,), running=(900,))
    meter = shared.meter()
    before = meter.read()
    shared.proc.end(900)
    shared.board.pids = []
    shared.spend(100)
    assert between(meter, before, meter.read()).energy_j == 0.0


def test_nobody_busy_shares_idle_power_by_number(tmp_path):
    users = Users(pids=frozenset({1, 2}), busy={})
    share = share_of(users, frozenset({1}), Scope.TREE)
    assert share.part == 0.5
    assert share.doubt == BY_NUMBER


@pytest.mark.parametrize("busy", [{}, {1: 30.0}, {1: 5.0, 2: 7.0, 3: 80.0, 9: 11.0}])
@pytest.mark.parametrize("pids", [{1}, {1, 2}, {1, 2, 3}])
def test_shares_of_all_processes_are_one(pids, busy):
    users = Users(pids=frozenset(pids), busy=busy)
    everyone = users.everyone
    parts = [share_of(users, frozenset({pid}), Scope.TREE).part for pid in everyone]
    assert sum(parts) == pytest.approx(1.0)
    tree = share_of(users, frozenset({1}), Scope.TREE).part
    others = share_of(users, frozenset({1}), Scope.OTHERS).part
    assert tree + others == pytest.approx(1.0)
