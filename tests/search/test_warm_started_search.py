"""A real search that goes on from what another has learnt."""

import pytest
from spaces_for_tests import quick_config

from ecoautoml import search
from ecoautoml.errors import ConfigError


def test_a_search_runs_the_front_of_the_earlier_one_first(tmp_path):
    old = search(quick_config(tmp_path, name="old"))
    sampler = {"kind": "auto", "warm_start": str(tmp_path / "old")}
    new = search(quick_config(tmp_path, name="new", sampler=sampler))
    front = [
        one.candidate.parameters()
        for one in old.results
        if one.number in set(old.front["trial"].tolist())
    ]
    n_taken = min(len(front), len(new.results))
    taken = [one.candidate.parameters() for one in new.results[:n_taken]]
    assert n_taken
    assert all(values in front for values in taken)
    assert "earlier run old" in new.turns(0)[0].reason


def test_a_folder_without_a_run_is_one_sentence(tmp_path):
    sampler = {"kind": "auto", "warm_start": str(tmp_path / "nowhere")}
    with pytest.raises(ConfigError, match=r"sampler\.warm_start: .*holds no run"):
        search(quick_config(tmp_path, sampler=sampler))
