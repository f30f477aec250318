"""Searches replayed on a table that a test can work out by hand."""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
ABOUT = """
candidate: [depth, kernel]
energy: energy_mj
known_before_training: [energy_mj]
cost: seconds
fidelities:
  - {score: early, share: 0.1, best: 100}
  - {score: final, seeds: [first, second], share: 1.0, best: 100}
"""


def rows():
    """Return nine candidates: deeper is better and dearer, a larger kernel only dearer."""
    for depth, kernel in itertools.product([1, 2, 3], [3, 5, 7]):
        final = 60.0 + 10 * depth
        yield {
            "depth": depth,
            "kernel": kernel,
            "energy_mj": float(depth * kernel),
            "seconds": 100.0 * depth,
            "early": final - 30,
            "final": final,
            "first": final - 1,
            "second": final + 1,
        }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.csv"
    pd.DataFrame(rows()).to_csv(path, index=False)
    path.with_suffix(".yaml").write_text(ABOUT)
    return path


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import replay_methods
    import replay_tables

    return replay_tables, replay_methods


def run(*args):
    return subprocess.run(
        [sys.executable, BENCHMARKS / "replay.py", *map(str, args)], capture_output=True, text=True
    )


def test_the_front_and_its_hypervolume_are_those_of_the_table(path, modules):
    table = modules[0].read_table(path)
    worst, log_energy = table.reference
    assert worst == pytest.approx(0.3)  # errors are 0.3, 0.2, 0.1, three each
    assert log_energy == pytest.approx(math.log(21))
    # the front is depth 1 to 3 with kernel 3; the first adds nothing beyond the reference
    expected = 0.1 * (math.log(9) - math.log(6)) + 0.2 * (math.log(21) - math.log(9))
    assert table.volume(range(9)) == pytest.approx(expected)


def test_another_column_can_be_the_energy_and_is_what_is_known_first(path, modules):
    table = modules[0].read_table(path, energy="seconds")
    assert table.energy.tolist() == [row["seconds"] for row in rows()]
    assert table.known[:, 0].tolist() == table.energy.tolist()
    assert table.known.shape == (9, 2)


def test_a_training_is_paid_once_and_only_full_ones_count(path, modules):
    replay = modules[1].Replay(modules[0].read_table(path), seed=0, budget=10.0)
    early = replay.train(6, 0)  # depth 3, kernel 3
    assert early == pytest.approx(0.4)
    assert replay.spent == pytest.approx(0.1 * 1.5)
    assert replay.regrets == []
    final = replay.train(6, 1)
    assert final in (pytest.approx(0.09), pytest.approx(0.11))  # one of its trainings
    assert replay.train(6, 1) == final
    assert replay.spent == pytest.approx(1.1 * 1.5)
    ((spent, regret),) = replay.regrets
    assert spent == replay.spent
    missing = 0.1 * (math.log(9) - math.log(6))
    assert regret == pytest.approx(missing / replay.table.volume(range(9)))


def test_every_method_of_full_trainings_finds_the_whole_front_of_a_small_table(path, modules):
    table = modules[0].read_table(path)
    for name, method in modules[1].METHODS.items():
        if name.startswith("moasha"):
            continue  # it promotes two of nine at most
        replay = modules[1].Replay(table, seed=3, budget=20.0)
        method(replay)
        regrets = [regret for _, regret in replay.regrets]
        assert regrets == sorted(regrets, reverse=True), name
        assert regrets[-1] == pytest.approx(0.0, abs=1e-9), name


def test_halving_promotes_what_leads_its_rung_and_no_more_than_its_share(path, modules):
    table = modules[0].read_table(path)
    rungs = [dict(enumerate(table.errors[0])), {}]
    promoted = []
    while (found := modules[1]._promotion(table, rungs, 4)) is not None:
        row, fidelity = found
        assert fidelity == 1
        rungs[1][row] = table.errors[1][row]
        promoted.append(row)
    assert len(promoted) == 9 // 4
    assert set(promoted) < {0, 3, 6}  # the front


def test_one_json_object_says_what_each_method_paid(path, tmp_path):
    page = tmp_path / "page.html"
    done = run(
        *("--table", path, "--methods", "random", "optuna-default", "--seeds", 3),
        *("--budget", 20, "--json", "--page", page),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["method"] for one in found["methods"]] == ["random", "optuna-default"]
    for one in found["methods"]:
        units = one["trainings_to_regret"]
        assert 0 < units["0.1"] <= units["0.05"] <= units["0.01"] <= 20
        low, high = one["quartiles"]["0.1"]
        assert low <= units["0.1"] <= high
        assert one["regret_at"]["20"] == pytest.approx(0.0, abs=1e-9)
    assert "plotly" in page.read_text()


def test_a_table_that_is_not_described_or_lacks_a_column_is_refused(path):
    assert "there is no table" in run("--table", path.with_name("other.csv")).stderr
    frame = pd.read_csv(path)
    frame.drop(columns="early").to_csv(path, index=False)
    done = run("--table", path)
    assert done.returncode != 0
    assert "has no column early" in done.stderr
    path.with_suffix(".yaml").unlink()
    assert "write small.yaml beside it" in run("--table", path).stderr
