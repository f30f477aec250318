import pytest
from builders import complete, failed, infeasible, line, pruned, reused, sample_run, summary

from ecoautoml.reports.bill import energy_bill
from ecoautoml.reports.trajectory import trajectory


def test_joules_add_up_over_every_kind_of_trial():
    results = [complete(0, 0.9, 0.002), pruned(1), infeasible(2), failed(3)]
    points = trajectory(results, summary()).points
    assert [point.energy_j for point in points] == [105.0, 140.0, 147.0, 167.0]


def test_overhead_and_interrupted_attempts_are_in_the_joules():
    run = summary(overhead=(line("overhead", 10.0),), interrupted={1: line("interrupted", 4.0)})
    points = trajectory([complete(0, 0.9, 0.002), pruned(1)], run).points
    assert [point.energy_j for point in points] == [110.0, 154.0]


def test_the_last_point_has_the_joules_of_the_bill():
    results, run = sample_run()
    total_j = energy_bill(results, run).total_energy_j
    assert trajectory(results, run).points[-1].energy_j == pytest.approx(total_j)


def test_the_share_only_rises_and_ends_at_one():
    shares = [point.share for point in trajectory(*sample_run()).points]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_trials_without_a_result_add_joules_only():
    results = [complete(0, 0.9, 0.002), pruned(1, 0.99), complete(2, 0.8, 0.001)]
    first, second, third = trajectory(results, summary()).points
    assert first.hypervolume == second.hypervolume < third.hypervolume


def test_a_reused_trial_changes_nothing():
    original = complete(0, 0.9, 0.002)
    first, second = trajectory([original, reused(1, original)], summary()).points
    assert first[2:] == second[2:]


def test_a_run_that_found_nothing_stays_at_zero():
    assert trajectory([], summary()).points == ()
    points = trajectory([failed(0), failed(1)], summary()).points
    assert [point.share for point in points] == [0.0, 0.0]
    assert points[-1].energy_j == 40.0
