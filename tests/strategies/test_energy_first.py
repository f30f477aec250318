"""Energy first: encoding, the process, expected gains, and whole searches on made-up tables."""

import math

import numpy as np
import pytest
from searches_by_hand import conditional_space

from ecoautoml.spaces.dimensions import Dimension, SearchSpace, candidate, validate_point
from ecoautoml.strategies.energy_first.accuracy import FIRST_PRIOR, AccuracyModel
from ecoautoml.strategies.energy_first.encoding import Encoder
from ecoautoml.strategies.energy_first.gain import Steps, index_of, shortfall
from ecoautoml.strategies.energy_first.planner import START, EnergyFirst, Seen
from ecoautoml.strategies.energy_first.process import Points, fit


def dimension(name, **fields):
    return Dimension(name=name, section="architecture", **fields)


SPACE = SearchSpace(
    name="made up",
    description="",
    builder="none",
    parameters=(
        dimension("rate", kind="float", low=1e-4, high=1e-2, log=True),
        dimension("width", kind="int", low=8, high=64, step=8),
        dimension("act", kind="categorical", choices=("relu", "silu", "gelu")),
        *(dimension(f"kernel{i}", kind="categorical", choices=(3, 5, 7)) for i in range(4)),
        *(dimension(f"block{i}", kind="categorical", choices=("mb", "conv")) for i in range(4)),
    ),
)


def values(**changed):
    middle = {one.name: one.middle for one in SPACE.parameters}
    return candidate(SPACE, {**middle, **changed}).parameters()


def energy_of(one):
    kernels = sum(one[f"kernel{i}"] for i in range(4))
    convs = sum(one[f"block{i}"] == "conv" for i in range(4))
    return one["width"] * (kernels + 20 * convs) / 100


def error_of(one, share=1.0):
    """Falls with energy, has a best rate, and likes gelu; a short training shows most of it."""
    best = 0.08 * (math.log10(one["rate"]) + 3) ** 2
    act = {"relu": 0.2, "silu": 0.05, "gelu": 0.0}[one["act"]]
    log_error = -1.0 - 0.35 * math.log(energy_of(one)) + best + act
    return math.exp(log_error - 0.25 * math.log(share) * (1 + 0.1 * act))


def costs(candidates):
    return np.array([[energy_of(one), one["width"]] for one in candidates])


# --- encoding -------------------------------------------------------------------------------------


def test_distance_is_the_mean_over_dimensions_of_how_far_values_are_apart():
    encoder = Encoder(SPACE)
    here, far, near = encoder.encode(
        [values(rate=1e-4, width=8), values(rate=1e-2, width=64, act="gelu"), values(width=16)]
    ).distance(encoder.encode([values(rate=1e-4, width=8)]))[:, 0]
    assert here == 0.0
    assert far == pytest.approx((1 + 1 + 1) / 11)
    assert near == pytest.approx((0.5 + 1 / 7) / 11)


def test_like_dimensions_share_traits():
    traits = Encoder(SPACE).encode([values(block0="conv", block1="conv", kernel0=3, kernel1=7)])
    shares = traits.traits[0]
    assert 0.5 in shares  # two of four blocks are conv
    assert len(shares) == 2 + 2  # mean and number of kernels; share of mb and of conv


def test_what_a_candidate_does_not_have_is_far_from_any_value():
    space = conditional_space()
    encoder = Encoder(space)
    planner = EnergyFirst(space, (0.1, 1.0))
    found = planner._by_chance(200)
    apart = encoder.encode(found).distance(encoder.encode(found))
    assert apart.max() <= 1.0
    assert np.allclose(np.diag(apart), 0.0)
    kernel = np.exp(-apart / 0.3)
    assert np.linalg.eigvalsh(kernel).min() > -1e-9  # a kernel, whatever is active
    with_momentum = [("momentum" in one) for one in found]
    assert 0 < sum(with_momentum) < len(found)


# --- the process ----------------------------------------------------------------------------------


def points_of(candidates):
    encoder = Encoder(SPACE)
    encoded = encoder.encode(candidates)
    logs = np.log(costs(candidates))
    logs = (logs - [1.5, 3.3]) / [0.7, 0.6]
    return Points(
        encoded=encoded,
        features=np.hstack([logs, encoded.traits]),
        costs=logs,
        basis=np.zeros((len(candidates), 0)),
    )


def test_the_process_learns_and_knows_how_well():
    planner = EnergyFirst(SPACE, (1.0,), seed=1)
    known, new = planner._by_chance(80), planner._by_chance(200)
    rng = np.random.default_rng(0)
    targets = np.log([error_of(one) for one in known]) + 0.01 * rng.standard_normal(len(known))
    truth = np.log([error_of(one) for one in new])
    process = fit(points_of(known), targets, FIRST_PRIOR, rng=rng)
    mean, variance = process.predict(points_of(new))
    assert np.std(truth - mean) < 0.35 * np.std(truth)
    standardised = (truth - mean) / np.sqrt(variance)
    assert 0.3 < np.sqrt(np.mean(standardised**2)) < 1.6
    again, less = process.predict(points_of(known))
    assert np.abs(again - targets).max() < 0.2
    assert less.mean() < variance.mean() / 2


# --- gains ----------------------------------------------------------------------------------------


def test_a_shortfall_is_what_drawing_many_errors_gives():
    errors = np.exp(-1.5 + 0.4 * np.random.default_rng(0).standard_normal(400_000))
    (found,) = shortfall(0.25, np.array([-1.5]), np.array([0.16]))
    assert found == pytest.approx(np.maximum(0.25 - errors, 0).mean(), rel=0.01)


def test_the_gain_is_the_area_between_a_candidate_and_the_front():
    steps = Steps.of([1.0, 2.0, 1.5], [0.3, 0.1, 0.4], reference=(0.5, 3.0))
    assert steps.errors.tolist() == [0.5, 0.3, 0.1]  # the third is beaten by the first
    sure = np.full(3, 1e-12)
    gains = steps.expected_gain(np.array([0.5, 1.2, 2.5]), np.log([0.2, 0.2, 0.2]), sure)
    assert gains == pytest.approx([0.5 * 0.3 + 1.0 * 0.1, 0.8 * 0.1, 0.0], abs=1e-5)
    assert Steps.of([], [], (0.5, 3.0)).expected_gain(
        np.array([1.0]), np.log([0.2]), sure[:1]
    ) == pytest.approx([2.0 * 0.3], abs=1e-5)


def test_a_look_is_worth_what_it_saves():
    """Half of the time there is nothing: looking first pays one full training less in two."""
    gains, halves = np.array([[1.0, 0.0]]), np.array([0.5, 0.5])
    (free,) = index_of(gains, halves, np.array([0.0]), np.array([1.0]))
    assert free == pytest.approx(1.0)  # goes on with the good one alone
    (cheap,) = index_of(gains, halves, np.array([0.1]), np.array([1.0]))
    assert cheap == pytest.approx(0.5 / (0.1 + 0.5))
    (useless,) = index_of(np.array([[0.5, 0.5]]), halves, np.array([0.1]), np.array([1.0]))
    assert useless == pytest.approx(0.5 / 1.1)


# --- from rung to rung ----------------------------------------------------------------------------


def test_later_rungs_are_forecast_from_earlier_ones_and_corrected_by_what_was_seen():
    planner = EnergyFirst(SPACE, (0.1, 1.0), seed=2)
    known, new = planner._by_chance(40), planner._by_chance(100)
    model = AccuracyModel((0.1, 1.0), np.random.default_rng(0))
    errors = [(2 * error_of(one, 0.1),) for one in known]  # the fall is larger than supposed
    model.learn(points_of(known), errors, bound=1.0)
    before = np.log([2 * error_of(one, 0.1) for one in new])
    blind = model.final(points_of(new), 0, before)
    truth = np.log([error_of(one) for one in new])
    assert np.mean(blind.mean - truth) == pytest.approx(math.log(2), abs=0.1)
    errors[:6] = [(*errors[i], error_of(known[i])) for i in range(6)]
    model.learn(points_of(known), errors, bound=1.0)
    told = model.final(points_of(new), 0, before)
    assert abs(np.mean(told.mean - truth)) < 0.1


# --- whole searches -------------------------------------------------------------------------------


def run(seed, budget, *, error=error_of, guess_error=None, space=SPACE, costs=costs):
    """Search until so many full trainings are paid; return everything seen, and what was paid."""
    planner = EnergyFirst(space, (0.1, 1.0), is_resumed=False, guess_error=guess_error, seed=seed)
    seen, paid = [], 0.0
    while paid < budget:
        steps = planner.plan(seen, costs)
        assert steps
        for step in steps:
            validate_point(space, step.values)
            old = [i for i, one in enumerate(seen) if one.values == step.values]
            if step.rung == 0:
                assert not old, "looked at twice"
                seen.append(Seen(values=step.values, errors=(error(step.values, 0.1),)))
            else:
                (index,) = old
                assert len(seen[index].errors) == step.rung
                errors = (*seen[index].errors, error(step.values, 1.0))
                seen[index] = Seen(values=step.values, errors=errors)
            paid += 0.1 if step.rung == 0 else 1.0
    return seen


def volume(points):
    """Return the hypervolume of (energy, error), beside the worst tenth of errors by chance."""
    everything = EnergyFirst(SPACE, (1.0,), seed=99)._by_chance(500)
    worst = float(np.quantile([error_of(one) for one in everything], 0.9))
    energies, errors = zip(*points, strict=True)
    steps = Steps.of(np.log(energies), errors, (worst, math.log(60.0)))
    widths = np.diff(np.maximum(steps.edges, math.log(1.0)))
    return float((widths * (worst - steps.errors)).sum())


def finished(seen):
    return [(energy_of(one.values), one.errors[1]) for one in seen if len(one.errors) == 2]


def test_it_finds_a_better_front_than_chance_usually_does_for_twice_the_price():
    planner = EnergyFirst(SPACE, (1.0,), seed=5)
    chance = [
        volume([(energy_of(one), error_of(one)) for one in planner._by_chance(48)])
        for _ in range(10)
    ]
    ours = [volume(finished(run(seed, 24.0))) for seed in range(2)]
    assert min(ours) > np.median(chance)


def test_the_seed_decides_and_the_first_ones_are_spread_over_energies():
    one, same, other = run(3, 4.0), run(3, 4.0), run(4, 4.0)
    assert one == same
    assert one != other
    first = sorted(energy_of(each.values) for each in one[:START])
    assert first[0] < 3 < 15 < first[-1]


def test_trainings_that_fail_are_not_gone_on_with_and_their_likes_are_avoided():
    """Nearly free networks that learn nothing would swallow a hypervolume over log energy."""

    def broken(one, share):
        return 0.9 if one["act"] == "relu" else error_of(one, share)

    seen = run(0, 12.0, error=broken, guess_error=0.9)
    relu = [one for one in seen if one.values["act"] == "relu"]
    assert all(len(one.errors) == 1 for one in relu)
    later = seen[START:]
    assert sum(one.values["act"] == "relu" for one in later) < 0.15 * len(later)


def test_conditional_spaces_are_searched_too():
    space = conditional_space()

    def cost(candidates):
        return np.array([[float(one["width"])] for one in candidates])

    def error(one, share):
        return 0.4 / one["width"] ** 0.3 * (1.0 if "momentum" in one else 1.1) / share**0.2

    seen = run(1, 6.0, error=error, space=space, costs=cost)
    assert any(len(one.errors) == 2 for one in seen)
