"""Where a timm model's published weights are: on this disk, or within reach.

timm itself retries for most of a minute before it admits that there is no network.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache

from ecoautoml.errors import SpaceError

_TIMEOUT_S = 3.0
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def find_weights(name: str) -> dict[str, Any]:
    """Return the arguments of `timm.create_model` that load the published weights of a model.

    Weights on this disk are used without asking the network.

    Raises:
        SpaceError: There are none, or they can neither be found here nor downloaded.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise SpaceError(f"timm has no published weights for {name}; set pretrained: false")
    cached = _cached_file(config)
    if cached is not None:
        return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(cached)}}
    address = constants.ENDPOINT if config.hf_hub_id else str(config.url)
    reason = _why_unreachable(address)
    if reason is not None:
        raise SpaceError(
            f"the weights of {name} are not on this disk and {address} cannot be reached "
            f"({reason}); set architecture.pretrained: false, or run once with a network"
        )
    return {"pretrained": True}


def _cached_file(config: Any) -> Path | None:
    if config.hf_hub_id:
        files = [config.hf_hub_filename] if config.hf_hub_filename else _HUB_FILES
        repository, _, revision = str(config.hf_hub_id).partition("@")
        for file in files:
            found = try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(found, str):
                return Path(found)
    if config.url:
        file = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(config.url)
        return file if file.is_file() else None
    return None


def _why_unreachable(address: str) -> str | None:
    """Return why an address does not answer, None when it does."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return None
    except urllib.error.HTTPError:
        return None  # an answer, if an unfriendly one
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
