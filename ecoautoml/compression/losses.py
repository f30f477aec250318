"""What a student learns from a teacher. Shapes: b batch, k classes, d features."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def distillation_loss(
    student_logits_bk: Tensor,
    teacher_logits_bk: Tensor,
    labels_b: Tensor,
    temperature: float,
    weight: float,
) -> Tensor:
    """Return the loss of Hinton, Vinyals and Dean (arXiv:1503.02531), a scalar.

    Args:
        student_logits_bk: What the student says.
        teacher_logits_bk: What the teacher says of the same images.
        labels_b: The true classes, as numbers.
        temperature: Softens both distributions, above 0; the divergence is multiplied by its
            square, so that its gradients keep their size.
        weight: Share of the teacher, 0..1; the rest is cross-entropy with the labels.
    """
    divergence = functional.kl_div(
        functional.log_softmax(student_logits_bk / temperature, dim=1),
        functional.log_softmax(teacher_logits_bk / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    truth = functional.cross_entropy(student_logits_bk, labels_b)
    return weight * temperature**2 * divergence + (1 - weight) * truth


def similarity_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Return how differently two networks see which images of a batch are alike, a scalar.

    The similarity-preserving loss of Tung and Mori (arXiv:1907.09682): b×b matrices are compared,
    so the two networks may have any widths.

    Args:
        student_features: Shape (b, ...).
        teacher_features: Shape (b, ...), of the same images.
    """
    difference = _similarities(student_features) - _similarities(teacher_features)
    return difference.square().sum() / len(student_features) ** 2


def _similarities(features: Tensor) -> Tensor:
    features_bd = features.flatten(1)
    return functional.normalize(features_bd @ features_bd.T, dim=1)
