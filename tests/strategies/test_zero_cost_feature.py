"""A score of untrained networks tells the model of accuracy what nothing else does."""

import math
import zlib
from dataclasses import replace

import numpy as np
from test_energy_first import SPACE, by_chance, costs, energy_of, error_of, places

from ecoautoml.config import load_config
from ecoautoml.strategies.energy_first.encoding import Encoder
from ecoautoml.strategies.energy_first.memory import Memory
from ecoautoml.strategies.energy_first.problem import Goal, Seen
from ecoautoml.strategies.energy_first.search import Aim
from ecoautoml.strategies.energy_first.situation import assess

GOAL = Goal(limits=(math.inf, math.inf), n_features=1)


def hidden(one):
    """Return something about a candidate that its values do not tell."""
    return math.exp((zlib.crc32(repr(sorted(one.items())).encode()) % 1000) / 500)


def situation(goal, is_scored):
    """Return what is expected of 30 candidates probed, of which 20 were looked at too."""
    some = by_chance(30, seed=7)
    score = [hidden(one) if is_scored else None for one in some]
    known = [
        Seen(number=number, values=one, costs=(energy_of(one), score[number]))
        for number, one in enumerate(some)
    ]
    looked = [
        replace(one, errors=((error_of(one.values, 0.1) * hidden(one.values) ** 0.5,),))
        for one in known[:20]
    ]
    seen = [*looked, *known[20:]]
    found = assess(
        seen,
        [],
        places(some),
        costs(some),
        [one.costs for one in seen],
        Encoder(SPACE),
        goal,
        (0.1, 1.0),
        Memory({}),
        is_resumed=False,
    )
    rows = np.arange(20, 30)
    expected = found.models[0].first(found.points.rows(rows)).mean
    truth = np.log([error_of(one, 0.1) * hidden(one) ** 0.5 for one in some[20:]])
    return float(np.sqrt(np.mean((expected - truth) ** 2)))


def test_what_is_probed_and_not_trained_is_forecast_better_with_it():
    with_it, without = situation(GOAL, True), situation(replace(GOAL, n_features=0), True)
    assert with_it < 0.8 * without


def test_a_score_that_is_not_known_does_no_harm():
    unknown, without = situation(GOAL, False), situation(replace(GOAL, n_features=0), False)
    assert unknown < 1.1 * without


def test_it_is_off_unless_it_is_asked_for():
    tree = {"data": "digits", "space": "tiny"}
    assert load_config(tree).sampler.zero_cost == "none"
    assert load_config({**tree, "sampler": {"zero_cost": "synflow"}}).sampler.kind == "auto"
    aim = Aim(objectives=("validation_accuracy", "params"), features=("synflow",))
    found = aim.goal(["validation_accuracy"], ["params"], ["params", "synflow"])
    assert (found.n_costs, found.n_features, found.limits) == (1, 1, (math.inf, math.inf))
