"""Structured pruning: whole channels are taken out, so every runtime profits.

The dependency graph is torch-pruning's (DepGraph, arXiv:2301.12900): channels that are joined by an
addition, a depthwise convolution or a gate go together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ecoautoml.compression.base import CompressionStep, StepContext, choice, share, whole
from ecoautoml.compression.layers import classifier_of, device_of, evaluating
from ecoautoml.errors import MissingExtraError, TrialError
from ecoautoml.records.candidate import Value

CRITERIA = ("none", "magnitude", "taylor", "bn_scale")
SCOPES = ("global", "local")
_MOST = 0.9  # of one layer's channels: a global ranking would else empty a layer
_TIE, _KEPT = 1e-9, 1e6  # far below and far above any importance, whose mean in a layer is 1


class Prune(CompressionStep):
    """Takes out the least important channels, in one step or in several with tuning between.

    Values: ``prune`` is the importance: "magnitude" (L2 norm of a channel's weights), "taylor"
    (weight times gradient, arXiv:1906.10771) or "bn_scale" (network slimming, arXiv:1708.06519).
    ``prune_ratio`` is the share of channels that go, above 0 and below 1; over the whole network
    ("global") or in each layer ("local", ``prune_scope``). What is left is a multiple of
    ``prune_round`` channels and at least a tenth, so a narrow layer may lose more or less than
    asked, or nothing.
    ``finetune_epochs`` are split over the ``prune_steps``. The logits are never pruned.
    """

    name: ClassVar[str] = "prune"
    keys: ClassVar[tuple[str, ...]] = (
        "prune",
        "prune_ratio",
        "prune_scope",
        "prune_round",
        "prune_steps",
        "finetune_epochs",
    )

    def is_asked(self, values: Mapping[str, Value]) -> bool:
        """Return whether an importance is named."""
        return choice(values, "prune", CRITERIA) != "none"

    def apply(self, network: nn.Module, context: StepContext) -> nn.Module:
        """Return the same network with fewer channels.

        Raises:
            TrialError: The values make no sense, or the network's channels cannot be followed.
            MissingExtraError: torch-pruning is not installed.
        """
        values = context.values
        criterion = choice(values, "prune", CRITERIA)
        steps = whole(values, "prune_steps", default=1, least=1)
        epochs = whole(values, "finetune_epochs", default=0, least=0)
        if criterion == "bn_scale" and not _has_scales(network):
            raise TrialError(
                "compression.prune is 'bn_scale', but the network has no batch normalisation "
                "with scales; use 'magnitude' or 'taylor'"
            )
        with _watched(network):
            pruner = _pruner(network, criterion, steps, context)
            if not pruner.initial_total_channels:
                raise TrialError(
                    f"torch-pruning finds no channels in {type(network).__name__} that could go"
                )
        for number in range(steps):
            if criterion == "taylor":
                _accumulate_gradients(network, context)
            with _watched(network):
                pruner.step()
            network.zero_grad(set_to_none=True)
            part = epochs * (number + 1) // steps - epochs * number // steps
            if part:
                context.tune(network, part, None)
        return network


def _pruner(network: nn.Module, criterion: str, steps: int, context: StepContext) -> Any:
    library, values = _library(), context.values
    importances: dict[str, Callable[[], Any]] = {
        "magnitude": library.importance.GroupMagnitudeImportance,
        "taylor": library.importance.GroupTaylorImportance,
        "bn_scale": library.importance.BNScaleImportance,
    }
    example = context.example.to(device_of(network))
    round_to = whole(values, "prune_round", default=4, least=1)
    return library.pruner.BasePruner(
        network,
        example,
        importance=_Ranked(importances[criterion](), round_to),
        global_pruning=choice(values, "prune_scope", SCOPES) == "global",
        pruning_ratio=min(share(values, "prune_ratio"), _MOST),
        max_pruning_ratio=_MOST,
        iterative_steps=steps,
        round_to=round_to,
        ignored_layers=[classifier_of(network, example)],
        # its defaults are shared between all pruners of the process, so they are given
        in_channel_groups={},
        out_channel_groups={},
        num_heads={},
    )


class _Ranked:
    """An importance without ties that keeps a tenth of every layer, and ``least`` channels.

    torch-pruning takes all channels up to a threshold, rounds what is left down, and passes over a
    layer that would lose all: one of equal importances, or of low ones only, would stay whole.
    """

    def __init__(self, importance: Callable[[Any], Tensor | None], least: int) -> None:
        self._importance, self._least = importance, least
        self._widths: dict[nn.Module, int] = {}

    def __call__(self, group: Any) -> Tensor | None:
        """Return the importance of each channel of a group; None when it has none."""
        found = self._importance(group)
        if found is None:
            return None
        n_channels = len(found)
        width = self._widths.setdefault(group[0].dep.target.module, n_channels)
        ranked = found.double().nan_to_num(nan=0.0)  # 0 / 0: no channel matters at all
        ranked += torch.arange(n_channels, device=found.device) * (_TIE / n_channels)
        for least in (self._least, round((1 - _MOST) * width)):
            best = torch.topk(ranked, min(n_channels, max(1, least))).indices
            ranked[best] += _KEPT
        return ranked


def _accumulate_gradients(network: nn.Module, context: StepContext) -> None:
    """Leave the gradients of the mean loss over a few batches; statistics stay as they are."""
    network.zero_grad(set_to_none=True)
    seen = 0
    with evaluating(network):
        for images_bchw, labels_b in context.batches():
            nn.functional.cross_entropy(network(images_bchw), labels_b).backward()
            seen += 1
    if not seen:
        raise TrialError("compression.prune is 'taylor', which needs at least one batch of images")
    for parameter in network.parameters():
        if parameter.grad is None:  # a layer that no image meets matters to none
            parameter.grad = torch.zeros_like(parameter)


def _has_scales(network: nn.Module) -> bool:
    return any(
        isinstance(part, nn.modules.batchnorm._BatchNorm) and part.affine
        for part in network.modules()
    )


@contextmanager
def _watched(network: nn.Module) -> Iterator[None]:
    """Run torch-pruning on a network: its warnings are silent, its errors are sentences."""
    with evaluating(network), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch_pruning")
        try:
            yield
        except (TrialError, MissingExtraError):
            raise
        except Exception as error:  # it fails in as many ways as there are networks
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TrialError(
                f"torch-pruning cannot prune {type(network).__name__}: {reason}"
            ) from error


def _library() -> ModuleType:
    try:
        import torch_pruning
    except ImportError:
        raise MissingExtraError(
            "pruning needs torch-pruning, which is not installed: "
            "pip install 'ecoautoml[compression]'"
        ) from None
    module: ModuleType = torch_pruning
    return module
