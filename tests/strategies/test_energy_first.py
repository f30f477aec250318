"""Energy first: its models, and whole searches on made-up tables."""

import math
import zlib
from dataclasses import replace

import numpy as np
import pytest
from searches_by_hand import conditional_space

from ecoautoml.spaces.dimensions import Dimension, SearchSpace, candidate, validate_point
from ecoautoml.strategies.energy_first.accuracy import FIRST_PRIOR, AccuracyModel
from ecoautoml.strategies.energy_first.beginning import START, first_ones
from ecoautoml.strategies.energy_first.costs import forecast_costs
from ecoautoml.strategies.energy_first.encoding import Encoder
from ecoautoml.strategies.energy_first.gain import Front
from ecoautoml.strategies.energy_first.lattice import Lattice
from ecoautoml.strategies.energy_first.memory import Memory
from ecoautoml.strategies.energy_first.planner import EnergyFirst
from ecoautoml.strategies.energy_first.problem import Goal, Prices, Seen, Status
from ecoautoml.strategies.energy_first.process import Climb, Points, fit


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


def by_chance(n, seed=0, space=SPACE):
    lattice = Lattice(space)
    rows = lattice.draw(np.random.default_rng(seed), n)
    return [lattice.values(row) for row in lattice.unknown(rows, rows[:0])]


def places(candidates, space=SPACE):
    lattice = Lattice(space)
    return np.array([lattice.places(one) for one in candidates])


def encode(candidates, space=SPACE):
    return Encoder(space).encode(places(candidates, space))


# --- encoding -------------------------------------------------------------------------------------


def test_distance_is_the_mean_over_dimensions_of_how_far_values_are_apart():
    some = [values(rate=1e-4, width=8), values(rate=1e-2, width=64, act="gelu"), values(width=16)]
    here, far, near = encode(some).distance(encode([values(rate=1e-4, width=8)]))[:, 0]
    assert here == 0.0
    assert far == pytest.approx((1 + 1 + 1) / 11)
    assert near == pytest.approx((0.5 + 1 / 7) / 11)


def test_like_dimensions_share_traits():
    traits = encode([values(block0="conv", block1="conv", kernel0=3, kernel1=7)])
    shares = traits.traits[0]
    assert 0.5 in shares  # two of four blocks are conv
    assert len(shares) == 2 + 2  # mean and number of kernels; share of mb and of conv


def test_what_a_candidate_does_not_have_is_far_from_any_value():
    space = conditional_space()
    found = by_chance(200, space=space)
    encoded = encode(found, space)
    apart = encoded.distance(encoded)
    assert apart.max() <= 1.0
    assert np.allclose(np.diag(apart), 0.0)
    kernel = np.exp(-apart / 0.3)
    assert np.linalg.eigvalsh(kernel).min() > -1e-9  # a kernel, whatever is active
    with_momentum = [("momentum" in one) for one in found]
    assert 0 < sum(with_momentum) < len(found)


# --- the process ----------------------------------------------------------------------------------


def points_of(candidates):
    encoded = encode(candidates)
    logs = np.log(costs(candidates))
    logs = (logs - [1.5, 3.3]) / [0.7, 0.6]
    return Points(
        encoded=encoded,
        features=np.hstack([logs, encoded.traits]),
        costs=logs,
        basis=np.zeros((len(candidates), 0)),
    )


def test_the_process_learns_and_knows_how_well():
    known, new = by_chance(80, seed=1), by_chance(200, seed=2)
    rng = np.random.default_rng(0)
    targets = np.log([error_of(one) for one in known]) + 0.01 * rng.standard_normal(len(known))
    truth = np.log([error_of(one) for one in new])
    learnt, asked = points_of(known), points_of(new)
    process = fit(learnt, targets, FIRST_PRIOR)
    mean, variance = process.predict(asked)
    assert np.std(truth - mean) < 0.35 * np.std(truth)
    standardised = (truth - mean) / np.sqrt(variance)
    assert 0.3 < np.sqrt(np.mean(standardised**2)) < 1.6
    again, less = process.predict(learnt)
    assert np.abs(again - targets).max() < 0.2
    assert less.mean() < variance.mean() / 2


def test_parameters_are_sought_again_when_there_is_a_quarter_more_to_learn_from():
    some = by_chance(40, seed=1)
    targets = np.log([error_of(one) for one in some])
    learnt = points_of(some)

    def fitted(n, state):
        memory = Memory(state)
        memory.fit("a", learnt.rows(range(n)), targets[:n], FIRST_PRIOR)
        return memory

    first = fitted(20, {})
    assert first.state["a"]["n"] == 20
    assert fitted(24, first.state).state == first.state
    assert fitted(25, first.state).state["a"]["n"] == 25


def test_the_slope_of_the_evidence_is_that_of_small_differences():
    some = by_chance(30, seed=1)
    learnt = points_of(some)
    learnt = learnt.knowing(np.sin(np.arange(30.0)), np.stack([np.ones(30), np.arange(30)], axis=1))
    targets = np.log([error_of(one) for one in some])
    prior = replace(FIRST_PRIOR, basis_variance=np.array([0.1, 0.01]))
    climb = Climb(learnt, targets, prior, has_own_weights=True)
    chance = np.random.default_rng(0)
    n_parameters = 6 + learnt.encoded.ties.shape[1] + learnt.features.shape[1]
    here = climb.start(prior) + 0.3 * chance.standard_normal(n_parameters)
    _, slope = climb.loss(here)
    steps = 1e-5 * np.eye(n_parameters)
    expected = [(climb.loss(here + one)[0] - climb.loss(here - one)[0]) / 2e-5 for one in steps]
    assert slope == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_what_matters_is_told_from_what_does_not():
    some, new = by_chance(100, seed=1), by_chance(200, seed=2)
    kernels = {3: 0.0, 5: 0.5, 7: 0.6}

    def target(one):
        return np.array([kernels.get(each.get("kernel0"), 1.0) for each in one])

    def of(candidates):
        points = points_of(candidates)
        return replace(points, features=np.zeros((len(candidates), 0)))

    errors = [
        np.std(
            fit(of(some), target(some), FIRST_PRIOR, has_own_weights=own).predict(of(new))[0]
            - target(new)
        )
        for own in (True, False)
    ]
    assert errors[0] < 0.6 * errors[1]


def test_costs_are_learnt_from_what_was_counted_beforehand_and_known_ones_are_certain():
    some = by_chance(60, seed=3)
    points = points_of(some)
    truth = [3.0 * energy_of(one) ** 1.1 for one in some]
    known = [(cost,) for cost in truth[:20]] + [(None,)] * 39 + [(truth[59],)]
    mean, variance = forecast_costs("cost", Memory({}), points, known, 20)
    assert mean[[0, 59], 0] == pytest.approx(np.log([truth[0], truth[59]]))
    assert variance[[0, 59], 0].tolist() == [0.0, 0.0]
    errors = mean[20:59, 0] - np.log(truth[20:59])
    assert np.std(errors) < 0.1
    assert np.abs(errors / np.sqrt(variance[20:59, 0])).mean() < 2.0


# --- from rung to rung ----------------------------------------------------------------------------


def test_later_rungs_are_forecast_from_earlier_ones_and_corrected_by_what_was_seen():
    known, new = by_chance(40, seed=2), by_chance(100, seed=4)
    learnt, asked = points_of(known), points_of(new)
    model = AccuracyModel("a", (0.1, 1.0), Memory({}))
    # the fall is larger than supposed
    errors = {row: [2 * error_of(one, 0.1)] for row, one in enumerate(known)}
    model.learn(learnt, errors, bound=1.0)
    before = np.log([2 * error_of(one, 0.1) for one in new])
    blind = model.final(asked, 0, before)
    truth = np.log([error_of(one) for one in new])
    assert np.mean(blind.mean - truth) == pytest.approx(math.log(2), abs=0.1)
    for row in range(6):
        errors[row].append(error_of(known[row]))
    model.learn(learnt, errors, bound=1.0)
    told = model.final(asked, 0, before)
    assert abs(np.mean(told.mean - truth)) < 0.1


def test_less_of_what_a_look_shows_is_left_in_the_end_where_it_is_one_training():
    """Until ends tell: here all of it is left, and half a dozen of them show that."""
    known, new = by_chance(40, seed=2), by_chance(100, seed=4)
    learnt, asked = points_of(known), points_of(new)
    errors = {row: [error_of(one, 0.1)] for row, one in enumerate(known)}
    before = np.log([error_of(one, 0.1) for one in new])
    spread = {}
    for is_resumed in (False, True):
        model = AccuracyModel("a", (0.1, 1.0), Memory({}), is_resumed=is_resumed)
        model.learn(learnt, errors, bound=1.0)
        blind = model.final(asked, 0, before)
        spread[is_resumed] = np.ptp(blind.mean) / np.ptp(before)
        assert blind.slope == pytest.approx(spread[is_resumed])
    assert spread == {False: pytest.approx(1.0), True: pytest.approx(0.6)}
    told = {row: [*each, error_of(known[row])] for row, each in errors.items() if row < 6}
    model.learn(learnt, {**errors, **told}, bound=1.0)
    assert model.final(asked, 0, before).slope == pytest.approx(1.0, abs=0.15)


def test_others_like_those_that_run_are_less_in_doubt():
    known = by_chance(40, seed=2)
    learnt = points_of(known)
    errors = {row: [error_of(one, 0.1)] for row, one in enumerate(known[:30])}
    model = AccuracyModel("a", (0.1, 1.0), Memory({}))
    model.learn(learnt, errors, bound=1.0)
    before = model.first(learnt)
    model.believe(learnt.rows([35, 36]))
    after = model.first(learnt)
    assert (after.variance[[35, 36]] < 0.5 * before.variance[[35, 36]]).all()
    assert after.mean[:30] == pytest.approx(before.mean[:30], abs=0.05)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e6])
def test_targets_of_any_size_are_fitted(size):
    points = points_of(by_chance(12, seed=3))
    targets = size * np.random.default_rng(0).standard_normal(12)
    process = fit(points, targets, FIRST_PRIOR, scale=0.1)
    assert np.isfinite(process.kernel.log).all()
    assert np.isfinite(np.array(process.predict(points))).all()


# --- whole searches -------------------------------------------------------------------------------


SHARES = (0.1, 1.0)


def planner(seed=0, *, space=SPACE, known=costs, **options):
    options = {"is_exact": True, "is_resumed": False, **options}
    return EnergyFirst(space, SHARES, known, seed=seed, **options)


def run(seed, budget, *, error=error_of, most=8, cost=energy_of, **options):
    """Search until so many full trainings are paid; return everything seen, and what was paid."""
    one, space = planner(seed, **options), options.get("space", SPACE)
    seen, state, paid = [], {}, 0.0
    while paid < budget:
        plan = one.plan(seen, state, most=most)
        assert plan.steps
        state = plan.state
        for step in plan.steps:
            validate_point(space, step.values)
            if step.number is None:
                assert all(each.values != step.values for each in seen), "looked at twice"
                fresh = Seen(number=len(seen), values=step.values, costs=(cost(step.values),))
                seen.append(fresh)
            number = len(seen) - 1 if step.number is None else step.number
            old = seen[number]
            assert step.rung == len(old.errors)
            found = (error(step.values, SHARES[step.rung]),)
            status = Status.CLOSED if step.rung == 1 else Status.WAITING
            seen[number] = replace(old, errors=(*old.errors, found), status=status)
            paid += SHARES[step.rung]
    return seen


def volume(points):
    """Return the hypervolume of (energy, error), beside the worst tenth of errors by chance."""
    worst = float(np.quantile([error_of(one) for one in by_chance(500, seed=99)], 0.9))
    energies, errors = map(np.array, zip(*points, strict=True))
    reference = {"worst_error": worst, "worst_costs": np.array([math.log(60.0)])}
    front = Front.of(np.log(energies)[:, None], errors, **reference)
    nothing = Front.of(np.zeros((0, 1)), np.zeros(0), **reference)
    from_one = np.zeros((1, 1))
    sure = np.array([math.log(1e-12)]), np.array([1e-12])
    return float(
        nothing.expected_gain(from_one, *sure)[0] - front.expected_gain(from_one, *sure)[0]
    )


def finished(seen):
    return [(energy_of(one.values), one.errors[1][0]) for one in seen if len(one.errors) == 2]


def test_it_finds_a_better_front_than_chance_usually_does_for_twice_the_price():
    chance = [
        volume([(energy_of(one), error_of(one)) for one in by_chance(48, seed=seed)])
        for seed in range(10)
    ]
    ours = [volume(finished(run(seed, 24.0))) for seed in range(2)]
    assert min(ours) > np.median(chance)


def test_costs_that_have_to_be_learnt_cost_little():
    """The same without knowing energy beforehand: only what an energy is likely to hang on."""
    exact = volume(finished(run(0, 20.0)))
    learnt = volume(finished(run(0, 20.0, is_exact=False, known=lambda many: costs(many)[:, 1:])))
    assert learnt > 0.85 * exact


def test_the_seed_decides_and_the_first_ones_are_spread_over_energies():
    one, same, other = run(3, 4.0), run(3, 4.0), run(4, 4.0)
    assert one == same
    assert one != other
    first = sorted(energy_of(each.values) for each in one[:START])
    assert first[0] < 4 < 15 < first[-1]


@pytest.mark.parametrize(
    ("look", "count"), [(0.01, START), (0.1, START), (0.25, 10), (0.33, 7), (0.5, 6), (1.0, 6)]
)
def test_dear_first_looks_are_few(look, count):
    assert first_ones(look) == count
    one = EnergyFirst(SPACE, (look, 1.0) if look < 1 else (1.0,), costs)
    assert len(one.plan([], {}, most=100).steps) == count


def test_the_first_ones_are_spread_from_the_start():
    first = [energy_of(each.values) for each in run(3, 2.0, most=1)[:4]]
    assert max(first) > 3 * min(first)


def test_a_plan_depends_on_its_arguments_alone():
    """A process that has planned before plans as a new one does."""
    seen = run(5, 6.0)
    used, state = planner(5), {}
    for count in range(20, len(seen), 3):
        state = used.plan(seen[:count], state).state
    assert planner(5).plan(seen, state) == used.plan(seen, state)


def test_trainings_that_fail_are_not_gone_on_with_and_their_likes_are_avoided():
    """Nearly free networks that learn nothing would swallow a hypervolume over log energy."""

    def broken(one, share):
        return 0.9 if one["act"] == "relu" else error_of(one, share)

    seen = run(0, 12.0, error=broken, goal=Goal(guess_error=0.9))
    relu = [one for one in seen if one.values["act"] == "relu"]
    assert all(len(one.errors) == 1 for one in relu)
    later = seen[START:]
    assert sum(one.values["act"] == "relu" for one in later) < 0.15 * len(later)


@pytest.mark.parametrize("seed", range(4))
def test_what_learns_nothing_in_the_end_is_told_by_other_ends_where_looks_do_not_show_it(seed):
    """Else the cheapest half, useless here, is trained in full again and again."""

    def useless(one, share):
        is_cheap = one["width"] <= 32
        return 0.9 if is_cheap and share == 1.0 else misleading(one, share)

    seen = run(seed, 24.0, error=useless, goal=Goal(guess_error=0.9))
    ends = [one.errors[1][0] for one in seen if len(one.errors) == 2]
    assert len(ends) >= 10
    assert sum(end == 0.9 for end in ends) <= 0.6 * len(ends)


def test_conditional_spaces_are_searched_too():
    space = conditional_space()

    def cost(candidates):
        return np.array([[float(one["width"])] for one in candidates]).reshape(-1, 1)

    def error(one, share):
        return 0.4 / one["width"] ** 0.3 * (1.0 if "momentum" in one else 1.1) / share**0.2

    seen = run(1, 6.0, error=error, space=space, known=cost, cost=lambda one: float(one["width"]))
    assert any(len(one.errors) == 2 for one in seen)


def test_limits_of_costs_are_kept_to():
    """What is known to break a limit is never begun; where it is learnt, seldom."""
    exact = run(2, 8.0, goal=Goal(limits=(4.0,), worst_costs=(4.0,)))
    assert all(energy_of(one.values) <= 4.0 for one in exact[START:])
    learnt = run(
        2,
        8.0,
        goal=Goal(limits=(4.0,), worst_costs=(4.0,)),
        is_exact=False,
        known=lambda many: costs(many)[:, 1:],
    )
    over = [one for one in learnt[START:] if energy_of(one.values) > 4.0]
    assert len(over) < 0.25 * len(learnt[START:])


def test_nothing_new_begins_when_that_is_not_allowed_and_nothing_too_long_when_little_is_left():
    seen, one = run(1, 5.0), planner(1)
    (step,) = one.plan(seen, {}, may_begin=False).steps
    assert step.number is not None
    assert one.plan(seen, {}, may_begin=False, left=0.5).steps == ()
    assert one.plan(seen, {}, left=0.5).steps == ()


def test_what_runs_is_neither_chosen_nor_begun_again():
    seen = run(1, 5.0)
    one = planner(1)
    (step,) = one.plan(seen, {}, may_begin=False).steps
    busy = [
        replace(each, status=Status.RUNNING) if each.number == step.number else each
        for each in seen
    ]
    for other in one.plan(busy, {}, may_begin=False).steps:
        assert other.number != step.number


def test_beginning_is_avoided_when_it_is_dear():
    seen = run(1, 8.0)
    cheap = planner(1).plan(seen, {}, prices=Prices(begin=0.0))
    dear = planner(1).plan(seen, {}, prices=Prices(begin=20.0))
    assert cheap.steps[0].number is None
    assert dear.steps[0].number is not None


@pytest.mark.parametrize("n_scores", [1, 2])
def test_three_objectives_and_two_uncertain_scores_are_planned_for(n_scores):
    goal = Goal(
        n_scores=n_scores,
        n_costs=2,
        limits=(math.inf, math.inf),
        worst_errors=(math.inf,) * n_scores,
        worst_costs=(math.inf, math.inf),
    )
    one, state, seen = planner(0, goal=goal), {}, []
    for _ in range(START + 12):
        plan = one.plan(seen, state)
        state = plan.state
        (step,) = plan.steps
        error = error_of(step.values, SHARES[step.rung])
        found = (error, 1.3 * error)[:n_scores]
        if step.number is None:
            costs_of = tuple(costs([step.values])[0])
            seen.append(Seen(number=len(seen), values=step.values, errors=(found,), costs=costs_of))
        else:
            old = seen[step.number]
            seen[step.number] = replace(old, errors=(*old.errors, found), status=Status.CLOSED)
    assert any(len(each.errors) == 2 for each in seen)


def test_a_running_training_is_compared_with_the_best_alternative():
    seen, one = run(1, 8.0), planner(1)
    waiting = [each for each in seen if each.status is Status.WAITING]
    plan = one.plan(seen, {}, may_begin=False)
    best = plan.steps[0]
    own, other = one.reconsider(best.number, seen, plan.state, may_begin=False)
    assert own.number == best.number
    assert own.index >= other.index
    worst = min(
        (one.reconsider(each.number, seen, plan.state)[0] for each in waiting),
        key=lambda step: step.index if step else -1.0,
    )
    assert worst is None or worst.index < best.index


def reaching(seen, target):
    """Return the energies of those trained to the end that reach a target, in their order."""
    ended = [one for one in seen if len(one.errors) == 2]
    return [energy_of(one.values) for one in ended if one.errors[1][0] <= target]


def test_with_a_target_it_looks_for_the_cheapest_that_reaches_it():
    plain, aimed = (
        [reaching(run(seed, 14.0, goal=goal), 0.2) for seed in range(2)]
        for goal in (Goal(), Goal(target_error=0.2))
    )
    assert all(min(ours) <= min(theirs) for ours, theirs in zip(aimed, plain, strict=True))
    assert sum(map(min, aimed)) < sum(map(min, plain))


def test_once_a_target_is_reached_nothing_dearer_goes_on():
    goal, target = Goal(target_error=0.2), 0.2
    seen = run(0, 10.0, goal=goal)
    least = min(reaching(seen, target))
    for step in planner(0, goal=goal).plan(seen, {}, most=5).steps:
        assert energy_of(step.values) < least
        assert step.figures["chance_to_join"] > 0


def test_the_search_keeps_within_the_worst_cost_of_use_though_all_so_far_cost_more():
    goal = Goal(worst_costs=(2.0,))
    seen = [one for one in run(0, 5.0) if energy_of(one.values) > 2.0]
    seen = [replace(one, number=number) for number, one in enumerate(seen)]
    assert len(seen) > START
    (step, *_) = planner(0, goal=goal).plan(seen, {}).steps
    assert step.number is None
    assert energy_of(step.values) < 2.0


def test_a_candidate_that_was_only_probed_is_weighed_however_many_new_ones_are_better():
    seen = run(1, 6.0)
    poor = max(by_chance(200, seed=5), key=lambda one: (error_of(one), energy_of(one)))
    probed = Seen(number=len(seen), values=poor, costs=(energy_of(poor),))
    own, other = planner(1).reconsider(probed.number, [*seen, probed], {})
    assert own.number == probed.number
    assert own.index < other.index


# --- where first looks tell nothing ---------------------------------------------------------------


def misleading(one, share):
    """A short training that shows nothing of the candidate."""
    if share == 1.0:
        return error_of(one)
    return 0.1 + 0.6 * (zlib.crc32(str(sorted(one.items())).encode()) % 1000 / 1000)


@pytest.mark.parametrize("seed", [0, 3])
def test_where_first_looks_tell_nothing_it_is_better_than_chance_all_the_same(seed):
    """How much a look tells is learnt; looks are paid for."""
    seen = run(seed, 24.0, error=misleading)
    chance = [
        volume([(energy_of(one), error_of(one)) for one in by_chance(24, seed=seed)])
        for seed in range(10)
    ]
    assert volume(finished(seen)) > np.median(chance)
