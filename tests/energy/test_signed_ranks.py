"""The middle of scattered values, against another implementation and by trial."""

import math

import numpy as np
import pytest
from scipy import stats

from ecoautoml.energy.protocol.blocks import half_width
from ecoautoml.energy.protocol.signed_ranks import middle


def test_by_hand():
    """Of 1, 2, 10 the means are 1, 1.5, 2, 5.5, 6, 10; ranks 1..3 have 8 equally likely sums."""
    found = middle([1.0, 2.0, 10.0], 0.75)
    assert found == (1.0, 3.75, 10.0)
    assert middle([1.0, 2.0, 10.0], 0.8) is None


def test_eight_values_are_the_fewest_for_99_per_cent():
    assert middle(range(7), 0.99) is None
    assert middle([float(i) for i in range(8)], 0.99) == (0.0, 3.5, 7.0)


@pytest.mark.parametrize("n", [8, 15, 30, 50])
def test_zero_is_outside_just_when_the_test_rejects_it(n):
    rng = np.random.default_rng(n)
    for shift in (0.0, 0.3, 0.8):
        for _ in range(40):
            values = rng.standard_normal(n) + shift
            found = middle(values, 0.99)
            p = stats.wilcoxon(values, method="exact").pvalue
            assert (not found.low <= 0 <= found.high) == (p <= 0.01)


def test_it_covers_the_truth_as_often_as_it_says_and_far_off_values_hardly_widen_it():
    """Noise as on a machine with neighbours: one block in five takes much longer."""
    rng = np.random.default_rng(0)
    missed, widths, widths_of_means = 0, [], []
    for _ in range(1000):
        blocks = 0.01 * rng.standard_normal((2, 30))
        blocks += np.where(rng.random((2, 30)) < 0.2, rng.exponential(0.3, (2, 30)), 0.0)
        logs = blocks[0] - blocks[1]
        found = middle(logs, 0.99)
        missed += not found.low <= 0 <= found.high
        widths.append(found.high - found.low)
        widths_of_means.append(2 * half_width(list(logs), 0.99))
    assert missed <= 20  # 10 expected
    assert np.median(widths) < np.median(widths_of_means) / 2


def test_three_hundred_values_are_no_trouble():
    found = middle(np.random.default_rng(1).standard_normal(300), 0.99)
    assert found.high - found.low == pytest.approx(2 * 2.576 / math.sqrt(300), rel=0.2)
