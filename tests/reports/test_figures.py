import json

import pytest
from builders import (
    MEASURED,
    complete,
    failed,
    infeasible,
    pruned,
    reused,
    sample_run,
    stopped,
    summary,
)

from ecoautoml.reports.figures import bill, curves, front, hypervolume, style
from ecoautoml.reports.frame import make_frames

THREE = ("validation_accuracy", "inference_energy_j", "latency_ms")


def info_of(results, run=None):
    run = run or summary()
    return front._info(results, run, make_frames(results, run))


def test_every_trial_stands_in_its_group():
    results = [complete(0, 0.9, 0.002), complete(1, 0.8, 0.003), pruned(2, 0.4), infeasible(3)]
    info = info_of([*results, failed(4), reused(5, results[0])])
    groups = (info.front, info.dominated, info.pruned, info.infeasible)
    assert [[dot.trial for dot in group] for group in groups] == [[0], [1], [2], [3]]
    assert info.n_not_drawn == 1
    assert info.knee.trial == 0


def test_a_stopped_trial_stands_at_its_last_known_score():
    (dot,) = info_of([pruned(0, 0.4, energy_j=0.003)]).pruned
    assert (dot.x, dot.y) == (0.003, pytest.approx(0.4))


def test_a_candidate_ruled_out_before_training_has_a_cost_and_no_score():
    (dot,) = info_of([infeasible(0)]).infeasible
    assert (dot.x, dot.y) == (0.1, None)


def test_the_picture_shows_finished_trials_whatever_was_stopped_far_below():
    results = [complete(0, 0.99, 0.004), complete(1, 0.97, 0.002), complete(2, 0.96, 0.005)]
    low, high = front._score_range(info_of([*results, pruned(3, 0.2)]))
    assert 0.95 < low < 0.96
    assert 0.99 < high < 1.0
    assert front._score_range(info_of([pruned(0, 0.4)])) is None


def test_estimated_joules_are_hollow_and_named_on_the_axis():
    info = info_of([complete(0, 0.9, 0.002)])
    assert info.front[0].is_hollow
    assert info.x_title == "Inference energy per image (estimated)"


def test_measured_joules_are_filled_and_the_axis_claims_nothing():
    info = info_of([complete(0, 0.9, 0.002, provenance=MEASURED)])
    assert not info.front[0].is_hollow
    assert info.x_title == "Inference energy per image"


def test_mixed_joules_are_named_on_the_axis():
    results = [complete(0, 0.9, 0.002, provenance=MEASURED), complete(1, 0.8, 0.001)]
    assert info_of(results).x_title.endswith("(partly estimated)")


def test_hovering_tells_all_that_is_known():
    run = summary(test_scores={0: 0.88})
    hover = info_of([complete(0, 0.9, 0.002)], run).front[0].hover
    for part in ("trial 0", "90.0 %", "88.0 %", "~2 mJ", "1.94 mJ", "1.5 ms", "10 k", "width: 1"):
        assert part in hover


def test_other_objectives_choose_the_axes():
    run = summary(("latency_ms", "validation_accuracy", "params"))
    info = info_of([complete(0, 0.9, 0.002)], run)
    assert (info.x_name, info.y_name, info.colour_name) == (
        "latency_ms",
        "validation_accuracy",
        "params",
    )
    assert not info.front[0].is_hollow


def test_markup_in_parameters_and_reasons_is_shown_as_text():
    results = [complete(0, 0.9, 0.002, parameters={"block": "<b>x</b>"}, reason="<i>why</i>")]
    hover = info_of(results).front[0].hover
    assert "&lt;b&gt;x" in hover
    assert "&lt;i&gt;why" in hover


def test_a_curve_knows_how_its_trial_ended():
    results = [complete(0, 0.9, 0.002), complete(1, 0.8, 0.003), pruned(2, epochs=3), infeasible(3)]
    run = summary()
    info = curves._info([*results, reused(4, results[0])], run, make_frames(results, run))
    assert [(curve.trial, curve.group) for curve in info.curves] == [
        (0, "front"),
        (1, "complete"),
        (2, "pruned"),
    ]
    assert info.curves[2].epochs == (1, 2, 3)


def test_hypervolume_falls_back_to_trials_when_no_joules_are_known():
    results = [complete(0, 0.9, 0.002, energy=()), complete(1, 0.95, 0.003, energy=())]
    info = hypervolume._info(results, summary())
    assert not info.is_in_joules
    assert info.x == (1.0, 2.0)


def test_each_kind_has_one_label_with_its_share():
    info = bill._info([complete(0, 0.9, 0.002, provenance=MEASURED), pruned(1)], summary())
    assert [bar.label for bar in info.bars] == ["105 J · 75 %", "~35 J · 25 %"]


RUNS = {
    "sample": lambda: sample_run(),
    "measured": lambda: sample_run(provenance=MEASURED),
    "three objectives": lambda: (sample_run()[0], summary(THREE)),
    "scores only": lambda: (sample_run()[0], summary(("validation_accuracy",))),
    "empty": lambda: ([], summary()),
    "cut short": lambda: ([complete(0, 0.9, 0.002), stopped(1)], summary()),
    "all failed": lambda: ([failed(0), failed(1)], summary()),
    "no joules": lambda: ([complete(0, 0.9, None, energy=())], summary()),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_figure_can_be_drawn(name):
    results, run = RUNS[name]()
    frames = make_frames(results, run)
    for drawing in (
        front.figure(results, run, frames),
        curves.figure(results, run, frames),
        hypervolume.figure(results, run),
        bill.figure(results, run),
    ):
        assert json.loads(drawing.to_json())["layout"]["height"] > 0


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([40e-6, 1.6e-3], [5e-5, 1e-4, 2e-4, 5e-4, 1e-3]),
        ([1.0, 1e12], [1.0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12]),
        ([0.0, -1.0], []),
    ],
)
def test_log_ticks_are_round_and_few(values, ticks):
    assert style.log_ticks(values) == pytest.approx(ticks)


@pytest.mark.parametrize("value", [3.3, 1.17, 250.0, 1e-7, 9.99e8])
def test_ticks_stay_few_and_within_what_is_shown(value):
    assert 1 <= len(style.log_ticks([value])) <= 7
    assert 3 <= len(style.linear_ticks(value)) <= 7
    assert style.linear_ticks(value)[-1] <= value


def test_no_joules_need_no_ticks():
    assert style.linear_ticks(0.0) == [0.0]
