"""Tables that nobody described, and what is taken for what in them."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from replayed_tables import (
    ABOUT_SMALL,
    BENCHMARKS,
    conditional,
    long,
    small,
    wide,
    written,
)


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import replay_tables

    return replay_tables


def names_of(table):
    return [one.name for one in table.space.parameters]


# --- kinds of tables -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_wide_table_is_told_by_its_names_as_its_description_would(tables, tmp_path, kind):
    plain = written(wide(), tmp_path / f"plain_cifar10.{kind}")
    described = written(wide(), tmp_path / f"described.{kind}")
    described.with_suffix(".yaml").write_text(
        "candidate: [op_0, op_1, op_2]\n"
        "energy: edgegpu_energy_mJ\n"
        "known_before_training: [params_M, edgegpu_latency_ms]\n"
        "cost: train_time_total_s\n"
        "guess_error: 0.9\n"
        "fidelities:\n"
        "  - {score: valid_acc_12ep, share: 0.06, best: 100}\n"
        "  - score: valid_acc_200ep\n"
        "    seeds: [valid_acc_seed0, valid_acc_seed1]\n"
        "    share: 1\n"
        "    best: 100\n"
    )
    one, two = tables.read_table(plain), tables.read_table(described)
    assert one.candidates == two.candidates
    assert one.candidates[1] == {"op_0": "none", "op_1": "none", "op_2": "skip"}
    assert one.space.parameters == two.space.parameters
    for name in ("energy", "known", "errors", "costs"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), err_msg=name)
    for mine, other in zip(one.seeds, two.seeds, strict=True):
        np.testing.assert_allclose(mine, other)
    assert [len(each) for each in one.seeds] == [1, 2]
    assert one.shares == pytest.approx((0.06, 1.0))
    assert one.costs[-1].mean() == pytest.approx(1.0)
    np.testing.assert_allclose(one.costs[0], 0.06 * one.costs[1])
    assert (one.is_resumed, one.is_energy_known, one.guess_error) == (False, True, 0.9)
    assert one.known.shape == (64, 3)  # energy, params, latency of the same device
    assert any("test_acc_200ep" in note and "not used" in note for note in one.notes)


def test_a_long_table_has_checkpoints_of_one_training_as_fidelities(tables, tmp_path):
    frame = long()
    table = tables.read_table(
        written(frame.sample(frac=1.0, random_state=0), tmp_path / "long.csv")
    )
    assert table.is_resumed
    assert table.shares == pytest.approx((1 / 9, 1 / 3, 1.0))
    assert sorted(names_of(table)) == ["optimizer", "width"]
    row = table.row_of({"width": 32, "optimizer": "adam"})
    assert table.errors[:, row] == pytest.approx([1 - 0.72 * (1 - 0.5 / e) for e in (1, 3, 9)])
    mean = 9 * (8 + 16 + 32 + 64) / 4
    assert table.costs[:, row] == pytest.approx([32 * e / mean for e in (1, 3, 9)])
    assert table.energy[row] == 8.0
    assert table.is_energy_known
    assert table.unit == "runtime_s"


def test_of_many_epochs_few_are_rungs_and_the_last_is_one(tables, tmp_path):
    table = tables.read_table(written(long(range(1, 51)), tmp_path / "curves.csv"))
    assert len(table.shares) <= 6
    assert table.shares[-1] == 1.0
    ratios = [b / a for a, b in itertools.pairwise(table.shares)]
    assert all(2 <= ratio <= 4 for ratio in ratios)


def test_learning_curves_in_one_column_are_fidelities_too(tables, tmp_path):
    frame = long((27,)).drop(columns=["epoch", "val_accuracy", "runtime_s"])
    frame["curve"] = [[0.9 * (1 - 0.5 / e) for e in range(1, 28)] for _ in range(len(frame))]
    table = tables.read_table(written(frame, tmp_path / "lists.parquet"))
    assert table.is_resumed
    assert table.shares[-1] == 1.0
    assert len(table.shares) > 2
    assert table.errors[-1] == pytest.approx(np.full(8, 1 - 0.9 * (1 - 0.5 / 27)))


def test_energy_that_grows_with_training_is_known_only_after_it(tables, tmp_path):
    frame = long().rename(columns={"energy_mj": "flops"})
    frame["energy_kwh"] = frame["epoch"] * frame["width"] / 1000.0
    table = tables.read_table(written(frame, tmp_path / "training.csv"))
    assert not table.is_energy_known
    assert table.unit == "energy_kwh"
    assert table.known.tolist() == [[w / 4.0] for w in (8, 8, 16, 16, 32, 32, 64, 64)]  # flops
    assert table.energy == pytest.approx([9 * w / 1000 for w in (8, 8, 16, 16, 32, 32, 64, 64)])


def test_conditions_continuous_numbers_and_truths_become_dimensions(tables, tmp_path):
    table = tables.read_table(written(conditional(), tmp_path / "mixed.csv"))
    space = table.space
    rate, layers, kernel = map(space.dimension, ("learning_rate", "num_layers", "second_kernel"))
    assert (rate.kind, rate.log) == ("float", True)
    assert layers.choices == (1, 2, 3)  # 1.0, 2.0, 3.0 in the file
    assert space.dimension("use_se").choices == (False, True)
    (condition,) = kernel.conditions
    assert (condition.name, condition.values) == ("num_layers", (2, 3))
    shallow = next(one for one in table.candidates if one["num_layers"] == 1)
    assert "second_kernel" not in shallow
    frame = conditional()
    assert table.energy == pytest.approx((frame["power_w"] * frame["latency_ms"]).to_numpy())
    assert table.errors[-1] == pytest.approx(frame["val_error"].to_numpy())
    assert len(table.shares) == 1


def test_values_missing_for_no_reason_are_a_choice_or_when_rare_left_out(tables, tmp_path):
    frame = pd.concat([small(), small().assign(kernel=9, energy_mj=50.0)], ignore_index=True)
    frame["norm"] = ["bn", None] * 9
    frame["act"] = ["relu", "gelu", "relu"] * 6
    table = tables.read_table(written(frame, tmp_path / "norms.csv"), objective="final")
    assert table.space.dimension("norm").choices == ("bn", "none")
    many = wide()
    many["act"] = np.where(np.arange(64) % 2, "relu", "gelu")
    many.loc[5, "act"] = None
    table = tables.read_table(written(many, tmp_path / "rare.csv"))
    assert len(table.candidates) == 63
    assert any("1 candidates without act are left out" in note for note in table.notes)


def test_rows_without_score_energy_or_cost_are_left_out_and_counted(tables, tmp_path):
    frame = wide()
    frame.loc[0, "valid_acc_12ep"] = np.nan
    frame.loc[1, "edgegpu_energy_mJ"] = 0.0
    frame.loc[2, "edgegpu_energy_mJ"] = np.nan
    frame.loc[3, "train_time_total_s"] = np.nan
    frame.loc[4, "valid_acc_seed1"] = np.nan  # the other one stands for it
    table = tables.read_table(written(frame, tmp_path / "holes.csv"))
    assert len(table.candidates) == 60
    (note,) = [note for note in table.notes if note.startswith("left out")]
    assert note == "left out 4 of 64 candidates: 1 without score, 2 without energy, 1 without cost"
    row = table.row_of({"op_0": "none", "op_1": "skip", "op_2": "none"})  # the fifth
    assert table.seeds[1][1, row] == table.seeds[1][0, row]


def test_rows_of_the_same_candidate_are_single_trainings_of_it(tables, tmp_path):
    parts = [small().assign(seed=seed, val_acc=small()["final"] + seed) for seed in (0, 1, 2)]
    frame = pd.concat(parts).drop(columns=["early", "final", "first", "second"])
    table = tables.read_table(written(frame, tmp_path / "repeats.csv"))
    assert len(table.candidates) == 9
    assert table.seeds[0].shape == (3, 9)
    assert table.errors[0] == pytest.approx(1 - (small()["final"] + 1).to_numpy() / 100)


@pytest.mark.parametrize(
    ("column", "values", "errors"),
    [
        ("val_acc", [91.0, 80.0, 70.0], [0.09, 0.2, 0.3]),
        ("val_acc", [0.91, 0.8, 0.7], [0.09, 0.2, 0.3]),
        ("val_error", [9.0, 20.0, 30.0], [0.09, 0.2, 0.3]),
        ("validation_loss", [1.5, 2.5, 0.5], [1.5, 2.5, 0.5]),
    ],
)
def test_scores_are_told_from_errors_and_per_cent_from_fractions(
    tables, tmp_path, column, values, errors
):
    frame = pd.DataFrame({"depth": [1, 2, 3], column: values, "energy_j": [1.0, 2.0, 3.0]})
    table = tables.read_table(written(frame, tmp_path / "three.csv"))
    assert table.errors[-1] == pytest.approx(errors)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_encodings_are_taken_apart_and_keep_their_zeros(tables, tmp_path, kind):
    pairs = list(itertools.product("012", repeat=4))
    frame = pd.DataFrame(
        {
            "code": ["".join(pair) for pair in pairs],
            "val_acc": [50.0 + sum(map(int, pair)) for pair in pairs],
            "energy_j": [1.0 + sum(map(int, pair)) for pair in pairs],
        }
    )
    table = tables.read_table(written(frame, tmp_path / f"codes.{kind}"))
    assert names_of(table) == ["code.0", "code.1", "code.2", "code.3"]
    assert table.candidates[1] == {"code.0": "0", "code.1": "0", "code.2": "0", "code.3": "1"}
    assert not table.space.dimension("code.0").is_ordered  # codes are names


def test_lists_and_adjacency_matrices_are_taken_apart(tables, tmp_path):
    matrices = ["011001000", "010001000", "001000000", "0100"]
    frame = pd.DataFrame(
        {
            "vertices": [3, 3, 3, 2],
            "adjacency": matrices,
            "ops": ["in,conv,out", "in,pool,out", "in,conv,out", "in,out"],
            "kernels": ["[3, 5]", "[3, 3]", "[5, 5]", "[5, 3]"],
            "valid_acc": [80.0, 70.0, 60.0, 50.0],
            "energy_mJ": [4.0, 3.0, 2.0, 1.0],
        }
    )
    path = written(frame, tmp_path / "graphs.csv")
    path.with_suffix(".yaml").write_text(
        "candidate: [vertices, adjacency, ops, kernels.0, kernels.1]\n"
        'split: {adjacency: matrix, ops: ","}\n'
    )
    table = tables.read_table(path)
    first, *_, last = table.candidates
    assert first == {
        **{"vertices": 3, "adjacency.0.1": 1, "adjacency.0.2": 1, "adjacency.1.2": 1},
        **{"ops.1": "conv", "kernels.0": 3, "kernels.1": 5},
    }
    assert last == {"vertices": 2, "adjacency.0.1": 1, "kernels.0": 5, "kernels.1": 3}
    assert table.space.dimension("ops.1").conditions[0].values == (3,)


def test_one_data_set_is_replayed_and_another_can_be_chosen(tables, tmp_path):
    frame = pd.concat(
        [long().assign(dataset="a"), long().assign(dataset="b", energy_mj=99.0).iloc[:12]]
    )
    path = written(frame, tmp_path / "several.csv")
    assert len(tables.read_table(path).candidates) == 8
    other = tables.read_table(path, where={"dataset": "b"})
    assert len(other.candidates) == 4
    assert set(other.energy) == {99.0}


def test_what_is_named_counts_more_than_what_is_described(tables, tmp_path):
    path = written(small(), tmp_path / "small.csv")
    path.with_suffix(".yaml").write_text(ABOUT_SMALL)
    frame = small()
    table = tables.read_table(path, energy="seconds")
    assert table.energy.tolist() == frame["seconds"].tolist()
    table = tables.read_table(path, objective="first", fidelities=["early:0.2", "first"])
    assert table.shares == (0.2, 1.0)
    assert table.errors[-1] == pytest.approx(1 - frame["first"].to_numpy() / 100)
    assert tables.read_table(path, objective="final").shares == (0.1, 1.0)  # as described
    alone = tables.read_table(path, objective="second:max")
    assert alone.shares == (1.0,)
    long_path = written(long(), tmp_path / "long.csv")
    assert tables.read_table(long_path, fidelities=["epoch", "3", "9"]).shares == (1 / 3, 1.0)
    wide_path = written(wide(), tmp_path / "wide.csv")
    described = tables.read_table(wide_path, fidelities=["valid_acc_12ep:0.5", "valid_acc_200ep"])
    assert described.shares == (0.5, 1.0)
    assert [len(each) for each in described.seeds] == [1, 2]


# --- what is asked of a table --------------------------------------------------------------------


def test_the_hypervolume_is_that_of_all_rectangles_together(tables, tmp_path):
    table = tables.read_table(written(conditional(60), tmp_path / "mixed.csv"))
    rng = np.random.default_rng(0)
    worst, most = table.reference
    for rows in (rng.choice(60, 10, replace=False), np.arange(60), [3]):
        errors, logs = table.errors[-1][rows], np.log(table.energy[rows])
        # sum over a grid of all coordinates: is a cell dominated by any point?
        xs, ys = np.unique([*errors, worst]), np.unique([*logs, most])
        expected = sum(
            (x1 - x0) * (y1 - y0)
            for x0, x1 in itertools.pairwise(xs)
            for y0, y1 in itertools.pairwise(ys)
            if x1 <= worst and y1 <= most and ((errors <= x0) & (logs <= y0)).any()
        )
        assert table.volume(rows) == pytest.approx(expected, abs=1e-12)
    assert table.best == table.volume(range(60))


def test_values_that_no_candidate_has_are_those_of_the_nearest(tables, tmp_path):
    table = tables.read_table(written(conditional(), tmp_path / "mixed.csv"))
    rng = np.random.default_rng(5)
    low, high = (
        math.log(getattr(table.space.dimension("learning_rate"), end)) for end in ("low", "high")
    )
    spans = {"num_layers": [1, 2, 3], "width": [0.5, 0.75, 1.0], "second_kernel": [3, 5]}

    def apart(one, two):
        total = 0.0
        for name in names_of(table):
            a, b = one.get(name), two.get(name)
            if (a is None) != (b is None):
                total += 1.0
            elif name == "learning_rate":
                total += abs(math.log(a) - math.log(b)) / (high - low)
            elif name in spans and a is not None:
                choices = spans[name]
                total += abs(choices.index(a) - choices.index(b)) / (len(choices) - 1)
            else:
                total += a != b
        return total

    for _ in range(40):
        layers = int(rng.integers(1, 4))
        asked = {
            "learning_rate": float(np.exp(rng.uniform(low, high))),
            "num_layers": layers,
            "use_se": bool(rng.integers(2)),
            "activation": str(rng.choice(["relu", "gelu"])),
            "width": float(rng.choice([0.5, 0.75, 1.0])),
            **({"second_kernel": 3} if layers > 1 else {}),
        }
        found = table.candidates[table.row_of(asked)]
        least = min(apart(asked, one) for one in table.candidates)
        assert apart(asked, found) == pytest.approx(least, abs=1e-5)
    for row, one in enumerate(table.candidates):
        assert table.row_of(one) == row


def test_tables_of_the_smallest_and_a_large_size_are_read(tables, tmp_path):
    tiny = pd.DataFrame({"depth": [1, 2], "val_acc": [0.5, 0.6], "energy_j": [1.0, 2.0]})
    assert tables.read_table(written(tiny, tmp_path / "tiny.csv")).best > 0
    rng = np.random.default_rng(0)
    n = 30_000
    large = pd.DataFrame({f"op_{i}": rng.choice(list("abcd"), n) for i in range(10)})
    large["val_acc"], large["energy_j"] = rng.uniform(0.5, 0.9, n), rng.uniform(1, 9, n)
    table = tables.read_table(written(large, tmp_path / "large.parquet"))
    assert len(table.candidates) == len(large.drop_duplicates([f"op_{i}" for i in range(10)]))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"depth": [1, 2], "energy_j": [1.0, 2.0]}), "looks like a score or an error"),
        (pd.DataFrame({"depth": [1, 2], "val_acc": [0.5, 0.6]}), "looks like an energy"),
        (pd.DataFrame({"val_acc": [0.5, 0.6], "energy_j": [1.0, 2.0]}), "how candidates differ"),
        (
            pd.DataFrame({"depth": [1, 2], "val_acc": [0.5, None], "energy_j": [1.0, 2.0]}),
            "no two candidates",
        ),
    ],
)
def test_what_cannot_be_told_is_one_sentence(tables, tmp_path, frame, said):
    path = written(frame, tmp_path / "unclear.csv")
    with pytest.raises(tables.TableError, match=said) as caught:
        tables.read_table(path)
    assert "\n" not in str(caught.value)


def test_a_description_with_a_key_that_means_nothing_is_refused(tables, tmp_path):
    path = written(small(), tmp_path / "small.csv")
    path.with_suffix(".yaml").write_text("candidates: [depth]\n")
    with pytest.raises(tables.TableError, match="unknown candidates; allowed: candidate"):
        tables.read_table(path)
