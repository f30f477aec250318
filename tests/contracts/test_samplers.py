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

from ecoautoml.spaces import validate_point
from ecoautoml.strategies.samplers import SAMPLERS, derive_seed, make_sampler

TRIALS = 9
"""Enough to leave the random beginning behind."""

each_sampler = pytest.mark.parametrize("kind", SAMPLERS)


@each_sampler
@pytest.mark.parametrize("objectives", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("limit", [None, 20], ids=["free", "limited"])
def test_proposals_are_points_of_the_space(kind, objectives, limit, tmp_path):
    space = conditional_space()
    candidates = run_trials(open_ledger(tmp_path, objectives), TRIALS, kind, limit=limit)
    for candidate in candidates:
        values = candidate.parameters()
        validate_point(space, values)
        assert ("momentum" in values) == (values["optimizer"] == "sgd")
        assert type(values["width"]) is int
        assert type(values["learning_rate"]) is float
    assert len({candidate.key() for candidate in candidates}) > TRIALS // 2


@each_sampler
def test_the_seed_decides_the_proposals(kind, tmp_path):
    def candidates(name, seed):
        return run_trials(open_ledger(tmp_path, name=name), TRIALS, kind, seed=seed)

    first = candidates("first.db", 3)
    assert candidates("second.db", 3) == first
    assert candidates("third.db", 4) != first


def copy_of(folder, name):
    shutil.copyfile(folder / "ledger.db", folder / name)
    return open_ledger(folder, name=name)


@each_sampler
@pytest.mark.parametrize("finished", [0, 2, TRIALS])
def test_a_reopened_ledger_proposes_as_one_that_stayed_open(kind, finished, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = open_ledger(tmp_path)
    run_trials(stayed, finished, kind, limit=20)
    reopened = copy_of(tmp_path, "reopened.db")
    for _ in range(2):
        expected = stayed.propose(space, config, 0)
        assert reopened.propose(space, config, 0) == expected
        stayed.record(outcome(expected))
        reopened.record(outcome(expected))
        reopened = open_ledger(tmp_path, name="reopened.db")


@each_sampler
def test_it_is_the_same_with_a_trial_still_running(kind, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = open_ledger(tmp_path)
    run_trials(stayed, TRIALS, kind)
    running = stayed.propose(space, config, 0)
    reopened = copy_of(tmp_path, "reopened.db")
    assert reopened.unfinished(space, config, 0) == [running]
    assert reopened.propose(space, config, 0) == stayed.propose(space, config, 0)


@each_sampler
@pytest.mark.parametrize("chosen", [0, 1, 3, 6])
def test_a_trial_interrupted_while_being_proposed_is_proposed_the_same(kind, chosen, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = open_ledger(tmp_path)
    run_trials(stayed, TRIALS, kind, limit=20)
    killed = copy_of(tmp_path, "killed.db")
    parameters = BreaksOff(space.parameters)
    parameters.count = chosen
    with pytest.raises(KeyboardInterrupt):
        killed.propose(replace(space, parameters=parameters), config, 0)

    again = open_ledger(tmp_path, name="killed.db").unfinished(space, config, 0)
    assert again == [stayed.propose(space, config, 0)]


@each_sampler
def test_what_comes_after_an_interrupted_proposal_is_the_same_too(kind, tmp_path):
    space, config = conditional_space(), sampler(kind)
    stayed = open_ledger(tmp_path)
    run_trials(stayed, TRIALS, kind)
    killed = copy_of(tmp_path, "killed.db")
    parameters = BreaksOff(space.parameters)
    parameters.count = 2
    with pytest.raises(KeyboardInterrupt):
        killed.propose(replace(space, parameters=parameters), config, 0)
    killed = open_ledger(tmp_path, name="killed.db")
    for ledger, proposal in (
        (killed, killed.unfinished(space, config, 0)[0]),
        (stayed, stayed.propose(space, config, 0)),
    ):
        ledger.record(outcome(proposal))
    assert killed.propose(space, config, 0) == stayed.propose(space, config, 0)


@each_sampler
def test_it_copes_with_failures_and_with_nothing_allowed(kind, tmp_path):
    """Constraints that nothing fulfils leave a sampler something to propose all the same."""
    ledger = open_ledger(tmp_path)
    candidates = run_trials(ledger, TRIALS, kind, limit=1)
    assert len(candidates) == TRIALS
    assert len({candidate.key() for candidate in candidates}) > 1


@pytest.mark.parametrize("kind", [kind for kind in SAMPLERS if kind != "random"])
def test_what_was_learnt_changes_the_proposals(kind, tmp_path):
    """Beyond its random beginning a sampler does not propose what pure chance would."""
    chance = run_trials(open_ledger(tmp_path, name="random.db"), TRIALS, "random")
    learnt = run_trials(open_ledger(tmp_path, name="learnt.db"), TRIALS, kind)
    assert learnt[-2:] != chance[-2:]


@each_sampler
def test_the_configuration_names_it(kind):
    assert sampler(kind).kind == kind
    assert make_sampler(sampler(kind), 0) is not make_sampler(sampler(kind), 0)


def test_derived_seeds_are_the_same_everywhere_and_differ_by_every_part():
    assert derive_seed(0, 1, "trial") == 1190014131
    parts = [(0, 1, "trial"), (1, 0, "trial"), (0, 1, "x"), (0, 11, "trial"), (0,), ("0", "1")]
    seeds = [derive_seed(*each) for each in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
