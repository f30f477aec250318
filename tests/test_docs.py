"""Promises about the documentation."""

import re
import runpy
from pathlib import Path

import pytest

from ecoautoml.energy.cpu.cpu_watts import FALLBACK, TABLE

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def name_of(path):
    return str(path.relative_to(ROOT))


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """Return what GitHub calls the headings of a page."""
    headings = HEADING.findall(without_code(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links(page):
    links = LINK.findall(without_code(page.read_text()))
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def test_the_page_of_all_keys_is_what_its_script_would_write():
    script = runpy.run_path(str(ROOT / "docs" / "make_configuration.py"))
    assert (ROOT / "docs" / "configuration.md").read_text() == script["page"](), (
        "run: python docs/make_configuration.py"
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_point_to_what_exists(page):
    broken = []
    for link in relative_links(page):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        is_page = target.suffix == ".md" and target.is_file()
        if not target.exists() or (anchor and is_page and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_the_readme_links_to_every_page():
    linked = {(ROOT / link).resolve() for link in relative_links(ROOT / "README.md")}
    assert {page for page in PAGES[1:] if page not in linked} == set()


def test_the_optuna_page_shows_what_the_example_runs():
    shown = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "optuna.md").read_text(), re.DOTALL)
    assert shown.group(1) in (ROOT / "examples" / "optuna_study.py").read_text()


def test_every_room_stands_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "ecoautoml"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    modules = {path.name for path in package.glob("*.py")}
    assert {room for room in rooms if f"{room}/" not in text} == set()
    assert {module for module in modules if module not in text} == set()


def test_the_watts_of_the_energy_page_are_those_of_the_code():
    text = (ROOT / "docs" / "energy.md").read_text()
    assert f"| {FALLBACK.kind} (all others) | {FALLBACK.active_w:g} |" in text
    for entry in TABLE:
        assert f"| {entry.kind} | {entry.active_w:g} |" in text
