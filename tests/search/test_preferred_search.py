"""A real search with a target: the result, the report and the command line follow it."""

from processes import run
from spaces_for_tests import quick_config

from ecoautoml import search


def test_a_target_decides_what_is_suggested_everywhere(tmp_path):
    prefer = {
        "at_least": {"validation_accuracy": 0.2},
        "reference": {"validation_accuracy": 0.05},
    }
    sampler = {"priors": {"learning_rate": 0.01}, "zero_cost": "synflow"}
    result = search(quick_config(tmp_path, sampler=sampler, prefer=prefer))
    front = result.front
    reached = front[front["validation_accuracy"] >= 0.2]
    expected = front["trial"].iloc[-1] if reached.empty else reached["trial"].iloc[0]
    assert result.knee.trial == expected
    assert "20.0 % accuracy" in result.knee.reason
    page = (tmp_path / "quick" / "report.html").read_text(encoding="utf-8")
    assert "Asked for: the cheapest model with at least 20.0 % accuracy" in page
    shown = run("front", tmp_path / "quick").stdout
    assert f"Suggested: trial {expected}, which {result.knee.reason}." in " ".join(shown.split())
    assert (result.trials["synflow"] > 0).all()
