"""Random changes to training images, a whole batch at a time, each image its own.

Images are (b, c, h, w), uint8 or floats, on any device, and fastest when channels are last in
memory. What comes out has the same shape and type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ecoautoml.errors import ConfigError
from ecoautoml.registry import suggest

_LARGEST_SHIFT = 1 / 8  # of the side
_ERASE_PROBABILITY = 0.5
_ERASE_AREA = (0.05, 0.2)  # of the image
_ERASE_ASPECT = 2.0  # the longer over the shorter side, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A list of random changes.

    Attributes:
        description: What it does, in one line.
        steps: The changes, in order.
    """

    description: str
    steps: tuple[Callable[[Tensor, Generator], Tensor], ...]


def augment(images_bchw: Tensor, policy: str, generator: Generator) -> Tensor:
    """Return the images, changed at random; the given tensor is left as it is.

    Args:
        images_bchw: Images, uint8 or floats, shape (b, c, h, w).
        policy: A key of `POLICIES`.
        generator: Where randomness comes from; may be on another device than the images.

    Raises:
        ConfigError: No such policy.
    """
    if policy not in POLICIES:
        raise ConfigError(f"no augmentation is called {policy!r}{suggest(policy, POLICIES)}")
    for step in POLICIES[policy].steps:
        images_bchw = step(images_bchw, generator)
    return images_bchw


def _shift(images_bchw: Tensor, generator: Generator) -> Tensor:
    """Move each image by up to an eighth of its side; what is left open repeats the edge.

    The padded batch is seen as overlapping rows of w pixels, one starting at every pixel; moved
    images are then h whole rows each, which costs far less than moving pixel by pixel.
    """
    b, c, h, w = images_bchw.shape
    reach_y, reach_x = int(h * _LARGEST_SHIFT), int(w * _LARGEST_SHIFT)
    padded = _edge_padded(images_bchw, reach_y, reach_x)
    _, padded_h, padded_w, _ = padded.shape
    y = _integers(2 * reach_y + 1, images_bchw, generator)
    x = _integers(2 * reach_x + 1, images_bchw, generator)
    image = torch.arange(b, device=padded.device)[:, None] * padded_h
    starts = (image + y + torch.arange(h, device=padded.device)) * padded_w + x
    windows = padded.as_strided((b * padded_h * padded_w - w + 1, w * c), (c, 1))
    return windows.index_select(0, starts.view(-1)).view(b, h, w, c).permute(0, 3, 1, 2)


def _edge_padded(images_bchw: Tensor, pad_y: int, pad_x: int) -> Tensor:
    """Return a new (b, h + 2 pad_y, w + 2 pad_x, c) tensor in which the edges are repeated."""
    b, c, h, w = images_bchw.shape
    bottom, right = pad_y + h, pad_x + w
    padded = images_bchw.new_empty((b, h + 2 * pad_y, w + 2 * pad_x, c))
    padded[:, pad_y:bottom, pad_x:right] = images_bchw.permute(0, 2, 3, 1)
    padded[:, :pad_y] = padded[:, pad_y : pad_y + 1]
    padded[:, bottom:] = padded[:, bottom - 1 : bottom]
    padded[:, :, :pad_x] = padded[:, :, pad_x : pad_x + 1]
    padded[:, :, right:] = padded[:, :, right - 1 : right]
    return padded


def _flip(images_bchw: Tensor, generator: Generator) -> Tensor:
    """Mirror half of the images left to right."""
    is_flipped = _integers(2, images_bchw, generator).bool()[:, :, None, None]
    return torch.where(is_flipped, images_bchw.flip(3), images_bchw)


def _erase(images_bchw: Tensor, generator: Generator) -> Tensor:
    """Paint a random rectangle of some images in the image's own mean colour."""
    _, _, h, w = images_bchw.shape
    low, high = _ERASE_AREA
    area = low + (high - low) * _uniform(images_bchw, generator)
    stretch = _ERASE_ASPECT ** (_uniform(images_bchw, generator) - 0.5)
    rows = _interval(h, area.sqrt() * stretch, images_bchw, generator)
    columns = _interval(w, area.sqrt() / stretch, images_bchw, generator)
    is_erased = _uniform(images_bchw, generator) < _ERASE_PROBABILITY
    mask = (rows & is_erased)[:, None, :, None] & columns[:, None, None, :]
    mean = images_bchw.float().mean(dim=(2, 3), keepdim=True).to(images_bchw.dtype)
    return torch.where(mask, mean, images_bchw)


def _interval(side: int, share_b1: Tensor, like: Tensor, generator: Generator) -> Tensor:
    """Return which of ``side`` pixels lie in a random interval of that share, shape (b, side)."""
    length = (share_b1 * side).round().clamp_(1, side)
    start = ((side - length + 1) * _uniform(like, generator)).floor()
    at = torch.arange(side, device=like.device)
    return (at >= start) & (at < start + length)


def _integers(end: int, like: Tensor, generator: Generator) -> Tensor:
    """Return one integer in [0, end) per image, shape (b, 1)."""
    drawn = torch.randint(end, (len(like), 1), generator=generator, device=generator.device)
    return drawn.to(like.device)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    """Return one number in [0, 1) per image, shape (b, 1)."""
    drawn = torch.rand((len(like), 1), generator=generator, device=generator.device)
    return drawn.to(like.device)


POLICIES: dict[str, Policy] = {
    "none": Policy(description="images as they are", steps=()),
    "shift": Policy(description="moved by up to 1/8 of the side", steps=(_shift,)),
    "flip": Policy(description="half of them mirrored left to right", steps=(_flip,)),
    "shift_flip": Policy(description="moved and mirrored", steps=(_shift, _flip)),
    "shift_flip_erase": Policy(
        description="moved and mirrored, half of them with a rectangle painted over",
        steps=(_shift, _flip, _erase),
    ),
}
