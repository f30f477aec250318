"""Front, knee, report and figures follow what was asked for."""

import pytest
from builders import complete, summary

from ecoautoml.config.preferences import Prefer
from ecoautoml.reports.figures import front as front_figure
from ecoautoml.reports.frame import make_frames
from ecoautoml.reports.html import report_html
from ecoautoml.reports.knee import knee, preference_words
from ecoautoml.reports.trajectory import trajectory

OBJECTIVES = ("validation_accuracy", "inference_energy_j")
RESULTS = [
    complete(0, 0.60, 0.001),
    complete(1, 0.90, 0.0023),
    complete(2, 0.95, 0.0040),
    complete(3, 0.99, 0.0100),
]


def asked(results=RESULTS, **prefer):
    run = summary(prefer=Prefer(**prefer))
    frames = make_frames(results, run)
    return run, frames, knee(frames.trials, OBJECTIVES, run.prefer)


def test_with_a_target_the_cheapest_that_reaches_it_is_taken():
    _, frames, found = asked(at_least={"validation_accuracy": 0.93})
    assert found.trial == 2
    assert found.reason == (
        "has the lowest inference energy of the 2 models with at least 93.0 % accuracy"
    )
    assert frames.front["trial"].tolist() == [0, 1, 2, 3]
    _, _, alone = asked(at_least={"validation_accuracy": 0.99})
    assert alone == (3, "is the only model with at least 99.0 % accuracy")


def test_a_target_nobody_reaches_gives_the_best_and_says_so():
    _, _, found = asked(at_least={"validation_accuracy": 0.995})
    assert found.trial == 3
    assert found.reason == (
        "has the best accuracy found (99.0 %); no model has at least 99.5 % accuracy"
    )


def test_weights_bend_the_knee_and_the_reason_says_so():
    _, _, even = asked()
    _, _, frugal = asked(weights={"inference_energy_j": 20})
    _, _, accurate = asked(weights={"validation_accuracy": 20})
    assert frugal.trial < even.trial < accurate.trial
    assert even.reason.endswith("of its energy")
    assert frugal.reason.endswith("of its energy, as you weigh them")
    assert asked(weights=dict.fromkeys(OBJECTIVES, 2.0))[2] == even


def test_what_is_beyond_the_reference_is_not_on_the_front():
    _, frames, found = asked(reference={"validation_accuracy": 0.8, "inference_energy_j": 0.005})
    assert frames.front["trial"].tolist() == [1, 2]
    assert frames.trials["is_on_front"].tolist() == [False, True, True, False]
    assert found.trial in (1, 2)
    assert "warning" not in frames.front.attrs


def test_a_reference_nobody_is_within_leaves_the_front_and_says_so():
    _, frames, found = asked(reference={"inference_energy_j": 0.0005})
    assert frames.front["trial"].tolist() == [0, 1, 2, 3]
    assert frames.front.attrs["warning"] == (
        "No model is within what was asked for (inference energy at most 500 µJ), so the front is "
        "shown as if that had not been asked."
    )
    assert found == asked()[2]


def test_a_reference_alone_makes_no_trial_of_nothing():
    unknown = complete(4, 0.9, None)
    _, frames, found = asked([unknown], reference={"inference_energy_j": 0.005})
    assert frames.front.empty
    assert found is None


def test_the_hypervolume_is_bounded_by_the_reference():
    plain, bounded = (
        trajectory(RESULTS, summary(prefer=Prefer(reference=reference)))
        for reference in ({}, {"validation_accuracy": 0.8})
    )
    assert plain.points[0].hypervolume > 0
    assert bounded.points[0].hypervolume == 0  # 0.60 is of no use
    assert bounded.points[-1].share == pytest.approx(1.0)
    beyond = trajectory(RESULTS, summary(prefer=Prefer(reference={"inference_energy_j": 1e-9})))
    assert beyond == plain


def test_what_was_asked_for_stands_in_the_report_and_in_the_figure():
    run, frames, found = asked(
        at_least={"validation_accuracy": 0.93},
        reference={"inference_energy_j": 0.005, "validation_accuracy": 0.8},
    )
    words = (
        "Asked for: the cheapest model with at least 93.0 % accuracy; nothing beyond at most 5 mJ "
        "inference energy and at least 80.0 % accuracy."
    )
    assert preference_words(run.prefer) == words
    page = report_html(RESULTS, run, frames)
    assert words in page
    assert found.reason.split(" % ")[0] in page
    drawn = front_figure.figure(RESULTS, run, frames)
    lines = {(one.x0, one.y0) for one in drawn.layout.shapes}
    assert lines == {(0, 0.93), (0, 0.8), (0.005, 0)}


def test_nothing_asked_for_is_not_told():
    assert preference_words(Prefer()) == ""
    run, frames, _ = asked()
    assert not front_figure.figure(RESULTS, run, frames).layout.shapes
