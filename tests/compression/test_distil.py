import copy
import math

import pytest
import torch
from compressing import CANDIDATES, build, context, images, train
from torch import nn

from ecoautoml.compression.losses import distillation_loss, similarity_loss
from ecoautoml.compression.pipeline import compress
from ecoautoml.errors import TrialError

LABELS = torch.tensor([0, 1])


def test_the_loss_by_hand():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2 * math.log(3.0), 0.0]])
    # at temperature 2 the teacher says 3/4 and 1/4, the student 1/2 and 1/2
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    expected = 0.3 * 4 * divergence + 0.7 * math.log(2)
    got = distillation_loss(student, teacher, LABELS[:1], 2.0, 0.3)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_without_a_weight_it_is_the_cross_entropy_and_with_all_of_it_a_copy_has_none():
    logits, others = torch.randn(2, 4), torch.randn(2, 4)
    truth = nn.functional.cross_entropy(logits, LABELS)
    torch.testing.assert_close(distillation_loss(logits, others, LABELS, 3.0, 0.0), truth)
    assert float(distillation_loss(logits, logits, LABELS, 3.0, 1.0)) == pytest.approx(0, abs=1e-6)


def test_at_high_temperature_its_gradient_is_that_of_the_paper():
    """Section 2.1: (logit difference) / k, for logits whose mean is 0; here over b images."""
    student = torch.tensor([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 2.0, -2.0], [1.0, -1.0, 0.0]])
    distillation_loss(student, teacher, LABELS, 1000.0, 1.0).backward()
    expected = (student - teacher).detach() / 3 / 2
    torch.testing.assert_close(student.grad, expected, rtol=5e-3, atol=2e-3)


def test_the_similarity_loss_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # nobody is alike: the identity
    teacher = torch.tensor([[1.0], [1.0]])  # all are alike: rows of 1 / sqrt(2)
    root = 1 / math.sqrt(2)
    expected = (2 * (1 - root) ** 2 + 2 * root**2) / 4
    assert float(similarity_loss(student, teacher)) == pytest.approx(expected, rel=1e-5)
    assert float(similarity_loss(student, 3 * student)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["logits", "features"])
def test_the_student_comes_nearer_to_its_teacher(kind):
    teacher, student = build(CANDIDATES["resnet18"], seed=1), build(CANDIDATES["tiny-0"], seed=2)
    state = {name: value.clone() for name, value in teacher.state_dict().items()}
    pictures, labels = images()
    losses = []

    def tune(network, epochs, loss):
        network.eval()  # the same function at every step
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(epochs):
            optimizer.zero_grad()
            value = loss(network(pictures), pictures, labels)
            value.backward()
            optimizer.step()
            losses.append(float(value.detach()))

    values = {"distil": kind, "distil_weight": 1.0, "distil_epochs": 15}
    assert compress(student, context(teacher=teacher, tune=tune, **values)) is student
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
    assert all(not part._forward_pre_hooks for part in [*teacher.modules(), *student.modules()])


@pytest.mark.parametrize("kind", ["logits", "features"])
def test_a_copy_of_the_teacher_has_nothing_to_learn_from_it(kind):
    teacher = build(CANDIDATES["tiny-1"])
    seen = []

    def tune(network, epochs, loss):
        pictures, labels = images()
        seen.append(float(loss(network(pictures), pictures, labels).detach()))

    values = {"distil": kind, "distil_weight": 1.0}
    compress(copy.deepcopy(teacher), context(teacher=teacher, tune=tune, **values))
    assert seen == [pytest.approx(0, abs=1e-5)]


def test_features_of_another_batch_are_refused():
    def tune(network, epochs, loss):
        pictures, labels = images()
        network(pictures[:2])
        loss(torch.zeros(8, 5), pictures, labels)

    network = build(CANDIDATES["tiny-1"])
    with pytest.raises(TrialError, match="not those of the logits"):
        compress(network, context(teacher=network, tune=tune, distil="features"))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"distil_weight": 1.5}, "distil_weight is 1.5; it must be from 0 to 1"),
        ({"distil_temperature": 0}, "distil_temperature is 0.0; it must be above 0"),
        ({"distil_epochs": 0}, "distil_epochs is 0; it must be at least 1"),
        ({"distil": "attention"}, "allowed: none, logits, features"),
    ],
)
def test_wrong_values_are_named(values, reason):
    network = build(CANDIDATES["tiny-1"])
    with pytest.raises(TrialError, match=reason):
        compress(network, context(teacher=network, **{"distil": "logits", **values}))


def test_nobody_can_learn_without_a_teacher():
    with pytest.raises(TrialError, match="needs a teacher"):
        compress(build(CANDIDATES["tiny-1"]), context(tune=train, distil="logits"))
