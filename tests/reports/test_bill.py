from dataclasses import replace

import pytest
from builders import (
    ESTIMATED,
    MEASURED,
    complete,
    failed,
    infeasible,
    line,
    pruned,
    reused,
    sample_run,
    stopped,
    summary,
)

from ecoautoml.records.trial_result import TrialState
from ecoautoml.reports.bill import energy_bill


def by_kind(bill):
    return {item.kind: item.energy_j for item in bill.items}


def test_every_joule_stands_on_one_line_and_the_total_is_their_sum():
    original = complete(0, 0.9, 0.002)
    results = [original, pruned(1), infeasible(2), failed(3), reused(4, original), stopped(5)]
    run = summary(overhead=(line("overhead", 3.0),), interrupted={1: line("interrupted", 4.0)})
    bill = energy_bill(results, run)
    assert by_kind(bill) == {
        "useful": 105.0,
        "pruned": 35.0,
        "stopped": 35.0,
        "infeasible": 7.0,
        "failed": 20.0,
        "interrupted": 4.0,
        "overhead": 3.0,
    }
    assert bill.total_energy_j == pytest.approx(209.0)


def test_measured_and_estimated_joules_are_told_apart():
    results = [complete(0, 0.9, 0.002, provenance=MEASURED), pruned(1)]
    bill = energy_bill(results, summary())
    assert bill.by_provenance == {MEASURED: 105.0, ESTIMATED: 35.0}
    assert bill.provenance is ESTIMATED


def test_an_attempt_that_stayed_interrupted_is_counted_once():
    stayed = replace(failed(5), state=TrialState.INTERRUPTED)
    assert by_kind(energy_bill([stayed], summary())) == {"interrupted": 20.0}
    run = summary(interrupted={5: line("interrupted", 25.0)})
    assert by_kind(energy_bill([stayed], run)) == {"interrupted": 25.0}


def test_what_cannot_be_read_is_unknown_and_not_zero():
    results = [complete(0, 0.9, None, energy=(line("training", None),))]
    bill = energy_bill(results, summary(carbon_intensity_gco2e_per_kwh=300.0))
    assert bill.total_energy_j is None
    assert bill.carbon_gco2e is None
    assert bill.provenance is None
    assert bill.n_unknown_lines == 1
    assert by_kind(bill) == {"useful": None}


def test_grams_need_an_intensity_and_take_the_pue():
    results = [failed(0, energy=(line("training", 3_600_000.0),))]
    assert energy_bill(results, summary()).carbon_gco2e is None
    run = summary(carbon_intensity_gco2e_per_kwh=400.0)
    assert energy_bill(results, run).carbon_gco2e == pytest.approx(400.0)
    assert energy_bill(results, replace(run, pue=1.5)).carbon_gco2e == pytest.approx(600.0)


def test_an_empty_run_has_an_empty_bill():
    bill = energy_bill([], summary())
    assert bill.items == ()
    assert bill.total_energy_j is None


def test_the_sample_run_adds_up():
    bill = energy_bill(*sample_run())
    assert bill.total_energy_j == pytest.approx(sum(item.energy_j for item in bill.items))
    assert bill.total_energy_j == pytest.approx(sum(bill.by_provenance.values()))
