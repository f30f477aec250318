"""Distillation: the network learns from a teacher, commonly itself before it was pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from ecoautoml.compression.base import CompressionStep, LossFn, StepContext, choice, number, whole
from ecoautoml.compression.layers import classifier_of, evaluating
from ecoautoml.compression.losses import distillation_loss, similarity_loss
from ecoautoml.errors import TrialError
from ecoautoml.records.candidate import Value

KINDS = ("none", "logits", "features")


class Distil(CompressionStep):
    """Trains the network on what a teacher says; its structure stays as it is.

    Values: ``distil`` is what is learned from: "logits" (arXiv:1503.02531, softened by
    ``distil_temperature``) or "features" (arXiv:1907.09682: which images of a batch are alike
    before the classifier). ``distil_weight`` is the teacher's share of the loss, 0..1; the rest is
    cross-entropy with the labels. ``distil_epochs`` is how long, 1 when not said.
    """

    name: ClassVar[str] = "distil"
    after: ClassVar[frozenset[str]] = frozenset({"prune"})
    keys: ClassVar[tuple[str, ...]] = (
        "distil",
        "distil_temperature",
        "distil_weight",
        "distil_epochs",
    )

    def is_asked(self, values: Mapping[str, Value]) -> bool:
        """Return whether something is to be learned from a teacher."""
        return choice(values, "distil", KINDS) != "none"

    def apply(self, network: nn.Module, context: StepContext) -> nn.Module:
        """Return the same network, trained.

        Raises:
            TrialError: There is no teacher, or the values make no sense.
        """
        values, teacher = context.values, context.teacher
        if teacher is None:
            raise TrialError("compression.distil needs a teacher, and this trial has none")
        epochs = whole(values, "distil_epochs", default=1, least=1)
        weight = number(values, "distil_weight", default=0.5)
        if not 0 <= weight <= 1:
            raise TrialError(f"compression.distil_weight is {weight}; it must be from 0 to 1")
        temperature = number(values, "distil_temperature", default=2.0)
        if temperature <= 0:
            raise TrialError(f"compression.distil_temperature is {temperature}; it must be above 0")
        with evaluating(teacher):
            if choice(values, "distil", KINDS) == "logits":
                context.tune(network, epochs, _from_logits(teacher, temperature, weight))
            else:
                with (
                    _inputs_of(classifier_of(network, context.example)) as students,
                    _inputs_of(classifier_of(teacher, context.example)) as teachers,
                ):
                    loss = _from_features(teacher, students, teachers, weight)
                    context.tune(network, epochs, loss)
        return network


def _from_logits(teacher: nn.Module, temperature: float, weight: float) -> LossFn:
    def loss(logits_bk: Tensor, images_bchw: Tensor, labels_b: Tensor) -> Tensor:
        with torch.no_grad():
            teacher_logits_bk = teacher(images_bchw)
        return distillation_loss(logits_bk, teacher_logits_bk, labels_b, temperature, weight)

    return loss


def _from_features(
    teacher: nn.Module, students: list[Tensor], teachers: list[Tensor], weight: float
) -> LossFn:
    def loss(logits_bk: Tensor, images_bchw: Tensor, labels_b: Tensor) -> Tensor:
        if not students or len(students[-1]) != len(logits_bk):
            raise TrialError("compression.distil: the features are not those of the logits")
        with torch.no_grad():
            teacher(images_bchw)
        # times b: per image as the cross-entropy is, where the paper divides by b²
        similarity = len(labels_b) * similarity_loss(students[-1], teachers[-1])
        truth = nn.functional.cross_entropy(logits_bk, labels_b)
        return weight * similarity + (1 - weight) * truth

    return loss


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Give a list that holds the input of the layer's latest call."""
    latest: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        latest[:] = [inputs[0]]

    handle = layer.register_forward_pre_hook(keep)
    try:
        yield latest
    finally:
        handle.remove()
