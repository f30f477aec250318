import pytest

from ecoautoml.config.models import Budget
from ecoautoml.study.forecast import MEASURING_S, forecast

TRIAL_S = [10.0 - MEASURING_S, 30.0 - MEASURING_S]  # 10 s to 30 s with measuring, 20 s on average


def test_a_number_of_trials_is_what_will_be_run():
    seen = forecast(Budget(trials=6), TRIAL_S, [5.0, 15.0], workers=2)
    assert (seen.trials, seen.binding, seen.probed) == (6, "trials", 2)
    assert seen.elapsed_s == pytest.approx((30.0, 90.0))
    assert seen.energy_j == pytest.approx((30.0, 90.0))


def test_hours_are_shared_among_the_workers():
    one = forecast(Budget(hours=1.0), TRIAL_S, [5.0, 15.0], workers=1)
    four = forecast(Budget(hours=1.0), TRIAL_S, [5.0, 15.0], workers=4)
    assert (one.trials, one.binding) == (180, "hours")
    assert four.trials == 4 * one.trials
    assert four.elapsed_s == one.elapsed_s == (3600.0, 3600.0)


def test_hours_bound_what_a_number_of_trials_would_take():
    seen = forecast(Budget(trials=150, hours=1.0), TRIAL_S, [5.0, 15.0], workers=1)
    assert (seen.binding, seen.elapsed_s) == ("trials", (1500.0, 3600.0))


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ({"trials": 6}, "6 trials"),
        ({"trials": 6, "hours": 0.5}, "6 trials or 30 min 00 s, whichever is first"),
        ({"energy_wh": 1.5, "carbon_g": 2}, "1.5 Wh or 2 g CO2e, whichever is first"),
    ],
)
def test_the_budget_is_stated_with_the_forecast(budget, text):
    assert forecast(Budget(**budget), TRIAL_S, [5.0, 15.0], workers=1).budget == text
    assert forecast(Budget(**budget), [], [], workers=1).budget == text


def test_joules_decide_whatever_the_number_of_workers():
    for workers in (1, 4):
        seen = forecast(Budget(energy_wh=1.0), TRIAL_S, [5.0, 15.0], workers=workers)
        assert (seen.trials, seen.binding) == (360, "energy_wh")
        assert seen.energy_j == pytest.approx((1800.0, 5400.0))


@pytest.mark.parametrize(
    ("budget", "binding", "trials"),
    [
        ({"trials": 10, "hours": 1.0, "energy_wh": 1.0}, "trials", 10),
        ({"trials": 999, "hours": 1.0, "energy_wh": 1.0}, "hours", 180),
        ({"trials": 999, "hours": 9.0, "energy_wh": 1.0}, "energy_wh", 360),
    ],
)
def test_the_tightest_limit_is_named(budget, binding, trials):
    seen = forecast(Budget(**budget), TRIAL_S, [5.0, 15.0], workers=1)
    assert (seen.binding, seen.trials) == (binding, trials)


def test_unknown_joules_leave_the_rest_of_the_forecast():
    seen = forecast(Budget(trials=6, energy_wh=1e-6), TRIAL_S, [None, None], workers=1)
    assert (seen.trials, seen.binding, seen.energy_j) == (6, "trials", None)
    assert seen.elapsed_s is not None


def test_joules_known_of_some_candidates_speak_for_all():
    seen = forecast(Budget(trials=6), TRIAL_S, [None, 15.0], workers=1)
    assert seen.energy_j == pytest.approx((90.0, 90.0))


def test_at_least_one_trial_is_expected():
    assert forecast(Budget(hours=1e-6), TRIAL_S, [5.0, 15.0], workers=1).trials == 1


def test_nothing_probed_tells_nothing_but_the_budget():
    seen = forecast(Budget(trials=6), [], [], workers=1)
    assert (seen.trials, seen.elapsed_s, seen.energy_j, seen.probed) == (6, None, None, 0)


def test_grams_alone_tell_no_number_of_trials():
    seen = forecast(Budget(carbon_g=1.0), TRIAL_S, [5.0, 15.0], workers=1)
    assert (seen.trials, seen.elapsed_s, seen.binding, seen.probed) == (None, None, "carbon_g", 2)


def test_idle_power_is_on_the_bill_too():
    seen = forecast(Budget(trials=6), TRIAL_S, [5.0, 15.0], workers=2, idle_w=2.0)
    # a trial of 10 s takes half of 20 J, as two run at once
    assert seen.energy_j == pytest.approx((6 * 15.0, 6 * 45.0))
    budget = forecast(Budget(energy_wh=1.0), TRIAL_S, [5.0, 15.0], workers=2, idle_w=2.0)
    assert budget.trials == 120
