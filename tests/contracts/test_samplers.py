"""What every registered sampler promises, through the ledger it works on."""

import shutil
from dataclasses import replace

import pytest
from searches_by_hand import (
    THREE,
    TWO,
    BreaksOff,
    conditional_space,
    open_ledger,
    outcome,
    run_trials,
    sampler,
)

from ecoautoml.records.trial_result import TrialState
from ecoautoml.spaces import validate_point
from ecoautoml.strategies.samplers import SAMPLERS, derive_seed, make_sampler

TRIALS = 6
"""Enough to leave the random beginning behind, and at the start of a generation of NSGA-II."""

each_sampler = pytest.mark.parametrize("kind", SAMPLERS)
limited = pytest.mark.parametrize("is_limited", [False, True], ids=["free", "limited"])


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Return a function that gives the folder of a search of ``TRIALS`` trials, run once."""
    known = {}

    def run(kind, is_limited):
        if (kind, is_limited) not in known:
            folder = tmp_path_factory.mktemp(f"{kind}_{is_limited}")
            ledger = open_ledger(folder)
            known[kind, is_limited] = folder
            run_trials(ledger, TRIALS, kind, is_limited=is_limited)
        return known[kind, is_limited]

    return run


@pytest.fixture
def copy(history, tmp_path):
    """Return a function that opens a copy of such a search under a name."""

    def open_copy(kind, name, *, is_limited=False):
        shutil.copyfile(history(kind, is_limited) / "ledger.db", tmp_path / name)
        return open_ledger(tmp_path, name=name)

    return open_copy


def candidates(ledger):
    return [result.candidate for result in ledger.results()]


def dies_while_proposing(ledger, kind, chosen):
    """Propose a trial and "die" when so many of its dimensions have been chosen."""
    space = conditional_space()
    parameters = BreaksOff(space.parameters)
    parameters.count = chosen
    with pytest.raises(KeyboardInterrupt):
        ledger.propose(replace(space, parameters=parameters), sampler(kind), 0)


@each_sampler
@limited
def test_proposals_are_points_of_the_space(kind, is_limited, copy):
    space, found = conditional_space(), candidates(copy(kind, "x.db", is_limited=is_limited))
    assert len(found) == TRIALS
    for candidate in found:
        values = candidate.parameters()
        validate_point(space, values)
        assert ("momentum" in values) == (values["optimizer"] == "sgd")
        assert type(values["width"]) is int
        assert type(values["learning_rate"]) is float
    assert len({candidate.key() for candidate in found}) > TRIALS // 2


@each_sampler
def test_it_works_towards_three_objectives_too(kind, tmp_path):
    found = run_trials(open_ledger(tmp_path, THREE), TRIALS - 1, kind, is_limited=True)
    for candidate in found:
        validate_point(conditional_space(), candidate.parameters())


@each_sampler
def test_the_seed_decides_the_proposals(kind, copy, tmp_path):
    known = candidates(copy(kind, "known.db"))
    assert run_trials(open_ledger(tmp_path), TRIALS, kind) == known
    other = open_ledger(tmp_path, name="other.db")
    assert run_trials(other, 1, kind, seed=4) != known[:1]


@each_sampler
@limited
def test_a_reopened_ledger_proposes_as_one_that_stayed_open(kind, is_limited, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = open_ledger(tmp_path, name="stayed.db")
    run_trials(stayed, TRIALS, kind, is_limited=is_limited)
    shutil.copyfile(tmp_path / "stayed.db", tmp_path / "reopened.db")
    reopened = open_ledger(tmp_path, name="reopened.db")
    assert reopened.propose(space, config, 0) == stayed.propose(space, config, 0)


@each_sampler
def test_a_reopened_ledger_proposes_the_same_within_the_random_beginning(kind, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = open_ledger(tmp_path)
    run_trials(stayed, 2, kind)
    shutil.copyfile(tmp_path / "ledger.db", tmp_path / "reopened.db")
    reopened = open_ledger(tmp_path, name="reopened.db")
    assert reopened.propose(space, config, 0) == stayed.propose(space, config, 0)


@each_sampler
def test_it_is_the_same_with_a_trial_still_running(kind, copy, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = copy(kind, "stayed.db")
    running = stayed.propose(space, config, 0)
    shutil.copyfile(tmp_path / "stayed.db", tmp_path / "reopened.db")
    reopened = open_ledger(tmp_path, name="reopened.db")
    assert reopened.unfinished() == [running]
    assert reopened.propose(space, config, 0) == stayed.propose(space, config, 0)


@each_sampler
@limited
@pytest.mark.parametrize("chosen", [0, 4])
def test_a_trial_interrupted_while_being_proposed_is_proposed_the_same(
    kind, is_limited, chosen, copy, tmp_path
):
    space, config = conditional_space(), sampler(kind)
    stayed = copy(kind, "stayed.db", is_limited=is_limited)
    dies_while_proposing(copy(kind, "killed.db", is_limited=is_limited), kind, chosen)
    again = open_ledger(tmp_path, name="killed.db")
    assert again.unfinished() == []
    assert again.propose(space, config, 0) == stayed.propose(space, config, 0)


@each_sampler
def test_what_comes_after_an_interrupted_proposal_is_the_same_too(kind, copy, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = copy(kind, "stayed.db")
    dies_while_proposing(copy(kind, "killed.db"), kind, 2)
    killed = open_ledger(tmp_path, name="killed.db")
    killed.record(outcome(killed.propose(space, config, 0)))
    stayed.record(outcome(stayed.propose(space, config, 0)))
    assert killed.propose(space, config, 0) == stayed.propose(space, config, 0)


@each_sampler
def test_it_says_nothing_on_the_terminal(kind, copy, capfd):
    copy(kind, "x.db").propose(conditional_space(), sampler(kind), 0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [kind for kind in SAMPLERS if kind != "random"])
def test_what_was_learnt_changes_the_proposals(kind, copy):
    """Beyond its random beginning a sampler does not propose what pure chance would."""
    assert candidates(copy(kind, "learnt.db"))[-2:] != candidates(copy("random", "chance.db"))[-2:]


@each_sampler
@pytest.mark.parametrize("objectives", [TWO, THREE], ids=["two", "three"])
def test_a_search_in_which_nothing_is_allowed_goes_on(kind, objectives, tmp_path):
    space, config = conditional_space(), sampler(kind)
    ledger = open_ledger(tmp_path, objectives)
    for _ in range(TRIALS - 1):
        proposal = ledger.propose(space, config, 0)
        result = outcome(proposal)
        ledger.record(
            replace(result, state=TrialState.INFEASIBLE, constraints={"params <= 20": 1.0})
        )
    assert len({candidate.key() for candidate in candidates(ledger)}) > 1


@each_sampler
def test_it_is_made_anew_every_time(kind):
    assert sampler(kind).kind == kind
    assert make_sampler(sampler(kind), 0) is not make_sampler(sampler(kind), 0)


def test_derived_seeds_are_the_same_everywhere_and_differ_by_every_part():
    assert derive_seed(0, 1, "trial") == 116255263
    parts = [(0, 1, "trial"), (1, 0, "trial"), (0, 1, "x"), (0, 11, "trial"), (0,), ("0", "2")]
    seeds = [derive_seed(*each) for each in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
