"""Networks of every space, and what a compression step is given."""

import torch
from torch import nn

from ecoautoml.compression.base import StepContext
from ecoautoml.models.build import build_network
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces import load_space
from ecoautoml.spaces.random import random_candidate

SHAPE = (3, 32, 32)
CLASSES = 5
ZOO = ("mobilenetv3_small_050", "efficientnet_lite0", "resnet18", "mobilenetv2_050")
SEEDS = 3


def candidates():
    """Return random points of every space with a builder of ours, and networks of timm."""
    found = {
        f"{space}-{seed}": random_candidate(load_space(space), seed)
        for space in ("tiny", "mobilenet_v3", "efficientnet")
        for seed in range(SEEDS)
    }
    for name in ZOO:
        values = {"model": name, "resolution": 32, "pretrained": False}
        found[name] = Candidate(space="s", builder="timm", architecture=values, hyperparameters={})
    return found


CANDIDATES = candidates()


def small():
    """Return a small network with gates and depthwise convolutions."""
    return build(CANDIDATES["mobilenetv3_small_050"])


def build(candidate, seed=0):
    """Return a network whose weights and statistics are not those of its first moment."""
    torch.manual_seed(seed)
    network = build_network(candidate, in_chans=SHAPE[0], num_classes=CLASSES)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.uniform_(0.5, 1.5)
                part.bias.uniform_(-0.2, 0.2)
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
    return network.eval()


def images(count=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randn(count, *SHAPE, generator=generator)
    return pictures, torch.randint(0, CLASSES, (count,), generator=generator)


def train(network, epochs, loss, learning_rate=0.01):
    """Train a few steps, as a trial would: one batch is an epoch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    was_training = network.training
    network.train()
    for number in range(epochs):
        pictures, labels = images(seed=number)
        optimizer.zero_grad()
        logits = network(pictures)
        value = nn.functional.cross_entropy(logits, labels)
        if loss is not None:
            value = loss(logits, pictures, labels)
        value.backward()
        optimizer.step()
    network.train(was_training)


def context(*, teacher=None, tune=train, **values):
    return StepContext(
        values=values,
        example=images(1)[0],
        batches=lambda: [images(seed=5), images(seed=6)],
        tune=tune,
        teacher=teacher,
    )
