"""Which other forms of a trained network are tried, and in which order."""

from dataclasses import replace

import pytest

from ecoautoml.records.progress import Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.spaces.dimensions import candidate
from ecoautoml.spaces.load import load_space
from ecoautoml.spaces.variants import MOST, distance, has_variants, variants
from ecoautoml.strategies.base import History, Running
from ecoautoml.strategies.energy_first.problem import n_trainings
from ecoautoml.strategies.energy_first.reading import Reader
from ecoautoml.strategies.variants import Variants

NETS = {"builder": "python", "function": "tiny_nets:build", "width": [4, 8, 16]}
OBJECTIVES = ("validation_accuracy", "inference_energy_j")


def space(**runtime):
    return load_space(
        {
            "name": "nets",
            "architecture": NETS,
            "hyperparameters": {"learning_rate": 0.01},
            "compression": {"quantize": ["none", "int8", "bf16"]},
            "runtime": {"runtime": ["onnxruntime", "openvino"], **runtime},
        }
    )


SPACE = space()
ALL = 6


def point(width=4, quantize="none", runtime="onnxruntime"):
    return candidate(SPACE, {"width": width, "quantize": quantize, "runtime": runtime})


def result(number, accuracy, energy_j, parent=None, state=TrialState.COMPLETE, **values):
    return TrialResult(
        number=number,
        state=state,
        candidate=point(**values),
        metrics={"validation_accuracy": accuracy, "inference_energy_j": energy_j},
        parent=parent,
    )


def proposing(per_training=8, is_possible=lambda one: True, is_kept=lambda number: True):
    return Variants(
        space=SPACE,
        objectives=OBJECTIVES,
        per_training=per_training,
        seed=0,
        is_possible=is_possible,
        is_kept=is_kept,
    )


def form(begin):
    return begin.values["quantize"], begin.values["runtime"]


def test_all_forms_of_a_network_are_listed_but_its_own():
    found = variants(SPACE, point(8), seed=0)
    assert len({one.key() for one in found}) == ALL - 1
    assert {one.training_key() for one in found} == {point(8).training_key()}
    assert point(8).key() not in {one.key() for one in found}


def test_a_space_without_choices_behind_the_training_has_no_variants():
    plain = load_space({"architecture": NETS, "runtime": {"runtime": ["auto"]}})
    assert not has_variants(plain)
    assert has_variants(SPACE)


def test_forms_are_as_far_apart_as_values_differ():
    assert distance(SPACE, point(), point()) == 0
    assert distance(SPACE, point(), point(quantize="int8")) == 1
    assert distance(SPACE, point(), point(quantize="int8", runtime="openvino")) == 2
    assert distance(SPACE, point(4), point(16)) == 0


def test_one_training_yields_every_form_once():
    history, seen = History(finished=[result(0, 0.9, 1e-3)]), set()
    proposing_all = proposing()
    for number in range(1, ALL):
        begin = proposing_all.next(history)
        assert begin is not None
        assert begin.parent == 0
        seen.add(form(begin))
        quantize, runtime = form(begin)
        child = result(
            number, 0.9 + number / 100, 1e-3, parent=0, quantize=quantize, runtime=runtime
        )
        history = replace(history, finished=[*history.finished, child])
    assert len(seen) == ALL - 1
    assert proposing_all.next(history) is None


def test_no_more_are_tried_than_asked_for():
    children = [
        result(1, 0.9, 5e-4, parent=0, quantize="int8"),
        result(2, 0.9, 4e-4, parent=0, quantize="bf16"),
    ]
    history = History(finished=[result(0, 0.9, 1e-3), *children])
    assert proposing(per_training=3).next(history) is not None
    assert proposing(per_training=2).next(history) is None


def test_one_that_runs_is_not_begun_again_and_counts():
    running = Running(number=1, candidate=point(quantize="int8"), epochs=1, parent=0)
    history = History(finished=[result(0, 0.9, 1e-3)], running=[running])
    begin = proposing(per_training=2).next(history)
    assert form(begin) != ("int8", "onnxruntime")
    assert proposing(per_training=1).next(history) is None
    assert proposing(per_training=1).needed(history) == {0}, "its network is being read"


def test_what_cannot_be_written_is_not_proposed():
    only = proposing(is_possible=lambda one: one.compression["quantize"] != "bf16")
    history = History(finished=[result(0, 0.9, 1e-3)])
    for number in range(1, 4):
        begin = only.next(history)
        quantize, runtime = form(begin)
        assert quantize != "bf16"
        child = result(number, 0.9, 1e-3 / number, parent=0, quantize=quantize, runtime=runtime)
        history = replace(history, finished=[*history.finished, child])
    assert only.next(history) is None


def test_a_network_that_is_gone_is_left_alone():
    gone = proposing(is_kept=lambda number: False)
    assert gone.next(History(finished=[result(0, 0.9, 1e-3)])) is None


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.PRUNED, TrialState.INFEASIBLE])
def test_only_a_completed_training_is_varied(state):
    assert proposing().next(History(finished=[result(0, 0.9, 1e-3, state=state)])) is None


def families(n, good=("int8", "openvino")):
    """Return families in which one form always pays, and every other is beaten by the parent."""
    found = []
    for index in range(n):
        first = 10 * index
        found.append(result(first, 0.9, 1e-3 * (1 + index), width=4))
        for offset, one in enumerate(variants(SPACE, point(4), seed=0), start=1):
            quantize, runtime = one.compression["quantize"], one.runtime["runtime"]
            is_good = (quantize, runtime) == good
            found.append(
                result(
                    first + offset,
                    0.9 if is_good else 0.85,
                    (0.2 if is_good else 2) * 1e-3 * (1 + index),
                    parent=first,
                    quantize=quantize,
                    runtime=runtime,
                )
            )
    return found


def test_what_paid_in_other_families_comes_first_and_what_never_did_is_not_tried():
    history = History(finished=[*families(4), result(90, 0.95, 1e-3, width=16)])
    proposed, number = [], 91
    while (begin := proposing().next(history)) is not None:
        proposed.append(form(begin))
        child = result(
            number,
            0.9,
            2e-3,
            parent=90,
            width=16,
            quantize=begin.values["quantize"],
            runtime=begin.values["runtime"],
        )
        history = replace(history, finished=[*history.finished, child])
        number += 1
    assert proposed[0] == ("int8", "openvino")
    assert len(proposed) < ALL - 1


def test_a_network_that_no_form_can_bring_to_the_front_is_left_alone():
    far_behind = result(90, 0.5, 1.0, width=16)
    history = History(finished=[*families(2), far_behind])
    begin = proposing().next(history)
    assert begin is None or begin.parent != 90
    near = result(91, 0.91, 2e-3, width=16)  # as dear as no form would be
    assert proposing().next(replace(history, finished=[*history.finished, near])).parent == 91


def test_many_forms_are_drawn_instead_of_listed():
    wide = load_space(
        {
            "architecture": NETS,
            "compression": {"quantize": ["none", "int8"]},
            "runtime": {"runtime": [f"r{index}" for index in range(100)]},
        }
    )
    point_of = candidate(wide, {"width": 4, "quantize": "none", "runtime": "r0"})
    found = variants(wide, point_of, seed=1)
    assert MOST // 2 < len(found) <= MOST
    assert found == variants(wide, point_of, seed=1)


# --- what a planner sees of them --------------------------------------------------------------


READER = Reader(scores=["validation_accuracy"], costs=["inference_energy_j"], shares=(0.25, 1.0))


def looked_at(number, accuracies, **more):
    """Return a training with a report after each of its epochs."""
    curve = [Progress(trial=number, epoch=0, epochs=4, metrics={}, energy_j=1.0)]
    curve += [
        Progress(
            trial=number,
            epoch=epoch,
            epochs=4,
            metrics={"validation_accuracy": accuracy},
            energy_j=1.0 + epoch,
        )
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]
    return replace(result(number, accuracies[-1], 1e-3), curve=tuple(curve), **more)


def test_a_variant_has_its_parents_first_look_and_its_own_end_and_is_no_training():
    child = result(1, 0.85, 2e-4, parent=0, quantize="int8")
    first, second = READER.seen(History(finished=[looked_at(0, [0.5, 0.7, 0.8, 0.9]), child]))
    assert [error for (error,) in first.errors] == pytest.approx([0.5, 0.1])
    assert [error for (error,) in second.errors] == pytest.approx([0.5, 0.15])
    assert second.costs == (2e-4,)
    assert first.price == 4.0
    assert second.price is None
    assert n_trainings([first, second]) == 1


def test_a_variant_that_failed_tells_of_no_scores_and_no_costs():
    failed = result(1, 0.0, 1.0, parent=0, quantize="int8", state=TrialState.FAILED)
    failed = replace(failed, metrics={})
    _, seen = READER.seen(History(finished=[looked_at(0, [0.5, 0.9]), failed]))
    assert seen.errors == ()
    assert seen.costs == (None,)
    assert seen.has_failed


def test_a_variant_that_runs_is_no_training():
    running = Running(number=1, candidate=point(quantize="int8"), epochs=4, parent=0)
    seen = READER.seen(History(finished=[looked_at(0, [0.5, 0.9])], running=[running]))
    assert n_trainings(seen) == 1
