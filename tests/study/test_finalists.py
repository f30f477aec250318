"""Which models are measured again at the end, and what comes of it."""

from dataclasses import replace

import pytest

from ecoautoml.config.preferences import Prefer
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.measurement import Comparison, InferenceMeasurement, Ranking
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.study.finalists import finalists, settled
from ecoautoml.study.standing import front_numbers

OBJECTIVES = ("validation_accuracy", "inference_energy_j")
NOBODY = Candidate(space="s", builder="b", architecture={}, hyperparameters={})


def measurement(energy_j, spread=0.05, latency_ms=1.0):
    return InferenceMeasurement(
        batch_size=1,
        energy_j=energy_j,
        energy_low_j=energy_j * (1 - spread) if spread else None,
        energy_high_j=energy_j * (1 + spread) if spread else None,
        provenance=Provenance.MEASURED,
        source="a meter",
        latency_ms=latency_ms,
        latency_p95_ms=2.0,
        n_blocks=5,
        is_precise=True,
    )


def trial(number, accuracy, energy_j, **fields):
    spread = fields.pop("spread", 0.05)
    return TrialResult(
        number=number,
        state=fields.pop("state", TrialState.COMPLETE),
        candidate=NOBODY,
        metrics={
            "validation_accuracy": accuracy,
            "inference_energy_j": energy_j,
            "latency_ms": 9.0,
        },
        inference=measurement(energy_j, spread),
        **fields,
    )


def ranking(**joules):
    measurements = {int(name[1:]): measurement(energy_j) for name, energy_j in joules.items()}
    return Ranking(measurements=measurements, comparisons=(), rounds=8)


def test_a_trial_beaten_by_less_than_the_uncertainty_is_a_finalist():
    beaten = [trial(0, 0.9, 1.0), trial(1, 0.9, 1.08)]
    assert finalists(beaten, OBJECTIVES) == {0, 1}
    surely = [trial(0, 0.9, 1.0), trial(1, 0.9, 1.12)]
    assert finalists(surely, OBJECTIVES) == {0}


def test_a_better_score_makes_up_for_more_joules_only():
    trials = [trial(0, 0.9, 1.0), trial(1, 0.91, 2.0), trial(2, 0.89, 2.0)]
    assert finalists(trials, OBJECTIVES) == {0, 1}


def test_without_intervals_the_finalists_are_the_front():
    trials = [trial(0, 0.9, 1.0, spread=0), trial(1, 0.9, 1.001, spread=0)]
    assert finalists(trials, OBJECTIVES) == {0} == front_numbers(trials, OBJECTIVES)


def test_equal_trials_do_not_beat_each_other():
    trials = [trial(0, 0.9, 1.0, spread=0), trial(1, 0.9, 1.0, spread=0)]
    assert finalists(trials, OBJECTIVES) == {0, 1}


def test_only_complete_and_feasible_trials_are_finalists():
    trials = [
        trial(0, 0.9, 1.0, state=TrialState.PRUNED),
        trial(1, 0.9, 1.0, constraints={"params <= 5": 0.1}),
    ]
    assert finalists(trials, OBJECTIVES) == set()
    assert finalists([], OBJECTIVES) == set()


def test_who_lost_when_measured_in_turn_is_out_for_good():
    trials = [trial(0, 0.9, 1.0), trial(1, 0.9, 1.08)]
    assert finalists(trials, OBJECTIVES, {1}) == {0}


def test_what_a_loser_had_beaten_stays_beaten():
    trials = [trial(0, 0.9, 1.0), trial(1, 0.9, 1.08), trial(2, 0.9, 1.2)]
    assert finalists(trials, OBJECTIVES) == {0, 1}
    assert finalists(trials, OBJECTIVES, {0}) == {1}


def test_the_last_measuring_replaces_the_readings_before_it():
    trials = [trial(0, 0.9, 1.0), trial(1, 0.9, 1.08)]
    assert front_numbers(trials, OBJECTIVES) == {0}
    found = settled(trials, OBJECTIVES, ranking(t0=1.05, t1=1.0))
    assert [one.metrics["inference_energy_j"] for one in found] == [1.05, 1.0]
    assert [one.metrics["latency_ms"] for one in found] == [1.0, 1.0]
    assert [one.inference.energy_j for one in found] == [1.0, 1.08]  # still there
    assert front_numbers(found, OBJECTIVES) == {1}


def tie(a, b, verdict="tie"):
    return Comparison(
        a=str(a),
        b=str(b),
        ratio=0.99,
        ratio_low=0.97,
        ratio_high=1.01,
        verdict=verdict,
        n=8,
        confidence=0.99,
    )


def test_of_two_whose_joules_tie_the_more_accurate_is_on_the_front():
    trials = [trial(0, 0.90, 1.0), trial(1, 0.91, 1.01), trial(2, 0.95, 2.0)]
    comparisons = (tie(0, 1), tie(0, 2, "A"), tie(1, 2, "A"))
    measured = replace(ranking(t0=1.0, t1=1.01, t2=2.0), comparisons=comparisons)
    found = settled(trials, OBJECTIVES, measured)
    assert [one.ties_with for one in found] == [(1,), (0,), ()]
    assert front_numbers(found, OBJECTIVES) == {1, 2}
    untied = settled(trials, OBJECTIVES, ranking(t0=1.0, t1=1.01, t2=2.0))
    assert front_numbers(untied, OBJECTIVES) == {0, 1, 2}


def test_a_trial_that_was_not_measured_in_turn_is_not_beside_those_that_were():
    trials = [trial(0, 0.9, 1.0), trial(1, 0.9, 1.2)]
    found = settled(trials, OBJECTIVES, ranking(t0=1.3))
    assert front_numbers(found, OBJECTIVES) == {0}


def test_a_ranking_from_before_a_new_finalist_settles_nothing():
    trials = [trial(0, 0.9, 1.0), trial(1, 0.95, 1.5)]
    assert settled(trials, OBJECTIVES, ranking(t0=2.0)) == trials
    assert settled(trials, OBJECTIVES, None) == trials


def test_a_reused_trial_has_what_its_original_has():
    original = trial(0, 0.9, 1.0)
    reused = replace(original, number=1, state=TrialState.REUSED, reused_from=0)
    first, second = settled([original, reused], OBJECTIVES, ranking(t0=1.1))
    assert first.metrics == second.metrics


def test_an_unknown_last_reading_does_not_hide_the_known_one():
    unknown = replace(measurement(1.0), energy_j=None, provenance=None)
    found = settled(
        [trial(0, 0.9, 1.0)],
        OBJECTIVES,
        Ranking(measurements={0: unknown}, comparisons=(), rounds=1),
    )
    assert found[0].metrics["inference_energy_j"] == pytest.approx(1.0)


def test_what_is_beyond_the_reference_is_not_measured_again_while_something_is_within():
    trials = [trial(0, 0.5, 1.0), trial(1, 0.9, 3.0), trial(2, 0.95, 9.0)]
    prefer = Prefer(reference={"validation_accuracy": 0.8, "inference_energy_j": 5.0})
    assert finalists(trials, OBJECTIVES, prefer=prefer) == {1}
    assert front_numbers(trials, OBJECTIVES, prefer) == {1}
    others = [trials[0], trials[2]]
    assert finalists(others, OBJECTIVES, prefer=prefer) == {0, 2}
    assert front_numbers(others, OBJECTIVES, prefer) == {0, 2}
