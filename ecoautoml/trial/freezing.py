"""Which part of a network is trained.

Frozen weights get no gradient, and nothing before the first trained weight is gone back through:
a frozen backbone costs its forward pass only, and no memory for activations.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def freeze(model: nn.Module, trainable: str) -> tuple[nn.Module, ...]:
    """Switch off the gradients of what is not to be trained; return the frozen normalisations.

    Args:
        model: A network, or a module that holds one as its ``network``.
        trainable: "all": nothing is changed. "head": only the classifier is trained: what timm's
            ``get_classifier()`` names, else the last module with parameters. "last_half": of the
            modules that hold parameters the second half, in the order in which they were made,
            and the classifier.

    Returns:
        Normalisations with running statistics among what is frozen. They must stay in evaluation
        mode, or a training would change their statistics all the same.
    """
    if trainable == "all":
        return ()
    network = getattr(model, "network", model)
    trained = set(_head(network))
    if trainable == "last_half":
        trained |= set(_last_half(network))
    frozen = [module for module in model.modules() if module not in trained]
    for module in frozen:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    return tuple(module for module in frozen if isinstance(module, _NormBase))


def keep_statistics(frozen: Iterable[nn.Module]) -> None:
    """Put normalisations back into evaluation mode after ``model.train()``."""
    for module in frozen:
        module.eval()


def _owners(network: nn.Module) -> list[nn.Module]:
    """Return the modules that hold parameters of their own."""
    return [each for each in network.modules() if any(True for _ in each.parameters(recurse=False))]


def _head(network: nn.Module) -> list[nn.Module]:
    """Return the modules of the classifier."""
    find = getattr(network, "get_classifier", None)
    found = find() if callable(find) else None
    roots = found if isinstance(found, tuple | list) else [found]
    modules = [part for root in roots if isinstance(root, nn.Module) for part in root.modules()]
    if any(_owners(module) for module in modules):
        return modules
    return _owners(network)[-1:]


def _last_half(network: nn.Module) -> list[nn.Module]:
    owners, modules = _owners(network), list(network.modules())
    if not owners:
        return []
    # everything from there on, so that normalisations without parameters go with their neighbours
    return modules[modules.index(owners[len(owners) // 2]) :]
