"""What the user supposes about good values: drawn more often, weighed in, and outweighed."""

import math

import numpy as np
import pytest
from planned_searches import run as run_by_hand
from searches_by_hand import SearchByHand, conditional_space
from test_energy_first import SPACE, error_of, finished, run, values, volume

from ecoautoml.config import load_config
from ecoautoml.errors import ConfigError
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, validate_point
from ecoautoml.strategies.energy_first.lattice import Lattice
from ecoautoml.strategies.energy_first.planner import EnergyFirst
from ecoautoml.strategies.energy_first.priors import Guess, Priors
from ecoautoml.strategies.planners import make_planner

LATTICE = Lattice(SPACE)


def priors(lattice=LATTICE, **guesses):
    confident = {name: Guess(value=value, confidence="high") for name, value in guesses.items()}
    return Priors(confident, lattice)


def rows(*candidates):
    return np.array([LATTICE.places(one) for one in candidates])


def drawn(supposed, n=2000, lattice=LATTICE):
    found = lattice.draw(np.random.default_rng(0), n, supposed.redrawn)
    return [lattice.values(row) for row in found]


# --- drawing --------------------------------------------------------------------------------------


def test_values_near_a_best_guess_are_drawn_more_often_and_no_value_is_ruled_out():
    found = drawn(priors(rate=1e-3, act="gelu"))
    near = np.mean([abs(math.log10(one["rate"]) + 3) < 0.25 for one in found])
    assert 0.35 < near < 0.6  # a quarter by chance
    assert 0.45 < np.mean([one["act"] == "gelu" for one in found]) < 0.7
    assert min(one["rate"] for one in found) < 1.2e-4
    assert {one["act"] for one in found} == {"relu", "silu", "gelu"}
    widths = {width: sum(one["width"] == width for one in found) for width in (8, 64)}
    assert widths[8] == pytest.approx(widths[64], rel=0.3)  # nothing was supposed


@pytest.mark.parametrize("confidence", ["low", "medium", "high"])
def test_the_surer_the_nearer(confidence):
    spread = []
    for sure in ("low", confidence):
        guess = {"rate": Guess(value=1e-2, confidence=sure)}
        spread.append(np.mean([-math.log10(one["rate"]) for one in drawn(Priors(guess, LATTICE))]))
    assert spread[1] <= spread[0]


def test_what_is_drawn_is_a_point_of_any_space():
    space = SearchSpace(
        name="odd",
        description="",
        builder="none",
        parameters=(
            *conditional_space().parameters,
            Dimension(name="units", section="architecture", kind="int", low=1, high=1000, log=True),
        ),
    )
    lattice = Lattice(space)
    supposed = priors(lattice, units=30, momentum=0.9, optimizer="sgd", width=32, kernel=7)
    found = drawn(supposed, 300, lattice)
    for one in found:
        validate_point(space, one)
        assert ("momentum" in one) == (one["optimizer"] == "sgd")
    places = lattice.draw(np.random.default_rng(0), 300, supposed.redrawn)
    again = np.array([lattice.places(lattice.values(row)) for row in places])
    assert places == pytest.approx(again, nan_ok=True)
    assert np.isfinite(supposed.log_likelihood(places)).all()


def test_half_of_the_first_candidates_are_likely():
    one = EnergyFirst(
        SPACE,
        (0.1, 1.0),
        lambda many: np.array([[float(each["width"])] for each in many]),
        guesses={"rate": Guess(value=1e-2, confidence="high")},
        start=16,
    )
    steps = one.plan([], {}, most=16).steps
    likely = [step.values["rate"] > 3e-3 for step in steps]
    assert 0.4 <= np.mean(likely) <= 0.8
    assert all(likely[:4])  # these first


# --- weighing -------------------------------------------------------------------------------------


def test_priors_decide_which_new_candidate_is_begun_not_whether():
    supposed = priors(act="gelu")
    these = rows(values(act="relu"), values(act="gelu"))
    weighed = supposed.weighed(np.array([1.0, 0.8]), these, 1 / 10)
    assert weighed[1] > weighed[0]
    assert weighed.max() == pytest.approx(1.0)


def test_their_weight_fades_with_the_number_of_trials():
    supposed, these = priors(act="gelu"), rows(values(act="relu"), values(act="gelu"))
    index = np.array([1.0, 0.8])
    ratios = [
        weighed[1] / weighed[0]
        for weighed in (supposed.weighed(index, these, 1 / n) for n in (5, 20, 80, 2000))
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] == pytest.approx(0.8, rel=0.02)
    assert supposed.weighed(index, these, 0.0).tolist() == index.tolist()


def test_without_priors_nothing_changes():
    nothing, these = Priors({}, LATTICE), rows(values(), values(act="relu"))
    assert not nothing
    assert nothing.weighed(np.array([1.0, 2.0]), these, 1.0).tolist() == [1.0, 2.0]
    one, other = np.random.default_rng(0), np.random.default_rng(0)
    same = LATTICE.draw(one, 9, nothing.redrawn) == LATTICE.draw(other, 9)
    assert same.all()


def test_what_was_seen_decides_whether_priors_are_trusted():
    right, wrong = priors(rate=1e-3), priors(rate=1e-2)
    rng = np.random.default_rng(1)
    places = LATTICE.draw(rng, 24)
    some = [LATTICE.values(row) for row in places]
    off = np.array([abs(math.log10(one["rate"]) + 3) for one in some])
    costs = rng.standard_normal((24, 1))
    log_errors = 0.5 * off - 0.7 * costs[:, 0] + 0.05 * rng.standard_normal(24)
    assert right.trust(places, log_errors, costs) == 1.0
    assert wrong.trust(places, log_errors, costs) < 0.1
    assert wrong.trust(places[:4], log_errors[:4], costs[:4]) == 1.0  # too few to tell
    assert Priors({}, LATTICE).trust(places, log_errors, costs) == 1.0


# --- whole searches -------------------------------------------------------------------------------


def narrow_error(one, share=1.0):
    """An error twice as high unless the rate is close to what is best."""
    off = (math.log10(one["rate"]) + 3.6) / 0.25
    return error_of({**one, "rate": 1e-3}, share) * math.exp(0.7 * (1 - math.exp(-off * off)))


def found_with(budget, n_seeds=3, **guesses):
    """Return the mean hypervolume over some seeds."""
    confident = {name: Guess(value=value, confidence="high") for name, value in guesses.items()}
    ended = [
        finished(run(seed, budget, error=narrow_error, start=12, guesses=confident))
        for seed in range(n_seeds)
    ]
    return np.mean([volume(points) if points else 0.0 for points in ended])


def test_a_good_guess_saves_trainings():
    assert found_with(6.0, rate=10**-3.6) > 1.2 * found_with(6.0)


def test_a_bad_guess_is_recovered_from():
    assert found_with(16.0, 12, rate=1e-2) > 0.85 * found_with(16.0, 12)


# --- as a user writes them ------------------------------------------------------------------------


def planner(**guesses):
    tree = {
        "data": "digits",
        "space": "tiny",
        "sampler": {"n_startup_trials": 4, "priors": guesses, "begin_with": [{"width": 8}]},
        "training": {"epochs": 3},
    }
    return make_planner(
        load_config(tree), conditional_space(), image_size=8, in_chans=1, n_classes=10
    )


def test_a_search_with_priors_goes_on_after_a_restart_as_it_would_have(tmp_path):
    guesses = {"learning_rate": 0.003, "ker*": {"best_guess": 7, "confidence": "high"}}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    stayed = SearchByHand(tmp_path / "a", planner=planner(**guesses))
    chosen = run_by_hand(stayed, 12)
    left = SearchByHand(tmp_path / "b", planner=planner(**guesses))
    first = run_by_hand(left, 7)
    assert first + run_by_hand(left.reopened(planner=planner(**guesses)), 5) == chosen
    assert not [event for event in stayed.events if "Planning failed" in event]
    begun = chosen[0][1].parameters()
    assert (begun["width"], begun["kernel"]) == (8, 7)  # what a point leaves out is guessed
    assert begun["learning_rate"] == 0.003


@pytest.mark.parametrize(
    ("guesses", "about"),
    [
        ({"lr": 0.1}, "sampler.priors.lr: space .* has no dimension 'lr'"),
        ({"learning_rate": 5.0}, r"sampler.priors.learning_rate: learning_rate .*5\.0"),
        ({"kernel": 4}, "sampler.priors.kernel: .*one of 3, 5, 7"),
        ({"kernel": {"best_guess": 3, "confidence": "sure"}}, "'sure'; allowed: low, medium, high"),
        ({"kernel": {"confidence": "high"}}, "'sampler.priors.kernel.best_guess' is missing"),
        ({"kernel": {"best": 3, "best_guess": 3}}, "unknown key 'sampler.priors.kernel.best'"),
    ],
)
def test_a_guess_that_cannot_be_is_refused_in_one_sentence(guesses, about):
    with pytest.raises(ConfigError, match=about) as caught:
        planner(**guesses)
    assert len(str(caught.value).splitlines()) == 1


def test_other_samplers_take_no_priors():
    tree = {"data": "digits", "space": "tiny", "sampler": {"kind": "tpe", "priors": {"lr": 1}}}
    with pytest.raises(ConfigError, match="unknown key"):
        load_config(tree)
