import re
import textwrap
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ecoautoml.config import SearchConfig, load_config
from ecoautoml.errors import ConfigError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
INTERNALS = r"Traceback|pydantic|https?://|Error\b|Config\b|<class|function-|\btag"
SMALL = {"data": "digits", "space": "tiny"}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a configuration file and returns its path."""

    def write(text, name="search.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def refusal(source, overrides=()):
    """Return the message of a refused configuration; every one of its lines must be presentable."""
    with pytest.raises(ConfigError) as caught:
        load_config(source, overrides)
    message = str(caught.value)
    assert caught.value.__cause__ is None
    for line in message.splitlines():
        assert 10 < len(line.removeprefix(str(source))) <= 300
        assert not re.search(INTERNALS, line)
    return message


def refused_file(write, extra):
    """Return the one-line message of a file with something wrong in it, without the file's name."""
    path = write("data: digits\nspace: tiny\n" + textwrap.dedent(extra))
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- unknown keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "path", "near"),
    [
        ("sede: 1", "sede", "seed"),
        ("objectiv: [params]", "objectiv", "objectives"),
        ("training: {epoch: 3}", "training.epoch", "epochs"),
        ("budget: {trails: 3}", "budget.trails", "trials"),
        ("executor: {worker: 3}", "executor.worker", "workers"),
        ("measure: {batchsize: 3}", "measure.batchsize", "batch_size"),
        ("measure: {meter: {kind: cpu_time, activ_w: 3}}", "measure.meter.activ_w", "active_w"),
        ("carbon: {zones: DE}", "carbon.zones", "zone"),
        ("sampler: {startup_trials: 3}", "sampler.startup_trials", "n_startup_trials"),
        ("sampler: {kind: nsga2, population: 3}", "sampler.population", "population_size"),
        ("pruner: {control_shar: 0.3}", "pruner.control_shar", "control_share"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(write, extra, path, near):
    message = refused_file(write, extra)
    assert message.startswith(f"unknown key '{path}'; did you mean '{near}'? allowed: ")


def test_an_unknown_key_of_the_data_is_refused_by_the_rules_of_its_kind(write):
    path = write("data: {kind: parquet, path: x, image_colunm: a}\nspace: tiny\n")
    assert refusal(path).startswith(
        f"{path}: unknown key 'data.image_colunm'; did you mean 'image_column'? allowed: "
    )


def test_an_unknown_key_like_no_other_lists_what_is_allowed(write):
    message = refused_file(write, "carbon: {xyzzy: 1}")
    assert message == "unknown key 'carbon.xyzzy'; allowed: zone, intensity_gco2e_per_kwh, pue"


def test_every_mistake_gets_a_line_of_its_own(write):
    path = write("data: digits\nspace: tiny\nseed: -1\nsede: 1\nbudget: {hours: 0}\n")
    lines = refusal(path).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_many_mistakes_are_counted_rather_than_listed(write):
    keys = "\n".join(f"unknown_{i}: 1" for i in range(9))
    path = write(f"data: digits\nspace: tiny\n{keys}\n")
    lines = refusal(path).splitlines()
    assert lines[5:] == [f"{path}: … and 4 more"]


# --- wrong values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "path", "given", "about"),
    [
        ("name: a/b", "name", "'a/b'", "match pattern"),
        ("seed: -1", "seed", "-1", "greater than or equal to 0"),
        ("output: 5", "output", "5", "expected a path"),
        ("objectives: params", "objectives", "'params'", "expected a list"),
        ("constraints: {params: 5}", "constraints", "{'params': 5}", "expected a list"),
        ("training: fast", "training", "'fast'", "expected keys and values"),
        ("training:", "training", "None", "expected keys and values"),
        ("sampler: 5", "sampler", "5", "expected a kind, or keys and values"),
        ("measure: {meter: 5}", "measure.meter", "5", "expected a kind, or keys and values"),
        ("training: {epochs: 0}", "training.epochs", "0", "greater than or equal to 1"),
        ("training: {epochs: 1.5}", "training.epochs", "1.5", "integer"),
        ("training: {precision: int8}", "training.precision", "'int8'", "allowed: auto, fp32"),
        ("training: {gradient_clip: 0}", "training.gradient_clip", "0", "greater than 0"),
        ("training: {patience: none}", "training.patience", "'none'", "integer"),
        ("training: {class_weights: yes}", "training.class_weights", "True", "balanced"),
        ("sampler: {n_startup_trials: 0}", "sampler.n_startup_trials", "0", "equal to 2"),
        ("pruner: {control_share: 2}", "pruner.control_share", "2", "less than or equal to 1"),
        ("pruner: {alpha: 1}", "pruner.alpha", "1", "less than 1"),
        ("pruner: {shadow: perhaps}", "pruner.shadow", "'perhaps'", "boolean"),
        ("budget: {hours: two}", "budget.hours", "'two'", "number"),
        ("budget: {energy_wh: -3}", "budget.energy_wh", "-3", "greater than 0"),
        ("budget: 20", "budget", "20", "expected keys and values"),
        ("executor: ray", "executor.kind", "'ray'", "allowed: local"),
        ("executor: {memory_gb: 0}", "executor.memory_gb", "0", "greater than 0"),
        ("measure: {target: gpu}", "measure.target", "'gpu'", "match pattern"),
        ("measure: {precision: 5}", "measure.precision", "5", "less than 1"),
        (
            "measure: {meter: {kind: cpu_time, active_w: 0}}",
            "measure.meter.active_w",
            "0",
            "than 0",
        ),
        ("carbon: {pue: 0.5}", "carbon.pue", "0.5", "greater than or equal to 1"),
        ("carbon: {intensity_gco2e_per_kwh: -1}", "carbon.intensity_gco2e_per_kwh", "-1", "to 0"),
        ("keep_models: best", "keep_models", "'best'", "allowed: front, all"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_what_is_allowed(
    write, extra, path, given, about
):
    message = refused_file(write, extra)
    assert message.startswith(f"'{path}' is {given}")
    assert about in message


@pytest.mark.parametrize(
    ("extra", "path", "near"),
    [
        ("sampler: tpee", "sampler", "tpe"),
        ("sampler: {kind: nsga}", "sampler", "nsga2"),
        ("pruner: dominace", "pruner", "dominance"),
        ("measure: {meter: nvlm}", "measure.meter", "nvml"),
    ],
)
def test_a_wrong_kind_is_refused_with_the_nearest(write, extra, path, near):
    message = refused_file(write, extra)
    assert re.match(rf"'{path}' is '\w+'; did you mean '{near}'\? allowed: ", message)


@pytest.mark.parametrize("given", [5, None, ["tiny"]])
def test_a_space_that_is_no_name_and_no_mapping_is_refused(given):
    message = refusal({"data": "digits", "space": given})
    assert message.startswith(f"config: 'space': {given!r} is neither a name, ")
    assert "\n" not in message


def test_a_wrong_kind_of_data_is_refused_with_the_nearest():
    message = refusal({"data": "digit", "space": "tiny"})
    assert message.startswith("config: 'data' is 'digit'; did you mean 'digits'? allowed: digits, ")


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("latency_ms <= 5 ms", "'5 ms' in 'latency_ms <= 5 ms' is not a number"),
        ("size_bytes <= 2MB", "give it bare, in the unit of the metric's name (size_bytes)"),
        ("latency <= 5", "no metric is called 'latency'; did you mean 'latency_ms'?"),
        ("latency_ms < 5", 'is not of the form "METRIC <= NUMBER" (or >=)'),
        ("latency_ms", "is not of the form"),
        ("params <= nan", "'nan' in 'params <= nan' is not a number"),
        ("params <= inf", "'inf' in 'params <= inf' is not a number"),
    ],
)
def test_a_constraint_that_cannot_be_read_is_refused(write, text, about):
    message = refused_file(write, f'constraints: ["{text}"]')
    assert message.startswith("'constraints': ")
    assert about in message


@pytest.mark.parametrize(
    ("given", "about"),
    [
        ("[validation_acuracy]", "did you mean 'validation_accuracy'?"),
        ("[validation_accuracy, validation_accuracy]", "an objective is named twice"),
        ("[params, latency_ms]", "at least one objective must be a validation score"),
        ("[]", "at least one objective must be a validation score"),
    ],
)
def test_objectives_that_make_no_search_are_refused(write, given, about):
    message = refused_file(write, f"objectives: {given}")
    assert message.startswith("'objectives': ")
    assert about in message


def test_what_is_missing_is_named_with_an_example():
    assert (
        refusal({"space": "tiny"}) == "config: 'data' is missing; write for example 'data: digits'"
    )
    assert (
        refusal({"data": "digits"}) == "config: 'space' is missing; write for example 'space: tiny'"
    )


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("image_folder", "data.path"),
        ({"kind": "parquet"}, "data.path"),
        ({"kind": "torchvision"}, "data.name"),
    ],
)
def test_a_missing_key_of_the_data_is_named(data, key):
    message = refusal({**SMALL, "data": data})
    assert message.startswith(f"config: '{key}' is missing")


@pytest.mark.parametrize(
    ("extra", "about"),
    [
        ("budget: {carbon_g: 5}", "budget.carbon_g needs carbon.intensity_gco2e_per_kwh"),
        ("measure: {meter: nvml, target: cpu}", "measure.meter nvml reads a GPU"),
    ],
)
def test_impossible_combinations_are_refused(write, extra, about):
    assert about in refused_file(write, extra)


# --- files ----------------------------------------------------------------------------------------


def test_broken_yaml_is_refused_with_its_line(write):
    path = write("data: digits\nspace: tiny\nbudget: {trials: 3\nseed: 1\n")
    message = refusal(path)
    assert re.match(rf"{re.escape(str(path))}, line \d, column \d+: ", message)
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "digits", "- data: digits\n", "5"])
def test_a_file_without_keys_is_refused(write, text):
    path = write(text)
    assert refusal(path) == f"{path}: expected keys and values, such as 'data: digits'"


def test_a_missing_file_is_refused_with_a_near_one(write, tmp_path):
    near = write("data: digits\nspace: tiny\n", name="first_search.yaml")
    asked = tmp_path / "first_serch.yaml"
    assert refusal(asked) == f"{asked}: there is no such file; did you mean {near}?"


def test_a_missing_file_in_a_missing_folder_is_refused(tmp_path):
    asked = tmp_path / "nowhere" / "x.yaml"
    assert refusal(asked) == f"{asked}: there is no such file"


def test_a_folder_and_a_binary_file_are_refused(tmp_path):
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    assert "cannot be read" in refusal(tmp_path / "image.yaml")


# --- what is understood ---------------------------------------------------------------------------


def test_a_bare_string_means_the_kind():
    tree = {**SMALL, "sampler": "gp", "pruner": "none", "measure": {"meter": "rapl"}}
    config = load_config(tree)
    assert config.data.kind == "digits"
    assert (config.sampler.kind, config.pruner.kind) == ("gp", "none")
    assert config.measure.meter.kind == "rapl"
    assert load_config({**SMALL, "executor": "local"}).executor.kind == "local"


def test_a_mapping_without_a_kind_gets_the_default():
    tree = {**SMALL, "sampler": {"n_startup_trials": 3}, "pruner": {"alpha": 0.1}}
    config = load_config({**tree, "executor": {"workers": 2}, "measure": {"meter": {}}})
    assert (config.sampler.kind, config.sampler.n_startup_trials) == ("auto", 3)
    assert (config.pruner.kind, config.pruner.alpha) == ("auto", 0.1)
    assert (config.executor.kind, config.executor.workers) == ("local", 2)
    assert config.measure.meter.kind == "auto"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"path": "images/"}, "auto"),
        ({"path": "images/", "kind": "parquet"}, "parquet"),
        ({"subset": 100}, "digits"),
        ({}, "digits"),
        ("digits", "digits"),
    ],
)
def test_the_kind_of_data_follows_from_what_is_given(data, kind):
    assert load_config({**SMALL, "data": data}).data.kind == kind


def test_the_smallest_file_gets_every_default(write):
    config = load_config(write("data: digits\nspace: tiny\n"))
    assert config.objectives == SearchConfig.DEFAULT_OBJECTIVES
    assert config.budget.trials == 20
    assert config.run_folder == Path("runs/search")
    assert config == load_config(SMALL)


@pytest.mark.parametrize(
    ("budget", "trials"),
    [
        ({}, 20),
        ({"trials": None}, 20),
        ({"trials": 5}, 5),
        ({"hours": 1}, None),
        ({"energy_wh": 1}, None),
        ({"hours": 1, "trials": 3}, 3),
    ],
)
def test_twenty_trials_are_the_budget_when_no_limit_is_given(budget, trials):
    assert load_config({**SMALL, "budget": budget}).budget.trials == trials


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-3", 1e-3), ("1E-3", 1e-3), ("2e0", 2.0), ("1.5e+1", 15.0), ("0.25", 0.25)],
)
def test_numbers_with_an_exponent_are_numbers(write, written, value):
    path = write(f"data: digits\nspace: tiny\ntraining: {{gradient_clip: {written}}}\n")
    assert load_config(path).training.gradient_clip == value


def test_a_whole_number_may_be_written_with_an_exponent(write):
    config = load_config(write("data: digits\nspace: tiny\nbudget: {trials: 1e2}\n"))
    assert config.budget.trials == 100


def test_an_exponent_within_a_space_given_as_a_mapping_is_a_number(write):
    text = "data: digits\nspace: {hyperparameters: {learning_rate: {low: 1e-4, high: 1e-1}}}\n"
    space = load_config(write(text)).space
    assert space["hyperparameters"]["learning_rate"] == {"low": 1e-4, "high": 1e-1}


def test_constraints_are_read_as_values():
    texts = ["latency_ms <= 5", "params <= 150_000", "validation_accuracy>=0.9"]
    limits = load_config({**SMALL, "constraints": texts}).parsed_constraints
    assert [(limit.metric, limit.operator, limit.limit) for limit in limits] == [
        ("latency_ms", "<=", 5.0),
        ("params", "<=", 150_000.0),
        ("validation_accuracy", ">=", 0.9),
    ]


def test_a_constraint_tells_by_how_much_it_is_violated():
    latency, accuracy = load_config(
        {**SMALL, "constraints": ["latency_ms <= 5", "validation_accuracy >= 0.8"]}
    ).parsed_constraints
    assert latency.violation({"latency_ms": 6.0}) == pytest.approx(0.2)
    assert latency.violation({"latency_ms": 5.0}) == 0.0
    assert accuracy.violation({"validation_accuracy": 0.6}) == pytest.approx(0.25)
    assert accuracy.violation({"validation_accuracy": 0.9}) < 0
    assert accuracy.violation({"latency_ms": 6.0}) is None
    assert latency.is_known_before_training
    assert not accuracy.is_known_before_training


# --- overrides ------------------------------------------------------------------------------------


def test_overrides_change_create_and_reach_inside(write):
    path = write("data: digits\nspace: tiny\nbudget: {trials: 3, hours: 1}\nsampler: tpe\n")
    config = load_config(
        path,
        [
            "budget.trials=50",  # nested, beside what stands
            "measure.meter.kind=rapl",  # created
            "sampler.n_startup_trials=4",  # into a bare string
            "data.subset=100",
            "training.gradient_clip=1e-1",
            "name=other",
            "objectives=[validation_macro_f1, params]",
            'constraints=["params <= 10"]',
        ],
    )
    assert (config.budget.trials, config.budget.hours) == (50, 1.0)
    assert config.measure.meter.kind == "rapl"
    assert (config.sampler.kind, config.sampler.n_startup_trials) == ("tpe", 4)
    assert (config.data.kind, config.data.subset) == ("digits", 100)
    assert config.training.gradient_clip == 0.1
    assert config.name == "other"
    assert config.objectives == ("validation_macro_f1", "params")
    assert config.constraints == ("params <= 10",)


def test_the_last_override_wins_and_the_mapping_is_left_as_it_was():
    tree = {**SMALL, "budget": {"trials": 3}}
    assert load_config(tree, ["budget.trials=4", "budget.trials=5"]).budget.trials == 5
    assert tree == {**SMALL, "budget": {"trials": 3}}


def test_a_finished_configuration_takes_overrides_too():
    config = load_config(SMALL)
    assert load_config(config) is config
    changed = load_config(config, ["seed=7", "sampler=random"])
    assert (changed.seed, changed.sampler.kind) == (7, "random")
    assert (config.seed, config.sampler.kind) == (0, "auto")


@pytest.mark.parametrize("override", ["budget.trials", "=5", "  =5", ""])
def test_an_override_that_is_not_key_and_value_is_refused(override):
    message = refusal(SMALL, [override])
    assert message == f"--set {override}: expected KEY=VALUE, such as --set budget.trials=50"


def test_an_override_of_an_unknown_key_is_refused_like_one_in_the_file():
    message = refusal(SMALL, ["budget.trails=5"])
    assert "unknown key 'budget.trails'; did you mean 'trials'?" in message


def test_an_override_that_is_not_yaml_is_text():
    assert refusal(SMALL, ["seed=[1"]).startswith("config: 'seed' is '[1': ")


# --- as a whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_understood(example):
    config = load_config(example)
    assert config.name
    assert set(yaml.safe_load(example.read_text())) <= set(SearchConfig.model_fields)


def test_what_is_written_down_reads_back_the_same(tmp_path):
    tree = {"data": {"path": "x"}, "space": "tiny", "sampler": "gp", "budget": {"energy_wh": 3}}
    config = load_config({**tree, "constraints": ["params <= 5"], "measure": {"meter": "rapl"}})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(tmp_path / "config.yaml") == config


def test_the_configuration_is_frozen_all_the_way_down():
    config = load_config(SMALL)
    for section, name in ((config, "seed"), (config.budget, "trials"), (config.data, "subset")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, 5)


def test_the_schema_describes_every_key():
    schema = SearchConfig.model_json_schema()
    assert set(schema["properties"]) == set(SearchConfig.model_fields)
    assert schema["required"] == ["data", "space"]
    assert schema["additionalProperties"] is False
    for name, about in schema["properties"].items():
        section = schema["$defs"].get(about.get("$ref", "").removeprefix("#/$defs/"), {})
        assert about.get("description") or section.get("description"), name
    for name, section in schema["$defs"].items():
        assert section["additionalProperties"] is False, name
        undescribed = [
            key
            for key, value in section["properties"].items()
            if key != "kind" and not value.get("description")
        ]
        assert not undescribed, name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_has_every_key_of_the_examples(example):
    schema = SearchConfig.model_json_schema()
    tree = yaml.safe_load(example.read_text())
    assert set(tree) <= set(schema["properties"])
    for key, value in tree.items():
        reference = schema["properties"][key].get("$ref", "").removeprefix("#/$defs/")
        if isinstance(value, dict) and reference:
            assert set(value) <= set(schema["$defs"][reference]["properties"])
