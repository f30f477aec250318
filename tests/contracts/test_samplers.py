"""What every registered sampler promises, through the ledger it works on."""

import logging
import shutil
from dataclasses import replace

import optuna
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
    assert len(found) == TRIALS - 1
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


@pytest.mark.parametrize("kind", [kind for kind in SAMPLERS if kind not in ("random", "auto")])
def test_what_was_learnt_changes_the_proposals(kind, copy):
    """Beyond its random beginning a sampler does not propose what pure chance would.

    With ``auto`` a planner does: what the sampler of that name proposes is its stand-in.
    """
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


# --- a sampler that fails -------------------------------------------------------------------------


class BreaksDown(optuna.samplers.RandomSampler):
    """A sampler whose numerics break down in the middle of a trial."""

    left = 2

    def sample_independent(self, *args):
        self.left -= 1
        if self.left < 0:
            raise ArithmeticError("the matrix is\nsingular")
        return super().sample_independent(*args)


@pytest.fixture
def broken(monkeypatch):
    """Let the default sampler break down at every trial, from now on."""
    return lambda: monkeypatch.setitem(SAMPLERS, "tpe", lambda config, seed: BreaksDown(seed))


def test_where_a_sampler_fails_chance_chooses_and_says_so_once(copy, broken, tmp_path, caplog):
    space, config = conditional_space(), sampler("tpe")
    failing, chance = copy("tpe", "failing.db"), copy("tpe", "chance.db")
    healthy = failing.propose(space, config, 0)
    assert healthy.note is None
    failing.record(outcome(healthy))
    chance.record(outcome(chance.propose(space, config, 0)))
    broken()
    shutil.copyfile(tmp_path / "failing.db", tmp_path / "reopened.db")
    reopened = open_ledger(tmp_path, name="reopened.db")
    with caplog.at_level(logging.INFO, "ecoautoml"):
        proposals = [failing.propose(space, config, 0) for _ in range(3)]
    for proposal in proposals:
        assert proposal == chance.propose(space, sampler("random"), 0)
        assert proposal == reopened.propose(space, config, 0)
        failing.record(outcome(proposal))
    said = "The sampler tpe failed (ArithmeticError: the matrix is singular); where it does, "
    assert [proposal.note for proposal in proposals] == [f"{said}chance chooses.", None, None]
    assert [record.getMessage() for record in caplog.records] == [proposals[0].note]
    trials = failing_trials(tmp_path)
    assert [trial.user_attrs.get("sampler_error") for trial in trials[TRIALS:]] == [
        None,
        *["ArithmeticError: the matrix is singular"] * 3,
    ]
    assert all(trial.state is optuna.trial.TrialState.COMPLETE for trial in trials)


def failing_trials(folder):
    return optuna.load_study(study_name="test", storage=f"sqlite:///{folder / 'failing.db'}").trials


def test_what_a_sampler_proposes_does_not_depend_on_who_saw_it_fail(
    copy, broken, tmp_path, monkeypatch
):
    space, config = conditional_space(), sampler("tpe")
    stayed = copy("tpe", "stayed.db")
    broken()
    stayed.record(outcome(stayed.propose(space, config, 0)))
    running = stayed.propose(space, config, 0)
    monkeypatch.undo()  # sound again
    shutil.copyfile(tmp_path / "stayed.db", tmp_path / "reopened.db")
    reopened = open_ledger(tmp_path, name="reopened.db")
    assert reopened.unfinished() == [running]
    for _ in range(2):
        proposal = stayed.propose(space, config, 0)
        assert proposal == reopened.propose(space, config, 0)
        assert proposal.note is None


# --- what NSGA-II adds ----------------------------------------------------------------------------


def test_generations_are_the_same_for_all_processes_when_a_trial_ends_late(tmp_path):
    """The best trial of the first generation ends when the second one has begun without it."""
    space, config = conditional_space(), sampler("nsga2")
    stayed = open_ledger(tmp_path)
    *first, late = [stayed.propose(space, config, 0) for _ in range(4)]
    for proposal in first:
        stayed.record(outcome(proposal))
    stayed.record(outcome(stayed.propose(space, config, 0)))
    best = {"validation_accuracy": 0.99, "inference_energy_j": 1e-9, "params": 1.0}
    stayed.record(replace(outcome(late), metrics=best))
    shutil.copyfile(tmp_path / "ledger.db", tmp_path / "reopened.db")
    reopened = open_ledger(tmp_path, name="reopened.db")
    for _ in range(6):
        proposal = stayed.propose(space, config, 0)
        assert reopened.propose(space, config, 0) == proposal
        for ledger in (stayed, reopened):
            ledger.record(outcome(proposal))


def test_whether_parents_are_crossed_does_not_decide_what_chance_draws():
    """A parameter no parent has is drawn by chance; with crossover it reaches every tenth."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    genes = [f"gene {i}" for i in range(12)]
    unit = optuna.distributions.FloatDistribution(0.0, 1.0)
    for parent in range(3):
        study.sampler = make_sampler(sampler("nsga2"), parent)
        trial = study.ask(dict.fromkeys(genes, unit))
        study.tell(trial, [parent, parent])
    drawn = []
    for seed in range(150):
        study.sampler = make_sampler(sampler("nsga2"), seed)
        trial = study.ask()
        drawn_by_chance = trial.suggest_float("new", 0.0, 1.0)
        child = {gene: trial.suggest_float(gene, 0.0, 1.0) for gene in genes}
        if max(inherited(child, parent) for parent in study.trials[:3]) < 9:
            drawn.append(drawn_by_chance)  # of two parents for certain
    assert len(drawn) > 50
    assert {int(value * 10) for value in drawn} == set(range(10))


def inherited(child, parent):
    """Return how many values a child has from a parent."""
    return sum(child[name] == parent.params[name] for name in child)


# --- seeds ----------------------------------------------------------------------------------------


def test_derived_seeds_are_the_same_everywhere_and_differ_by_every_part():
    assert derive_seed(0, 1, "trial") == 116255263
    parts = [(0, 1, "trial"), (1, 0, "trial"), (0, 1, "x"), (0, 11, "trial"), (0,), ("0", "2")]
    seeds = [derive_seed(*each) for each in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
