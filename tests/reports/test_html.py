import re
from html.parser import HTMLParser

import pytest
from builders import MEASURED, complete, failed, infeasible, pruned, sample_run, summary

from ecoautoml.reports.frame import make_frames
from ecoautoml.reports.html import report_html, write_report

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Checker(HTMLParser):
    """Collects what a page loads, its visible text, and tags that do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.text, self.unbalanced = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def page_of(results, run=None):
    run = run or summary()
    page = report_html(results, run, make_frames(results, run))
    # The plotting library is 4 MB of somebody else's text.
    page = re.sub(r"<script>/\*\*.*?</script>", "<script></script>", page, flags=re.DOTALL)
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert not checker.unbalanced
    return page, " ".join(" ".join(checker.text).split()), checker


def test_the_file_is_one_page_that_loads_nothing(tmp_path):
    results, run = sample_run()
    write_report(tmp_path / "new" / "report.html", results, run)
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "Plotly.react" in page
    assert len(page) > 1_000_000
    assert "default-src 'none'" in page
    assert page_of(results, run)[2].loads == []


def test_the_header_tells_the_essentials():
    _, text, _ = page_of(*sample_run())
    for part in ("25 trials: 16 finished", "~1.95 kJ", "CO2e (DE)", "7 min 14 s", "Recommended"):
        assert part in text
    assert "estimated" in text


def test_measured_joules_have_no_tilde():
    _, text, _ = page_of([complete(0, 0.9, 0.002, provenance=MEASURED)])
    assert "105 J" in text
    assert "~" not in text


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([], "No trial has run yet."),
        ([failed(0), failed(1)], "there is no front yet"),
        ([pruned(0), infeasible(1)], "there is no front yet"),
        ([complete(0, 0.9, None, energy=())], "1 complete trial is left out"),
    ],
)
def test_a_run_without_a_front_still_has_a_page(results, sentence):
    _, text, _ = page_of(results)
    assert sentence in text
    assert "Recommended" not in text


def test_text_from_outside_cannot_become_markup():
    evil = "</script><script>alert(1)</script><b>"
    results = [
        complete(0, 0.9, 0.002, parameters={evil: evil}, reason=evil),
        failed(1, reason=evil),
    ]
    run = summary(
        name=evil,
        hardware={evil: evil},
        notes=(evil,),
        zone=evil,
        carbon_intensity_gco2e_per_kwh=1.0,
    )
    page, text, _ = page_of(results, run)
    assert "<script>alert" not in page
    assert evil in text


def test_a_mixed_front_carries_its_warning():
    results = [complete(0, 0.95, 0.004, provenance=MEASURED), complete(1, 0.9, 0.002)]
    _, text, _ = page_of(results)
    assert "partly estimated and measured" in text
    assert "105 J measured and ~105 J estimated" in text


def test_the_pruner_check_tells_what_would_have_been_lost():
    kept = complete(0, 0.9, 0.002)
    assert "would have been stopped" not in page_of([kept])[1]
    beaten = complete(1, 0.8, 0.003, would_have_stopped=4)
    text = page_of([kept, beaten])[1]
    assert "1 trial would have been stopped and ran on" in text
    assert "6 epochs (30 % of all)" in text
    assert "None of them is on the front" in text
    better = complete(2, 0.95, 0.004, would_have_stopped=4)
    assert "1 of them is on the front (trial 2)" in page_of([kept, beaten, better])[1]


def test_the_stated_and_the_measured_rate_of_wrong_stops_are_told():
    kept, watched = complete(0, 0.9, 0.002), complete(1, 0.8, 0.003, would_have_stopped=4)
    run = summary(error_rate=0.05)
    alone = page_of([kept], run)[1]
    assert "At most 5 % of such stops may be wrong" in alone
    assert "it could not be measured" in alone
    text = page_of([kept, watched], run)[1]
    assert "0 of 1 that ran on as a control group joined the front" in text
    assert "95 % interval of the share: 0 % to 98 %" in text


def test_failures_are_listed_with_their_reason():
    text = page_of([failed(3), failed(5)])[1]
    assert "3, 5 failed the loss became NaN in epoch 2" in text
