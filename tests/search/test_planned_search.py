"""A planned search with real trainings decides by what its ledger holds, and by nothing else."""

import itertools
import re
import shutil

import pytest
from searches_by_hand import KnownSession
from spaces_for_tests import net_space, quick_config

from ecoautoml.api import Listeners, search
from ecoautoml.config import load_config
from ecoautoml.records.progress import Action
from ecoautoml.records.trial_result import TrialState
from ecoautoml.spaces.load import load_space
from ecoautoml.strategies.planners import make_planner
from ecoautoml.strategies.pruners import make_pruner
from ecoautoml.study.budget import Spent
from ecoautoml.study.ledger import Ledger
from ecoautoml.study.loop import SearchLoop

pytestmark = pytest.mark.slow
START, TRIALS, EPOCHS = 3, 6, 9


def opened(config, folder):
    """Return the loop of a search over a ledger, as a process finds it that knows nothing else."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", config.name, config.objectives)
    space = load_space(config.space)
    return SearchLoop(
        config=config,
        space=space,
        ledger=ledger,
        pruner=make_pruner(config.pruner, config.objectives, config.seed),
        planner=make_planner(config, space, image_size=8, in_chans=1, n_classes=10),
        epochs_for=lambda candidate: EPOCHS,
        session=KnownSession(ledger),
        observer=lambda snapshot: None,
        should_interrupt=lambda: False,
        earlier=Spent(trials=0, elapsed_s=0.0, energy_j=None),
    )


def known(ledger, number):
    """Return what a ledger holds of a trial, and what planning rests on."""
    ended = {one.number: one for one in (*ledger.results(), *ledger.paused())}
    return ended[number], ledger.turns(number), ledger.planner_state()


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return a search's configuration, and copies of its ledger between its trainings."""
    folder = tmp_path_factory.mktemp("planned")
    config = load_config(
        quick_config(
            folder,
            sampler={"kind": "auto", "n_startup_trials": START},
            pruner="auto",
            space=net_space(),
            training={"epochs": EPOCHS},
            budget={"trials": TRIALS},
            measure={"max_seconds": 0.1, "precision": 0.5, "meter": "cpu_time"},
        )
    )
    copies = [folder / "000"]
    copies[0].mkdir()

    def keep(snapshot):
        if re.match(r"trial \d+ ", snapshot.event or ""):
            copies.append(folder / f"{len(copies):03d}")
            copies[-1].mkdir()
            shutil.copyfile(config.run_folder / "ledger.db", copies[-1] / "ledger.db")

    search(config, listeners=Listeners(on_snapshot=keep))
    return config, copies


@pytest.mark.timeout(300)
def test_what_a_running_search_decides_a_new_process_decides_too(searched):
    """Each training is decided on again, report by report, with what the running search measured.

    The ledger is all that the new process has of what came before; the running one had all it
    remembered.
    """
    config, copies = searched
    planned = 0
    for before, after in itertools.pairwise(copies):
        new, then = opened(config, before), opened(config, after).ledger
        job = new.ask()
        result, turns, state = known(then, job.number)
        assert result.candidate == job.candidate
        seen = 0 if job.before is None else len(job.before.curve)
        decisions = [new.report(progress).action for progress in result.curve[seen:]]
        assert set(decisions[:-1]) <= {Action.CONTINUE}
        new.tell(result)
        assert known(new.ledger, job.number) == (result, turns, state)
        planned += any(turn.figures for turn in turns)
    assert planned >= TRIALS - START  # those decisions rest on models of what was measured
    states = [each.state for each in opened(config, copies[-1]).ledger.results()]
    assert TrialState.COMPLETE in states
