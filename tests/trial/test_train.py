import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from digits_tensors import digits, select, small_net
from torch import nn

from ecoautoml.config.models import TrainingConfig
from ecoautoml.data.tensors import ImageTensors
from ecoautoml.errors import ConfigError, TrialError
from ecoautoml.spaces.vocabulary import AUGMENTATIONS
from ecoautoml.trial.evaluate import network_logits
from ecoautoml.trial.settings import TrainingSettings
from ecoautoml.trial.train import Trainer

TRAIN, VALIDATION = digits(512), digits(400, start=1000)


def trainer(model=None, *, images=TRAIN, config=None, seed=0, classes=10, **settings):
    settings = {"batch_size": 64, "learning_rate": 1e-2, "epochs": 4, **settings}
    return Trainer(
        small_net() if model is None else model,
        TrainingSettings(**settings),
        TrainingConfig(**(config or {})),
        images,
        n_classes=classes,
        device="cpu",
        seed=seed,
    )


def go():
    """Stand between two steps and ask for nothing."""


def train(one, epochs=4):
    """Train all epochs and return their losses."""
    return [one.run_epoch(epoch, go) for epoch in range(1, epochs + 1)]


def logits(module, images=VALIDATION):
    return network_logits(module, images, "cpu", go)


def accuracy(module, images=VALIDATION):
    return float((logits(module, images).argmax(axis=1) == images.labels.numpy()).mean())


def weights(module):
    return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])


class Recorder(nn.Module):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(64, 10), []

    def forward(self, image_bchw):
        self.seen.append(image_bchw.detach().clone())
        return self.linear(image_bchw.float().flatten(1) / 255)


# --- it learns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop", "nadamw"])
def test_the_loss_falls_and_the_scores_are_far_above_chance(optimizer):
    one = trainer(optimizer=optimizer)
    losses = train(one)
    assert losses[-1] < 0.5 * losses[0]
    assert accuracy(one.trained_model) > 0.8


@pytest.mark.parametrize(
    "settings",
    [
        {"mixup": 0.2},
        {"label_smoothing": 0.1},
        {"mixup": 0.2, "label_smoothing": 0.1},
        {"augmentation": "shift"},
        {"ema_decay": 0.9},
        {"schedule": "step"},
        {"schedule": "none", "warmup_epochs": 0.0},
    ],
    ids=str,
)
def test_it_learns_under_every_kind_of_regularisation(settings):
    one = trainer(**settings)
    losses = train(one)
    assert losses[-1] < losses[0]
    assert accuracy(one.trained_model) > 0.75


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_every_augmentation_can_be_trained_with(augmentation):
    assert math.isfinite(trainer(augmentation=augmentation).run_epoch(1, go))


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(ConfigError, match="no augmentation is called 'twist'"):
        trainer(augmentation="twist").run_epoch(1, go)


@pytest.mark.parametrize("precision", ["bf16", "fp32", "auto"])
def test_arithmetic_may_be_chosen(precision):
    one = trainer(config={"precision": precision})
    losses = train(one, 2)
    assert losses[-1] < losses[0]
    assert {parameter.dtype for parameter in one.trained_model.parameters()} == {torch.float32}


# --- the seed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"mixup": 0.2}, {"augmentation": "shift_flip_erase", "ema_decay": 0.9}],
    ids=["plain", "mixup", "augmented"],
)
def test_equal_seeds_give_equal_weights_whatever_else_is_drawn(settings):
    def trained(seed, noise):
        np.random.seed(noise)
        torch.manual_seed(noise)
        one = trainer(seed=seed, **settings)
        train(one, 2)
        return weights(one.trained_model)

    first = trained(3, noise=1)
    assert torch.equal(trained(3, noise=2), first)
    assert not torch.equal(trained(4, noise=1), first)


# --- mixup and label smoothing --------------------------------------------------------------------


def test_mixup_blends_images_of_one_batch():
    model = Recorder()
    trainer(model, mixup=5.0, images=select(TRAIN, slice(64)), batch_size=64).run_epoch(1, go)
    (mixed,) = model.seen
    original = TRAIN.images_nchw[:64].float()
    sums = mixed.sum(dim=0)
    assert torch.allclose(sums, original.sum(dim=0), rtol=1e-4)  # nothing is lost
    distances = torch.cdist(mixed.flatten(1), original.flatten(1)).min(dim=1).values
    assert (distances > 10).float().mean() > 0.8  # hardly any image is as it was
    assert mixed.min() >= 0
    assert mixed.max() <= 255


@pytest.mark.parametrize("count", [1, 5, 64])
def test_mixup_takes_batches_of_any_size(count):
    one = trainer(mixup=0.4, images=select(TRAIN, slice(count)), batch_size=64)
    assert math.isfinite(one.run_epoch(1, go))


def test_without_mixup_images_arrive_as_bytes_and_each_once():
    model = Recorder()
    trainer(model).run_epoch(1, go)
    seen = torch.cat(model.seen)
    assert seen.dtype is torch.uint8
    assert Counter(map(bytes, seen.numpy())) == Counter(map(bytes, TRAIN.images_nchw.numpy()))


def test_label_smoothing_keeps_the_network_from_being_certain():
    def certainty(**settings):
        one = trainer(epochs=6, **settings)
        train(one, 6)
        return torch.from_numpy(logits(one.trained_model)).softmax(1).max(dim=1).values.mean()

    assert certainty(label_smoothing=0.3) < certainty() - 0.1


@pytest.mark.parametrize("config", [{}, {"class_weights": "balanced"}], ids=["plain", "weighted"])
def test_label_smoothing_sets_a_floor_to_the_loss(config):
    one = trainer(label_smoothing=0.5, epochs=6, config=config)
    floor = -(0.55 * math.log(0.55) + 9 * 0.05 * math.log(0.05))
    assert train(one, 6)[-1] > floor - 0.05


# --- averaged weights -----------------------------------------------------------------------------


def test_averaged_weights_are_shipped_when_they_are_kept():
    model = small_net()
    one = trainer(model, ema_decay=0.95)
    start = weights(model)
    train(one, 2)
    assert one.trained_model is not model
    averaged, last = weights(one.trained_model), weights(model)
    assert (averaged - start).norm() < (last - start).norm()
    assert not torch.equal(averaged, start)


def test_a_short_average_is_not_the_random_start():
    """A decay of 0.9999 would keep the start for thousands of steps."""
    one = trainer(ema_decay=0.9999)
    train(one)
    assert accuracy(one.trained_model) > 0.6


def test_without_an_average_the_model_itself_is_shipped():
    model = small_net()
    assert trainer(model).trained_model is model


# --- unbalanced classes ---------------------------------------------------------------------------


def unbalanced():
    """Return eights and a few ones, which are hard to tell apart."""
    whole = digits(1200)
    ones = (whole.labels == 1).nonzero().flatten()[:12]
    eights = (whole.labels == 8).nonzero().flatten()
    chosen = torch.cat([ones, eights])
    images = whole.images_nchw[chosen]
    return ImageTensors(images_nchw=images, labels=(whole.labels[chosen] == 8).long())


def recall_of_the_rare(class_weights, mixup=0.0):
    rest = digits(None, start=1200)
    rest = select(rest, (rest.labels == 1) | (rest.labels == 8))
    one = trainer(
        small_net(classes=2),
        images=unbalanced(),
        config={"class_weights": class_weights},
        classes=2,
        batch_size=32,
        learning_rate=1e-3,
        epochs=6,
        mixup=mixup,
    )
    train(one, 6)
    rare = rest.labels.numpy() == 1
    return float((logits(one.trained_model, rest).argmax(axis=1)[rare] == 0).mean())


def test_class_weights_raise_the_recall_of_a_rare_class():
    without, balanced = recall_of_the_rare("none"), recall_of_the_rare("balanced")
    assert balanced > without + 0.2
    assert recall_of_the_rare("auto") == balanced


def test_class_weights_work_with_mixup():
    assert recall_of_the_rare("balanced", mixup=0.2) > recall_of_the_rare("none", mixup=0.2)


def test_even_classes_are_not_weighted_unless_asked_for():
    def losses(class_weights):
        return train(trainer(config={"class_weights": class_weights}), 1)

    assert losses("auto") == losses("none")


def test_a_class_without_images_does_not_break_the_weights():
    images = select(TRAIN, TRAIN.labels < 9)
    one = trainer(images=images, config={"class_weights": "balanced"})
    assert math.isfinite(one.run_epoch(1, go))


# --- gradients, rates and batches -----------------------------------------------------------------


def steps_of(one, model, epochs=1):
    """Return how far the weights moved in each step."""
    seen = []
    for epoch in range(1, epochs + 1):
        one.run_epoch(epoch, lambda: seen.append(weights(model)))
    seen.append(weights(model))
    return [float((after - before).norm()) for before, after in itertools.pairwise(seen)]


PLAIN_SGD = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "none",
    "learning_rate": 1.0,
}


def test_gradients_are_clipped_to_their_largest_norm():
    model = small_net()
    steps = steps_of(trainer(model, config={"gradient_clip": 0.01}, **PLAIN_SGD), model)
    assert max(steps) <= 0.01 * 1.001
    assert min(steps) > 0.005


def test_gradients_may_be_left_as_they_are():
    model = small_net()
    assert max(steps_of(trainer(model, config={"gradient_clip": None}, **PLAIN_SGD), model)) > 0.1


def rates(epochs=4, **settings):
    """Return the learning rate of every step, seen in how far a clipped step goes."""
    model = small_net()
    settings = {**PLAIN_SGD, "epochs": epochs, **settings}
    steps = steps_of(trainer(model, config={"gradient_clip": 1e-3}, **settings), model, epochs)
    return np.array(steps) / 1e-3


def test_a_constant_rate_is_constant():
    assert rates(schedule="none", learning_rate=0.5) == pytest.approx(0.5, rel=0.02)


def test_the_cosine_rises_for_the_warm_up_and_falls_to_almost_nothing():
    found = rates(schedule="cosine", learning_rate=0.5, warmup_epochs=0.5)  # 8 steps an epoch
    assert found[0] == pytest.approx(0.005, rel=0.05)
    assert (np.diff(found[:5]) > 0).all()
    assert (np.diff(found[5:]) < 0).all()
    assert 0.45 < found.max() < 0.51
    assert found[-1] < 0.05 * 0.5


def test_steps_cut_the_rate_twice():
    found = rates(epochs=3, schedule="step", learning_rate=0.5, warmup_epochs=0)
    levels = [0.5, 0.15, 0.045]
    for third, level in zip(np.split(found, 3), levels, strict=True):
        assert third == pytest.approx(level, rel=0.05)


def test_no_warm_up_starts_at_the_full_rate():
    found = rates(schedule="cosine", learning_rate=0.5, warmup_epochs=0)
    assert found[0] == pytest.approx(0.5, rel=1e-4)


def test_a_warm_up_longer_than_the_training_takes_half_of_it():
    found = rates(epochs=2, schedule="cosine", learning_rate=0.5, warmup_epochs=50)
    assert found.argmax() in (7, 8)


def test_a_training_set_smaller_than_a_batch_makes_one_step_an_epoch():
    model, few = small_net(), select(TRAIN, slice(20))
    one = trainer(model, images=few, batch_size=64)
    assert len(steps_of(one, model, epochs=3)) == 3
    assert trainer(images=few, batch_size=64).run_epoch(1, go) > 0


def test_whole_batches_are_taken_and_the_rest_waits_for_the_next_epoch():
    model = Recorder()
    trainer(model, images=select(TRAIN, slice(100)), batch_size=32).run_epoch(1, go)
    assert [len(batch) for batch in model.seen] == [32, 32, 32]


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_the_trial_and_names_the_learning_rate():
    one = trainer(
        optimizer="sgd", learning_rate=1e30, schedule="none", config={"gradient_clip": None}
    )
    with pytest.raises(
        TrialError, match=r"^the loss became nan in epoch \d \(learning_rate 1e\+30, sgd\)$"
    ):
        train(one)


def test_an_unknown_optimiser_ends_the_trial():
    with pytest.raises(TrialError, match="timm cannot make the optimiser 'sgdd'"):
        trainer(optimizer="sgdd")


def test_a_trial_may_be_ended_between_two_steps():
    class Stop(Exception):
        pass

    asked = []

    def check():
        asked.append(1)
        if len(asked) == 3:
            raise Stop

    model = Recorder()
    with pytest.raises(Stop):
        trainer(model).run_epoch(1, check)
    assert len(model.seen) == 2


def test_the_images_are_left_as_they_were():
    before = TRAIN.images_nchw.clone()
    train(trainer(mixup=0.2, augmentation="shift_flip_erase"), 1)
    assert torch.equal(TRAIN.images_nchw, before)
