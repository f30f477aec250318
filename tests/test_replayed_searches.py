"""Searches replayed on tables that a test can work out by hand."""

import importlib.util
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from replayed_tables import ABOUT_SMALL, BENCHMARKS, conditional, long, small, wide, written


@pytest.fixture
def path(tmp_path):
    path = written(small(), tmp_path / "small.csv")
    path.with_suffix(".yaml").write_text(ABOUT_SMALL)
    return path


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import replay_clock
    import replay_halving
    import replay_methods
    import replay_tables

    class Modules:
        clock, halving, methods, tables = (
            replay_clock,
            replay_halving,
            replay_methods,
            replay_tables,
        )

    return Modules


def run(*args, script="replay.py"):
    return subprocess.run(
        [sys.executable, BENCHMARKS / script, *map(str, args)], capture_output=True, text=True
    )


def replayed(modules, path, seed=0, budget=100.0, **stated):
    return modules.clock.Replay(modules.tables.read_table(path, **stated), seed, budget)


# --- the clock -----------------------------------------------------------------------------------


def test_the_front_and_its_hypervolume_are_those_of_the_table(path, modules):
    table = modules.tables.read_table(path)
    worst, log_energy = table.reference
    assert worst == pytest.approx(0.3)  # errors are 0.3, 0.2, 0.1, three each
    assert log_energy == pytest.approx(math.log(21))
    # the front is depth 1 to 3 with kernel 3; the first adds nothing beyond the reference
    expected = 0.1 * (math.log(9) - math.log(6)) + 0.2 * (math.log(21) - math.log(9))
    assert table.volume(range(9)) == pytest.approx(expected)
    assert table.front(range(9)).tolist() == [6, 3, 0]


def test_separate_trainings_are_paid_once_each_and_only_full_ones_count(path, modules):
    replay = replayed(modules, path, budget=10.0)
    early = replay.train(6, 0)  # depth 3, kernel 3
    assert early == pytest.approx(0.4)
    assert replay.spent == pytest.approx(0.1 * 1.5)
    assert replay.regrets == []
    final = replay.train(6, 1)
    assert final in (pytest.approx(0.09), pytest.approx(0.11))  # one of its trainings
    assert replay.train(6, 1) == final
    assert replay.spent == pytest.approx(1.1 * 1.5)
    assert [(one.row, one.fidelity) for one in replay.bought] == [(6, 0), (6, 1)]
    ((spent, regret),) = replay.regrets
    assert spent == replay.spent
    missing = 0.1 * (math.log(9) - math.log(6))
    assert regret == pytest.approx(missing / replay.table.volume(range(9)))


def test_a_resumed_training_pays_the_rest_and_passes_what_lies_before(tmp_path, modules):
    replay = replayed(modules, written(long(), tmp_path / "long.csv"))
    row = replay.table.row_of({"width": 64, "optimizer": "sgd"})
    one, three, nine = replay.table.costs[:, row]
    assert (three, nine) == pytest.approx((3 * one, 9 * one))
    replay.train(row, 0)
    assert replay.spent == pytest.approx(one)
    assert replay.price(row, 2) == pytest.approx(nine - one)
    replay.train(row, 2)
    assert replay.spent == pytest.approx(nine)
    replay.train(row, 1)  # it came past
    assert replay.spent == pytest.approx(nine)
    assert replay.price(row, 1) == 0.0
    other = replay.table.row_of({"width": 64, "optimizer": "adam"})
    replay.train(other, 2)
    assert replay.spent == pytest.approx(2 * nine)


def test_a_search_sees_one_and_the_same_training_at_all_rungs_of_it(tmp_path, modules):
    parts = [
        long().assign(seed=s, val_accuracy=0.2 * s + long()["val_accuracy"] / 9) for s in (0, 1)
    ]
    path = written(pd.concat(parts), tmp_path / "two_seeds.csv")
    for seed in range(4):
        replay = replayed(modules, path, seed=seed)
        for row in range(8):
            which = [
                int(np.argmin(np.abs(replay.table.seeds[f][:, row] - replay.train(row, f))))
                for f in range(3)
            ]
            assert len(set(which)) == 1


def test_energy_of_training_is_told_after_the_first_one(tmp_path, modules):
    frame = long().drop(columns="energy_mj")
    frame["energy_kwh"] = frame["epoch"] * frame["width"] / 1000.0
    replay = replayed(modules, written(frame, tmp_path / "training.csv"))
    with pytest.raises(LookupError, match="not known before"):
        replay.energy(3)
    replay.train(3, 0)
    assert replay.energy(3) == pytest.approx(replay.table.energy[3])


def test_who_was_wrongly_stopped_is_told_by_the_hypervolume_it_would_have_added(path, modules):
    replay = replayed(modules, path)
    assert replay.wrongly_stopped() == []
    replay.train(6, 1)  # depth 3, kernel 3: in full
    for row in (0, 3, 4, 6, 7):
        replay.train(row, 0)
    assert replay.stopped() == [0, 3, 4, 7]
    # 3 (depth 2, kernel 3) adds 0.1 x log(9 / 6); 4 and 7 are worse and dearer than 6; 0 is at the
    # reference
    assert replay.wrongly_stopped() == [3]
    replay.train(3, 1)
    assert replay.stopped() == [0, 4, 7]
    assert replay.wrongly_stopped() == []


# --- methods -------------------------------------------------------------------------------------


def test_every_method_finds_the_whole_front_of_a_small_table(path, modules):
    table = modules.tables.read_table(path)
    for name, method in modules.methods.METHODS.items():
        if name in modules.methods.RIVALS or name == "optuna-gp":
            continue  # the last thinks for half a second each time; another test has it
        replay = modules.clock.Replay(table, seed=3, budget=20.0)
        method(replay)
        regrets = [regret for _, regret in replay.regrets]
        assert regrets == sorted(regrets, reverse=True), name
        assert regrets[-1] == pytest.approx(0.0, abs=1e-9), name


@pytest.mark.parametrize("kind", ["wide", "long", "one_fidelity", "conditional"])
def test_every_method_replays_every_kind_of_table(kind, tmp_path, modules):
    frames = {
        "wide": wide(),
        "long": long(),
        "one_fidelity": long((5,)),
        "conditional": conditional(),
    }
    table = modules.tables.read_table(written(frames[kind], tmp_path / f"{kind}.csv"))
    for name, method in modules.methods.METHODS.items():
        if name in modules.methods.RIVALS or (name == "optuna-gp" and kind != "long"):
            continue
        replay = modules.clock.Replay(table, seed=1, budget=4.0)
        method(replay)
        assert replay.trained, name
        assert len(set(replay.trained)) == len(replay.trained), name
        assert replay.spent == pytest.approx(sum(one.cost for one in replay.bought)), name
        dearest = table.costs.max()
        assert replay.spent < 4.0 + 10 * dearest, name  # what was begun is paid to its end


def test_the_same_seed_replays_the_same_search(tmp_path, modules):
    table = modules.tables.read_table(written(wide(), tmp_path / "wide.csv"))
    for name in ("random", "optuna-default", "optuna-nsga2", "moasha-4", "regularised-evolution"):
        searches = [modules.clock.Replay(table, seed, 6.0) for seed in (2, 2, 3)]
        for replay in searches:
            modules.methods.METHODS[name](replay)
        assert searches[0].bought == searches[1].bought, name
        assert searches[0].bought != searches[2].bought, name


def test_halving_has_rungs_as_far_apart_as_candidates_are_thinned_out(modules):
    levels = modules.halving.rung_levels
    shares = tuple(epochs / 108 for epochs in (4, 12, 36, 108))
    assert levels(shares, 3) == [0, 1, 2, 3]
    assert levels(shares, 8) == [0, 2, 3]  # 4, 36 (32 wanted), 108
    assert levels(shares, 27) == [0, 3]
    assert levels((0.06, 1.0), 4) == [0, 1]
    assert levels((1.0,), 4) == [0]


def test_halving_promotes_what_leads_its_rung_and_no_more_than_its_share(path, modules):
    replay = replayed(modules, path)
    rungs = [dict(enumerate(replay.table.errors[0])), {}]
    promoted = []
    while (found := modules.halving.promotion(replay, rungs, 4)) is not None:
        row, rung = found
        assert rung == 1
        rungs[1][row] = replay.table.errors[1][row]
        promoted.append(row)
    assert len(promoted) == 9 // 4
    assert set(promoted) < {0, 3, 6}  # the front


def test_the_order_within_a_front_is_that_of_the_farthest_next(modules):
    rng = np.random.default_rng(4)
    losses = rng.uniform(size=(40, 2))
    order = modules.halving.eps_net_order(losses, 40)
    assert sorted(order) == list(range(40))
    scaled = (losses - losses.min(axis=0)) / np.ptp(losses, axis=0)

    def dominates(a, b):
        return (losses[a] <= losses[b]).all() and (losses[a] < losses[b]).any()

    left = set(range(40))
    position = 0
    while left:
        front = {a for a in left if not any(dominates(b, a) for b in left)}
        here = order[position : position + len(front)]
        assert set(here) == front
        for count in range(1, len(here)):
            gaps = {
                a: min(np.linalg.norm(scaled[a] - scaled[b]) for b in here[:count])
                for a in here[count:]
            }
            assert gaps[here[count]] == pytest.approx(max(gaps.values()))
        left -= front
        position += len(front)


# --- the command ---------------------------------------------------------------------------------


def test_one_json_object_says_what_each_method_paid(path, tmp_path):
    page = tmp_path / "page.html"
    done = run(
        *("--table", path, "--methods", "random", "optuna-default", "moasha", "--seeds", 3),
        *("--budget", 20, "--json", "--page", page),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["method"] for one in found["methods"]] == [
        *("random", "optuna-default", "moasha-4", "moasha-8", "moasha-16")
    ]
    assert found["unit"] == "mean seconds"
    for one in found["methods"]:
        assert set(one["trainings_to_regret"]) == {"0.1", "0.05", "0.02", "0.01"}
        assert set(one["regret_at"]) == {"5", "10", "20", "50", "100"}
        assert one["regret_at"]["50"] is None  # the budget was 20
    for one in found["methods"][:2]:
        units = one["trainings_to_regret"]
        assert 0 < units["0.1"] <= units["0.05"] <= units["0.01"] <= 20
        low, high = one["quartiles"]["0.1"]
        assert low <= units["0.1"] <= high
        assert one["interquartile_range"]["0.1"] == pytest.approx(high - low, abs=1e-3)
        assert one["regret_at"]["20"] == pytest.approx(0.0, abs=1e-9)
        assert one["wrongly_stopped"] is None
    assert all(one["proposal_ms"] >= 0 for one in found["methods"][1:])
    assert "plotly" in page.read_text()
    assert "objective: final, higher is better, 100 at best" in done.stderr


def test_what_was_stopped_within_the_budget_is_reported(path):
    done = run(
        *("--table", path, "--methods", "moasha-4", "--seeds", 3, "--budget", 1.5, "--json"),
    )
    (row,) = json.loads(done.stdout)["methods"]
    assert row["full_trainings"] < row["stopped"] <= 9
    assert 0 <= row["wrongly_stopped"] <= 1
    assert row["trainings_to_regret"]["0.01"] is None
    assert row["regret_at"]["5"] is None


def test_what_the_command_reports_is_what_the_replays_did(path, modules):
    table = modules.tables.read_table(path)
    replays = [modules.clock.Replay(table, seed, 20.0) for seed in (5, 6, 7)]
    for replay in replays:
        modules.methods.METHODS["random"](replay)
    reached = [next(s for s, r in replay.regrets if r <= 0.05) for replay in replays]
    low, middle, high = sorted(reached)
    done = run(
        *("--table", path, "--methods", "random", "--seeds", 3, "--first-seed", 5),
        *("--budget", 20, "--json"),
    )
    (row,) = json.loads(done.stdout)["methods"]
    assert row["trainings_to_regret"]["0.05"] == pytest.approx(middle, abs=1e-3)
    assert row["quartiles"]["0.05"] == pytest.approx([low, high], abs=1e-3)


def test_all_methods_are_those_that_are_installed_and_the_others_are_named(path):
    done = run("--table", path, "--seeds", 1, "--budget", 2, "--json")
    assert done.returncode == 0, done.stderr
    methods = [one["method"] for one in json.loads(done.stdout)["methods"]]
    assert methods[:2] == ["default", "random"]
    for name, package in (
        ("neps-primo", "neural-pipeline-search"),
        ("syne-tune", "syne-tune"),
        ("smac-parego", "smac"),
    ):
        is_left_out = f"{name} is not installed here: pip install {package}" in done.stderr
        assert is_left_out != (name in methods)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--energy", "joules"], "has no column joules"),
        (["--objective", "nothing"], "no column of numbers nothing"),
        (["--fidelities", "early", "final", "late"], "no column of numbers late"),
        (["--fidelities", "first", "final"], "add :SHARE"),
        (["--where", "depth=9"], "no row has depth"),
        (["--where", "depth"], "--where wants COLUMN=VALUE"),
        (["--methods", "magic"], "there is no method magic"),
        (["--seeds", "0"], "must be more than 0"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(path, options, said):
    done = run("--table", path, "--json", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_that_is_not_there_or_is_none_is_refused(path):
    done = run("--table", path.with_name("other.csv"))
    assert done.returncode == 2
    assert "there is no table" in done.stderr
    broken = path.with_name("broken.parquet")
    broken.write_bytes(b"PAR1 and no more")
    done = run("--table", broken)
    assert done.returncode == 2
    assert "cannot be read as a table" in done.stderr
    frame = pd.read_csv(path)
    frame.drop(columns="early").to_csv(path, index=False)
    done = run("--table", path)
    assert done.returncode == 2
    assert "has no column early" in done.stderr


@pytest.mark.parametrize(
    ("name", "package"),
    [("neps-moasha", "neps"), ("syne-tune", "syne_tune"), ("smac-parego", "smac")],
)
def test_a_rival_that_is_not_installed_is_refused_with_what_installs_it(path, name, package):
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    done = run("--table", path, "--methods", name)
    assert done.returncode == 2
    assert f"{name} is not installed here: pip install" in done.stderr


# --- batch sizes and power limits ----------------------------------------------------------------


def traces(folder):
    """Write runs of two batch sizes, one of which sometimes fails, and of one that always does."""
    epochs = {256: [40.0, 60.0], 1024: [80.0, 80.0], 4096: [90.0, None], 8: [None, None]}
    train = [
        {
            **{"dataset": "cifar100", "network": "shufflenetv2", "optimizer": "adadelta"},
            **{"batch_size": batch, "run": run, "target_metric": target},
            "target_epoch": each if target == 0.6 else 1.0,
        }
        for batch, runs in epochs.items()
        for run, each in enumerate(runs)
        for target in (0.3, 0.6)
    ]
    power = [
        {
            **{"gpu": "v100", "dataset": "cifar100", "network": "shufflenetv2"},
            **{"optimizer": "adadelta", "batch_size": batch, "power_limit": limit},
            **{"time_per_epoch": 10.0 * 250 / limit, "average_power": limit * 0.9},
            "energy_per_epoch_j": 10.0 * 250 * 0.9 + limit,
        }
        for batch in epochs
        for limit in (100, 250)
    ]
    pd.DataFrame(train).to_parquet(folder / "zeus_train.parquet")
    pd.DataFrame(power).to_parquet(folder / "zeus_power.parquet")


def test_joules_to_accuracy_are_those_of_all_runs_per_run_that_got_there(tmp_path, modules):
    import zeus

    traces(tmp_path)
    train, power = (
        pd.read_parquet(tmp_path / f"zeus_{kind}.parquet") for kind in ("train", "power")
    )
    work = zeus.workload(train, power, "cifar100", "v100")
    rows = [(one["batch_size"], one["power_limit"]) for one in work.table.candidates]
    joules = dict(zip(rows, work.joules.tolist(), strict=True))
    assert joules[256, 100] == pytest.approx(50 * 2350)
    assert joules[4096, 250] == pytest.approx((90 + 100) * 2500)  # a second one failed
    assert joules[8, 250] == pytest.approx(200 * 2500)  # both failed, and a third may not
    assert rows[work.default] == (1024, 250)
    assert rows[work.best] == (256, 100)
    assert not work.table.is_energy_known
    runs, usual = zeus.one_run_each(work, 0), joules[1024, 250]
    found = zeus.search(work, "random", seed=0, budget=50.0)
    assert found.tries == 8
    assert found.paid == pytest.approx(runs.paid_joules.sum() / usual)
    luckiest = rows[runs.joules.argmin()]  # of what was seen, which is not the best in truth
    assert luckiest == (256, 250)
    assert found.saved == pytest.approx(1 - joules[luckiest] / usual)
    extra = found.paid - runs.has_reached.sum()  # what failed was no job done
    assert found.pays_back == pytest.approx(extra / found.saved if extra > 0 else 0.0)


def test_the_zeus_command_compares_with_the_default_and_the_best_pair(tmp_path):
    traces(tmp_path)
    done = run(
        *("--data", tmp_path, "--workloads", "cifar100", "--methods", "random", "--seeds", 2),
        *("--json",),
        script="zeus.py",
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["workloads"]
    assert found["default"]["batch_size"] == 1024
    assert found["best"] == {
        **{"batch_size": 256, "power_limit_w": 100, "joules": pytest.approx(117500)},
        "saved": pytest.approx(1 - 117500 / 200000),
    }
    assert found["methods"][0]["tries"] == 8
    empty = run("--data", tmp_path / "none", script="zeus.py")
    assert empty.returncode == 2
    assert "there is no" in empty.stderr
    other = run("--data", tmp_path, "--workloads", "imagenet", script="zeus.py")
    assert other.returncode == 2
    assert "no trace of imagenet on v100" in other.stderr
