"""What an earlier run tells a new one, in searches driven by hand."""

from dataclasses import replace

import pytest
from planned_searches import advance, run
from searches_by_hand import TWO, SearchByHand, conditional_space

from ecoautoml.config import load_config
from ecoautoml.spaces import with_choices
from ecoautoml.spaces.dimensions import Dimension
from ecoautoml.spaces.random import random_candidate
from ecoautoml.strategies.base import Earlier
from ecoautoml.strategies.planners import make_planner
from ecoautoml.strategies.wishes import valid
from ecoautoml.study.standing import front_numbers


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    one = SearchByHand(tmp_path_factory.mktemp("old"), planner=planner())
    run(one, 20)
    return one.ledger.results()


def planner(earlier=None):
    tree = {
        "data": "digits",
        "space": "tiny",
        "sampler": {"kind": "auto", "n_startup_trials": 4},
        "training": {"epochs": 3},
    }
    return make_planner(
        load_config(tree),
        conditional_space(),
        image_size=8,
        in_chans=1,
        n_classes=10,
        earlier=earlier,
    )


def earlier(results, **changes):
    numbers = front_numbers(results, TWO)
    front = [one.candidate.parameters() for one in results if one.number in numbers]
    fields = {"name": "old", "results": results, "front": front, "has_same_costs": True}
    return Earlier(**{**fields, **changes})


def test_its_front_is_run_first_and_then_it_is_learnt_from(old, tmp_path):
    before = earlier(old)
    assert before.front
    one = SearchByHand(tmp_path, planner=planner(before))
    for _ in before.front:
        advance(one, one.loop.ask())
    begun = [one.ledger.turns(number)[0] for number in range(len(before.front))]
    assert {turn.reason for turn in begun} == {"on the front of the earlier run old"}
    known = [result.candidate.parameters() for result in old]
    for _ in range(20):  # one of that front may go on before anything new begins
        job = one.loop.ask()
        turns = one.ledger.turns(job.number)
        assert turns[-1].figures  # planned, though fewer than the first four have been run
        if len(turns) == 1:
            break
        advance(one, job)
    assert len(turns) == 1
    assert job.candidate.parameters() not in known


def test_what_is_no_point_of_this_space_is_left_out(old, tmp_path):
    before = earlier(old, front=[{"width": 5, "kernel": 3}, {"nothing": 1}])
    one = SearchByHand(tmp_path, planner=planner(before))
    job = one.loop.ask()
    assert "earlier run" not in one.ledger.turns(job.number)[0].reason


def test_trainings_of_another_length_are_learnt_from_unless_length_is_searched():
    space = conditional_space()
    length = Dimension(name="epochs", section="hyperparameters", kind="categorical", choices=(7,))
    values = random_candidate(space, 0).parameters()
    fixed = replace(space, parameters=(*space.parameters, length))
    assert list(valid([{**values, "epochs": 3}], fixed)) == [{**values, "epochs": 7}]
    searched = with_choices(fixed, "epochs", [7, 9])
    assert list(valid([{**values, "epochs": 3}, {**values, "epochs": 9}], searched)) == [
        {**values, "epochs": 9}
    ]


def test_costs_of_another_machine_do_not_count(old, tmp_path):
    learnt = planner(earlier(old, has_same_costs=False, front=[]))._earlier
    assert learnt
    assert all(one.costs == (None,) and one.price is None for one in learnt)
    assert all(one.number < 0 and not one.is_allowed for one in learnt)
    one = SearchByHand(tmp_path, planner=planner(earlier(old, has_same_costs=False)))
    run(one, 8)
    assert not [event for event in one.events if "Planning failed" in event]
