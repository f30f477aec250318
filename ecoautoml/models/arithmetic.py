"""What a block network costs by counting, from a candidate's values alone: nothing is built.

A network takes tens of milliseconds to build; counting it here takes about a tenth of one. So a
search can count hundreds of candidates before it trains one. Nothing here imports torch or timm.

The rules of timm's blocks (which width is rounded how) are repeated here; the tests hold every
number against networks that were built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ecoautoml.models.arch import Block, network_blocks, whole
from ecoautoml.records.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What one image costs in a network.

    Attributes:
        params: Trainable parameters, as `cost.count_params` says.
        macs: Multiply-accumulates of convolutions and matrix products per image, as
            `cost.count_macs` says.
        activations: Elements that all convolutions and matrix products write per image: a
            stand-in for memory traffic (as in arXiv:2003.13678, which counts convolutions only).
        layers: Convolutions and matrix products: a stand-in for the overhead of each layer.
    """

    params: int
    macs: int
    activations: int
    layers: int


def count_network(
    candidate: Candidate, *, image_size: int, in_chans: int, num_classes: int
) -> Counts | None:
    """Return what the candidate's network costs, or None when only building it could tell.

    Args:
        candidate: What would be built; its own ``resolution`` wins over ``image_size``.
        image_size: Side of the square images in pixels, at least 1.
        in_chans: Channels of the images: 1 grey, 3 colour.
        num_classes: Number of logits, at least 1.

    Returns:
        None for the builders ``timm`` and ``python``, whose networks are not made of values.

    Raises:
        SpaceError: A value is missing or cannot be built.
    """
    family = _FAMILIES.get(candidate.builder)
    if family is None:
        return None
    architecture = candidate.architecture
    if architecture.get("resolution") is not None:
        image_size = whole(architecture, "resolution", least=1)
    walk = _Walk(width=in_chans, side=image_size)
    walk.convolve(
        whole(architecture, "stem_width", least=1),
        kernel=3,
        stride=whole(architecture, "stem_stride", least=1, default=2),
    )
    for blocks in network_blocks(architecture):
        for block in blocks:
            _block(walk, block, family.squeezed)
    family.head(walk, whole(architecture, "head_width", least=1))
    walk.connect(num_classes)
    return Counts(
        params=walk.params, macs=walk.macs, activations=walk.activations, layers=walk.layers
    )


class _Walk:
    """A walk through a network, layer by layer: where it stands, and what it has counted so far.

    Args:
        width: Channels of the image.
        side: Side of the image in pixels.
    """

    __slots__ = ("activations", "layers", "macs", "params", "side", "width")

    def __init__(self, *, width: int, side: int) -> None:
        self.width = width
        self.side = side
        self.params = self.macs = self.activations = self.layers = 0

    def convolve(self, width: int, kernel: int = 1, stride: int = 1) -> None:
        """Pass a convolution without bias, and the two parameters per channel of a BatchNorm."""
        weights = self.width * width * kernel * kernel
        self._pass(width, weights, stride)
        self.params += 2 * width

    def filter(self, kernel: int, stride: int) -> None:
        """Pass a depthwise convolution without bias, and a BatchNorm."""
        self._pass(self.width, self.width * kernel * kernel, stride)
        self.params += 2 * self.width

    def pool(self) -> None:
        """Average all pixels into one."""
        self.side = 1

    def connect(self, width: int) -> None:
        """Pass a layer with bias: a matrix product, or a 1x1 convolution of one pixel."""
        self._pass(width, self.width * width, 1)
        self.params += width

    def gate(self, squeezed: int) -> None:
        """Pass squeeze-and-excitation: two layers with bias on the pooled pixel, then a product."""
        width, side = self.width, self.side
        self.pool()
        self.connect(squeezed)
        self.connect(width)
        self.side = side

    def _pass(self, width: int, weights: int, stride: int) -> None:
        # With padding (kernel - 1) / 2 and an odd kernel the side becomes ceil(side / stride).
        self.side = -(-self.side // stride)
        pixels = self.side * self.side
        self.width = width
        self.params += weights
        self.macs += weights * pixels
        self.activations += width * pixels
        self.layers += 1


def _block(walk: _Walk, block: Block, squeezed: Callable[[int, Block], int]) -> None:
    """Pass one block in the order of timm's ``InvertedResidual`` and its siblings."""
    if block.kind == "cn":
        walk.convolve(block.width, block.kernel, block.stride)
        return
    if block.kind == "er":
        walk.convolve(_expanded(walk.width, block), block.kernel, block.stride)
    else:
        if block.kind == "ir":
            walk.convolve(_expanded(walk.width, block))
        walk.filter(block.kernel, block.stride)
    if block.se_ratio:
        walk.gate(squeezed(walk.width, block))
    walk.convolve(block.width)


def _expanded(width: int, block: Block) -> int:
    assert block.expansion is not None
    return _multiple_of_8(width * block.expansion)


def _multiple_of_8(width: float) -> int:
    """Return the nearest multiple of 8 that is at least 8 and at least 90 % of the width.

    Source: ``_make_divisible`` of MobileNetV2's code,
    https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/mobilenet.py;
    timm's ``make_divisible`` does the same.
    """
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


# --- what the two builders do differently ----------------------------------------------------


def _squeezed_of_expanded(width: int, block: Block) -> int:
    return _multiple_of_8(width * block.se_ratio)


def _squeezed_of_entering(width: int, block: Block) -> int:
    # Divided first, as timm does: the order decides which way a half is rounded.
    return max(1, round(width * (block.se_ratio / (block.expansion or 1.0))))


def _head_of_pooled(walk: _Walk, width: int) -> None:
    walk.pool()
    walk.connect(width)


def _head_of_pixels(walk: _Walk, width: int) -> None:
    walk.convolve(width)
    walk.pool()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """A builder's own ways.

    Attributes:
        squeezed: Width within squeeze-and-excitation, from the width around it and the block.
        head: Passes what lies between the last block and the classifier, of a given width.
    """

    squeezed: Callable[[int, Block], int]
    head: Callable[[_Walk, int], None]


_FAMILIES: Mapping[str, _Family] = {
    "mobilenet_v3": _Family(squeezed=_squeezed_of_expanded, head=_head_of_pooled),
    "efficientnet": _Family(squeezed=_squeezed_of_entering, head=_head_of_pixels),
}
