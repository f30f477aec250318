"""A real search that begins with the user's points."""

import pytest
from spaces_for_tests import quick_config

from ecoautoml import search
from ecoautoml.errors import ConfigError


def test_a_search_begins_with_the_points_it_was_given(tmp_path):
    sampler = {"kind": "tpe", "begin_with": [{"width": 8, "optimizer": "sgd"}, {"width": 12}]}
    result = search(quick_config(tmp_path, sampler=sampler))
    assert result.trials["width"].tolist()[:2] == [8, 12]
    assert result.turns(0)[0].reason == "point 0 of sampler.begin_with"
    assert len(result.trials) == 3


def test_a_point_that_is_none_is_refused_before_anything_is_begun(tmp_path):
    sampler = {"kind": "random", "begin_with": [{"width": 7}]}
    with pytest.raises(ConfigError, match=r"sampler\.begin_with\.0: width"):
        search(quick_config(tmp_path, sampler=sampler))
    assert not list(tmp_path.iterdir())
