import math

import pytest

from ecoautoml.config.preferences import Prefer
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.study.standing import Standing, standing

OBJECTIVES = ("validation_accuracy", "inference_energy_j")
NOBODY = Candidate(space="s", builder="b", architecture={}, hyperparameters={})


def results(*points, state=TrialState.COMPLETE):
    return [
        TrialResult(
            number=number,
            state=state,
            candidate=NOBODY,
            metrics=dict(zip(OBJECTIVES, point, strict=False)),
        )
        for number, point in enumerate(points)
    ]


def test_nothing_complete_has_no_front():
    assert standing([], OBJECTIVES) == Standing(0, None)
    others = [state for state in TrialState if state is not TrialState.COMPLETE]
    for state in others:
        assert standing(results((0.9, 1.0), state=state), OBJECTIVES) == Standing(0, None)
    assert standing(results((0.9,)), OBJECTIVES) == Standing(0, None)


def test_one_model_that_is_best_in_everything_covers_the_whole_box():
    first, second = (0.9, 1.0), (0.8, 10.0)
    found = standing(results(first, second), OBJECTIVES)
    assert found.front_size == 1
    assert found.hypervolume == pytest.approx(1.0)


def test_the_share_covered_agrees_with_a_sum_of_rectangles():
    # accuracy 0.5 to 0.9; joules over two decades, on a log scale; 5 % beyond the worst
    points = [(0.9, 100.0), (0.7, 10.0), (0.5, 1.0), (0.6, 100.0)]
    width, height = 0.4 * 1.05, 2 * 1.05
    covered = width * 0.05 * 2 + (0.2 + 0.02) * 1.0 + 0.02 * 1.0
    found = standing(results(*points), OBJECTIVES)
    assert found.front_size == 3
    assert found.hypervolume == pytest.approx(covered / (width * height))


def test_the_share_lies_between_nothing_and_all_and_equal_models_count_once():
    points = [(0.5 + 0.4 * math.sin(i) ** 2, 10 ** (i % 5)) for i in range(12)]
    found = standing(results(*points, *points), OBJECTIVES)
    assert found.front_size == standing(results(*points), OBJECTIVES).front_size
    assert 0 < found.hypervolume <= 1


def test_a_better_model_within_the_box_covers_more():
    points = [(0.9, 100.0), (0.5, 1.0)]
    before = standing(results(*points), OBJECTIVES)
    after = standing(results(*points, (0.8, 10.0)), OBJECTIVES)
    assert after.front_size == 3
    assert after.hypervolume > before.hypervolume


def test_three_objectives_have_a_standing_too():
    objectives = (*OBJECTIVES, "latency_ms")
    trials = results((0.9, 100.0), (0.5, 1.0))
    trials = [
        TrialResult(**{**fields(trial), "metrics": {**trial.metrics, "latency_ms": 5.0 + index}})
        for index, trial in enumerate(trials)
    ]
    found = standing(trials, objectives)
    assert found.front_size == 2
    assert 0 < found.hypervolume < 1


def fields(trial):
    return {"number": trial.number, "state": trial.state, "candidate": trial.candidate}


def test_the_worst_of_use_bounds_the_box_and_what_is_beyond_does_not_count():
    prefer = Prefer(reference={"validation_accuracy": 0.6, "inference_energy_j": 50.0})
    found = standing(results((0.9, 100.0), (0.7, 10.0), (0.5, 1.0)), OBJECTIVES, prefer)
    assert found.front_size == 1
    assert found.hypervolume == pytest.approx(1.0)
    nobody = standing(results((0.5, 100.0)), OBJECTIVES, prefer)
    assert nobody == Standing(1, None)
