"""Real images small enough to train on in a moment."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from ecoautoml.data.tensors import ImageTensors


def digits(count=None, *, start=0):
    """Return handwritten digits, 8 x 8 grey, in their own order."""
    data = load_digits()
    pixels = torch.from_numpy((data.images * 15.9375).astype(np.uint8))[:, None]
    end = None if count is None else start + count
    return ImageTensors(
        images_nchw=pixels[start:end], labels=torch.from_numpy(data.target)[start:end].long()
    )


def select(tensors, mask):
    return ImageTensors(images_nchw=tensors.images_nchw[mask], labels=tensors.labels[mask])


class SmallNet(nn.Module):
    """Normalises bytes itself, like the networks of a search."""

    def __init__(self, classes=10, width=16, dropout=0.0):
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(16 * width, classes),
        )

    def forward(self, image_bchw):
        return self.network(image_bchw.float() / 128 - 0.7)


def small_net(seed=0, **settings):
    torch.manual_seed(seed)
    return SmallNet(**settings)
