import dataclasses
from collections import Counter

import pytest
from pydantic import TypeAdapter

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.columns import DETAIL_COLUMNS, METRICS, RESULT_COLUMNS, SCORES
from ecoautoml.records.energy_reading import (
    EnergyLine,
    EnergyReading,
    Provenance,
    bill,
    joined,
    total_billed_j,
    total_energy_j,
    weakest,
)
from ecoautoml.records.measurement import InferenceMeasurement
from ecoautoml.records.progress import CONTINUE, Action, Progress
from ecoautoml.records.trial_result import (
    Probe,
    TrialResult,
    TrialState,
)

MEASURED, ATTRIBUTED, ESTIMATED = Provenance


def reading(energy_j, provenance=MEASURED, **changes):
    return EnergyReading(
        **{
            "component": "cpu",
            "energy_j": energy_j,
            "duration_s": 2.0,
            "provenance": provenance,
            "source": "rapl:package-0",
            **changes,
        }
    )


def candidate(**changes):
    return Candidate(
        **{
            "space": "tiny",
            "builder": "efficientnet",
            "architecture": {"width": 8, "kernel": 3},
            "hyperparameters": {"learning_rate": 1e-3, "optimizer": "sgd"},
            "compression": {"quantize": "none"},
            "runtime": {"runtime": "onnxruntime"},
            **changes,
        }
    )


def full_result():
    """Return a result in which every field has a value, and None stands where it may."""
    inference = InferenceMeasurement(
        batch_size=2,
        energy_j=1e-5,
        energy_low_j=0.9e-5,
        energy_high_j=1.1e-5,
        provenance=ATTRIBUTED,
        source="rapl:package-0",
        latency_ms=0.1,
        latency_p95_ms=0.2,
        n_blocks=7,
        is_precise=True,
    )
    unknown = dataclasses.replace(
        inference, energy_j=None, energy_low_j=None, energy_high_j=None, provenance=None
    )
    line = EnergyLine(
        line="training", energy_j=0.1 + 0.2, duration_s=3.0, provenance=MEASURED, source="a"
    )
    point = Progress(
        trial=3, epoch=1, epochs=2, metrics={"validation_accuracy": 2 / 3}, energy_j=None
    )
    return TrialResult(
        number=3,
        state=TrialState.INFEASIBLE,
        candidate=candidate(architecture={"width": 8, "has_se": True, "ratio": 0.1, "act": None}),
        reason="violates params <= 5 by 20.0%",
        details="Traceback …\n  ü",
        metrics={"validation_accuracy": 1 / 3, "params": 6.0},
        constraints={"params <= 5": 0.2},
        probe=Probe(params=6, macs=70, size_bytes=80, inference=unknown),
        inference=inference,
        final=dataclasses.replace(inference, n_blocks=8),
        ties_with=(1, 4),
        other_batches=(dataclasses.replace(inference, batch_size=32), unknown),
        energy=(line, dataclasses.replace(line, energy_j=None, provenance=None)),
        curve=(point, dataclasses.replace(point, epoch=2)),
        duration_s=4.5,
        epochs=2,
        reused_from=1,
        would_have_stopped=1,
        codecarbon_j=0.7,
        parent=3,
    )


# --- energy ---------------------------------------------------------------------------------------


def test_a_line_adds_its_parts_under_the_weakest_provenance():
    line = bill(
        "training",
        [
            reading(3.0, MEASURED, source="nvml"),
            reading(4.0, ESTIMATED, source="cpu_time", duration_s=2.5),
            reading(0.5, ATTRIBUTED, source="rapl"),
        ],
    )
    assert line == EnergyLine(
        line="training",
        energy_j=7.5,
        duration_s=2.5,
        provenance=ESTIMATED,
        source="nvml + cpu_time + rapl",
    )


@pytest.mark.parametrize("known", [[], [3.0], [3.0, 4.0]])
def test_a_line_with_an_unknown_part_is_unknown(known):
    line = bill("probe", [*map(reading, known), reading(None, reason="no permission")])
    assert line.energy_j is None
    assert line.provenance is None
    assert line.duration_s == 2.0


def test_a_line_without_parts_is_unknown_rather_than_free():
    assert bill("probe", []).energy_j is None


def test_net_joules_are_those_above_the_idle_power_that_is_in_them():
    whole = reading(50.0, duration_s=2.0)
    assert whole.net_j({"cpu": 10.0}) == pytest.approx(30.0)
    shared = dataclasses.replace(whole, idle_share=0.25)
    assert shared.net_j({"cpu": 10.0}) == pytest.approx(45.0)
    modelled = dataclasses.replace(whole, idle_share=0.0)
    assert modelled.net_j({}) == modelled.net_j({"cpu": 10.0}) == 50.0


def test_net_joules_are_unknown_without_the_joules_or_the_idle_watts():
    assert reading(50.0).net_j({"gpu:a": 10.0}) is None
    assert reading(None).net_j({"cpu": 10.0}) is None
    parts = [reading(50.0), dataclasses.replace(reading(7.0), component="dram")]
    assert bill("training", parts, {"cpu": 10.0}).net_j is None
    known = bill("training", parts, {"cpu": 10.0, "dram": 1.0})
    assert known.energy_j == 57.0
    assert known.net_j == pytest.approx(57.0 - 11.0 * parts[0].duration_s)


def test_on_a_bill_stand_net_joules_where_they_are_known():
    gross = bill("training", [reading(50.0, duration_s=2.0)])
    net = bill("training", [reading(50.0, duration_s=2.0)], {"cpu": 10.0})
    assert (gross.billed_j, net.billed_j) == (50.0, pytest.approx(30.0))
    assert total_billed_j([gross, net, bill("probe", [])]) == pytest.approx(80.0)
    assert total_billed_j([bill("probe", [])]) is None


def test_windows_one_after_the_other_are_joined():
    first = bill("training", [reading(50.0)], {"cpu": 10.0})
    second = bill("training", [reading(10.0, ATTRIBUTED, duration_s=0.5)], {"cpu": 10.0})
    both = joined("training", [first, second])
    assert (both.energy_j, both.net_j) == (60.0, pytest.approx(35.0))
    assert (both.duration_s, both.provenance) == (2.5, ATTRIBUTED)
    assert joined("training", [first, bill("training", [reading(1.0)])]).net_j is None


def test_nothing_spent_is_known_and_zero():
    assert bill("probe", [reading(0.0)]).energy_j == 0.0


@pytest.mark.parametrize(
    ("provenances", "expected"),
    [
        ([], None),
        ([None], None),
        ([None, MEASURED], MEASURED),
        ([MEASURED, ATTRIBUTED, MEASURED], ATTRIBUTED),
        ([ESTIMATED, MEASURED, ATTRIBUTED], ESTIMATED),
    ],
)
def test_the_weakest_provenance_is_found(provenances, expected):
    assert weakest(provenances) is expected


def test_only_measured_joules_go_without_a_mark():
    assert [provenance.mark for provenance in Provenance] == ["", "~", "~"]


def test_a_total_is_of_what_is_known_and_unknown_without_any():
    lines = [bill("a", [reading(value)]) for value in (1.5, None, 2.0)]
    assert total_energy_j(lines) == 3.5
    assert total_energy_j(lines[1:2]) is None
    assert total_energy_j([]) is None


# --- candidates -----------------------------------------------------------------------------------


def test_the_order_of_values_does_not_make_another_candidate():
    one = candidate(architecture={"width": 8, "kernel": 3})
    other = candidate(architecture={"kernel": 3, "width": 8})
    assert one.key() == other.key()
    assert one.probe_key() == other.probe_key()


@pytest.mark.parametrize(
    "change",
    [
        {"builder": "mobilenet_v3"},
        {"architecture": {"width": 9, "kernel": 3}},
        {"architecture": {"width": 8}},
        {"runtime": {"runtime": "other"}},
    ],
)
def test_another_network_or_runtime_costs_otherwise(change):
    assert candidate(**change).key() != candidate().key()
    assert candidate(**change).probe_key() != candidate().probe_key()


def test_training_otherwise_makes_another_trial_of_the_same_cost():
    other = candidate(hyperparameters={"learning_rate": 1e-2, "optimizer": "sgd"})
    assert other.key() != candidate().key()
    assert other.probe_key() == candidate().probe_key()


def test_the_name_of_the_space_does_not_matter():
    assert candidate(space="renamed").key() == candidate().key()


def test_a_key_survives_json():
    adapter = TypeAdapter(Candidate)
    one = candidate(architecture={"a": 0.1 + 0.2, "b": True, "c": None, "d": "ü", "e": 3})
    assert adapter.validate_json(adapter.dump_json(one)).key() == one.key()


def test_all_values_are_found_in_one_mapping():
    assert candidate().parameters() == {
        "width": 8,
        "kernel": 3,
        "learning_rate": 1e-3,
        "optimizer": "sgd",
        "quantize": "none",
        "runtime": "onnxruntime",
    }


# --- results --------------------------------------------------------------------------------------


def test_a_result_survives_json_to_the_last_bit():
    adapter = TypeAdapter(TrialResult)
    assert {field.name for field in dataclasses.fields(TrialResult)} == {
        field.name
        for field in dataclasses.fields(full_result())
        if getattr(full_result(), field.name) not in (None, (), {})
    }
    again = adapter.validate_json(adapter.dump_json(full_result()))
    assert again == full_result()
    assert isinstance(again.state, TrialState)
    assert isinstance(again.energy, tuple)
    assert type(again.candidate.architecture["has_se"]) is bool
    assert type(again.candidate.architecture["width"]) is int


@pytest.mark.parametrize("state", TrialState)
def test_every_state_survives_json(state):
    adapter = TypeAdapter(TrialResult)
    result = TrialResult(number=0, state=state, candidate=candidate())
    assert adapter.validate_json(adapter.dump_json(result)) == result


def test_a_result_tells_its_joules_and_whether_it_is_allowed():
    result = full_result()
    assert result.energy_j == 0.1 + 0.2
    assert result.energy_provenance is MEASURED
    assert not result.is_feasible
    within = dataclasses.replace(result, constraints={"a": 0.0, "b": -1.0}, energy=())
    assert within.is_feasible
    assert within.energy_j is None
    assert within.energy_provenance is None


def test_records_are_frozen():
    for record, name in (
        (full_result(), "number"),
        (candidate(), "space"),
        (reading(1.0), "energy_j"),
        (CONTINUE, "action"),
        (METRICS["params"], "name"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, "other")


def test_the_usual_answer_is_to_go_on():
    assert CONTINUE.action is Action.CONTINUE
    assert CONTINUE.reason is None


# --- columns --------------------------------------------------------------------------------------


def test_every_metric_has_its_column_and_no_column_stands_twice():
    columns = Counter((*RESULT_COLUMNS, *DETAIL_COLUMNS))
    assert set(columns.values()) == {1}
    assert set(METRICS) <= set(columns)


def test_metrics_go_by_their_own_names():
    assert all(name == metric.name for name, metric in METRICS.items())
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)


def test_scores_are_for_more_and_known_late_and_costs_are_for_less():
    for name, metric in METRICS.items():
        assert metric.is_score == (name in SCORES) == name.startswith("validation_")
        assert metric.direction == ("maximize" if metric.is_score else "minimize")
        assert not (metric.is_score and metric.is_known_before_training)
    assert METRICS["validation_accuracy"].loss(0.9) == -0.9
    assert METRICS["latency_ms"].loss(0.9) == 0.9
