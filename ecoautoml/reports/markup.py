"""Small pieces of HTML; everything that comes from outside is escaped here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence

import plotly.graph_objects as go


def escape(text: object) -> str:
    """Return text that HTML shows as it is, also inside attributes."""
    return html.escape(str(text))


def section(title: str, *parts: str, lead: str | None = None) -> str:
    """Return a section; empty parts are left out.

    Args:
        title: Heading, plain text.
        parts: HTML.
        lead: One or two sentences under the heading, plain text.
    """
    intro = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{intro}{''.join(parts)}\n</section>"


def plot(identifier: str, figure: go.Figure) -> str:
    """Return the place of a figure and its data; the page's script draws it."""
    # "<" as an escape: no text inside the data can end the script element.
    data = json.dumps(json.loads(figure.to_json())).replace("<", "\\u003c")
    return (
        f'<div class="plot" data-figure="{escape(identifier)}"></div>\n'
        f'<script type="application/json" id="{escape(identifier)}">{data}</script>'
    )


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    row_classes: Sequence[str] = (),
    *,
    is_prose: bool = False,
) -> str:
    """Return a table that scrolls sideways on a narrow screen.

    Args:
        columns: Headings, plain text.
        rows: Cells, HTML.
        row_classes: CSS class of each row; none when left out.
        is_prose: Whether the cells are words, which may wrap, and not numbers.
    """
    kind = ' class="prose"' if is_prose else ""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = []
    for index, row in enumerate(rows):
        name = row_classes[index] if index < len(row_classes) else ""
        cells = "".join(f"<td>{cell}</td>" for cell in row)
        body.append(f'<tr class="{escape(name)}">{cells}</tr>' if name else f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def definitions(pairs: Mapping[str, str]) -> str:
    """Return terms and what they mean, both plain text."""
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs.items())
    return f"<dl>{items}</dl>"


def folded(title: str, items: Iterable[str]) -> str:
    """Return a list behind a title to click on, all plain text."""
    entries = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<details><summary>{escape(title)}</summary><ul>{entries}</ul></details>"


def warning(text: str | None) -> str:
    """Return a warning, nothing for None."""
    return f'<p class="warning">{escape(text)}</p>' if text else ""
