"""What a user may write under `prefer`."""

import pytest

from ecoautoml.config.load import load_config
from ecoautoml.errors import ConfigError

OBJECTIVES = ["validation_accuracy", "inference_energy_j"]


def configured(prefer, **changes):
    return load_config({"data": "digits", "space": "tiny", "prefer": prefer, **changes})


def test_nothing_is_preferred_unless_it_is_written():
    prefer = load_config({"data": "digits", "space": "tiny"}).prefer
    assert prefer.target is None
    assert prefer.is_within({"validation_accuracy": 0.0, "inference_energy_j": 1e9})


def test_a_target_a_reference_and_weights_are_read():
    prefer = configured(
        {
            "at_least": {"validation_accuracy": 0.93},
            "reference": {"inference_energy_j": 0.002, "validation_accuracy": 0.8},
            "weights": {"validation_accuracy": 2},
        }
    ).prefer
    assert prefer.target == ("validation_accuracy", 0.93)
    assert prefer.reference_row(OBJECTIVES) == [0.8, 0.002]
    assert prefer.is_within({"validation_accuracy": 0.8, "inference_energy_j": 0.002})
    assert not prefer.is_within({"validation_accuracy": 0.79, "inference_energy_j": 0.001})
    assert not prefer.is_within({"validation_accuracy": 0.9, "inference_energy_j": 0.003})


def test_one_value_can_be_set_from_outside():
    tree = {"data": "digits", "space": "tiny"}
    config = load_config(tree, ["prefer.at_least.validation_accuracy=0.9"])
    assert config.prefer.target == ("validation_accuracy", 0.9)
    assert load_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("prefer", "about"),
    [
        ({"at_least": {"accuracy": 0.9}}, "'prefer.at_least': no metric is called 'accuracy'; did"),
        ({"at_least": {"inference_energy_j": 1}}, "inference_energy_j is a cost"),
        ({"at_least": {"validation_accuracy": 93}}, r"is 93; allowed: .* \(93 % is 0\.93\)"),
        ({"at_least": {"validation_accuracy": 0}}, "is 0; allowed: numbers above 0, at most 1"),
        ({"at_least": dict.fromkeys(["validation_accuracy", "validation_auroc"], 0.9)}, "not 2"),
        ({"at_least": {"validation_accuracy": "much"}}, "prefer.at_least.validation_accuracy"),
        ({"at_least": {"validation_auroc": 0.9}}, "prefer.at_least names validation_auroc, which"),
        ({"reference": {"latency_ms": 5}}, "prefer.reference names latency_ms, which is no obj"),
        ({"reference": {"validation_accuracy": 1}}, "is 1; allowed: numbers from 0 to below 1"),
        ({"reference": {"inference_energy_j": 0}}, "is 0, and nothing costs less"),
        ({"reference": {"inference_energy_j": -2}}, "is -2, and nothing costs less"),
        ({"weights": {"validation_accuracy": 0}}, "is 0; allowed: numbers above 0"),
        ({"weights": {"energy": 1}}, "no metric is called 'energy'"),
        ({"weight": {}}, "unknown key 'prefer.weight'; did you mean 'weights'"),
        (
            {
                "at_least": {"validation_accuracy": 0.9},
                "reference": {"validation_accuracy": 0.95},
            },
            "prefer.reference.validation_accuracy is 0.95, but must be below",
        ),
    ],
)
def test_a_mistake_is_one_sentence(prefer, about):
    with pytest.raises(ConfigError, match=about) as caught:
        configured(prefer)
    assert len(str(caught.value).splitlines()) == 1


def test_a_target_goes_with_objectives_and_constraints():
    target = {"at_least": {"validation_accuracy": 0.9}}
    with pytest.raises(ConfigError, match="no objective is a cost"):
        configured(target, objectives=["validation_accuracy"])
    with pytest.raises(ConfigError, match="which every model reaches that keeps"):
        configured(target, constraints=["validation_accuracy >= 0.95"])
    assert configured(target, constraints=["validation_accuracy >= 0.85"])
