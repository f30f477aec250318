"""A whole search in which trained networks are exported in several forms."""

import pandas as pd
import pytest
from spaces_for_tests import net_space, quick_config

from ecoautoml import SearchResult, search
from ecoautoml.records.trial_result import TrialState

pytestmark = pytest.mark.slow

TRIALS = 2


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> SearchResult:
    space = {
        **net_space(),
        "compression": {"quantize": ["none", "int8"]},
        "runtime": {"runtime": ["onnxruntime", "openvino"]},
    }
    return search(
        quick_config(
            tmp_path_factory.mktemp("variants"),
            space=space,
            budget={"trials": TRIALS},
            keep_models="all",
            measure={"max_seconds": 0.2, "precision": 0.5},
        )
    )


def test_a_search_of_a_few_trainings_yields_more_models(result):
    trials = result.trials
    assert (trials["parent"].isna()).sum() == TRIALS, "variants are no trainings of the budget"
    complete = [one for one in result.results if one.state is TrialState.COMPLETE]
    assert len(complete) > TRIALS + 2


def test_variants_have_their_parents_training_and_another_form(result):
    by_number = {one.number: one for one in result.results}
    children = [one for one in result.results if one.parent is not None]
    for child in children:
        parent = by_number[child.parent]
        assert child.candidate.training_key() == parent.candidate.training_key()
        assert child.candidate.form_key() != parent.candidate.form_key()
    forms = [(one.parent, one.candidate.form_key()) for one in children]
    assert len(set(forms)) == len(forms)


def test_the_training_is_billed_once_and_the_chain_is_added_up(result):
    trials = result.trials.set_index("trial")
    children = trials[trials["parent"].notna()]
    assert (children["training_energy_j"] == 0).all()
    parents = trials.loc[children["parent"].to_list(), "training_energy_j"].to_list()
    assert children["chain_training_energy_j"].to_list() == pytest.approx(parents)
    own = trials[trials["parent"].isna()]
    assert own["chain_training_energy_j"].equals(own["training_energy_j"])
    for one in result.results:
        lines = {line.line for line in one.energy}
        assert ("training" in lines) == (one.parent is None)


def test_the_artefact_is_what_was_measured(result):
    for one in result.results:
        if one.state is TrialState.COMPLETE:
            folder = result.model_folder(one.number)
            files = [*folder.glob("model.onnx"), *folder.glob("model.xml"), *folder.glob("*.bin")]
            assert one.metrics["size_bytes"] == sum(file.stat().st_size for file in files)
            assert one.metrics["params"] > 0


def test_the_tables_are_whole(result):
    trials = pd.read_parquet(result.folder / "trials.parquet")
    assert {"parent", "chain_training_energy_j"} <= set(trials.columns)
    front = result.front
    assert not front.empty
    assert front["inference_energy_stage"].eq("final").all()
