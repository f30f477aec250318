"""Candidates as rows of numbers: drawn, changed and read back."""

import numpy as np
import pytest
from searches_by_hand import conditional_space

from ecoautoml.spaces.dimensions import Condition, Dimension, SearchSpace, is_active, validate_point
from ecoautoml.spaces.load import load_space
from ecoautoml.strategies.energy_first.lattice import Lattice

DIMENSIONS = (
    Dimension(name="depth", section="architecture", kind="int", low=0, high=3, step=1),
    Dimension(name="fixed", section="architecture", kind="categorical", choices=("a",)),
    Dimension(
        name="kernel",
        section="architecture",
        kind="categorical",
        choices=(3, 5, 7),
        conditions=(Condition(name="depth", above=0),),
    ),
    Dimension(
        name="se",
        section="architecture",
        kind="float",
        low=0.0,
        high=1.0,
        step=0.25,
        conditions=(Condition(name="kernel", values=(5, 7)),),
    ),
    Dimension(name="rate", section="hyperparameters", kind="float", low=1e-4, high=1e-1, log=True),
    Dimension(name="batch", section="hyperparameters", kind="int", low=8, high=512, log=True),
    Dimension(name="flag", section="hyperparameters", kind="categorical", choices=(False, True)),
)
MIXED = SearchSpace(name="mixed", description="", builder="none", parameters=DIMENSIONS)
SPACES = [MIXED, conditional_space(), load_space("tiny"), load_space("mobilenet_v3")]
each_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


def drawn(space, n=60, seed=0):
    lattice = Lattice(space)
    return lattice, lattice.draw(np.random.default_rng(seed), n)


@each_space
def test_rows_are_candidates_of_the_space_and_come_back_as_they_were(space):
    lattice, rows = drawn(space)
    for row in rows:
        values = lattice.values(row)
        validate_point(space, values)
        assert np.allclose(lattice.places(values), row, atol=1e-9, equal_nan=True)


@each_space
def test_a_row_has_exactly_the_parameters_that_are_active(space):
    lattice, rows = drawn(space)
    for row in rows:
        values = lattice.values(row)
        for index, one in enumerate(space.parameters):
            assert np.isnan(row[index]) == (not is_active(one, values))


@each_space
def test_changed_candidates_differ_in_few_values_and_what_hangs_on_them(space):
    lattice, rows = drawn(space)
    changed = lattice.change(rows, np.random.default_rng(1), 2)
    n_changed = []
    for old, new in zip(rows, changed, strict=True):
        validate_point(space, lattice.values(new))
        both = ~np.isnan(old) & ~np.isnan(new)
        n_changed.append(int((np.abs(old - new) > 1e-9)[both].sum()))
    assert max(n_changed) <= 2
    assert sum(count > 0 for count in n_changed) > len(rows) // 2


def test_every_value_is_as_likely_as_any_other():
    lattice, rows = drawn(MIXED, 4000)
    depths = [lattice.values(row)["depth"] for row in rows]
    assert [depths.count(depth) for depth in range(4)] == pytest.approx([1000] * 4, rel=0.15)
    rates = np.log10([lattice.values(row)["rate"] for row in rows])
    assert np.quantile(rates, [0.25, 0.5, 0.75]) == pytest.approx([-3.25, -2.5, -1.75], abs=0.1)


def test_only_unknown_rows_are_kept_each_once():
    lattice, rows = drawn(MIXED, 20)
    many = np.vstack([rows[:10], rows[5:], rows[5:]])
    assert np.array_equal(lattice.unknown(many, rows[:5]), rows[5:], equal_nan=True)


def test_the_same_chance_draws_the_same():
    assert np.array_equal(drawn(MIXED)[1], drawn(MIXED)[1], equal_nan=True)
    assert not np.array_equal(drawn(MIXED)[1], drawn(MIXED, seed=1)[1], equal_nan=True)
