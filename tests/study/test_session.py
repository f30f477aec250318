"""One sitting of a search: what it writes down, and what a kill of it leaves unexplained."""

import time
from dataclasses import replace

import pytest
from searches_by_hand import cpu_time_metering, line, open_ledger

from ecoautoml.data.prepared import PreparedData
from ecoautoml.errors import RunError
from ecoautoml.records.session_record import USUAL_GAP_S, all_notes
from ecoautoml.records.session_record import unexplained_s as unexplained_in
from ecoautoml.study.session import Session

IMAGES = PreparedData(
    folder="anywhere",
    class_names=("cat", "dog"),
    channels=1,
    image_size=8,
    counts={"train": 60, "validation": 20, "test": 20},
    class_counts=(30, 30),
    mean=(0.5,),
    std=(0.25,),
    notes=("3 files were skipped.",),
)


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens the session anew, as a new process would."""

    def session(*workers):
        ledger = open_ledger(tmp_path)
        return Session(ledger, cpu_time_metering(), lambda: workers), ledger

    return session


def kill(opened, *, after_gap_s=0.0):
    """Begin a session, write twice with a gap between, and leave it open as a kill would."""
    session, ledger = opened()
    session.begin(IMAGES)
    session._written_s -= after_gap_s  # as if that long ago
    session.write()
    return ledger


def unexplained_s(opened):
    session, ledger = opened()
    session.begin(IMAGES)
    session.end()
    return unexplained_in(ledger.sessions())


def test_a_session_ended_in_good_order_leaves_nothing_unexplained(opened):
    for _ in range(2):
        assert unexplained_s(opened) is None


def test_a_kill_leaves_the_usual_gap_unexplained_at_least(opened):
    kill(opened)
    assert unexplained_s(opened) == pytest.approx(USUAL_GAP_S)


def test_a_kill_leaves_the_longest_gap_between_writes_unexplained(opened):
    session, _ = opened()
    session.begin(IMAGES)
    for gap_s in (4.0, 30.0, 5.0):  # a sampler, say, that chose for half a minute
        session._written_s -= gap_s
        session.write()
    assert unexplained_s(opened) == pytest.approx(30.0, abs=1.0)


def test_gaps_of_several_kills_add_up_and_each_counts_its_own(opened):
    kill(opened, after_gap_s=30.0)
    kill(opened)
    assert unexplained_s(opened) == pytest.approx(30.0 + USUAL_GAP_S, abs=1.0)
    assert unexplained_s(opened) == pytest.approx(30.0 + USUAL_GAP_S, abs=1.0)  # not again


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": {"train": 61, "validation": 20, "test": 20}},
        {"class_names": ("dog", "cat")},
        {"mean": (0.51,)},
        {"std": (0.26,)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_images_are_refused_before_the_session_counts_as_open(opened, changes):
    assert unexplained_s(opened) is None
    session, ledger = opened()
    with pytest.raises(RunError, match=r"images are not those .* --set name=OTHER"):
        session.begin(replace(IMAGES, **changes))
    assert [one.is_ended for one in ledger.sessions()] == [True]
    assert unexplained_s(opened) is None  # what never began leaves no gap


def test_the_same_images_elsewhere_are_welcome(opened):
    unexplained_s(opened)
    session, ledger = opened()
    session.begin(replace(IMAGES, folder="elsewhere"))
    session.end()
    assert [one.is_ended for one in ledger.sessions()][-1]


def test_lines_are_written_at_once_and_later_sessions_add_theirs(opened, tmp_path):
    session, _ = opened(line("worker start", 2.0))
    session.begin(IMAGES)
    session.write(elapsed_s=12.5)
    kept = open_ledger(tmp_path)  # what a kill now would leave
    names = ["choosing and recording", "worker start"]
    assert [one.line for one in kept.sessions()[0].lines] == names
    assert kept.sessions()[0].elapsed_s == 12.5
    again, ledger = opened()
    assert again.earlier_s == 12.5
    again.begin(IMAGES)
    again.end()
    names += ["idle power", "choosing and recording", "idle power"]
    assert [one.line for one in again.overhead()] == names
    assert [one.elapsed_s for one in ledger.sessions()] == [12.5, 0.0]


def test_the_main_process_is_billed_while_it_works(opened):
    session, _ = opened()
    before = session.overhead()[0]
    until_s = time.process_time() + 0.05
    while time.process_time() < until_s:
        pass
    after = session.overhead()[0]
    assert after.line == before.line == "choosing and recording"
    assert after.energy_j > before.energy_j


def test_a_note_is_told_beside_those_of_the_images(opened):
    session, ledger = opened()
    session.begin(IMAGES)
    session.note("The front could not be scored.")
    (record,) = ledger.sessions()
    assert record.notes == (*IMAGES.notes, "The front could not be scored.")


def test_a_resumed_search_keeps_what_was_noted_but_not_what_held_until_then(opened, tmp_path):
    session, _ = opened()
    session.begin(IMAGES)
    session.note("The sampler failed.")
    session.note_for_now("The front could not be scored.")
    lasting = (*IMAGES.notes, "The sampler failed.")
    assert all_notes(open_ledger(tmp_path).sessions()) == (
        *lasting,
        "The front could not be scored.",
    )
    again, ledger = opened()
    again.begin(IMAGES)
    assert all_notes(ledger.sessions()) == lasting
