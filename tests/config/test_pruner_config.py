"""What a user may write under `pruner`."""

import pytest

from ecoautoml.config.load import load_config
from ecoautoml.errors import ConfigError
from ecoautoml.strategies.pruners import PRUNERS, make_pruner


def configured(pruner):
    return load_config({"data": "digits", "space": "tiny", "pruner": pruner})


@pytest.mark.parametrize("kind", PRUNERS)
def test_every_pruner_is_chosen_by_its_name(kind):
    config = configured(kind)
    assert config.pruner.kind == kind
    assert make_pruner(config.pruner, config.objectives, config.seed) is not None


@pytest.mark.parametrize("kind", ["halving", "hyperband"])
def test_there_must_be_a_rung_before_the_end(kind):
    assert configured({"kind": kind, "reduction": 4, "min_share": 0.25}).pruner.reduction == 4
    with pytest.raises(ConfigError, match=r"min_share must be at most 0\.25"):
        configured({"kind": kind, "reduction": 4, "min_share": 0.26})
    with pytest.raises(ConfigError, match="reduction"):
        configured({"kind": kind, "reduction": 1})


@pytest.mark.parametrize("kind", ["halving", "hyperband"])
def test_what_halts_trials_has_no_shadow(kind):
    with pytest.raises(ConfigError, match="shadow"):
        configured({"kind": kind, "shadow": True})


@pytest.mark.parametrize("kind", ["median", "patience"])
def test_what_stops_trials_may_only_watch(kind):
    assert configured({"kind": kind, "shadow": True}).pruner.shadow


def test_a_ranking_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="ranking"):
        configured({"kind": "halving", "ranking": "hypervolume"})
