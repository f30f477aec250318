"""Small tables of finished trainings, each of another kind, that can be worked out by hand."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def small():
    """Return nine candidates: deeper is better and dearer, a larger kernel only dearer."""
    rows = []
    for depth, kernel in itertools.product([1, 2, 3], [3, 5, 7]):
        final = 60.0 + 10 * depth
        rows.append(
            {
                "depth": depth,
                "kernel": kernel,
                "energy_mj": float(depth * kernel),
                "seconds": 100.0 * depth,
                "early": final - 30,
                "final": final,
                "first": final - 1,
                "second": final + 1,
            }
        )
    return pd.DataFrame(rows)


ABOUT_SMALL = """
candidate: [depth, kernel]
energy: energy_mj
known_before_training: [energy_mj]
cost: seconds
fidelities:
  - {score: early, share: 0.1, best: 100}
  - {score: final, seeds: [first, second], share: 1.0, best: 100}
"""


def wide():
    """Return a table as NAS benchmarks are: accuracies in per cent after 12 and 200 epochs."""
    ops = ["none", "skip", "conv1", "conv3"]
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(list(itertools.product(ops, ops, ops)), columns=["op_0", "op_1", "op_2"])
    strength = frame.map(ops.index).sum(axis=1)
    frame.insert(0, "arch_index", range(len(frame)))
    frame["arch_str"] = ["|".join(row) for row in frame[["op_0", "op_1", "op_2"]].to_numpy()]
    frame["params_M"] = 0.1 + 0.05 * strength
    frame["valid_acc_12ep"] = 30.0 + 3.0 * strength + rng.normal(0, 2, len(frame))
    for seed in range(2):
        frame[f"valid_acc_seed{seed}"] = 60.0 + 3.0 * strength + rng.normal(0, 1, len(frame))
    frame["valid_acc_200ep"] = frame[["valid_acc_seed0", "valid_acc_seed1"]].mean(axis=1)
    frame["test_acc_200ep"] = frame["valid_acc_200ep"] + 1.0
    frame["train_time_total_s"] = 1000.0 + 100.0 * strength
    frame["edgegpu_energy_mJ"] = 2.0 + 1.5 * strength + rng.uniform(0, 0.5, len(frame))
    frame["edgegpu_latency_ms"] = 1.0 + 0.5 * strength
    frame["pixel_latency_ms"] = 3.0 + 2.0 * strength
    return frame


def long(epochs=(1, 3, 9)):
    """Return checkpoints of one training each: a row per candidate and epoch, fractions."""
    rows = []
    for width, optimizer in itertools.product([8, 16, 32, 64], ["sgd", "adam"]):
        for epoch in epochs:
            best = 0.6 + 0.05 * np.log2(width / 8) + (0.02 if optimizer == "adam" else 0.0)
            rows.append(
                {
                    "config_id": f"{width}-{optimizer}",
                    "width": width,
                    "optimizer": optimizer,
                    "epoch": epoch,
                    "val_accuracy": best * (1.0 - 0.5 / epoch),
                    "test_accuracy": best,
                    "energy_mj": width / 4.0,
                    "runtime_s": float(epoch * width),
                }
            )
    return pd.DataFrame(rows)


def conditional(n=120, seed=3):
    """Return hyperparameters of all kinds, one of which only some candidates have."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "learning_rate": 10 ** rng.uniform(-4, -1, n),
            "num_layers": rng.integers(1, 4, n).astype(float),
            "use_se": rng.random(n) < 0.5,
            "activation": rng.choice(["relu", "gelu"], n),
            "width": rng.choice([0.5, 0.75, 1.0], n),
        }
    )
    frame["second_kernel"] = np.where(frame["num_layers"] > 1, rng.choice([3.0, 5.0], n), np.nan)
    frame["val_error"] = 0.5 - 0.1 * frame["num_layers"] + rng.uniform(0, 0.05, n)
    frame["latency_ms"] = frame["num_layers"] * frame["width"] * 3.0
    frame["power_w"] = 5.0 + frame["width"]
    frame["train_time_s"] = 60.0 * frame["num_layers"]
    return frame


def written(frame, path):
    """Write a table as what its name ends with, and return where."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path
