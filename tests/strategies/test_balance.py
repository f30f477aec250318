"""How much goes into first looks."""

import numpy as np
import pytest

from ecoautoml.strategies.energy_first.balance import MOST, USUAL, agreement, looks_are_due
from ecoautoml.strategies.energy_first.problem import Prices, Seen

SHARES = (0.1, 0.3, 1.0)
NO_PRICES = Prices()


def trained(number, *errors, price=None):
    return Seen(number=number, values={}, errors=tuple((one,) for one in errors), price=price)


def ended(firsts, ends):
    return [
        trained(n, one, one, end) for n, (one, end) in enumerate(zip(firsts, ends, strict=True))
    ]


def due(seen, prices=NO_PRICES, shares=SHARES, is_resumed=True):
    return looks_are_due(seen, shares, prices, is_resumed=is_resumed)


def test_nothing_seen_is_as_good_as_usual():
    assert agreement([], 2) == pytest.approx(USUAL)
    assert agreement([trained(0, 0.5), trained(1, 0.4, 0.3)], 2) == pytest.approx(USUAL)


def test_agreement_nears_what_is_seen():
    errors = np.linspace(0.1, 0.5, 200)
    assert agreement(ended(errors, errors), 2) > 0.98
    assert agreement(ended(errors, errors[::-1]), 2) == 0.0
    chance = np.random.default_rng(0).permutation(errors)
    assert agreement(ended(errors, chance), 2) < 0.2
    assert agreement(ended(errors, np.full(200, 0.3)), 2) < 0.05  # ends that are all the same


def test_looks_are_due_until_they_have_their_share():
    end = trained(0, 0.5, 0.4, 0.3)  # 0.9 after its first look
    share = MOST * agreement([end], 2)
    enough = next(n for n in range(100) if not due([end, *[trained(1 + i, 0.5) for i in range(n)]]))
    looks = 0.1 * (enough + 1)
    assert looks >= share * (looks + 0.9)
    assert looks - 0.1 < share * (looks - 0.1 + 0.9)


def test_where_first_looks_tell_little_they_get_less():
    errors = np.linspace(0.1, 0.5, 20)
    looks = [trained(100 + n, 0.5) for n in range(200)]
    assert due([*ended(errors, errors), *looks[:100]])
    assert not due([*ended(errors, errors[::-1]), *looks[:100]])


def test_dear_candidates_and_prices_of_beginning_count():
    end = trained(0, 0.5, 0.4, 0.3, price=5.0)
    few = [trained(1 + n, 0.5, price=5.0) for n in range(6)]
    assert due([end, *few])
    assert not due([end, *few], Prices(begin=0.2))
    assert due([end, *few], Prices(begin=0.2, end=3.0))


def test_separate_runs_pay_for_all_of_themselves():
    end, looks = trained(0, 0.5, 0.4, 0.3), [trained(1 + n, 0.5) for n in range(8)]
    assert not due([end, *looks])
    assert due([end, *looks], is_resumed=False)


def test_trials_of_an_earlier_run_were_paid_for_there():
    errors = np.linspace(0.3, 0.4, 50)
    earlier = [trained(-1 - n, one, one, one) for n, one in enumerate(errors)]
    assert due([*earlier, trained(0, 0.5, 0.4, 0.3)])
    assert not due([*earlier, trained(0, 0.5)])


def test_trainings_that_are_never_halted_have_no_first_looks():
    assert not due([trained(0, 0.3)], shares=(1.0,))
