"""A whole search on real images, and everything that comes out of it."""

import importlib.util
import json
import re

import numpy as np
import onnxruntime
import optuna
import pandas as pd
import pytest
import torch
from spaces_for_tests import net_space, quick_config

from ecoautoml import SearchResult, search
from ecoautoml.api import _space
from ecoautoml.config import load_config
from ecoautoml.data import load_images, load_labels
from ecoautoml.data.prepare import prepare_data
from ecoautoml.errors import MissingExtraError, RunError, SpaceError
from ecoautoml.records.columns import RESULT_COLUMNS
from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.trial_result import TrialState
from ecoautoml.spaces.random import random_candidate
from ecoautoml.study.environment import environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> SearchResult:
    folder = tmp_path_factory.mktemp("runs")
    measure = {"max_seconds": 0.5, "precision": 0.3, "other_batch_sizes": [8]}
    return search(
        quick_config(folder, budget={"trials": 5}, training={"epochs": 6}, measure=measure)
    )


def test_the_configurations_epochs_are_the_spaces():
    tree = {"data": "digits", "space": "tiny"}
    assert _space(load_config(tree), None).dimension("epochs").values == (20,)
    shorter = load_config({**tree, "training": {"epochs": 6}})
    assert _space(shorter, None).dimension("epochs").values == (6,)
    assert random_candidate(_space(shorter, None), 0).hyperparameters["epochs"] == 6


def test_every_trial_is_finished_once_and_measured(result):
    assert list(result.trials["trial"]) == [0, 1, 2, 3, 4]
    assert set(result.trials["state"]) == {"complete"}
    for column in ("validation_accuracy", "inference_energy_j", "latency_ms", "params", "macs"):
        assert (result.trials[column] > 0).all(), column
    assert set(result.trials["inference_energy_provenance"]) <= {p.value for p in Provenance}


def test_other_batch_sizes_are_exported_and_measured_too(result):
    for table in (result.trials, pd.read_csv(result.folder / "front.csv")):
        low, energy_j = table["inference_energy_b8_j_low"], table["inference_energy_b8_j"]
        assert (low > 0).all()
        assert (low <= energy_j).all()
        assert (energy_j <= table["inference_energy_b8_j_high"]).all()
        assert (table["latency_b8_ms"] <= table["latency_b8_p95_ms"]).all()
        # eight images in one call cost less than eight calls, and take less long; the latency is
        # that of the call, not of an image, though so small a network takes hardly longer
        assert energy_j.sum() < table["inference_energy_j"].sum()
        latency_ms = table["latency_ms"].sum()
        assert 0.5 * latency_ms < table["latency_b8_ms"].sum() < 8 * latency_ms
        provenances = table["inference_energy_b8_provenance"]
        assert list(provenances) == list(table["inference_energy_provenance"])
    file = result.model_folder(result.knee.trial) / "model_b8.onnx"
    assert onnxruntime.InferenceSession(str(file)).get_inputs()[0].shape[0] == 8


def test_the_front_is_what_nobody_beats_among_those_measured_in_turn(result):
    trials = result.trials[result.trials["inference_energy_stage"] == "final"]
    front = result.front
    for _, row in trials.iterrows():
        others = front[front["trial"] != row["trial"]]
        tied = "" if pd.isna(row["ties_with"]) else row["ties_with"]
        ties = np.array([str(trial) in tied.split(", ") for trial in others["trial"]], dtype=bool)
        is_no_worse = others["validation_accuracy"] >= row["validation_accuracy"]
        is_no_dearer = (others["inference_energy_j"] <= row["inference_energy_j"]) | ties
        is_stood_for = (is_no_worse & is_no_dearer).any()
        assert (row["trial"] in set(front["trial"])) == (not is_stood_for)


def test_learning_took_place(result):
    assert result.front["validation_accuracy"].max() > 0.6  # chance is 0.1


def test_tables_start_with_the_promised_columns(result):
    front = pd.read_csv(result.folder / "front.csv")
    trials = pd.read_parquet(result.folder / "trials.parquet")
    assert tuple(front.columns[: len(RESULT_COLUMNS)]) == RESULT_COLUMNS
    assert tuple(trials.columns[: len(RESULT_COLUMNS)]) == RESULT_COLUMNS
    assert {"width", "learning_rate", "optimizer", "momentum"} <= set(trials.columns)
    assert len(front) == len(result.front)


def test_only_the_front_is_scored_on_the_test_images(result):
    scored = result.trials.dropna(subset=["test_accuracy"])["trial"]
    assert set(scored) == set(result.front["trial"])


def test_models_that_may_be_on_the_front_were_measured_in_turn(result):
    ranking = result.summary.ranking
    assert set(result.front["trial"]) <= set(ranking.measurements)
    assert set(result.front["inference_energy_stage"]) == {"final"}
    assert set(result.trials["inference_energy_stage"]) <= {"final", "screening"}
    for _, row in result.front.iterrows():
        assert row["inference_energy_j"] == ranking.measurements[row["trial"]].energy_j
    pairs = len(ranking.measurements) * (len(ranking.measurements) - 1) // 2
    assert len(ranking.comparisons) == pairs
    assert "measured in turn" in result.ranking_words[0]
    assert result.ranking_words[0] in (result.folder / "report.html").read_text()


def test_a_resumed_search_measures_its_front_anew_and_keeps_its_models(tmp_path):
    tree = quick_config(tmp_path, training={"epochs": 3})
    before = search(tree)
    after = search({**tree, "budget": {"trials": 7}}, resume=True)
    assert len(after.trials) == 7
    assert set(after.front["inference_energy_stage"]) == {"final"}
    assert set(after.front["trial"]) <= set(after.summary.ranking.measurements)
    assert after.front["test_accuracy"].notna().all()
    for number in after.front["trial"]:
        assert (after.model_folder(number) / "model.onnx").is_file()
    gone = set(before.summary.ranking.measurements) - set(before.front["trial"])
    assert not gone & set(after.front["trial"])  # measured in turn before, and beaten


def test_a_batch_size_that_cannot_be_exported_costs_its_columns_only(tmp_path):
    changes = {
        "space": net_space(behaviour="alone"),
        "budget": {"trials": 1},
        "measure": {"max_seconds": 0.5, "other_batch_sizes": [4]},
    }
    result = search(quick_config(tmp_path, **changes))
    (row,) = result.trials.to_dict("records")
    assert row["state"] == "complete"
    assert row["reason"].startswith("not measured at batch size 4: ")
    assert "inference_energy_b4_j" not in result.trials
    assert row["test_accuracy"] >= 0


def test_only_models_of_the_front_are_kept(result):
    kept = {
        int(folder.name.removeprefix("trial_")) for folder in (result.folder / "models").iterdir()
    }
    assert kept == set(result.front["trial"])
    beaten = next(number for number in result.trials["trial"] if number not in kept)
    with pytest.raises(RunError, match="on the front: "):
        result.load(trial=int(beaten))


def test_a_loaded_model_gives_what_its_exported_file_gives_and_scores_as_told(result):
    best = result.front.sort_values("validation_accuracy").iloc[-1]
    number = int(best["trial"])
    prepared = prepare_data(result.config.data, result.folder / "data")
    images = np.array(load_images(prepared, "test"))
    model = result.load(trial=number)
    with torch.no_grad():
        logits = model(torch.from_numpy(images)).numpy()
    session = onnxruntime.InferenceSession(str(result.model_folder(number) / "model.onnx"))
    exported = np.concatenate(
        [session.run(None, {"image": images[i : i + 1]})[0] for i in range(len(images))]
    )
    np.testing.assert_allclose(logits, exported, atol=1e-3)
    labels = load_labels(prepared, "test")
    assert (exported.argmax(axis=1) == labels).mean() == pytest.approx(best["test_accuracy"])


def test_the_knee_is_on_the_front_and_says_why(result):
    assert result.knee.trial in set(result.front["trial"])
    assert len(result.knee.reason) > 20


def test_the_report_opens_without_a_network(result):
    page = (result.folder / "report.html").read_text()
    assert "Plotly" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)
    figure = result.plot()
    assert len(figure.data) > 0


def test_the_bill_adds_up_over_trials_and_overhead(result):
    lines = [line for one in result.results for line in one.energy]
    beside = (*result.summary.overhead, *result.summary.idle)
    total = sum(line.billed_j for line in (*lines, *beside))
    assert result.bill.total_energy_j == pytest.approx(total)
    assert {line.line for line in lines} >= {"probe", "training", "evaluation", "measurement"}
    names = {line.line for line in result.summary.overhead}
    assert names == {
        "preparing data",
        "worker start",
        "worker end",
        "look ahead",
        "choosing and recording",
        "final measurement",
        "test evaluation",
    }


def test_the_environment_is_written_beside_the_run(result):
    about = json.loads((result.folder / "environment.json").read_text())
    assert torch.__version__.startswith(about["packages"]["torch"])
    assert about["git_commit"] == environment("cpu", (), 0)["git_commit"]
    assert about["seed"] == result.config.seed
    assert about["hardware"]["processor"]


def test_the_ledger_is_an_ordinary_optuna_study(result):
    study = optuna.load_study(
        study_name=result.config.name, storage=f"sqlite:///{result.folder / 'ledger.db'}"
    )
    assert [trial.number for trial in study.best_trials]
    measured = result.trials[result.trials["inference_energy_stage"] == "final"]["trial"]
    assert {trial.number for trial in study.best_trials} <= set(measured)


def test_a_run_can_be_opened_later(result):
    again = SearchResult.read(result.folder)
    pd.testing.assert_frame_equal(again.trials, result.trials)
    with pytest.raises(RunError, match="holds no run"):
        SearchResult.read(result.folder / "models")


def test_a_second_search_of_the_same_name_is_refused(result):
    with pytest.raises(RunError, match="already holds a run; add --resume"):
        search(result.config)


def test_a_violated_constraint_costs_no_training(tmp_path):
    changes = {"constraints": ["params <= 700"], "budget": {"trials": 6}, "seed": 1}
    result = search(quick_config(tmp_path, **changes))
    infeasible = [one for one in result.results if one.state is TrialState.INFEASIBLE]
    assert infeasible
    assert any(one.state is TrialState.COMPLETE for one in result.results)
    for one in infeasible:
        assert one.metrics["params"] > 700
        assert "training" not in {line.line for line in one.energy}
        assert one.reason.startswith("violates params <= 700 by")
    assert (result.front["params"] <= 700).all()


def test_a_candidate_run_before_is_reused_and_a_small_space_ends_the_search(tmp_path):
    space = net_space(width=[8, 16])
    space["hyperparameters"] = {"learning_rate": 0.01, "optimizer": "adamw", "batch_size": [32, 64]}
    result = search(quick_config(tmp_path, space=space, budget={"trials": 10}))
    states = result.trials["state"].value_counts()
    assert states["complete"] == 4  # all there is
    reused = [one for one in result.results if one.state is TrialState.REUSED]
    assert reused
    for one in reused:
        original = result.results[one.reused_from]
        assert one.metrics == original.metrics
        assert one.energy == ()
        assert one.candidate.parameters() == original.candidate.parameters()
    by_width = {}
    for one in result.results:
        by_width.setdefault(one.candidate.parameters()["width"], set()).add(one.probe)
    assert all(len(probes) == 1 for probes in by_width.values())  # equal networks share a probe


def test_an_energy_budget_ends_the_search_and_its_running_trial(tmp_path):
    changes = {
        "budget": {"energy_wh": 0.03, "trials": 50},
        "training": {"epochs": 5000, "patience": None},
    }
    result = search(quick_config(tmp_path, **changes))
    assert result.results[-1].state is TrialState.STOPPED
    assert result.results[-1].reason == "budget of 0.03 Wh spent"
    # a trial's own reading replaces the coarser one from outside that ended it
    assert result.bill.total_energy_j > 0.03 * 3600 * 0.95
    # enforced within the trial: what is over is a moment of it, and the test scores
    assert result.bill.total_energy_j < 0.03 * 3600 + 25
    assert len(result.results) < 50


def test_a_failing_trial_does_not_end_the_search(tmp_path):
    space = net_space(behaviour=["ok", "raise"])
    result = search(quick_config(tmp_path, space=space, budget={"trials": 6}, seed=1))
    states = set(result.trials["state"])
    assert states == {"complete", "failed"}
    failed = next(one for one in result.results if one.state is TrialState.FAILED)
    assert "this network cannot be built" in failed.reason
    assert "Traceback" in failed.details


def test_three_objectives_and_other_scores(tmp_path):
    objectives = ["validation_macro_f1", "size_bytes", "training_energy_j"]
    result = search(
        quick_config(
            tmp_path, objectives=objectives, sampler={"kind": "nsga2", "population_size": 4}
        )
    )
    assert len(result.front) >= 1
    assert result.front["validation_macro_f1"].between(0, 1).all()
    assert len(result.plot().data) > 0


def test_your_own_function_builds_the_models(tmp_path):
    from tiny_nets import build

    space = net_space()
    del space["architecture"]["builder"], space["architecture"]["function"]
    result = search(quick_config(tmp_path, space=space, budget={"trials": 1}), build_model=build)
    assert result.trials["state"].tolist() == ["complete"]
    assert isinstance(result.load(trial=0), torch.nn.Module)


def test_a_function_that_workers_cannot_import_is_refused(tmp_path):
    with pytest.raises(SpaceError, match="put the function into a module of its own"):
        search(quick_config(tmp_path), build_model=lambda values, channels, classes: None)


def test_codecarbons_figure_stands_in_a_column_of_its_own(tmp_path):
    pytest.importorskip("codecarbon", reason="the extra `tracking` is not installed")
    measure = {"max_seconds": 0.5, "codecarbon": True}
    result = search(quick_config(tmp_path, budget={"trials": 2}, measure=measure))
    theirs = result.trials["training_energy_codecarbon_j"]
    assert (theirs > 0).all()
    ours = result.trials["training_energy_j"]
    assert (theirs != ours).all()  # never added, never instead


def test_asking_for_codecarbon_without_it_is_refused_before_anything_begins(tmp_path):
    if importlib.util.find_spec("codecarbon") is not None:
        pytest.skip("codecarbon is installed")
    tree = quick_config(tmp_path, measure={"codecarbon": True})
    with pytest.raises(MissingExtraError, match=r"pip install 'ecoautoml\[tracking\]'"):
        search(tree)
    assert not (tmp_path / "quick").exists()
