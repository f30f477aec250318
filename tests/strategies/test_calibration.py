import random

import pytest
from scipy.stats import binom

from ecoautoml.strategies.calibration import Calibration, is_control


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_without_controls_the_threshold_is_alpha_and_nothing_is_claimed_of_the_rate(alpha):
    calibration = Calibration(alpha=alpha)
    assert calibration.threshold == alpha
    assert calibration.rate is None
    assert calibration.interval() == (0.0, 1.0)


def test_the_threshold_falls_with_what_is_left_to_be_saved():
    calibration = Calibration(alpha=0.1)
    assert calibration.threshold_at(0.25) == pytest.approx(0.075)
    assert calibration.threshold_at(0.9) == pytest.approx(0.01)
    assert calibration.threshold_at(1.0) == 0.0


def test_in_the_first_fifth_the_risk_is_taken_by_and_by():
    calibration = Calibration(alpha=0.1, controls=4, wrong=2)
    early = [calibration.threshold_at(share) for share in (0.0, 0.01, 0.05, 0.1, 0.2)]
    assert early == sorted(early)
    assert early[0] == 0.0
    assert early[2] == pytest.approx(calibration.threshold * 0.95 / 4)
    assert early[-1] == pytest.approx(calibration.threshold * 0.8)


def test_wrong_controls_within_what_alpha_allows_change_nothing():
    assert Calibration(alpha=0.1, controls=20, wrong=2).threshold == 0.1
    assert Calibration(alpha=0.1, controls=500, wrong=0).threshold == 0.1


def test_each_wrong_control_beyond_that_halves_the_threshold():
    allowed = Calibration(alpha=0.1, controls=20, wrong=2).threshold
    assert Calibration(alpha=0.1, controls=20, wrong=3).threshold == pytest.approx(allowed / 2)
    assert Calibration(alpha=0.1, controls=20, wrong=5).threshold == pytest.approx(allowed / 8)


def test_right_controls_earn_back_what_wrong_ones_cost():
    thresholds = [
        Calibration(alpha=0.05, controls=controls, wrong=3).threshold for controls in range(3, 80)
    ]
    assert thresholds == sorted(thresholds)
    assert thresholds[-1] == 0.05


@pytest.mark.parametrize("overconfidence", [1.0, 3.0, 20.0])
def test_the_measured_rate_comes_down_to_alpha_however_wrong_the_chances_are(overconfidence):
    # the true chance of a wrong stop is a multiple of the stated one, which is all that is known
    chance, alpha, wrong, controls = random.Random(7), 0.05, 0, 2000
    for number in range(controls):
        threshold = Calibration(alpha=alpha, controls=number, wrong=wrong).threshold
        stated = chance.uniform(0, threshold)
        wrong += chance.random() < min(1.0, overconfidence * stated)
    assert wrong / controls < alpha + 0.005


def test_the_interval_is_that_of_the_binomial_tails():
    low, high = Calibration(alpha=0.05, controls=30, wrong=4).interval(0.9)
    assert binom.sf(3, 30, low) == pytest.approx(0.05)  # four or more, were the rate so low
    assert binom.cdf(4, 30, high) == pytest.approx(0.05)  # four or fewer, were it so high
    assert low < 4 / 30 < high


def test_none_or_all_wrong_leave_one_side_open():
    assert Calibration(alpha=0.05, controls=20).interval()[0] == 0.0
    assert Calibration(alpha=0.05, controls=20).interval()[1] == pytest.approx(
        1 - 0.025 ** (1 / 20)
    )
    assert Calibration(alpha=0.05, controls=20, wrong=20).interval()[1] == 1.0


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_interval_holds_the_rate_at_least_as_often_as_it_says(rate):
    controls = 25
    held = sum(
        binom.pmf(wrong, controls, rate)
        for wrong in range(controls + 1)
        if (ends := Calibration(alpha=0.05, controls=controls, wrong=wrong).interval())
        and ends[0] <= rate <= ends[1]
    )
    assert held >= 0.95


@pytest.mark.parametrize(
    ("alpha", "controls", "wrong"), [(0.0, 0, 0), (1.0, 0, 0), (0.05, 3, 4), (0.05, 3, -1)]
)
def test_what_cannot_be_is_refused(alpha, controls, wrong):
    with pytest.raises(ValueError):
        Calibration(alpha=alpha, controls=controls, wrong=wrong)


def test_the_control_group_is_as_large_as_asked_and_the_same_after_a_restart():
    drawn = [is_control(seed=3, trial=trial, share=0.1) for trial in range(4000)]
    assert drawn == [is_control(seed=3, trial=trial, share=0.1) for trial in range(4000)]
    assert drawn != [is_control(seed=4, trial=trial, share=0.1) for trial in range(4000)]
    low, high = binom.interval(0.9999, 4000, 0.1)
    assert low <= sum(drawn) <= high


def test_a_larger_share_keeps_the_controls_of_a_smaller_one():
    for trial in range(200):
        if is_control(seed=0, trial=trial, share=0.1):
            assert is_control(seed=0, trial=trial, share=0.3)
    assert not any(is_control(seed=0, trial=trial, share=0.0) for trial in range(200))
    assert all(is_control(seed=0, trial=trial, share=1.0) for trial in range(200))
