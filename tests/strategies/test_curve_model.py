import math
import random

import numpy as np
import pytest
from scipy.stats import t as student

from ecoautoml.strategies.curve_model import (
    CurveModel,
    FinalError,
    LearningCurve,
    chance_to_join,
    doubted,
)

EPOCHS = 20


def power_law(rng, *, epochs=EPOCHS, noise=0.02):
    """Return errors that fall as a power of the epoch, towards a floor, with noise."""
    floor, rate = rng.uniform(0.03, 0.3), rng.uniform(0.5, 1.5)
    clean = floor + (0.9 - floor) * np.arange(1, epochs + 1) ** -rate
    return np.minimum(clean * np.exp(rng.normal(0, noise, epochs)), 1.0)


def many(n, seed=0, **words):
    rng = np.random.default_rng(seed)
    return [power_law(rng, **words) for _ in range(n)]


def finished(errors):
    errors = tuple(map(float, errors))
    return LearningCurve(errors=errors, epochs=len(errors), final=errors[-1])


def stopped(errors, after):
    return LearningCurve(errors=tuple(map(float, errors[:after])), epochs=len(errors))


def model_of(curves):
    return CurveModel([finished(curve) for curve in curves])


def test_the_chance_and_the_quantiles_are_those_of_a_student_t_on_the_log_error():
    one = FinalError(mean=math.log(0.1), scale=0.2, degrees_of_freedom=5.0)
    assert one.chance_below(0.1) == pytest.approx(0.5)
    assert one.chance_below(0.08) == pytest.approx(student.cdf(math.log(0.8) / 0.2, 5))
    assert one.quantile(0.5) == pytest.approx(0.1)
    assert one.chance_below(one.quantile(0.03)) == pytest.approx(0.03)
    assert one.chance_below(0.0) == 0.0


def test_nothing_is_forecast_from_fewer_than_four_finished_curves():
    curves = many(5)
    known = [finished(curve) for curve in curves[:3]]
    known.append(stopped(curves[3], 15))
    assert CurveModel(known).final_error(curves[4][:5], EPOCHS) is None
    assert CurveModel([]).final_error(curves[4][:5], EPOCHS) is None
    assert CurveModel([*known, finished(curves[3])]).final_error(curves[4][:5], EPOCHS) is not None


def test_curves_that_always_halve_are_forecast_to_halve():
    rng = random.Random(1)
    curves = []
    for _ in range(12):
        start = rng.uniform(0.2, 0.8)
        curves.append(np.array([start, start * 0.9, start * 0.7, start * 0.5]))
    found = model_of(curves).final_error([0.6], 4)
    assert found.quantile(0.5) == pytest.approx(0.3, rel=0.01)
    assert found.chance_below(0.2) < 0.02
    assert found.chance_below(0.4) > 0.98


@pytest.mark.parametrize("n_curves", [6, 15, 60])
@pytest.mark.parametrize("epoch", [1, 5, 15])
def test_stated_chances_come_true_as_often_as_they_say(n_curves, epoch):
    below = {0.05: 0, 0.5: 0, 0.95: 0}
    total = 0
    for seed in range(150):
        curves = many(n_curves + 4, seed=seed)
        model = model_of(curves[:n_curves])
        for curve in curves[n_curves:]:
            total += 1
            found = model.final_error(curve[:epoch], EPOCHS)
            for level in below:
                below[level] += curve[-1] < found.quantile(level)
    assert below[0.05] / total <= 0.1
    assert below[0.5] / total == pytest.approx(0.5, abs=0.12)
    assert below[0.95] / total >= 0.88


def test_the_more_is_seen_of_a_curve_the_surer_the_forecast():
    curves = many(60)
    model = model_of(curves[:50])
    widths = [
        np.median([model.final_error(curve[:epoch], EPOCHS).scale for curve in curves[50:]])
        for epoch in (1, 5, 10, 19)
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 4


def test_more_curves_forecast_better_than_few():
    def surprise(n_curves):
        costs = []
        for seed in range(20):
            curves = many(n_curves + 10, seed=100 + seed)
            model = model_of(curves[:n_curves])
            for curve in curves[n_curves:]:
                found = model.final_error(curve[:6], EPOCHS)
                place = (math.log(curve[-1]) - found.mean) / found.scale
                costs.append(
                    math.log(found.scale) - student.logpdf(place, found.degrees_of_freedom)
                )
        return np.mean(costs)

    assert surprise(40) < surprise(12) < surprise(5)


def test_what_learns_late_is_not_taken_for_what_never_learns():
    # half of the networks fall from the start, half stay at chance until they jump at epoch 12
    rng = np.random.default_rng(0)
    late = [
        np.r_[np.full(12, 0.9), rng.uniform(0.2, 0.4) * np.ones(8)]
        * np.exp(rng.normal(0, 0.01, EPOCHS))
        for _ in range(41)
    ]
    curves = [*many(40), *late[:40]]
    found = model_of(curves).final_error(late[40][:8], EPOCHS)
    assert 0.2 < found.quantile(0.5) < 0.4
    assert found.chance_below(0.35) > 0.3


def test_stopped_curves_sharpen_the_forecast_as_far_as_they_go():
    curves = many(80, seed=5, noise=0.05)
    few = [finished(curve) for curve in curves[:8]]
    helped = CurveModel([*few, *(stopped(curve, 15) for curve in curves[8:60])])
    alone = CurveModel(few)

    def mean_surprise(model):
        places = []
        for curve in curves[60:]:
            found = model.final_error(curve[:3], EPOCHS)
            place = (math.log(curve[-1]) - found.mean) / found.scale
            places.append(math.log(found.scale) - student.logpdf(place, found.degrees_of_freedom))
        return np.mean(places)

    assert mean_surprise(helped) < mean_surprise(alone)
    # of what comes after epoch 15 they know nothing
    for curve in curves[60:]:
        with_them = helped.final_error(curve[:15], EPOCHS)
        assert with_them == alone.final_error(curve[:15], EPOCHS)


def test_chances_are_no_smaller_than_they_should_be_where_only_the_best_were_finished():
    # those that look bad after five epochs are stopped, as a search would do it
    wrong, stated = [], []
    for seed in range(60):
        curves = many(60, seed=1000 + seed, noise=0.1)
        middle = np.median([curve[4] for curve in curves[:50]])
        known = [
            finished(curve) if number < 6 or curve[4] < middle else stopped(curve, 5)
            for number, curve in enumerate(curves[:50])
        ]
        model = CurveModel(known)
        bound = min(one.final for one in known if one.final is not None) * 1.2
        for curve in curves[50:]:
            if curve[4] >= middle:
                stated.append(model.final_error(curve[:5], EPOCHS).chance_below(bound))
                wrong.append(curve[-1] < bound)
    # of those given a small chance, no more come below the bound than the chances add up to
    small = [(one, said) for one, said in zip(wrong, stated, strict=True) if said < 0.1]
    expected = sum(said for _, said in small)
    assert len(small) > 100
    assert sum(one for one, _ in small) <= expected + 3 * math.sqrt(expected) + 1


def test_the_order_of_the_curves_does_not_matter_nor_how_often_one_asks():
    curves = many(50)
    known = [finished(c) if i % 3 else stopped(c, 2 + i % 15) for i, c in enumerate(curves)]
    one, other = CurveModel(known), CurveModel(random.Random(0).sample(known, len(known)))
    first = one.final_error(curves[0][:6], EPOCHS)
    second = other.final_error(curves[0][:6], EPOCHS)
    assert first == one.final_error(curves[0][:6], EPOCHS)
    assert second.mean == pytest.approx(first.mean)
    assert second.scale == pytest.approx(first.scale)
    assert second.degrees_of_freedom == pytest.approx(first.degrees_of_freedom)


def test_trainings_of_other_lengths_are_compared_at_equal_shares():
    # straight lines in the log error, whatever the number of epochs
    def straight(start, epochs):
        return start * 4.0 ** (-np.arange(1, epochs + 1) / epochs)

    starts = np.linspace(0.5, 1.0, 12)
    mixed = [straight(start, (5, 10, 40)[i % 3]) for i, start in enumerate(starts)]
    found = model_of(mixed).final_error(straight(0.8, 20)[:10], 20)
    assert found.quantile(0.5) == pytest.approx(0.2, rel=0.02)


def test_a_training_that_ended_by_itself_stays_as_it_was():
    whole, short = many(8), []
    for curve in whole:
        curve[12:] = curve[11]
        short.append(LearningCurve(errors=tuple(curve[:12]), epochs=EPOCHS, final=float(curve[11])))
    partial = many(1, seed=9)[0][:6]
    assert CurveModel(short).final_error(partial, EPOCHS) == model_of(whole).final_error(
        partial, EPOCHS
    )


def test_scores_that_are_no_numbers_or_perfect_do_no_harm():
    curves = many(10)
    curves[0][3:] = math.nan
    curves[1][10:] = 0.0
    known = [finished(curve) for curve in curves]
    known.append(LearningCurve(errors=(), epochs=EPOCHS))
    found = CurveModel(known).final_error([0.9, math.nan, 0.0], EPOCHS)
    assert math.isfinite(found.mean)
    assert found.scale > 0
    assert 0 < found.chance_below(0.5) < 1


def test_equal_curves_do_not_make_it_sure_beyond_the_noise_of_the_validation_images():
    same = model_of([[0.5, 0.4, 0.3]] * 6).final_error([0.5], 3)
    assert same.quantile(0.5) == pytest.approx(0.3, rel=0.01)
    assert same.scale > 1e-3


@pytest.mark.parametrize("n_errors", [0, EPOCHS, EPOCHS + 1])
def test_a_question_without_anything_seen_or_to_come_is_refused(n_errors):
    with pytest.raises(ValueError, match=f"{n_errors} errors of a training of 20 epochs"):
        model_of(many(5)).final_error([0.5] * n_errors, EPOCHS)


def test_with_one_error_the_chance_to_join_is_that_of_beating_the_best_rival():
    one = FinalError(mean=math.log(0.2), scale=0.1, degrees_of_freedom=8.0)
    assert chance_to_join([one], [[0.3], [0.18], [0.25]]) == one.chance_below(0.18)
    assert chance_to_join([one], []) == 1.0


def test_with_several_errors_the_chance_to_join_is_an_upper_limit_of_the_true_one():
    first = FinalError(mean=math.log(0.2), scale=0.1, degrees_of_freedom=8.0)
    second = FinalError(mean=math.log(0.1), scale=0.2, degrees_of_freedom=8.0)
    rivals = [[0.17, 0.09], [0.19, 0.06], [0.15, 0.14]]
    stated = chance_to_join([first, second], rivals)
    rng = np.random.default_rng(0)
    for is_shared in (False, True):
        draws = student.rvs(8, size=(20_000, 2), random_state=rng)
        if is_shared:
            draws[:, 1] = draws[:, 0]
        errors = np.exp([math.log(0.2), math.log(0.1)] + draws * [0.1, 0.2])
        joins = np.all([np.any(errors < rival, axis=1) for rival in rivals], axis=0).mean()
        assert joins <= stated
    # one rival that is worse in nothing decides
    assert chance_to_join([first, second], [*rivals, [0.01, 0.01]]) < 1e-4


def test_a_chance_is_doubted_the_less_the_more_curves_were_seen_and_is_never_lowered():
    doubts = [doubted(0.001, n) for n in (4, 6, 12, 50, 1000)]
    assert doubts == sorted(doubts, reverse=True)
    assert doubts[0] > 0.01
    assert doubts[-1] == pytest.approx(0.001, abs=0.001)
    assert doubted(1.0, 6) == 1.0
    assert all(doubted(chance, 6) >= chance for chance in (0.0, 0.3, 0.9, 1.0))
