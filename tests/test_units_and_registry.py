import pytest

from ecoautoml.errors import ConfigError
from ecoautoml.registry import Entry, Registry, suggest
from ecoautoml.units import (
    JOULES_PER_KWH,
    JOULES_PER_WH,
    format_bytes,
    format_duration,
    format_energy,
    joules_from_wh,
    wh_from_joules,
)

ORDERED = Entry(name="ordered", target="collections:OrderedDict", description="keeps its order")
COUNTER = Entry(name="counter", target="collections:Counter", description="counts")

# --- units ----------------------------------------------------------------------------------------


def test_joules_and_watt_hours_are_each_other():
    assert joules_from_wh(2.5) == 9000.0
    assert wh_from_joules(9000.0) == 2.5
    assert JOULES_PER_KWH == 1000 * JOULES_PER_WH


@pytest.mark.parametrize(
    ("energy_j", "text"),
    [
        (None, "?"),
        (0, "0 J"),
        (1, "1 J"),
        (12_345, "12.3 kJ"),
        (3.6e6, "3.6 MJ"),
        (4.2e9, "4.2 GJ"),
        (0.00123, "1.23 mJ"),
        (4.56e-6, "4.56 µJ"),
        (7e-9, "7 nJ"),
        (1e-12, "0.001 nJ"),
        (999.4, "999 J"),
        (999.9, "1 kJ"),
        (0.9999, "1 J"),
        (999_999, "1 MJ"),
        (-1500, "-1.5 kJ"),
    ],
)
def test_joules_are_shown_with_a_fitting_prefix(energy_j, text):
    assert format_energy(energy_j) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (812, "812 B"), (1_234_000, "1.23 MB")])
def test_bytes_are_shown_with_a_fitting_prefix(size, text):
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_are_shown_in_two_units_at_most(duration_s, text):
    assert format_duration(duration_s) == text


# --- registry -------------------------------------------------------------------------------------


def test_a_member_is_imported_when_it_is_asked_for():
    from collections import Counter

    nowhere = Entry(name="nowhere", target="no_such_module:Thing", description="not installed")
    registry = Registry("box", [ORDERED, COUNTER, nowhere])
    assert registry.names() == ("ordered", "counter", "nowhere")
    assert registry.get("counter") is Counter
    with pytest.raises(ModuleNotFoundError):
        registry.get("nowhere")


def test_an_unknown_name_is_refused_with_the_nearest():
    registry = Registry("box", [ORDERED, COUNTER])
    with pytest.raises(
        ConfigError,
        match=r"^no box is called 'conter'; did you mean 'counter'\? Allowed: ordered, counter\.$",
    ):
        registry.get("conter")


def test_a_name_is_given_once():
    registry = Registry("box", [ORDERED])
    with pytest.raises(ValueError, match="two boxs are called 'ordered'"):
        registry.add(ORDERED)
    registry.add(COUNTER)
    assert registry.entries() == (ORDERED, COUNTER)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Install a package that offers two boxes, one of them under a name that is taken."""
    info = tmp_path / "more_boxes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: more_boxes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[tests.boxes]\nspecial = more_boxes:SpecialBox\nordered = more_boxes:SpecialBox\n"
    )
    (tmp_path / "more_boxes.py").write_text("class SpecialBox:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("plugin")
def test_another_package_may_add_members_but_replace_none():
    from collections import OrderedDict

    registry = Registry("box", [ORDERED], group="tests.boxes")
    assert registry.names() == ("ordered", "special")
    assert registry.get("special").__name__ == "SpecialBox"
    assert registry.get("ordered") is OrderedDict
    assert Registry("box", [ORDERED]).names() == ("ordered",)


def test_a_suggestion_is_made_only_when_something_is_near():
    assert suggest("sgdd", ["sgd", "adamw"]) == "; did you mean 'sgd'? Allowed: sgd, adamw."
    assert suggest("xyzzy", ["sgd", "adamw"]) == ". Allowed: sgd, adamw."
