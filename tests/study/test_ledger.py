import math
import sqlite3
from dataclasses import replace

import optuna
import pytest
from searches_by_hand import (
    LIMITS,
    THREE,
    TWO,
    BreaksOff,
    conditional_space,
    line,
    mark,
    open_ledger,
    outcome,
    run_trials,
    sampler,
)

from ecoautoml.errors import RunError
from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.session_record import SessionRecord
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.study.ledger import RESULT, Ledger, MarkRound, joined
from ecoautoml.study.storage import without_password

SPACE, CONFIG = conditional_space(), sampler("random")
Optuna = optuna.trial.TrialState


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(tmp_path)


def propose(ledger):
    return ledger.propose(SPACE, CONFIG, 0)


def unfinished(ledger):
    return ledger.unfinished()


def study(folder):
    """Return the study as Optuna itself, or its dashboard, would open it."""
    return optuna.load_study(study_name="test", storage=f"sqlite:///{folder / 'ledger.db'}")


def bare(proposal, state, **fields):
    return TrialResult(number=proposal.number, state=state, candidate=proposal.candidate, **fields)


# --- what Optuna is told --------------------------------------------------------------------------


def test_a_complete_trial_is_told_with_its_values_in_the_order_of_the_objectives(ledger, tmp_path):
    result = outcome(propose(ledger), is_limited=True)
    result = replace(result, state=TrialState.COMPLETE, metrics={**result.metrics, TWO[0]: 0.75})
    ledger.record(result)
    (told,) = study(tmp_path).trials
    assert told.state is Optuna.COMPLETE
    assert told.values == [0.75, result.metrics["inference_energy_j"]]
    assert study(tmp_path).directions == [
        optuna.study.StudyDirection.MAXIMIZE,
        optuna.study.StudyDirection.MINIMIZE,
    ]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (TrialState.PRUNED, Optuna.PRUNED),
        (TrialState.FAILED, Optuna.FAIL),
        (TrialState.STOPPED, Optuna.FAIL),  # a spent budget says nothing about the model
        (TrialState.COMPLETE, Optuna.FAIL),  # without its values there is nothing to tell
    ],
)
def test_a_trial_without_values_is_told_by_its_state(ledger, tmp_path, state, told):
    ledger.record(bare(propose(ledger), state))
    (trial,) = study(tmp_path).trials
    assert (trial.state, trial.values) == (told, None)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (TrialState.COMPLETE, Optuna.COMPLETE),
        (TrialState.INFEASIBLE, Optuna.COMPLETE),
        (TrialState.PRUNED, Optuna.PRUNED),
        (TrialState.FAILED, Optuna.FAIL),
    ],
)
def test_a_reused_trial_is_told_as_the_one_it_repeats(ledger, tmp_path, state, told):
    first = replace(outcome(propose(ledger)), state=state)
    ledger.record(first)
    again = propose(ledger)
    ledger.record(replace(first, number=again.number, state=TrialState.REUSED, reused_from=0))
    one, other = study(tmp_path).trials
    assert one.state is other.state is told
    assert one.values == other.values


def test_an_interrupted_trial_is_not_told(ledger, tmp_path):
    ledger.record(bare(propose(ledger), TrialState.INTERRUPTED))
    assert study(tmp_path).trials[0].state is Optuna.RUNNING
    assert ledger.results() == []


def infeasible(proposal, violation=1.5):
    """Return a trial refused before training: its cost is known, its score is not."""
    return bare(
        proposal,
        TrialState.INFEASIBLE,
        metrics={"inference_energy_j": 1e-9},
        constraints={LIMITS[0]: violation},
    )


def test_an_infeasible_trial_is_told_complete_with_its_violation(ledger, tmp_path):
    ledger.record(infeasible(propose(ledger)))
    (trial,) = study(tmp_path).trials
    assert trial.state is Optuna.COMPLETE
    assert trial.constraints == {LIMITS[0]: 1.5, LIMITS[1]: 0.0}
    assert trial.values == [0.5, 1e-9]


def test_a_score_it_never_got_is_told_as_the_median_of_the_others(ledger, tmp_path):
    for accuracy in (0.2, 0.9, 0.7):
        result = outcome(propose(ledger))
        ledger.record(replace(result, metrics={**result.metrics, TWO[0]: accuracy}))
    ledger.record(infeasible(propose(ledger)))
    assert study(tmp_path).trials[-1].values[0] == 0.7
    assert TWO[0] not in ledger.results()[-1].metrics


def test_an_infeasible_trial_of_unknown_cost_is_told_failed_until_a_cost_is_known(ledger, tmp_path):
    ledger.record(replace(infeasible(propose(ledger)), metrics={}))
    ledger.record(outcome(propose(ledger)))
    ledger.record(replace(infeasible(propose(ledger)), metrics={}))
    states = [trial.state for trial in study(tmp_path).trials]
    assert states == [Optuna.FAIL, Optuna.COMPLETE, Optuna.COMPLETE]


def test_the_best_trials_leave_out_what_is_infeasible(ledger, tmp_path):
    good, cheap = propose(ledger), propose(ledger)
    ledger.record(outcome(good))
    ledger.record(infeasible(cheap))  # by far the cheapest
    assert [trial.number for trial in study(tmp_path).best_trials] == [good.number]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_trial_with_a_number_that_is_none_is_told_failed_and_can_be_read(
    ledger, tmp_path, number
):
    ledger.record(outcome(propose(ledger)))
    for broken in (
        {"metrics": {TWO[0]: number, TWO[1]: 1.0}},
        {"constraints": {LIMITS[0]: number}},
    ):
        proposal = propose(ledger)
        ledger.mark([mark(proposal.number, number)])
        ledger.record(replace(outcome(proposal), **broken, energy=(line("training", number),)))
    ledger.record(infeasible(propose(ledger)))
    states = [trial.state for trial in study(tmp_path).trials]
    assert states == [Optuna.COMPLETE, Optuna.FAIL, Optuna.FAIL, Optuna.COMPLETE]
    assert study(tmp_path).trials[3].values[0] == study(tmp_path).trials[0].values[0]
    assert [set(trial.constraints) for trial in study(tmp_path).trials] == [set(LIMITS)] * 4
    again = open_ledger(tmp_path)
    assert repr(again.results()) == repr(ledger.results())  # NaN equals nothing, itself included
    assert again.results()[1].energy[0].energy_j is not None


def test_parameters_stand_in_the_study_by_name(ledger, tmp_path):
    proposal = propose(ledger)
    ledger.record(outcome(proposal))
    (trial,) = study(tmp_path).trials
    searched = {dimension.name for dimension in SPACE.dimensions}
    values = proposal.candidate.parameters()
    assert trial.params == {name: values[name] for name in values if name in searched}


# --- what survives --------------------------------------------------------------------------------


def test_results_survive_reopening_to_the_last_bit(ledger, tmp_path):
    run_trials(ledger, 4, "random", is_limited=True)
    ledger.record(
        bare(
            propose(ledger),
            TrialState.FAILED,
            reason="NaN",
            details="Traceback ü\n",
            energy=(line("training", 0.1 + 0.2), line("probe", None, provenance=None)),
        )
    )
    again = open_ledger(tmp_path)
    assert again.results() == ledger.results()
    assert [result.number for result in again.results()] == list(range(5))
    assert again.has_trials


def test_a_new_ledger_is_empty(ledger):
    assert not ledger.has_trials
    assert ledger.results() == []
    assert ledger.interrupted_energy() == {}
    assert unfinished(ledger) == []


def test_attributes_and_sessions_survive_reopening(ledger, tmp_path):
    assert ledger.attribute("test_scores") is None
    assert ledger.sessions() == ()
    lines = (line("look ahead", 1.25), line("worker", None, provenance=None))
    sessions = (SessionRecord(lines=lines, elapsed_s=12.5, is_ended=True), SessionRecord())
    ledger.set_attribute("test_scores", {"3": 0.9})
    ledger.set_sessions(sessions)
    for opened in (ledger, open_ledger(tmp_path)):
        assert opened.attribute("test_scores") == {"3": 0.9}
        assert opened.sessions() == sessions
    ledger.set_sessions(sessions[:1])
    assert open_ledger(tmp_path).sessions() == sessions[:1]


def test_a_result_is_told_once(ledger):
    result = outcome(propose(ledger))
    ledger.record(result)
    with pytest.raises(RunError, match="another process is writing"):
        ledger.record(result)
    assert ledger.results() == [result]


# --- what was running when the process died -------------------------------------------------------


def test_running_trials_are_to_be_run_again_under_their_numbers(ledger, tmp_path):
    ledger.record(outcome(propose(ledger)))
    running = [propose(ledger), propose(ledger)]
    again = open_ledger(tmp_path)
    assert unfinished(again) == running
    assert [proposal.number for proposal in running] == [1, 2]
    assert propose(again).number == 3


def test_a_result_written_but_not_told_is_told_on_reopening(ledger, tmp_path):
    """The process dies between its two statements: nothing is lost, nothing doubled."""
    result = outcome(propose(ledger), is_limited=True)
    result = replace(result, energy=(line("training", 3.0),))
    ledger.mark([mark(0, 2.0)])
    storage_dies_after_writing(ledger, RESULT)
    with pytest.raises(KeyboardInterrupt):
        ledger.record(result)
    again = open_ledger(tmp_path)
    assert again.results() == [result]  # a reader sees it, told or not
    assert unfinished(again) == []
    for opened in (again, open_ledger(tmp_path)):
        assert opened.results() == [result]
        assert opened.interrupted_energy() == {}
        assert unfinished(opened) == []
    assert study(tmp_path).trials[0].state is Optuna.COMPLETE
    assert len(study(tmp_path).trials) == 1


def storage_dies_after_writing(ledger, name):
    """Let the process "die" right after an attribute of that name was written."""
    storage = ledger._stored._study._storage
    write = storage.set_trial_user_attr

    def write_and_die(trial_id, key, value):
        write(trial_id, key, value)
        if key == name:
            raise KeyboardInterrupt

    storage.set_trial_user_attr = write_and_die


def test_a_trial_half_told_is_told_to_its_end(ledger, tmp_path):
    """Some constraints were told already when the process died."""
    result = outcome(propose(ledger), is_limited=True)
    storage = ledger._stored._study._storage
    write = storage.set_trial_system_attr

    def write_and_die(trial_id, key, value):
        write(trial_id, key, value)
        raise KeyboardInterrupt

    storage.set_trial_system_attr = write_and_die
    with pytest.raises(KeyboardInterrupt):
        ledger.record(result)
    again = open_ledger(tmp_path)
    unfinished(again)
    assert again.results() == [result]
    constraints = study(tmp_path).trials[0].constraints
    assert set(constraints) == set(LIMITS)
    assert constraints[LIMITS[0]] == result.constraints[LIMITS[0]]


def spent_j(ledger):
    """Return all joules of trials on the bill."""
    kept = [line.energy_j or 0.0 for line in ledger.interrupted_energy().values()]
    return sum(kept) + sum(result.energy_j or 0.0 for result in ledger.results())


def test_joules_of_killed_attempts_stay_on_the_bill_exactly_once(tmp_path):
    proposal = propose(open_ledger(tmp_path))
    expected_j = 0.0
    for energy_j in (1.0, 2.0, 4.0):
        attempt = open_ledger(tmp_path)
        assert unfinished(attempt) == [proposal]
        assert spent_j(attempt) == expected_j
        attempt.mark([mark(0, energy_j / 2, duration_s=0.5)])
        attempt.mark([mark(0, energy_j, duration_s=1.0)])  # so far, not in addition
        expected_j += energy_j
        assert spent_j(open_ledger(tmp_path)) == expected_j
    for _ in range(3):  # sessions that end before they run anything
        unfinished(open_ledger(tmp_path))
    last = open_ledger(tmp_path)
    assert unfinished(last) == [proposal]
    assert last.interrupted_energy() == {
        0: replace(line("interrupted", 7.0), duration_s=3.0, source="cpu_time")
    }
    last.mark([mark(0, 8.0)])
    last.record(replace(outcome(proposal), energy=(line("training", 16.0),)))
    for opened in (last, open_ledger(tmp_path)):
        assert spent_j(opened) == 7.0 + 16.0
        assert opened.interrupted_energy()[0].duration_s == 3.0


def test_joules_of_attempts_interrupted_in_good_order_stay_on_the_bill_once(tmp_path):
    proposal = propose(open_ledger(tmp_path))
    for _ in range(2):
        attempt = open_ledger(tmp_path)
        unfinished(attempt)
        attempt.mark([mark(0, 2.0)])
        energy = (line("probe", 1.0), line("training", 2.0))
        attempt.record(bare(proposal, TrialState.INTERRUPTED, energy=energy))
    assert spent_j(attempt) == spent_j(open_ledger(tmp_path)) == 6.0
    last = open_ledger(tmp_path)
    unfinished(last)
    last.record(replace(outcome(proposal), energy=(line("training", 16.0),)))
    assert spent_j(last) == spent_j(open_ledger(tmp_path)) == 22.0


def test_marks_of_this_session_count_when_it_asks_itself_what_is_unfinished(ledger):
    proposal = propose(ledger)
    ledger.mark([mark(0, 2.0)])
    assert unfinished(ledger) == [proposal]
    assert spent_j(ledger) == 2.0


@pytest.mark.parametrize(("recorded", "kept_j"), [(0, 0.0), (1, 2.0), (2, 5.0)])
def test_a_kill_between_marks_and_their_sessions_record_leaves_those_before(
    recorded, kept_j, tmp_path
):
    """What was metered and what trials have used are then of the same moment."""
    ledger = open_ledger(tmp_path)
    proposal = propose(ledger)
    first = SessionRecord(is_ended=True)
    ledger.set_sessions([first])
    for number, energy_j in ((1, 2.0), (2, 5.0))[: recorded + 1]:  # one round ahead at most
        ledger.mark([mark(0, energy_j)], MarkRound(session=1, number=number))
        if number <= recorded:
            ledger.set_sessions([first, SessionRecord(mark_rounds=number)])
    again = open_ledger(tmp_path)
    assert spent_j(again) == kept_j
    again.set_sessions([*again.sessions(), SessionRecord()])
    assert unfinished(again) == [proposal]
    assert spent_j(open_ledger(tmp_path)) == kept_j


def test_unknown_joules_of_an_attempt_are_unknown_and_not_zero(tmp_path):
    ledger = open_ledger(tmp_path)
    propose(ledger)
    ledger.mark([mark(0, None)])
    (kept,) = open_ledger(tmp_path).interrupted_energy().values()
    assert kept.energy_j is None
    assert kept.provenance is None


def test_a_process_that_died_while_proposing_leaves_nothing_half_proposed(ledger, tmp_path):
    broken = BreaksOff(SPACE.parameters)
    broken.count = 2
    with pytest.raises(KeyboardInterrupt):
        ledger.propose(replace(SPACE, parameters=broken), CONFIG, 0)
    again = open_ledger(tmp_path)
    assert unfinished(again) == []
    assert study(tmp_path).trials == []
    proposal = propose(again)
    assert proposal.number == 0
    again.record(outcome(proposal))
    assert study(tmp_path).trials[0].state is Optuna.COMPLETE


def test_of_two_processes_that_write_to_one_ledger_the_second_is_refused(ledger, tmp_path):
    other = open_ledger(tmp_path)
    ledger.record(outcome(propose(ledger)))
    with pytest.raises(RunError, match="another process is writing"):
        propose(other)
    goes_on = propose(ledger)
    assert goes_on.number == 1
    ledger.record(outcome(goes_on))
    assert [trial.number for trial in study(tmp_path).trials] == [0, 1]


def test_a_trial_that_two_processes_run_is_recorded_by_the_first(ledger, tmp_path):
    first = outcome(propose(ledger))
    other = open_ledger(tmp_path)
    ledger.record(first)
    other.mark([mark(0, 2.0)])
    with pytest.raises(RunError, match="another process is writing"):
        other.record(first)
    assert open_ledger(tmp_path).results() == [first]


def test_two_processes_that_propose_in_the_same_moment_are_told(ledger, tmp_path):
    other = open_ledger(tmp_path)

    class OtherIsFaster(tuple):
        def __iter__(self):
            propose(other)
            return super().__iter__()

    with pytest.raises(RunError, match="another process is writing"):
        ledger.propose(replace(SPACE, parameters=OtherIsFaster(SPACE.parameters)), CONFIG, 0)
    again = open_ledger(tmp_path)
    assert [proposal.number for proposal in unfinished(again)] == [0]
    assert propose(again).number == 2


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_a_trial_enqueued_in_a_dashboard_ends_the_session_and_not_the_search(
    ledger, tmp_path, kind
):
    run_trials(ledger, 5, kind)
    study(tmp_path).enqueue_trial({"width": 8})
    with pytest.raises(RunError, match="added to it in a dashboard"):
        propose(ledger)
    again = open_ledger(tmp_path)
    assert unfinished(again) == []
    run_trials(again, 2, kind)
    assert [result.number for result in again.results()] == [0, 1, 2, 3, 4, 6, 7]
    assert study(tmp_path).trials[5].state is Optuna.WAITING


# --- what cannot be opened ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [THREE, TWO[:1], TWO[::-1], (TWO[0], "params")],
    ids=["more", "fewer", "another order", "another cost"],
)
def test_a_ledger_of_other_objectives_is_refused(tmp_path, other):
    open_ledger(tmp_path)
    with pytest.raises(RunError, match=r"other objectives: validation_accuracy, inference_e"):
        open_ledger(tmp_path, objectives=other)
    assert open_ledger(tmp_path, objectives=TWO).objectives == TWO


@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_storage_that_cannot_be_opened_is_refused_by_its_name(tmp_path, is_read_only):
    (tmp_path / "text.db").write_text("not a database, but long enough to be looked at" * 50)
    before = (tmp_path / "text.db").read_bytes()
    for name in ("nowhere/x.db", "text.db"):
        with pytest.raises(RunError, match=f"the ledger sqlite:///.*{name}"):
            Ledger(f"sqlite:///{tmp_path / name}", "test", TWO, is_read_only=is_read_only)
    assert (tmp_path / "text.db").read_bytes() == before


def test_reading_a_study_that_is_not_there_is_refused_and_creates_nothing(tmp_path):
    open_ledger(tmp_path)
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("create table mine (x)")
    foreign.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, study_name in (
        ("none.db", "test"),
        ("ledger.db", "other"),
        ("foreign.db", "test"),
    ):
        with pytest.raises(RunError, match="the ledger sqlite"):
            Ledger(f"sqlite:///{tmp_path / name}", study_name, TWO, is_read_only=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_study_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match="holds no study called test"):
        Ledger(f"sqlite:///{tmp_path / 'none.db'}", "test", TWO, is_read_only=True)


def test_a_ledger_opened_to_read_shows_the_same_and_writes_nothing(ledger, tmp_path):
    run_trials(ledger, 3, "random")
    propose(ledger)
    ledger.mark([mark(3, 2.0)])
    before = (tmp_path / "ledger.db").read_bytes()
    storage = f"sqlite:///{tmp_path / 'ledger.db'}"
    reader = Ledger(storage, "test", TWO, is_read_only=True)
    assert reader.results() == ledger.results()
    assert reader.interrupted_energy()[3].energy_j == 2.0
    assert (tmp_path / "ledger.db").read_bytes() == before
    with pytest.raises(RunError, match="other objectives"):
        Ledger(storage, "test", THREE, is_read_only=True)


@pytest.mark.parametrize("is_read_only", [False, True])
@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://me:s3cret@127.0.0.1:1/x",
        "nodriver://me:s3cret@127.0.0.1/x",
        "postgresql://127.0.0.1:1/x?user=me&password=s3cret",
        "postgresql//me:s3cret@127.0.0.1/x",
        "postgresql://me:s3cret@127.0.0.1:port/x",
        "postgresql://me:an@s3cret@127.0.0.1:1/x",
        "s3cret",
    ],
)
def test_a_refused_storage_never_shows_its_password(storage, is_read_only):
    with pytest.raises(RunError) as caught:
        Ledger(storage, "test", TWO, is_read_only=is_read_only)
    assert "s3cret" not in str(caught.value)
    assert "storage" in str(caught.value) or "the ledger" in str(caught.value)


def test_a_storage_without_a_password_is_shown_as_it_is():
    for storage in ("sqlite:////tmp/ledger.db", "postgresql://me@host:5432/studies"):
        assert without_password(storage) == storage
    assert without_password("mysql://me:s3cret@host/x?ssl_key=k") == "mysql://me:***@host/x"


def test_several_lines_become_one_of_the_weakest_provenance():
    one = joined(
        "interrupted",
        [
            line("a", 1.0, duration_s=2.0, provenance=Provenance.MEASURED),
            line("b", None, duration_s=3.0, provenance=None),
            line("c", 4.0, duration_s=5.0),
        ],
    )
    assert (one.line, one.energy_j, one.duration_s) == ("interrupted", 5.0, 10.0)
    assert one.provenance is Provenance.ESTIMATED
    assert one.source == "cpu_time"
