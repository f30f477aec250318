"""Configurations that a search on one core finishes in seconds."""

from typing import Any


def net_space(**architecture: Any) -> dict[str, Any]:
    """Return a space over `tiny_nets.build`."""
    return {
        "name": "nets",
        "description": "networks for tests",
        "architecture": {
            "builder": "python",
            "function": "tiny_nets:build",
            "width": {"low": 4, "high": 32, "step": 4},
            **architecture,
        },
        "hyperparameters": {
            "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
            "batch_size": [32, 64],
            "optimizer": ["adamw", "sgd"],
            "momentum": {"low": 0.5, "high": 0.95, "when": {"optimizer": ["sgd"]}},
            "augmentation": "none",
        },
    }


def quick_config(output: Any, **changes: Any) -> dict[str, Any]:
    """Return a configuration for a search of a few seconds."""
    tree: dict[str, Any] = {
        "name": "quick",
        "output": str(output),
        "data": {"kind": "digits", "subset": 400},
        "space": net_space(),
        "training": {"epochs": 2},
        "budget": {"trials": 3},
        "executor": {"workers": 1},
        "sampler": "random",
        "pruner": "none",
        "measure": {"max_seconds": 0.5, "precision": 0.3},
    }
    return {**tree, **changes}
