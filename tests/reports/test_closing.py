"""Whether the bill closes, and how that is told."""

from dataclasses import replace

import pytest
from builders import complete, line, summary

from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.idle_power import IdlePower
from ecoautoml.records.session_record import SessionRecord
from ecoautoml.reports.bill import energy_bill
from ecoautoml.reports.closing import closing_words, idle_words

MEASURED = Provenance.MEASURED


def net_line(name, energy_j, net_j):
    return replace(line(name, energy_j, provenance=MEASURED), net_j=net_j)


def bill(metered_j=100.0, trial_net_j=60.0, idle_j=30.0, others_j=5.0, **changes):
    trial = replace(
        complete(0, 0.9, 1e-3), energy=(net_line("training", trial_net_j + 20, trial_net_j),)
    )
    run = summary(
        overhead=(net_line("choosing and recording", 9.0, 5.0),),
        idle=(net_line("idle power", idle_j, idle_j),),
        others=(net_line("other programs", 8.0, others_j),),
        metered=(line("metered", metered_j, provenance=MEASURED),),
        **changes,
    )
    return energy_bill([trial], run)


def test_beside_idle_power_every_other_line_stands_net_of_it():
    costs = bill()
    assert {item.kind: item.energy_j for item in costs.items} == {
        "useful": 60.0,
        "overhead": 5.0,
        "idle": 30.0,
    }
    assert costs.total_energy_j == pytest.approx(95.0)
    assert costs.others_j == 5.0


@pytest.mark.parametrize(
    ("metered_j", "unexplained_j", "words"),
    [
        (100.0, 0.0, "the lines of the bill add up to it"),
        (104.0, 4.0, "3.8 % of it (4 J) is unexplained"),
        (98.0, -2.0, "the lines of the bill add up to 2 % more"),
    ],
)
def test_what_no_line_accounts_for_is_told_as_unexplained(metered_j, unexplained_j, words):
    costs = bill(metered_j)
    assert costs.unexplained_j == pytest.approx(unexplained_j)
    said = closing_words(costs)
    assert said.startswith(f"Metered from start to end: {metered_j:g} J; {words}")
    assert said.endswith("; other programs took ~5 J of it.")


def test_a_bill_with_an_unknown_line_does_not_pretend_to_close():
    trial = replace(complete(0, 0.9, 1e-3), energy=(line("training", None),))
    run = summary(metered=(line("metered", 100.0),), overhead=(line("worker start", 5.0),))
    costs = energy_bill([trial], run)
    assert costs.unexplained_j is None
    assert closing_words(costs) is None


def test_nothing_metered_is_unknown_not_zero():
    for lines in ((), (line("metered", None),), (line("metered", 3.0), line("metered", None))):
        costs = energy_bill([complete(0, 0.9, 1e-3)], summary(metered=lines))
        assert costs.metered_j is None
        assert costs.unexplained_j is None
        assert closing_words(costs) is None


def power(idle_w, reason=None, provenance=MEASURED):
    return IdlePower(
        component="cpu",
        idle_w=idle_w,
        provenance=provenance,
        source="rapl:package-0",
        duration_s=2.0,
        reason=reason,
    )


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ((), (), None),
        ((power(None),), (), None),
        ((power(12.0),), (power(12.5),), "12 W"),
        ((power(12.0),), (power(14.0),), "12 W at the start, 14 W at the end"),
        ((power(1.48, provenance=Provenance.ESTIMATED),), (), "~1.48 W"),
        ((power(20.0, "the machine was 9 % busy meanwhile"),), (),
         "20 W (the machine was 9 % busy meanwhile)"),
    ],
)  # fmt: skip
def test_idle_watts_are_told_with_their_drift_and_their_reason(before, after, words):
    assert idle_words(SessionRecord(idle_before=before, idle_after=after)) == words
