"""What the tables and the page say of models measured in turn."""

from dataclasses import replace

from builders import complete, inference, summary

from ecoautoml.records.measurement import Comparison, Ranking
from ecoautoml.reports.frame import make_frames
from ecoautoml.reports.html import write_report
from ecoautoml.reports.ranking import ranking_words

OBJECTIVES = ("validation_accuracy", "inference_energy_j")


def comparison(a, b, verdict, ratio=0.8):
    return Comparison(
        a=a,
        b=b,
        ratio=ratio,
        ratio_low=ratio - 0.02,
        ratio_high=ratio + 0.02,
        verdict=verdict,
        n=9,
        confidence=0.99,
    )


def finalist(number, accuracy, energy_j, ties_with=()):
    """A model whose screening read half of what it really needs."""
    result = complete(number, accuracy, energy_j / 2)
    final = inference(energy_j, latency_ms=0.7)
    metrics = {**result.metrics, "inference_energy_j": energy_j, "latency_ms": 0.7}
    return replace(result, metrics=metrics, final=final, ties_with=ties_with)


def settled_run():
    results = [
        finalist(0, 0.90, 1.0e-3, ties_with=(1,)),
        finalist(1, 0.92, 1.01e-3, ties_with=(0,)),
        finalist(2, 0.95, 2.0e-3),
        complete(3, 0.99, 0.1e-3),  # would beat them all, but was not measured in turn
    ]
    comparisons = (
        comparison("0", "1", "tie", ratio=0.99),
        comparison("0", "2", "A"),
        comparison("1", "2", "A"),
    )
    measurements = {one.number: one.final for one in results if one.final is not None}
    ranking = Ranking(measurements=measurements, comparisons=comparisons, rounds=9)
    run = summary(OBJECTIVES, ranking=ranking)
    return results, run, make_frames(results, run)


def test_the_tables_show_what_was_measured_last_and_when():
    _, _, frames = settled_run()
    assert list(frames.trials["inference_energy_stage"]) == ["final"] * 3 + ["screening"]
    assert list(frames.front["inference_energy_j"]) == [1.01e-3, 2.0e-3]
    assert list(frames.front["latency_ms"]) == [0.7] * 2


def test_a_model_that_is_cheaper_by_less_than_can_be_told_is_not_on_the_front():
    _, _, frames = settled_run()
    assert list(frames.front["trial"]) == [1, 2]
    assert list(frames.trials["is_on_front"]) == [False, True, True, False]


def test_models_that_cannot_be_told_apart_name_each_other():
    _, _, frames = settled_run()
    assert frames.trials["ties_with"].fillna("").tolist() == ["1", "0", "", ""]


def test_ties_and_how_they_were_found_are_said_in_words():
    _, run, frames = settled_run()
    assert ranking_words(run, frames) == [
        "3 models that may be on the front were measured in turn, 9 rounds in random order.",
        "Trials 0 and 1 tie: 0 needs 0.990 times the joules of 1 (99 % interval 0.970 to 1.010), "
        "and 1 is on the front.",
    ]


def test_joules_that_are_not_as_good_as_asked_for_are_said_to_be_so():
    results, run, _ = settled_run()
    for number, changes in ((1, {"is_precise": False}), (2, {"flags": ("not warmed up",)})):
        final = replace(results[number].final, **changes)
        results[number] = replace(results[number], final=final)
    frames = make_frames(results, run)
    notes = ["interval wider than asked for", "not warmed up"]
    assert list(frames.front["inference_energy_note"]) == notes
    assert ranking_words(run, frames)[-2:] == [f"Trial 1: {notes[0]}.", f"Trial 2: {notes[1]}."]


def test_the_page_says_so_too(tmp_path):
    results, run, frames = settled_run()
    write_report(tmp_path / "report.html", results, run, frames)
    page = (tmp_path / "report.html").read_text()
    for sentence in ranking_words(run, frames):
        assert sentence in page


def test_a_front_that_was_not_measured_in_turn_says_nothing_of_it():
    results = [complete(0, 0.9, 1e-3), complete(1, 0.95, 2e-3)]
    for run in (summary(OBJECTIVES), settled_run()[1]):
        frames = make_frames(results, run)
        assert ranking_words(run, frames) == []
        assert frames.front["ties_with"].isna().all()
        assert set(frames.front["inference_energy_stage"]) == {"screening"}
