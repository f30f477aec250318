"""``ecoautoml why``: what was decided about a trial, and on what it rested."""

import json

import pytest
from searches_by_hand import SearchByHand, line, report
from typer.testing import CliRunner

from ecoautoml.cli.app import app
from ecoautoml.errors import RunError
from ecoautoml.records.progress import CONTINUE, Action, Decision
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.records.turn import FIGURES, Move, Turn
from ecoautoml.reports.turns import MOVES, turn_words
from ecoautoml.result import SearchResult
from ecoautoml.strategies.base import Begin, GoOn, Planner, Pruner


class HaltsOnce(Pruner):
    """Halts the first trial after its first epoch, and goes on with it next."""

    def decide(self, trial, history):
        if trial.number or trial.epoch != 1 or history.paused:
            return CONTINUE
        figures = {"chance_to_join": 0.125, "forecast_score": 0.91}
        return Decision(action=Action.PAUSE, reason="others first", figures=figures)

    def promote(self, history):
        if not history.paused:
            return None
        turn = Turn(move=Move.GO_ON, epoch=1, reason="its turn has come")
        return GoOn(number=0, turn=turn)


class Begins(Planner):
    def next(self, history, state):
        turn = Turn(move=Move.BEGIN, epoch=0, reason="worth it", figures={"expected_gain": 0.02})
        return Begin(turn=turn)


@pytest.fixture
def run_folder(tmp_path):
    """Return the folder of a search in which one trial was halted, and one runs."""
    one = SearchByHand(tmp_path, pruner=HaltsOnce(), planner=Begins())
    job = one.loop.ask()
    one.loop.report(report(job, 0))
    assert one.loop.report(report(job, 1)).action is Action.PAUSE
    one.loop.tell(
        TrialResult(
            number=0,
            state=TrialState.PAUSED,
            candidate=job.candidate,
            energy=(line("training", 3.0),),
            curve=(report(job, 0), report(job, 1)),
            epochs=1,
        )
    )
    again = one.loop.ask()
    one.tell(again, energy=(line("training", 5.0),), epochs=3)
    one.loop.ask()
    config = one.loop.config.model_copy(
        update={"storage": f"sqlite:///{tmp_path / 'ledger.db'}", "name": "test"}
    )
    tree = json.dumps(config.model_dump(mode="json"))
    (tmp_path / "config.yaml").write_text(tree)  # JSON is YAML
    (tmp_path / "environment.json").write_text(json.dumps({"hardware": {}, "meters": []}))
    return tmp_path


def why(folder, *options):
    return CliRunner().invoke(app, ["why", str(folder), *options])


def test_it_tells_a_trials_story_in_order(run_folder):
    text = why(run_folder, "--trial", "0").output
    places = [
        text.index(words)
        for words in (
            "before training: begun: worth it",
            "after 1 epoch: set aside: others first",
            "after 1 epoch: gone on with: its turn has come",
            "in the end: finished after 3 epochs, ~5 J spent",
        )
    ]
    assert places == sorted(places)
    assert "2.00%  share of the front's hypervolume it was expected to add" in text
    assert "12.50%  probability that it joins the front" in text


def test_a_trial_that_runs_is_told_as_far_as_it_has_come(run_folder):
    assert "it has no result yet" in why(run_folder, "--trial", "1").output


def test_as_json_it_holds_every_figure(run_folder):
    tree = json.loads(why(run_folder, "--trial", "0", "--json").output)
    assert (tree["trial"], tree["state"]) == (0, "complete")
    assert [turn["move"] for turn in tree["turns"]] == ["begin", "pause", "go on"]
    assert tree["turns"][1]["figures"] == {"chance_to_join": 0.125, "forecast_score": 0.91}


def test_a_trial_that_does_not_exist_is_one_sentence(run_folder):
    with pytest.raises(RunError, match="has no trial 9; they go from 0 to 1"):
        SearchResult.read(run_folder).turns(9)


def test_every_decision_and_every_figure_has_words():
    for move in Move:
        turn = Turn(move=move, epoch=2, reason="because", figures=dict.fromkeys(FIGURES, 0.5))
        first, *figures = turn_words(turn)
        assert MOVES[move] in first
        assert len(figures) == len(FIGURES)
