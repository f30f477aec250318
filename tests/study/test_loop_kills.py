"""A planned search that is killed at any write goes on as one that was not.

Trainings are made up, so that nothing but the kill can make a difference; loop, ledger, planner and
pruner are those of a search. A kill is a copy of the database in between two transactions, opened
by objects that know nothing else.
"""

import pytest
from killed_searches import every_write
from planned_searches import EPOCHS, Training
from searches_by_hand import TWO, SearchByHand, conditional_space

from ecoautoml.config import load_config
from ecoautoml.records.turn import Move
from ecoautoml.strategies.planners import make_planner
from ecoautoml.strategies.pruners import make_pruner

START = 4


def opened(folder):
    """Return the search of a folder as a new process finds it."""
    tree = {
        "data": "digits",
        "space": "tiny",
        "objectives": list(TWO),
        "sampler": {"kind": "auto", "n_startup_trials": START},
        "training": {"epochs": EPOCHS},
    }
    config = load_config(tree)
    planner = make_planner(config, conditional_space(), image_size=8, in_chans=1, n_classes=10)
    pruner = make_pruner(config.pruner, config.objectives, config.seed)
    return SearchByHand(folder, planner=planner, pruner=pruner)


def begin_wave(one, workers):
    """Give every worker something to do; they will report in the order of their trials."""
    jobs = [one.loop.ask() for _ in range(workers)]
    return sorted((job for job in jobs if job is not None), key=lambda job: job.number)


def end_wave(one, jobs):
    """Let workers report in turn until each has ended or was halted."""
    trainings = [Training(one, job) for job in jobs]
    while trainings:
        trainings = [each for each in trainings if each.step() is None]


def told(one):
    """Return what the ledger tells of all trials, why each was run, and what planning rests on."""
    ledger = one.ledger
    ended = {each.number: each for each in (*ledger.results(), *ledger.paused())}
    return ended, ledger.all_turns(), dict(ledger.planner_state())


def killed_search(folder, workers, waves):
    """Run a search; return what it did and knew at each wave, and what kills would leave."""
    (folder / "whole").mkdir()
    one = opened(folder / "whole")
    known = []
    with every_write(folder / "whole" / "ledger.db", folder / "killed") as copies:
        for wave in range(waves):
            copies.moment = (wave, "choosing")
            jobs = begin_wave(one, workers)
            known.append((jobs, told(one)))
            copies.moment = (wave, "training")
            end_wave(one, jobs)
    known.append((begin_wave(one, workers), told(one)))
    return known, copies.taken


def late(killed, *phases):
    """Return what kills would leave in some phases of a search's second half, with the wave."""
    waves = killed[-1][1][0] + 1
    return [
        (folder, wave) for folder, (wave, phase) in killed if phase in phases and wave >= waves // 2
    ]


def assert_goes_on(one, workers, known, wave):
    """Check that a search does what another did from that wave on, or from the next one."""
    jobs = begin_wave(one, workers)
    wave += (jobs, told(one)) != known[wave]  # the wave had ended before the kill
    assert (jobs, told(one)) == known[wave]
    if wave + 1 < len(known):
        end_wave(one, jobs)
        assert (begin_wave(one, workers), told(one)) == known[wave + 1]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return killed_search(tmp_path_factory.mktemp("alone"), workers=1, waves=START + 4)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return killed_search(tmp_path_factory.mktemp("together"), workers=3, waves=4)


def test_the_searches_that_are_killed_halt_trainings_and_go_on_with_them(alone, together):
    for known, _ in (alone, together):
        _, (_, turns, state) = known[-1]
        moves = {turn.move for each in turns.values() for turn in each}
        assert {Move.BEGIN, Move.PAUSE, Move.GO_ON} <= moves
        assert state  # kernels were fitted


def test_one_worker_killed_at_any_write_goes_on_as_if_nothing_had_happened(alone):
    known, killed = alone
    killed = late(killed, "choosing", "training")
    assert len(killed) > 3 * 4  # several writes for each of the last four trials
    for folder, wave in killed:
        assert_goes_on(opened(folder), 1, known, wave)


def test_workers_killed_while_trials_are_chosen_go_on_as_if_nothing_had_happened(together):
    """What was chosen while others ran is not chosen again when they do not run yet."""
    known, killed = together
    killed = late(killed, "choosing")
    assert len(killed) > 4  # several writes a wave
    for folder, wave in killed:
        assert_goes_on(opened(folder), 3, known, wave)


def test_what_ran_at_a_kill_is_run_again_before_anything_else(together):
    known, killed = together
    killed = late(killed, "training")
    assert len(killed) > 4
    for folder, wave in killed:
        one = opened(folder)
        ended = {each.number: each for each in (*one.ledger.results(), *one.ledger.paused())}
        cut_off = [job for job in known[wave][0] if ended.get(job.number) == job.before]
        assert begin_wave(one, len(cut_off)) == cut_off
