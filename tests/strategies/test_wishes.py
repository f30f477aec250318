"""Candidates that are begun first: the user's points, and published networks."""

from dataclasses import replace

import pytest
from planned_searches import run
from published_networks import POINTS
from searches_by_hand import SearchByHand, conditional_space

from ecoautoml.config import load_config
from ecoautoml.errors import ConfigError
from ecoautoml.models.arithmetic import count_network
from ecoautoml.models.known_points import is_same_network, known_points
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.trial_result import TrialState
from ecoautoml.spaces import load_space, validate_point
from ecoautoml.strategies.known_points import known_candidates
from ecoautoml.strategies.planners import make_planner
from ecoautoml.strategies.samplers import SAMPLERS

TWO_POINTS = [
    {"width": 12, "kernel": 5, "optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01},
    {"width": 32},
]


def configured(kind="auto", points=TWO_POINTS, **changes):
    sampler = {"kind": kind, "begin_with": points, **changes}
    tree = {"data": "digits", "space": "tiny", "sampler": sampler, "training": {"epochs": 3}}
    return load_config(tree)


def planner(config, space=None, image_size=8):
    return make_planner(
        config, space or conditional_space(), image_size=image_size, in_chans=1, n_classes=10
    )


def middle(dimension):
    return dimension.middle


# --- the user's own -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SAMPLERS)
def test_every_sampler_begins_with_the_points_it_was_given(kind, tmp_path):
    one = SearchByHand(tmp_path, planner=planner(configured(kind)))
    first, second, third = (one.loop.ask() for _ in range(3))
    assert {**first.candidate.parameters(), **TWO_POINTS[0]} == first.candidate.parameters()
    assert second.candidate.parameters()["width"] == 32
    assert second.candidate.parameters()["kernel"] == 5  # what was left out is in the middle
    validate_point(conditional_space(), second.candidate.parameters())
    reasons = [one.ledger.turns(number)[0].reason for number in range(3)]
    assert reasons[:2] == ["point 0 of sampler.begin_with", "point 1 of sampler.begin_with"]
    assert "begin_with" not in reasons[2]
    if kind != "auto":
        assert reasons[2] == f"proposed by the sampler {kind}"
    assert third.candidate not in (first.candidate, second.candidate)


def test_what_was_begun_is_not_begun_again_when_the_search_goes_on(tmp_path):
    one = SearchByHand(tmp_path, planner=planner(configured("random")))
    one.tell(one.loop.ask())
    one.tell(one.loop.ask(), TrialState.FAILED)
    again = one.reopened()
    job = again.loop.ask()
    assert again.ledger.turns(job.number)[0].reason == "proposed by the sampler random"


def test_they_count_as_trials_and_a_budget_ends_them(tmp_path):
    one = SearchByHand(tmp_path, planner=planner(configured("random")), budget={"trials": 1})
    one.tell(one.loop.ask())
    assert one.loop.ask() is None


def test_a_planned_search_goes_on_from_them(tmp_path):
    one = SearchByHand(tmp_path, planner=planner(configured(n_startup_trials=4)))
    chosen = run(one, 12)
    assert chosen[0][1].parameters()["width"] == 12
    assert not [event for event in one.events if "Planning failed" in event]
    planned = [one.ledger.turns(number)[0] for number in {number for number, _ in chosen}]
    assert any(turn.figures for turn in planned)


@pytest.mark.parametrize(
    ("point", "about"),
    [
        ({"widht": 12}, "no dimension 'widht'; did you mean 'width'?"),
        ({"width": 13}, "width"),
        ({"kernel": 4}, "one of 3, 5, 7"),
        ({"epochs": 5}, "epochs"),
        ({"optimizer": "adamw", "momentum": 0.9}, "momentum is not used with the other values"),
    ],
)
def test_a_point_that_is_none_is_refused_in_one_sentence(point, about):
    with pytest.raises(ConfigError, match=r"sampler\.begin_with\.1: ") as caught:
        planner(configured(points=[{}, point]))
    assert about in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# --- published networks ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mobilenet_v3", "efficientnet"])
def test_the_shipped_spaces_hold_their_published_networks(name):
    space = load_space(name)
    found = dict(known_candidates(space, 48, middle))
    assert list(found) == list(known_points(name))
    for known, one in found.items():
        validate_point(space, one.parameters())
        assert is_same_network(one.architecture, POINTS[known][1])
        assert one.architecture["resolution"] == 64  # the least that loses nothing of 48 pixels


def test_they_come_at_the_largest_resolution_where_images_are_larger():
    found = dict(known_candidates(load_space("mobilenet_v3"), 500, middle))
    assert {one.architecture["resolution"] for one in found.values()} == {224}


def test_a_space_that_holds_only_something_near_holds_none():
    assert not list(known_candidates(load_space("tiny"), 28, middle))
    assert not list(known_candidates(conditional_space(), 28, middle))
    space = load_space("mobilenet_v3")
    narrow = [
        replace(one, low=32, high=32) if one.name == "stem_width" else one
        for one in space.parameters
    ]
    assert not list(known_candidates(replace(space, parameters=tuple(narrow)), 28, middle))


def test_a_network_is_found_in_a_space_written_otherwise():
    """Expansions per stage, stem stride and activation of stages left out, one stage fewer."""
    stages = [
        {"block": "ds", "depth": 1, "kernel": 3, "stride": 1, "width": 16},
        *(
            {
                "depth": [depth],
                "kernel": [3, 5],
                "stride": [1, 2],
                "width": width,
                "expansion": {"choices": [3, 6], "per": "stage"},
            }
            for depth, width in ((3, 24), (3, 40), (3, 80), (2, 96), (4, 192), (1, 320))
        ),
    ]
    architecture = {
        "builder": "efficientnet",
        "stem_width": 32,
        "activation": "relu",
        "head_width": 1280,
        "stages": stages,
    }
    space = load_space({"architecture": architecture})
    ((name, found),) = known_candidates(space, 32, middle)
    assert name == "mnasnet_100"
    theirs = Candidate(
        space="", builder="efficientnet", architecture=POINTS[name][1], hyperparameters={}
    )
    size = {"image_size": 224, "in_chans": 3, "num_classes": 10}
    assert count_network(found, **size) == count_network(theirs, **size)


def test_existing_networks_are_known_by_name_and_download_nothing():
    space = load_space("timm_zoo")
    found = dict(known_candidates(space, 64, middle))
    assert next(iter(found)) == "mobilenetv3_small_100"
    for name, one in found.items():
        assert one.architecture["model"] == name
        assert one.architecture["pretrained"] is False


@pytest.mark.parametrize(("kind", "n_known"), [("auto", 2), ("tpe", 2), ("random", 0)])
def test_a_quarter_of_the_first_trials_may_be_known_networks(kind, n_known, tmp_path):
    space = load_space("efficientnet")
    config = load_config(
        {"data": "digits", "space": "efficientnet", "sampler": kind, "budget": {"trials": 20}}
    )
    one = SearchByHand(tmp_path, space=space, planner=planner(config, space, 32))
    for _ in range(3):
        one.loop.ask()
    reasons = [one.ledger.turns(number)[0].reason for number in range(3)]
    known = [reason for reason in reasons if reason.startswith("a published network, ")]
    assert len(known) == n_known
    assert reasons[:n_known] == known


def test_known_networks_are_left_out_where_that_is_asked_for():
    space = load_space("efficientnet")
    tree = {"data": "digits", "space": "efficientnet"}
    off = load_config({**tree, "sampler": {"kind": "tpe", "known_points": False}})
    assert planner(off, space) is None
    assert planner(load_config({**tree, "sampler": "tpe"}), space) is not None
