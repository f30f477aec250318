import pandas as pd
import pytest
from builders import (
    ESTIMATED,
    MEASURED,
    complete,
    failed,
    infeasible,
    line,
    pruned,
    reused,
    sample_run,
    summary,
)

from ecoautoml.records.columns import DETAIL_COLUMNS, RESULT_COLUMNS
from ecoautoml.reports.frame import front_frame, front_order, make_frames, trials_frame
from ecoautoml.reports.knee import knee

OBJECTIVES = ("validation_accuracy", "inference_energy_j")
THREE = (*OBJECTIVES, "latency_ms")


def test_columns_are_results_then_parameters_then_details():
    frame = trials_frame([complete(0, 0.9, 0.002)], summary())
    parameters = ("width", "depth", "learning_rate", "runtime")
    assert tuple(frame.columns) == (*RESULT_COLUMNS, *parameters, *DETAIL_COLUMNS)


def test_an_empty_run_has_the_same_columns_and_types():
    empty = trials_frame([], summary())
    full = trials_frame([complete(0, 0.9, 0.002)], summary())
    assert tuple(empty.columns) == (*RESULT_COLUMNS, *DETAIL_COLUMNS)
    assert all(empty[name].dtype == full[name].dtype for name in empty.columns)
    assert make_frames([], summary()).front.empty


def test_parameters_stand_by_section_however_late_they_appear():
    results = [complete(0, 0.9, 0.002), complete(1, 0.9, 0.002, parameters={"kernel": 3})]
    columns = list(trials_frame(results, summary()).columns)
    assert columns.index("depth") < columns.index("kernel") < columns.index("learning_rate")


def test_a_parameter_called_like_a_column_gets_a_prefix():
    frame = trials_frame([complete(0, 0.9, 0.002, parameters={"params": "many"})], summary())
    assert frame["param.params"].tolist() == ["many"]
    assert frame["params"].tolist() == [10_000]


def test_values_stand_where_they_belong():
    run = summary(test_scores={3: 0.88}, interrupted={3: line("interrupted", 9.0)})
    row = trials_frame([complete(3, 0.9, 0.002)], run).iloc[0]
    assert row["test_accuracy"] == 0.88
    assert (row["probe_energy_j"], row["training_energy_j"]) == (5.0, 100.0)
    assert (row["trial_energy_j"], row["interrupted_energy_j"]) == (105.0, 9.0)
    assert row["inference_energy_j_low"] == pytest.approx(0.00194)
    assert row["training_energy_provenance"] == "estimated"
    assert bool(row["is_on_front"])


def test_a_trial_that_only_was_probed_shows_the_probe():
    row = trials_frame([infeasible(0)], summary()).iloc[0]
    assert row["inference_energy_j"] == 0.1
    assert row["params"] == 10_000
    assert row["training_energy_j"] is pd.NA
    assert row["validation_accuracy"] is pd.NA


def test_unknown_is_missing_and_nan_is_unknown():
    odd = complete(0, float("nan"), None)
    row = trials_frame([odd], summary()).iloc[0]
    assert row["inference_energy_j"] is pd.NA
    assert row["inference_energy_provenance"] is pd.NA
    assert row["validation_accuracy"] is pd.NA


def test_a_finished_trial_that_breaks_a_constraint_counts_as_infeasible():
    broken = complete(0, 0.9, 0.002, constraints={"params <= 9": 1.0})
    frames = make_frames([broken], summary())
    assert frames.trials["state"].tolist() == ["infeasible"]
    assert frames.front.empty


def test_the_front_is_cheapest_first_and_leaves_out_what_is_beaten():
    results = [complete(0, 0.95, 0.004), complete(1, 0.90, 0.002), complete(2, 0.89, 0.003)]
    frames = make_frames(results, summary())
    assert frames.front["trial"].tolist() == [1, 0]
    assert front_order(frames.trials, OBJECTIVES) == (1, 0)
    assert frames.trials["is_on_front"].tolist() == [True, True, False]
    assert "warning" not in frames.front.attrs


def test_a_reused_trial_is_not_on_the_front_and_costs_nothing():
    original = complete(0, 0.9, 0.002)
    frames = make_frames([original, reused(1, original)], summary())
    assert frames.front["trial"].tolist() == [0]
    assert frames.trials["trial_energy_j"].tolist() == [105.0, 0.0]
    assert frames.trials["reused_from"].tolist() == [pd.NA, 0]


def test_only_complete_trials_are_on_the_front():
    results = [pruned(0, 0.99), infeasible(1), failed(2), complete(3, 0.5, 0.1)]
    assert make_frames(results, summary()).front["trial"].tolist() == [3]


def test_mixed_provenance_stays_on_the_front_with_a_warning():
    results = [
        complete(0, 0.95, 0.004, provenance=MEASURED),
        complete(1, 0.90, 0.002, provenance=ESTIMATED),
    ]
    front = make_frames(results, summary()).front
    assert len(front) == 2
    assert "partly estimated and measured" in front.attrs["warning"]


def test_complete_trials_without_joules_are_left_out_with_a_warning():
    front = make_frames([complete(0, 0.9, None)], summary()).front
    assert front.empty
    assert "1 complete trial is left out" in front.attrs["warning"]


def test_three_objectives_keep_what_is_best_in_the_third():
    results = [
        complete(0, 0.95, 0.004, latency_ms=4.0),
        complete(1, 0.94, 0.005, latency_ms=1.0),
    ]
    assert make_frames(results, summary()).front["trial"].tolist() == [0]
    assert make_frames(results, summary(objectives=THREE)).front["trial"].tolist() == [0, 1]


def test_the_knee_says_what_it_keeps_and_what_it_costs():
    results = [
        complete(0, 0.60, 0.001),
        complete(1, 0.979, 0.0023),
        complete(2, 0.99, 0.0100),
    ]
    found = knee(make_frames(results, summary()).trials, OBJECTIVES)
    assert found.trial == 1
    assert found.reason == "keeps 98.9 % of the best accuracy at 23 % of its energy"


def test_the_knee_is_the_same_from_all_trials_and_from_the_front():
    results, run = sample_run()
    frames = make_frames(results, run)
    assert knee(frames.trials, OBJECTIVES) == knee(frames.front, OBJECTIVES)


def test_of_two_models_the_more_accurate_is_the_knee():
    results = [complete(0, 0.6, 0.001), complete(1, 0.98, 0.002)]
    found = knee(make_frames(results, summary()).trials, OBJECTIVES)
    assert found.trial == 1
    assert "best accuracy" in found.reason


def test_knee_of_one_model_and_of_none():
    frame = make_frames([complete(4, 0.6, 0.001)], summary()).trials
    assert knee(frame, OBJECTIVES) == (4, "is the only model on the front")
    assert knee(trials_frame([], summary()), OBJECTIVES) is None


def test_the_knee_of_three_objectives_names_all_costs():
    results = [
        complete(0, 0.60, 0.001, latency_ms=1.0),
        complete(1, 0.97, 0.002, latency_ms=1.2),
        complete(2, 0.99, 0.010, latency_ms=9.0),
    ]
    found = knee(make_frames(results, summary(objectives=THREE)).trials, THREE)
    assert found.trial == 1
    assert found.reason.endswith("at 20 % of its energy and 13 % of its latency")


def test_scores_alone_are_fine_objectives():
    objectives = ("validation_accuracy",)
    frame = make_frames(
        [complete(0, 0.6, None), complete(1, 0.7, None)], summary(objectives)
    ).trials
    assert front_order(frame, objectives) == (1,)
    assert knee(frame, objectives).trial == 1


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ((3, "auto"), "string", ["3", "auto"]),
        ((True, "imagenet"), "string", ["true", "imagenet"]),
        ((1, 2.5), "Float64", [1.0, 2.5]),
        ((1, None), "Int64", [1, pd.NA]),
        ((True, False), "boolean", [True, False]),
        ((None, None), "string", [pd.NA, pd.NA]),
    ],
)
def test_a_parameter_column_has_one_type_and_survives_parquet(tmp_path, values, dtype, expected):
    results = [
        complete(number, 0.9, 0.002, parameters={"choice": value})
        for number, value in enumerate(values)
    ]
    frame = trials_frame(results, summary())
    assert frame["choice"].dtype == dtype
    assert frame["choice"].tolist() == expected
    frame.to_parquet(tmp_path / "trials.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "trials.parquet"), frame)


@pytest.mark.parametrize("n_trials", [0, 25])
def test_a_run_survives_parquet_and_csv(tmp_path, n_trials):
    results, run = sample_run(n_trials)
    frame = trials_frame(results, run)
    frame.to_parquet(tmp_path / "trials.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "trials.parquet"), frame)
    frame.to_csv(tmp_path / "trials.csv", index=False)
    back = pd.read_csv(tmp_path / "trials.csv", dtype=frame.dtypes.to_dict())
    pd.testing.assert_frame_equal(back, frame)


def test_the_warning_of_a_front_survives_parquet(tmp_path):
    front = make_frames([complete(0, 0.9, None)], summary()).front
    front.to_parquet(tmp_path / "front.parquet")
    assert pd.read_parquet(tmp_path / "front.parquet").attrs == front.attrs


def test_front_frame_takes_other_objectives_than_the_runs():
    results = [complete(0, 0.95, 0.004, params=10), complete(1, 0.90, 0.002, params=20)]
    frame = trials_frame(results, summary())
    assert front_frame(frame, ("validation_accuracy", "params"))["trial"].tolist() == [0]
