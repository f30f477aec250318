"""The command line, as a stranger uses it: right, and wrong."""

import json

import pytest
import yaml
from processes import run, write_config
from spaces_for_tests import quick_config

from ecoautoml import search


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    search(quick_config(folder, budget={"trials": 2}, training={"epochs": 1}))
    return folder / "quick"


def test_front_prints_a_table_with_marks_and_units(finished):
    done = run("front", finished)
    assert done.returncode == 0, done.stderr
    assert "Pareto front" in done.stdout
    assert "µJ" in done.stdout
    assert "Suggested: trial" in done.stdout
    assert "Energy of the search:" in done.stdout


def test_front_as_json_is_one_record_per_model(finished):
    rows = json.loads(run("front", finished, "--json").stdout)
    assert rows
    assert {"trial", "validation_accuracy", "inference_energy_j"} <= set(rows[0])


def test_report_is_written_anew(finished):
    (finished / "report.html").unlink()
    done = run("report", finished)
    assert done.returncode == 0
    assert (finished / "report.html").exists()
    files = json.loads(run("report", finished, "--json").stdout)
    assert set(files) == {"report.html", "front.csv", "trials.parquet"}


def test_search_as_json_prints_nothing_else(tmp_path):
    tree = quick_config(tmp_path, budget={"trials": 1}, training={"epochs": 1})
    config = write_config(tmp_path / "config.yaml", tree)
    done = run("search", config, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["trials"] == 1
    assert answer["provenance"] in ("measured", "attributed", "estimated")
    assert answer["front"][0]["trial"] == answer["knee"]["trial"] == 0


def test_spaces_lists_and_shows():
    assert {"tiny", "mobilenet_v3", "efficientnet", "timm_zoo"} <= set(
        json.loads(run("spaces", "--json").stdout)
    )
    shown = run("spaces", "tiny").stdout
    assert "learning_rate" in shown
    assert "dimensions" in json.loads(run("spaces", "tiny", "--json").stdout)


def test_doctor_says_what_can_be_measured_and_why_not_the_rest():
    text = run("doctor").stdout
    assert "cpu_time" in text
    assert "used: " in text
    answer = json.loads(run("doctor", "--json").stdout)
    for meter in answer["meters"]:
        assert meter["ok"] or meter["reason"], meter
    assert answer["runtimes"]["onnxruntime"]["ok"] or answer["runtimes"]["torch_cuda_graph"]["ok"]


def test_config_show_fills_in_every_default_and_can_be_searched_with(tmp_path):
    config = write_config(tmp_path / "config.yaml", {"data": "digits", "space": "tiny"})
    done = run("config", "show", config, "--set", "budget.trials=7")
    shown = yaml.safe_load(done.stdout)
    assert shown["budget"]["trials"] == 7
    assert shown["objectives"] == ["validation_accuracy", "inference_energy_j"]
    again = run("config", "show", write_config(tmp_path / "again.yaml", shown))
    assert yaml.safe_load(again.stdout) == shown


def test_config_schema_names_every_key():
    schema = json.loads(run("config", "schema").stdout)
    assert {"data", "space", "budget", "measure"} <= set(schema["properties"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["search", "CONFIG", "--set", "budgets.trials=3"], "did you mean 'budget'?"),
        (["search", "CONFIG", "--set", "budget"], "expected KEY=VALUE"),
        (["search", "CONFIG", "--set", "space=tinny"], "tiny"),
        (["search", "CONFIG", "--set", "data={path: nowhere}"], "nowhere"),
        (
            ["search", "CONFIG", "--set", "measure.meter=rapl", "--set", "measure.target=cuda"],
            "rapl",
        ),
        (["front", "nowhere"], "holds no run"),
        (["report", "nowhere"], "holds no run"),
        (["spaces", "tinny"], "did you mean 'tiny'?"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(tmp_path, arguments, message):
    config = write_config(
        tmp_path / "config.yaml", {"data": "digits", "space": "tiny", "output": str(tmp_path)}
    )
    done = run(*[config if argument == "CONFIG" else argument for argument in arguments])
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert not (tmp_path / "search").exists()  # nothing is begun, nothing left behind
