import pytest
from builders import MEASURED, complete, sample_run, summary

from ecoautoml.reports.frame import make_frames
from ecoautoml.reports.text import front_table_text
from ecoautoml.reports.wording import format_count, format_metric, format_share


def test_cells_have_units_and_estimates_a_tilde():
    front = make_frames([complete(0, 0.978, 12.3e-6, latency_ms=0.52)], summary()).front
    table = front_table_text(front)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row == {
        "trial": "0",
        "accuracy": "97.8 %",
        "energy / image": "~12.3 µJ",
        "training energy": "~100 J",
        "latency": "0.52 ms",
        "params": "10 k",
        "MACs": "500 k",
        "size": "42 kB",
    }


def test_measured_joules_have_no_tilde():
    front = make_frames([complete(0, 0.9, 12.3e-6, provenance=MEASURED)], summary()).front
    assert "12.3 µJ" in front_table_text(front).rows[0]


def test_an_empty_front_has_no_rows():
    assert front_table_text(make_frames([], summary()).front) == (("trial",), ())


def test_every_row_has_a_cell_for_every_column():
    table = front_table_text(make_frames(*sample_run()).front)
    assert {len(row) for row in table.rows} == {len(table.columns)}


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (1000, "1 k"), (12_345, "12.3 k"), (2.5e6, "2.5 M")]
)
def test_counts_are_short(value, text):
    assert format_count(value) == text


def test_unknown_is_a_question_mark():
    assert format_metric("latency_ms", None) == "?"


@pytest.mark.parametrize(("share", "text"), [(0.23, "23 %"), (0.0045, "0.45 %"), (1.0, "100 %")])
def test_shares_keep_two_digits(share, text):
    assert format_share(share) == text
