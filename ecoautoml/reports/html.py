"""The report of a run: one HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from plotly.offline import get_plotlyjs

from ecoautoml.records.trial_result import TrialResult
from ecoautoml.reports import sections
from ecoautoml.reports.frame import Frames, make_frames
from ecoautoml.reports.markup import escape
from ecoautoml.reports.summary import RunSummary

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
"""Content security policy: the browser itself refuses whatever would need a network."""


def write_report(
    path: Path, results: Sequence[TrialResult], summary: RunSummary, frames: Frames | None = None
) -> None:
    """Write the report of a run as one self-contained HTML file.

    Args:
        path: File to write; its folder is made when missing.
        results: All trials, in the order in which they ended.
        summary: The run beside its trials.
        frames: `make_frames` of the same run; None: made here.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    page = report_html(results, summary, frames or make_frames(results, summary))
    path.write_text(page, encoding="utf-8")


def report_html(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> str:
    """Return the page; about 4 MB, nearly all of it the plotting library."""
    body = "\n".join(
        (
            sections.header(results, summary, frames),
            sections.front_section(results, summary, frames),
            sections.spending_section(results, summary),
            sections.curves_section(results, summary, frames),
            sections.pruner_section(results, summary, frames),
            sections.trouble_section(results),
            sections.notes_section(results, summary),
        )
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(summary.name)}: accuracy and energy</title>
<style>{_asset("report.css")}</style>
</head>
<body>
<main>
{body}
<footer>Made by ecoautoml. This page needs no network.</footer>
</main>
<script>{get_plotlyjs()}</script>
<script>{_asset("report.js")}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    folder = resources.files("ecoautoml.reports").joinpath("assets")
    return folder.joinpath(name).read_text(encoding="utf-8")
