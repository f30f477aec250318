"""What keeping freed memory saves a training step: workers' allocator setting on and off.

    python benchmarks/allocator.py [--rounds 5] [--out benchmarks/results/allocator.json]

Trains one network of the `tiny` space on random 28 px images, in processes of its own, with and
without the setting, in turn, and prints milliseconds and page faults per step and their ratio.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BATCH_SIZE, WARM_UP_STEPS, STEPS = 128, 5, 30


def train(is_kept: bool) -> dict[str, float]:
    """Return milliseconds and page faults per step, in this process."""
    from ecoautoml.executors.worker import _keep_freed_memory

    if is_kept:
        _keep_freed_memory()
    import torch

    from ecoautoml.config.models import TrainingConfig
    from ecoautoml.data.tensors import ImageTensors
    from ecoautoml.models.build import build_network
    from ecoautoml.models.deployable import Deployable
    from ecoautoml.spaces.load import load_space
    from ecoautoml.spaces.random import random_candidate
    from ecoautoml.trial.settings import settings_for
    from ecoautoml.trial.train import Trainer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    candidate = random_candidate(load_space("tiny"), seed=3)
    side = int(candidate.architecture["resolution"])
    n_images = BATCH_SIZE * STEPS
    images = ImageTensors(
        images_nchw=torch.randint(0, 256, (n_images, 1, side, side), dtype=torch.uint8),
        labels=torch.randint(0, 10, (n_images,)),
    )
    network = build_network(candidate, in_chans=1, num_classes=10)
    trainer = Trainer(
        Deployable(network, mean=(0.5,), std=(0.25,)),
        settings_for(candidate, 2),
        TrainingConfig(class_weights="none"),
        images,
        n_classes=10,
        device="cpu",
        seed=0,
    )
    trainer.run_epoch(1, lambda: None)
    started_s, faults = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    n_steps = 0

    def count() -> None:
        nonlocal n_steps
        n_steps += 1

    trainer.run_epoch(2, count)
    elapsed_s = time.perf_counter() - started_s
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"step_ms": 1e3 * elapsed_s / n_steps, "page_faults": faults / n_steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/allocator.json")
    parser.add_argument("--one", choices=("kept", "given_back"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train(options.one == "kept")))
        return
    runs: dict[str, list[dict[str, float]]] = {"given_back": [], "kept": []}
    for _ in range(options.rounds):
        for name, found in runs.items():
            command = [sys.executable, __file__, "--one", name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found.append(json.loads(output.splitlines()[-1]))
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in runs.items()
    }
    for name, median in medians.items():
        print(f"{name:<11} {median['step_ms']:7.1f} ms/step {median['page_faults']:9.0f} faults")
    ratios = [
        before["step_ms"] / after["step_ms"]
        for before, after in zip(runs["given_back"], runs["kept"], strict=True)
    ]
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.2f} (of {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds)")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(_result(runs, ratio), indent=2) + "\n")


def _result(runs: Any, ratio: float) -> dict[str, Any]:
    from ecoautoml.study.environment import environment

    about = environment("cpu", (), 0)
    about.pop("git_commit")
    return {"environment": about, "ratio": ratio, "runs": runs}


if __name__ == "__main__":
    main()
