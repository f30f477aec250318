"""A bill of a whole search adds up to what was metered, also after kills; nothing is left over."""

import signal
import time

import pytest
from processes import run, start, write_config
from spaces_for_tests import quick_config

from ecoautoml import SearchResult, search
from ecoautoml.records.energy_reading import Provenance

pytestmark = pytest.mark.slow

CLOSED = 0.01
"""Share that may be unexplained."""


def assert_closed(result, sessions=1):
    bill = result.bill
    assert bill.n_unknown_lines == 0
    assert len(result.summary.metered) == sessions
    assert bill.metered_j == pytest.approx(sum(one.energy_j for one in result.summary.metered))
    # added up here once more, line by line, from what the ledger holds
    lines = [line for one in result.results for line in one.energy]
    lines += [*result.summary.overhead, *result.summary.idle, *result.summary.others]
    lines += result.summary.interrupted.values()
    total_j = sum(line.billed_j for line in lines)
    assert bill.metered_j - total_j == pytest.approx(bill.unexplained_j)
    assert abs(bill.unexplained_j) < CLOSED * bill.metered_j, (bill.unexplained_j, bill.metered_j)


def test_the_lines_of_a_search_add_up_to_what_was_metered(tmp_path):
    result = search(quick_config(tmp_path, budget={"trials": 6}, training={"epochs": 12}))
    assert_closed(result)
    (idle,) = result.summary.idle
    assert idle.energy_j > 0
    assert result.bill.metered_j > idle.energy_j
    page = (result.folder / "report.html").read_text()
    assert "Metered from start to end" in page
    assert "Idle power" in page


def test_a_machines_counter_is_shared_out_so_that_the_parts_add_up(tmp_path):
    """A trace played by time stands for the machine: 20 W idle, and 30 W or 45 W above it."""
    rows, energy_j = [], 1000.0
    for step in range(400):
        rows.append(f"{0.5 * step},{energy_j}")
        energy_j += 0.5 * (50.0 if step % 7 else 65.0)
    trace = tmp_path / "machine.csv"
    header = "# provenance: measured\n# idle_w: 20\ntime_s,energy_j\n"
    trace.write_text(header + "\n".join(rows) + "\n")
    meter = {"kind": "replay", "path": str(trace), "by": "time"}
    measure = {"max_seconds": 1.0, "meter": meter}
    tree = quick_config(tmp_path, budget={"trials": 4}, training={"epochs": 12}, measure=measure)
    result = search({**tree, "executor": {"workers": 2}})
    assert_closed(result)
    bill = result.bill
    (metered,) = result.summary.metered
    assert metered.energy_j == pytest.approx(52.1 * metered.duration_s, rel=0.1)
    assert result.summary.idle[0].energy_j == pytest.approx(20.0 * metered.duration_s, rel=1e-3)
    assert bill.others_j >= 0  # other programs had their share, whatever they did
    (training,) = (line for line in result.results[0].energy if line.line == "training")
    assert 0 < training.net_j < training.energy_j
    assert training.provenance in (Provenance.MEASURED, Provenance.ATTRIBUTED)
    net_j = result.trials["training_energy_net_j"]
    assert (net_j < result.trials["training_energy_j"]).all()


def test_a_search_that_was_killed_and_resumed_still_adds_up(tmp_path):
    tree = quick_config(tmp_path, budget={"trials": 6}, training={"epochs": 40, "patience": None})
    config = write_config(tmp_path / "config.yaml", tree)
    folder = tmp_path / "quick"
    process = start("search", config)
    deadline_s = time.monotonic() + 120
    while not _has_marks(folder):
        assert time.monotonic() < deadline_s
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = run("search", config, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    result = SearchResult.read(folder)
    assert result.summary.unexplained_s > 0
    assert_closed(result, sessions=2)
    assert "Metered from start to end" in done.stdout


def _has_marks(folder):
    """Return whether a trial was running when joules were last written."""
    if not (folder / "config.yaml").exists():
        return False
    return bool(SearchResult.read(folder).summary.interrupted)
