"""Whether first looks tell how trainings end."""

import numpy as np
import pytest

from ecoautoml.strategies.energy_first.agreement import LEAST, ends_only, looks_tell
from ecoautoml.strategies.energy_first.problem import Seen


def trained(number, *errors):
    return Seen(number=number, values={}, errors=tuple((one,) for one in errors))


def ended(firsts, ends):
    return [
        trained(n, one, 0.5, end) for n, (one, end) in enumerate(zip(firsts, ends, strict=True))
    ]


def correlated(n, correlation, seed=0):
    """Return trainings whose ends have a rank correlation with their first looks."""
    rng = np.random.default_rng(seed)
    firsts = rng.standard_normal(n)
    rest = np.sqrt(1 - correlation**2) * rng.standard_normal(n)
    return ended(np.exp(0.1 * firsts), np.exp(0.1 * (correlation * firsts + rest)))


def test_too_few_trainings_tell_nothing_against_looks():
    errors = np.linspace(0.1, 0.5, LEAST - 1)
    assert looks_tell(ended(errors, errors[::-1]), 2)
    errors = np.linspace(0.1, 0.5, LEAST)
    assert not looks_tell(ended(errors, errors[::-1]), 2)
    looks = [trained(100 + n, one) for n, one in enumerate(errors)]
    assert looks_tell([*ended(errors[1:], errors[:0:-1]), *looks], 2)


@pytest.mark.parametrize("correlation", [1.0, 0.8, 0.6])
def test_looks_that_tell_are_seldom_given_up(correlation):
    given_up = [not looks_tell(correlated(20, correlation, seed), 2) for seed in range(100)]
    assert np.mean(given_up) <= 0.25  # sure to eight tenths


def test_looks_that_tell_nothing_are_given_up():
    assert np.mean([looks_tell(correlated(30, 0.0, seed), 2) for seed in range(100)]) < 0.2
    assert np.mean([looks_tell(correlated(30, -0.5, seed), 2) for seed in range(100)]) == 0.0


def test_ends_that_are_all_alike_say_nothing():
    assert looks_tell(ended(np.linspace(0.1, 0.5, 50), np.full(50, 0.3)), 2)


def test_without_first_looks_there_is_nothing_to_give_up():
    assert looks_tell([trained(n, 0.1 * n) for n in range(20)], 0)


def test_only_ends_are_left():
    seen = [trained(0, 0.5, 0.4, 0.3), trained(1, 0.5, 0.4), trained(2)]
    assert [one.errors for one in ends_only(seen, 2)] == [((0.3,),), (), ()]
