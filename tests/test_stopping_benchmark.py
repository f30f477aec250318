"""Rules that stop trials early, replayed on tables that a test can work out by hand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecoautoml.records.progress import CONTINUE, Action, Decision

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TABLE = "accelnas_curves.parquet"
STOP = Decision(action=Action.PRUNE)
WATCH = Decision(is_withheld=True)


def accuracies(rng, epochs):
    """Return a curve whose error falls as a power of the epoch."""
    final, rate = rng.uniform(0.6, 0.95), rng.uniform(0.3, 1.0)
    errors = (1 - final) * (np.arange(1, epochs + 1) / epochs) ** -rate
    return 1 - np.clip(errors * np.exp(rng.normal(0, 0.02, epochs)), 0.0, 1.0)


@pytest.fixture
def data(tmp_path):
    """Return a folder with small networks of known size, and language models without."""
    rng = np.random.default_rng(0)
    rows = [
        {"benchmark": "sized", "num_params": float(10 + number), "curve": accuracies(rng, 12)}
        for number in range(50)
    ]
    rows += [
        {"benchmark": "words", "num_params": None, "curve": 500 - 400 * accuracies(rng, 9)}
        for _ in range(40)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / TABLE)
    return tmp_path


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import stopping
    import stopping_rules

    return stopping, stopping_rules


def run(*args):
    return subprocess.run(
        [sys.executable, BENCHMARKS / "stopping.py", *map(str, args)],
        capture_output=True,
        text=True,
    )


def study(modules, *finals, costs=None, epochs=4):
    """Return trainings that are bad until their last epoch."""
    errors = np.full((len(finals), epochs), 0.9)
    errors[:, -1] = finals
    return modules[1].Study(errors=errors, costs=None if costs is None else np.array(costs))


def test_perplexities_are_read_as_errors_and_long_curves_up_to_their_end(data, modules):
    read = modules[0].read_curves
    table = read(data / TABLE, reports=100)
    assert table["sized"].errors.shape == (50, 12)
    assert table["sized"].params.tolist() == list(range(10, 60))
    assert table["words"].params is None
    raw = pd.read_parquet(data / TABLE)
    first = raw[raw["benchmark"] == "words"].iloc[0]["curve"]
    assert table["words"].errors[0] == pytest.approx(np.log(first) / np.log(10_000))
    thinned = read(data / TABLE, reports=4)["sized"].errors
    assert thinned.tolist() == table["sized"].errors[:, [2, 5, 8, 11]].tolist()


def test_what_is_stopped_saves_its_epochs_and_is_judged_by_how_it_would_have_ended(modules):
    # number 1 would have been the best, number 2 not; number 3 is no better than number 0
    trials = study(modules, 0.4, 0.1, 0.3, 0.4)

    def rule(trial, seen):
        return STOP if trial > 0 and seen.reached[trial] == 2 else CONTINUE

    found = modules[0].replay(trials, rule, seed=0, at_once=1)
    assert (found.epochs, found.spent) == (16, 4 + 3 * 2)
    assert found.stopped == 3
    assert found.wrong == 2  # both beat 0.4, the best that was finished
    assert found.wrong_at_end == 1
    assert found.front == 1
    # the reference is the 90 % quantile, 0.4: what is finished covers nothing
    assert found.regret == 1.0


def test_with_costs_only_what_is_no_dearer_is_a_rival(modules):
    trials = study(modules, 0.3, 0.4, 0.5, costs=[10.0, 1.0, 100.0])

    def rule(trial, seen):
        return STOP if trial > 0 and seen.reached[trial] == 1 else CONTINUE

    found = modules[0].replay(trials, rule, seed=0, at_once=1)
    # number 1 is the smallest, so nothing was in force that it could fail to beat
    assert (found.stopped, found.wrong, found.wrong_at_end, found.front) == (2, 1, 1, 2)


def test_a_control_group_runs_on_is_paid_for_and_counted(modules):
    trials = study(modules, 0.4, 0.1, 0.3, 0.45)

    def rule(trial, seen):
        return WATCH if trial > 0 else CONTINUE

    found = modules[0].replay(trials, rule, seed=0, at_once=1)
    assert found.spent == found.epochs
    assert found.stopped == 0
    assert found.regret == 0.0
    # number 1 beat 0.4; by then numbers 2 and 3 did not beat 0.1
    assert (found.control.controls, found.control.wrong) == (3, 1)


def test_rules_see_trials_that_run_at_the_same_time(modules):
    begun_together = []

    def rule(trial, seen):
        begun_together.append(len(seen.reached) - len(seen.finished))
        return CONTINUE

    modules[0].replay(study(modules, *[0.5] * 6), rule, seed=0, at_once=3)
    assert max(begun_together) == 3


def test_halving_stops_who_is_not_among_the_best_third_of_a_rung(modules):
    errors = np.linspace(0.2, 0.8, 7)[:, None] * np.ones(9)
    trials = modules[1].Study(errors=errors, costs=None)
    seen = modules[1].Seen(study=trials, seed=0)
    seen.reached = dict.fromkeys(range(7), 3)
    told = [modules[1].asha(trial, seen).action for trial in range(7)]
    assert told == [Action.CONTINUE] * 2 + [Action.PRUNE] * 5
    seen.reached = dict.fromkeys(range(7), 2)  # no rung
    assert {modules[1].asha(trial, seen).action for trial in range(7)} == {Action.CONTINUE}


def test_the_default_pruner_counts_its_control_group_as_the_benchmark_does(data, modules):
    curves = modules[0].read_curves(data / TABLE, reports=100)["sized"]
    plan = modules[0].Plan(trials=50, at_once=1, control=0.0, reports=100, improving=0.0)
    one = next(iter(modules[0].studies(curves, plan, 0)))
    rule, counted = modules[1].chance(0.3, 0.5), []

    def watching(trial, seen):
        decision = rule(trial, seen)
        if decision.figures:
            wrong = seen.calibration(0.3)
            at = seen.reached[trial] / one.epochs
            counted.append((decision.figures["threshold"], wrong.threshold_at(at)))
        return decision

    found = modules[0].replay(one, watching, seed=0, at_once=1)
    assert found.control.controls > 5
    assert len(counted) > 10
    assert [told for told, _ in counted] == pytest.approx([own for _, own in counted])


def test_a_search_that_improves_begins_better_trainings_later(data, modules):
    curves = modules[0].read_curves(data / TABLE, reports=100)["sized"]
    plan = modules[0].Plan(trials=20, at_once=1, control=0.0, reports=100, improving=4.0)
    late, early = [], []
    for seed in range(20):
        one = next(iter(modules[0].studies(curves, plan, seed)))
        assert len(np.unique(one.errors, axis=0)) == 20
        early.append(one.finals[:7].mean())
        late.append(one.finals[-7:].mean())
    assert np.mean(late) < np.mean(early) - 0.03


def test_one_json_object_says_what_each_rule_saved_and_lost(data):
    done = run(
        *("--data", data, "--alphas", 0.05, "--seeds", 2, "--trials", 25, "--json"),
        *("--control", 0.3),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    settings = {(row["benchmark"], row["objectives"]) for row in found["rows"]}
    assert settings == {("sized", 2), ("sized", 1), ("words", 1)}
    rules = {row["rule"] for row in found["rows"]}
    assert rules == {
        "auto 0.05",
        "auto 0.05, no control",
        "dominance",
        "median",
        "median, blind to cost",
        "patience",
        "asha",
    }
    for row in found["rows"]:
        assert 0 <= row["saved"] < 1
        if row["stopped"]:
            assert row["wrong_at_end"] <= row["wrong"]
        assert (row["controls"] > 0) <= (row["rule"] == "auto 0.05")
    ours = [row for row in found["rows"] if row["rule"] == "auto 0.05, no control"]
    assert all(row["saved"] > 0.3 for row in ours)  # these curves are easy
    assert {row["rule"] for row in found["means"]["all"]} == rules


def test_a_table_is_printed_for_people_and_other_benchmarks_are_left_out(data):
    done = run("--data", data, "--alphas", 0.1, "--seeds", 1, "--benchmarks", "words")
    assert done.returncode == 0, done.stderr
    assert "words, objectives: 1" in done.stdout
    assert "sized" not in done.stdout
