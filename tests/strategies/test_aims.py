"""What a configuration asks for, as the planner is told."""

import math

import pytest

from ecoautoml.config import load_config
from ecoautoml.strategies.energy_first.search import Aim

SCORES, COSTS = ("validation_accuracy",), ("inference_energy_j",)


def goal(scores=SCORES, limited=COSTS, constraints=(), **prefer):
    config = load_config(
        {
            "data": "digits",
            "space": "tiny",
            "objectives": [*scores, *COSTS],
            "constraints": list(constraints),
            "prefer": prefer,
        }
    )
    aim = Aim(
        objectives=config.objectives,
        constraints=config.parsed_constraints,
        prefer=config.prefer,
        guess_accuracy=0.1,
    )
    return aim.goal(scores, COSTS, limited)


def test_without_wishes_the_search_finds_its_bounds_itself():
    found = goal()
    assert (found.worst_errors, found.worst_costs) == ((math.inf,), (math.inf,))
    assert found.target_error is None
    assert found.guess_error == pytest.approx(0.9)


def test_a_target_is_an_error_and_a_reference_bounds_errors_and_costs():
    found = goal(
        at_least={"validation_accuracy": 0.93},
        reference={"validation_accuracy": 0.8, "inference_energy_j": 0.002},
    )
    assert found.target_error == pytest.approx(0.07)
    assert found.worst_errors == pytest.approx((0.2,))
    assert found.worst_costs == (0.002,)
    assert found.limits == (math.inf,)  # a wish is no limit


def test_the_stricter_of_a_limit_and_a_wish_counts():
    limits = ["inference_energy_j <= 0.001", "validation_accuracy >= 0.9"]
    wishes = {"validation_accuracy": 0.8, "inference_energy_j": 0.002}
    found = goal(constraints=limits, reference=wishes)
    assert found.worst_costs == (0.001,)
    assert found.worst_errors == pytest.approx((0.1,))
    assert found.limits == (0.001,)


def test_guessing_is_known_for_accuracy_alone():
    both = ("validation_macro_f1", "validation_accuracy")
    assert goal(both, at_least={"validation_macro_f1": 0.9}).guess_error is None
    assert goal(both).guess_error is None


def test_a_perfect_target_can_be_reckoned_with():
    assert 0 < goal(at_least={"validation_accuracy": 1}).target_error < 1e-3
