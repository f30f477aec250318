"""Other forms of trained networks, as the loop and the ledger see them."""

import pytest
from searches_by_hand import SearchByHand, line, open_ledger

from ecoautoml.records.trial_result import TrialState
from ecoautoml.spaces.load import load_space
from ecoautoml.strategies.base import Pruner
from ecoautoml.strategies.pruners import NoPruner
from ecoautoml.strategies.variants import Variants

SPACE = load_space(
    {
        "architecture": {
            "builder": "python",
            "function": "tiny_nets:build",
            "width": {"low": 4, "high": 64, "step": 4},
            "kernel": 3,
        },
        "hyperparameters": {"learning_rate": 0.01},
        "compression": {"quantize": ["none", "int8", "fp16"]},
        "runtime": {"runtime": "onnxruntime"},
    }
)
FORMS = 3


def variants(**changes):
    parts = {
        "space": SPACE,
        "objectives": ("validation_accuracy", "inference_energy_j"),
        "per_training": 8,
        "seed": 0,
        "is_possible": lambda one: True,
        "is_kept": lambda number: True,
    }
    return Variants(**{**parts, **changes})


@pytest.fixture
def search(tmp_path):
    def opened(**changes):
        return SearchByHand(tmp_path, **{"space": SPACE, "variants": variants(), **changes})

    return opened


def finish(one, job, *, accuracy=0.9, energy_j=1e-3):
    metrics = {"validation_accuracy": accuracy, "inference_energy_j": energy_j}
    one.tell(job, metrics=metrics, parent=job.parent)


def test_the_forms_of_a_network_follow_its_training(search):
    one = search()
    first = one.loop.ask()
    assert first.parent is None
    finish(one, first)
    jobs = []
    for number in range(1, FORMS):
        jobs.append(job := one.loop.ask())
        finish(one, job, energy_j=1e-3 / (1 + number), accuracy=0.9 - number / 100)
    assert [job.parent for job in jobs] == [0] * (FORMS - 1)
    assert one.loop.ask().parent is None, "the next training"
    keys = {job.candidate.training_key() for job in (first, *jobs)}
    assert keys == {first.candidate.training_key()}


def test_forms_run_beside_each_other_and_each_once(search):
    one = search()
    finish(one, one.loop.ask())
    jobs = [one.loop.ask() for _ in range(FORMS)]
    assert [job.parent for job in jobs] == [0, 0, None]
    assert len({job.candidate.form_key() for job in jobs[:2]}) == 2


def test_forms_are_no_trainings_of_the_budget_but_their_joules_count(search):
    one = search(budget={"trials": 1})
    finish(one, one.loop.ask())
    job = one.loop.ask()
    assert job.parent == 0, "also when the last training of the budget has ended"
    one.tell(job, energy=(line("export", 7.0),), parent=0)
    assert one.loop.spent().trials == 1
    assert one.loop.spent().energy_j == pytest.approx(7.0 + line_sum(one))
    finish(one, one.loop.ask())
    assert one.loop.ask() is None


def line_sum(one):
    others = [result for result in one.ledger.results() if result.number != 1]
    return sum(result.energy_j or 0.0 for result in others)


def test_a_form_cut_off_by_a_kill_is_run_again_with_its_parent(search):
    one = search()
    finish(one, one.loop.ask())
    job = one.loop.ask()
    two = one.reopened()
    assert 0 in two.loop.needed(), "its parent's network must stay"
    again = two.loop.ask()
    assert (again.number, again.parent) == (job.number, 0)
    assert again.candidate == job.candidate
    finish(two, again)
    assert [result.parent for result in open_ledger(two.folder).results()] == [None, 0]


def test_a_failing_form_leaves_the_others_alone(search):
    one = search()
    finish(one, one.loop.ask())
    one.tell(one.loop.ask(), TrialState.FAILED, reason="the exporter crashed", parent=0, metrics={})
    other = one.loop.ask()
    assert other.parent == 0
    finish(one, other)
    assert [result.state for result in one.ledger.results()] == [
        TrialState.COMPLETE,
        TrialState.FAILED,
        TrialState.COMPLETE,
    ]


class Looks(Pruner):
    """Notes what it is shown."""

    def __init__(self):
        self.seen = []

    def decide(self, trial, history):
        return NoPruner().decide(trial, history)

    def promote(self, history):
        self.seen.append([one.parent for one in (*history.finished, *history.running)])


def test_pruners_see_trainings_only(search):
    pruner = Looks()
    one = search(pruner=pruner)
    finish(one, one.loop.ask())
    finish(one, one.loop.ask())
    one.loop.ask()
    assert one.ledger.results()[1].parent == 0
    assert all(parent is None for seen in pruner.seen for parent in seen)


def test_the_most_accurate_training_is_the_teacher(search):
    one = search(variants=None)
    first, second = one.loop.ask(), one.loop.ask()
    assert first.teacher is None
    finish(one, first, accuracy=0.8)
    finish(one, second, accuracy=0.9)
    assert one.loop.ask().teacher == second.number
