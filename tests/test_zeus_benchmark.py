"""Batch sizes and power limits, replayed on traces that a test can work out by hand."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
JOB = {"dataset": "sentiment140", "network": "bert_base_uncased", "optimizer": "adamw"}
EPOCHS = {32: (2.0, 4.0), 128: (3.0, 3.0), 512: (5.0, None)}
"""Until the target, by batch size; at most 10 are trained."""
LIMITS = {100: (10.0, 80.0), 200: (8.0, 150.0)}
"""Seconds and watts of an epoch at batch size 32, by power limit; more at once take less time."""


@pytest.fixture
def data(tmp_path):
    train = [
        {**JOB, "batch_size": size, "run": run, "target_metric": 0.84, "target_epoch": epoch}
        for size, each in EPOCHS.items()
        for run, epoch in enumerate(each, start=1)
    ]
    train.append({**train[0], "target_metric": 0.85, "target_epoch": 9.0})
    power = [
        {
            **{**JOB, "gpu": gpu, "batch_size": size, "power_limit": limit},
            **{"time_per_epoch": seconds * (32 / size) ** 0.25, "average_power": watts},
            "energy_per_epoch_j": seconds * (32 / size) ** 0.25 * watts,
        }
        for gpu in ("v100", "a40")
        for size in (*EPOCHS, 1024)
        for limit, (seconds, watts) in LIMITS.items()
    ]
    pd.DataFrame(train).to_parquet(tmp_path / "zeus_train.parquet")
    pd.DataFrame(power).to_parquet(tmp_path / "zeus_power.parquet")
    return tmp_path


@pytest.fixture
def zeus(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import zeus

    return zeus


@pytest.fixture
def work(zeus, data):
    train, power = (pd.read_parquet(data / f"zeus_{kind}.parquet") for kind in ("train", "power"))
    return zeus.workload(train, power, "sentiment140", "v100")


def row_of(work, batch_size, power_limit):
    return work.table.row_of({"batch_size": batch_size, "power_limit": power_limit})


def run(*args):
    return subprocess.run(
        [sys.executable, BENCHMARKS / "zeus.py", *map(str, args)], capture_output=True, text=True
    )


def test_joules_to_the_target_are_those_of_all_runs_per_run_that_reached_it(work):
    assert len(work.joules) == 6  # nothing was trained with a batch size of 1024
    assert work.joules[row_of(work, 32, 100)] == pytest.approx(3 * 10 * 80)
    assert work.seconds[row_of(work, 32, 100)] == pytest.approx(3 * 10)
    # one of two runs failed after all 10 epochs: 5 + 10 epochs for one model
    per_epoch_s = 8 * (32 / 512) ** 0.25
    assert work.seconds[row_of(work, 512, 200)] == pytest.approx(15 * per_epoch_s)
    assert work.joules[row_of(work, 512, 200)] == pytest.approx(15 * per_epoch_s * 150)
    assert work.default == row_of(work, 128, 200)
    assert work.best == row_of(work, 128, 100)


def test_a_search_sees_one_run_of_each_pair_and_pays_for_it(zeus, work):
    row = row_of(work, 512, 200)
    per_epoch_s = 8 * (32 / 512) ** 0.25
    seen = {bool((one := zeus.one_run_each(work, seed)).has_reached[row]): one for seed in range(9)}
    assert seen[True].seconds[row] == pytest.approx(5 * per_epoch_s)
    assert (
        seen[True].paid_joules[row]
        == seen[True].joules[row]
        == pytest.approx(5 * per_epoch_s * 150)
    )
    # a run that failed has to be started again
    assert seen[False].joules[row] == pytest.approx(2 * 10 * per_epoch_s * 150)
    assert seen[False].paid_joules[row] == pytest.approx(10 * per_epoch_s * 150)


def test_what_a_search_pays_beyond_the_jobs_it_did_is_paid_back_by_what_it_saves(zeus, work):
    seed = next(
        s for s in range(9) if not zeus.one_run_each(work, s).has_reached[row_of(work, 512, 200)]
    )
    runs = zeus.one_run_each(work, seed)
    usual = work.joules[work.default]
    failed, best = row_of(work, 512, 200), work.best
    found = zeus.outcome(work, runs, [failed, best], 99.0)
    paid_j = runs.paid_joules[failed] + work.joules[best]
    assert found.paid_j == pytest.approx(paid_j)
    assert found.paid == found.paid_to_best == pytest.approx(paid_j / usual)
    assert found.saved == pytest.approx(1 - 10 * 80 / (8 * 150))
    assert found.saved_at_5 == found.saved_at_10 == found.saved
    assert found.faster == pytest.approx(1 - 10 / 8)
    # only the second try was a job done
    assert found.pays_back == pytest.approx((paid_j / usual - 1) / found.saved)
    alone = zeus.outcome(work, runs, [best], 99.0)
    assert alone.pays_back == 0.0  # cheaper than the training with the default it stood for
    never = zeus.outcome(work, runs, [failed], 99.0)
    assert never.saved == never.faster == 0.0  # it needs more than the default, which stays
    assert math.isinf(never.pays_back)
    assert math.isinf(never.paid_to_best)


def test_before_the_first_try_has_ended_the_default_stays(zeus, work):
    dear = work.joules.copy()
    runs = zeus.one_run_each(work, 0)
    runs = runs._replace(paid_joules=dear * 20)
    found = zeus.outcome(work, runs, [work.best], 99.0)
    assert found.saved_at_5 == found.saved_at_10 == 0.0
    assert found.saved > 0
    # within a budget that does not suffice nothing is found, and all of it is paid
    cut = zeus.outcome(work, runs, [work.best], 4.0)
    assert (cut.tries, cut.paid, cut.saved) == (0, 4.0, 0.0)
    assert math.isinf(cut.pays_back)


@pytest.mark.parametrize("method", ["default", "random", "optuna-tpe-joules"])
def test_a_small_table_is_searched_to_its_best_pair(zeus, work, method):
    found = [zeus.search(work, method, seed, 20.0) for seed in range(3)]
    assert all(one.tries <= 6 for one in found)
    assert all(one.saved == pytest.approx(1 - 10 * 80 / (8 * 150)) for one in found)
    assert all(one.paid_to_best <= one.paid for one in found)


def test_one_json_object_says_what_each_method_saved(data):
    done = run(
        *("--data", data, "--workloads", "sentiment140", "--gpus", "v100", "a40", "--json"),
        *("--seeds", 2, "--budget", 3, "--methods", "random", "optuna-default"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["workload"] for one in found["workloads"]] == [
        "sentiment140 on v100",
        "sentiment140 on a40",
    ]
    for one in found["workloads"]:
        assert one["default"]["joules"] > one["best"]["joules"]
        assert [row["method"] for row in one["methods"]] == ["random", "optuna-default"]
        assert all(row["paid_j"] > 0 for row in one["methods"])
    assert [row["method"] for row in found["means"]] == ["random", "optuna-default"]
    assert "2 workloads" in done.stderr


def test_a_gpu_without_traces_is_named(data):
    done = run("--data", data, "--workloads", "sentiment140", "--gpus", "h100")
    assert done.returncode == 2
    assert done.stderr.strip() == "zeus.py: there is no trace of sentiment140 on h100"
