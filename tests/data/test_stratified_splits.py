import numpy as np
import pytest

from ecoautoml.data.splits import stratified_rows


def choose(labels, count, *, keep=1, seed=0):
    rng = np.random.default_rng(seed)
    return stratified_rows(np.asarray(labels), count, keep=keep, rng=rng)


def test_every_class_gives_its_share():
    labels = np.repeat([0, 1, 2], [100, 200, 700])
    rows = choose(labels, 100)
    assert np.bincount(labels[rows]).tolist() == [10, 20, 70]
    assert len(set(rows.tolist())) == 100


def test_the_count_is_met_exactly_when_shares_are_uneven():
    labels = np.repeat([0, 1, 2, 3], [33, 33, 33, 1001])
    assert len(choose(labels, 100)) == 100


def test_a_small_class_gives_one_and_keeps_what_it_must():
    labels = np.repeat([0, 1], [1000, 3])
    rows = choose(labels, 10, keep=2)
    assert np.bincount(labels[rows]).tolist() == [9, 1]
    assert np.bincount(labels[choose(labels, 1002, keep=2)]).tolist() == [998, 1]


def test_rows_marked_minus_one_are_never_chosen():
    labels = np.repeat([0, -1, 1], [10, 50, 10])
    assert set(labels[choose(labels, 10)]) == {0, 1}


def test_the_seed_decides():
    labels = np.repeat([0, 1], 50)
    assert np.array_equal(choose(labels, 20, seed=3), choose(labels, 20, seed=3))
    assert not np.array_equal(choose(labels, 20, seed=3), choose(labels, 20, seed=4))


@pytest.mark.parametrize("seed", range(20))
def test_random_class_sizes_never_break_the_promises(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 60, rng.integers(2, 12))
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    count = int(rng.integers(1, sizes.sum()))
    chosen = np.bincount(labels[choose(labels, count, keep=2)], minlength=len(sizes))
    assert (chosen >= 1).all()
    assert (sizes - chosen >= 2).all()
    assert chosen.sum() == min(max(count, len(sizes)), (sizes - 2).sum())
