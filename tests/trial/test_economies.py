"""What a training saves: which epoch does what, and that it does so."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from digits_tensors import digits, select, small_net
from torch import nn

from ecoautoml.config.models import TrainingConfig
from ecoautoml.data.tensors import ImageTensors
from ecoautoml.errors import TrialError
from ecoautoml.models.deployable import Deployable
from ecoautoml.trial.economies import (
    loss_mass,
    micro_batches,
    side_of_epoch,
    subset_rows,
)
from ecoautoml.trial.evaluate import network_logits
from ecoautoml.trial.settings import TrainingSettings
from ecoautoml.trial.train import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
TRAIN = digits(256)
PLAIN_SGD = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "none",
    "learning_rate": 1.0,
}


def larger(images, side):
    """Return digits with more pixels."""
    pixels = F.interpolate(images.images_nchw.float(), size=(side, side)).byte()
    return ImageTensors(images_nchw=pixels, labels=images.labels)


def trainer(model, *, images=TRAIN, config=None, seed=0, **settings):
    settings = {"batch_size": 64, "learning_rate": 1e-2, "epochs": 4, **settings}
    return Trainer(
        model,
        TrainingSettings(**settings),
        TrainingConfig(**(config or {})),
        images,
        n_classes=10,
        device="cpu",
        seed=seed,
    )


def go():
    """Stand between two steps and ask for nothing."""


def train(one, epochs=4):
    return [one.run_epoch(epoch, go) for epoch in range(1, epochs + 1)]


def weights(module):
    return torch.cat([each.detach().flatten().clone() for each in module.parameters()])


def accuracy(module, images):
    return float(
        (network_logits(module, images, "cpu", go).argmax(1) == images.labels.numpy()).mean()
    )


class Watched(nn.Module):
    """A network of any side that keeps what came in, and in which arithmetic."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear, self.seen = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 10), []

    def forward(self, image_bchw):
        maps = self.conv(image_bchw.float() / 128 - 0.7)
        if self.training:
            self.seen.append((image_bchw.detach().clone(), maps.dtype))
        return self.linear(maps.relu().mean(dim=(2, 3)))


def watched_epochs(epochs=4, **settings):
    """Return, per epoch, what a network saw."""
    model = Watched()
    one = trainer(model, epochs=epochs, **settings)
    found = []
    for epoch in range(1, epochs + 1):
        model.seen.clear()
        one.run_epoch(epoch, go)
        found.append(list(model.seen))
    return found


# --- arithmetic -----------------------------------------------------------------------------------


def dtypes(**settings):
    return [{dtype for _, dtype in seen} for seen in watched_epochs(**settings)]


@pytest.mark.parametrize(
    ("start", "low"), [(0.0, 4), (0.25, 3), (0.3, 2), (0.5, 2), (0.75, 1), (1.0, 0)]
)
@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_is_lowered_after_its_share_of_the_epochs(precision, dtype, start, low):
    found = dtypes(precision=precision, low_precision_from=start)
    assert found == [{torch.float32}] * (4 - low) + [{dtype}] * low


def test_the_spaces_precision_comes_before_the_configurations():
    config = {"precision": "bf16"}
    assert dtypes(epochs=1, config=config) == [{torch.bfloat16}]
    assert dtypes(epochs=1, config=config, precision="fp32") == [{torch.float32}]
    assert dtypes(epochs=1, config=config, precision="auto") == [{torch.float32}]


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_half_precision_learns(start):
    one = trainer(small_net(), precision="fp16", low_precision_from=start)
    losses = train(one)
    assert losses[-1] < 0.5 * losses[0]
    assert {each.dtype for each in one.trained_model.parameters()} == {torch.float32}


def test_half_precision_that_a_processor_cannot_do_is_refused(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'")

    monkeypatch.setattr("ecoautoml.trial.economies.F.conv2d", refuse)
    with pytest.raises(
        TrialError, match=r"^precision fp16 cannot be .*; set precision to bf16, fp32 or auto$"
    ):
        trainer(small_net(), precision="fp16")


# --- accumulation ---------------------------------------------------------------------------------


def without_statistics(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(Scaled(), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))


class Scaled(nn.Module):
    def forward(self, image_bchw):
        return image_bchw.float() / 128 - 0.7


def one_step(accumulation, **settings):
    """Return the weights after one step, and its loss."""
    model = without_statistics()
    images = select(TRAIN, slice(64))
    one = trainer(model, images=images, accumulation=accumulation, **settings)
    loss = one.run_epoch(1, go)
    return weights(model), loss


@pytest.mark.parametrize("accumulation", [2, 3, 8, 64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mixup": 0.4},
        {"label_smoothing": 0.1},
        {"config": {"class_weights": "balanced"}},
        {"config": {"class_weights": "balanced"}, "mixup": 0.4},
        {"config": {"class_weights": "balanced"}, "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_parts_of_a_batch_add_up_to_the_gradient_of_the_whole(accumulation, settings):
    settings = {
        **PLAIN_SGD,
        **settings,
        "config": {"gradient_clip": None, **settings.get("config", {})},
    }
    whole, loss = one_step(1, **settings)
    parts, loss_of_parts = one_step(accumulation, **settings)
    start = weights(without_statistics())
    assert (whole - start).norm() > 0.05
    assert torch.allclose(parts, whole, atol=2e-6)
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)


def test_a_batch_goes_through_the_network_in_parts_with_one_step_for_all():
    model = Watched()
    steps = []
    one = trainer(model, batch_size=64, accumulation=4)
    one.run_epoch(1, lambda: steps.append(weights(model)))
    assert [len(images) for images, _ in model.seen] == [16] * 16
    assert len(steps) == 4


def test_parts_hold_two_images_at_least_and_all_of_them_once():
    for count in range(1, 70):
        for accumulation in (1, 2, 3, 7, 100):
            parts = list(micro_batches(count, accumulation))
            rows = [row for part in parts for row in range(count)[part]]
            assert rows == list(range(count))
            sizes = [part.stop - part.start for part in parts]
            assert max(sizes) - min(sizes) <= 1
            assert min(sizes) >= min(2, count)
            assert len(parts) == min(accumulation, max(1, count // 2))


def test_networks_with_batch_statistics_learn_in_parts():
    one = trainer(small_net(), accumulation=4)
    losses = train(one)
    assert losses[-1] < 0.5 * losses[0]


def test_the_mass_of_a_loss_is_what_torch_divides_by():
    torch.manual_seed(0)
    logits, targets, scale = torch.randn(20, 4), torch.randint(4, (20,)), torch.rand(4) + 0.1
    for smoothing in (0.0, 0.2):
        options = {"weight": scale, "label_smoothing": smoothing}
        total = F.cross_entropy(logits, targets, reduction="sum", **options)
        mean = F.cross_entropy(logits, targets, **options)
        assert total / loss_mass(targets, scale) == pytest.approx(float(mean), rel=1e-5)


# --- layout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_layout_in_memory_may_be_chosen(channels_last):
    class Layout(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.linear, self.seen = nn.Conv2d(3, 8, 3), nn.Linear(8, 10), set()

        def forward(self, image_bchw):
            for each in (image_bchw, self.conv.weight):
                self.seen.add(
                    (
                        each.is_contiguous(memory_format=torch.channels_last),
                        each.is_contiguous(),
                    )
                )
            return self.linear(self.conv(image_bchw.float() / 255).mean(dim=(2, 3)))

    model = Layout()
    colour = ImageTensors(images_nchw=TRAIN.images_nchw.repeat(1, 3, 1, 1), labels=TRAIN.labels)
    trainer(model, images=colour, channels_last=channels_last).run_epoch(1, go)
    assert model.seen == {(channels_last, not channels_last)}


# --- growing images -------------------------------------------------------------------------------


def sides(full, epochs, share):
    settings = TrainingSettings(epochs=epochs, progressive_resolution=share)
    return [side_of_epoch(full, settings, epoch) for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize(
    ("full", "epochs", "share", "expected"),
    [
        (32, 10, 1.0, [32] * 10),
        (32, 10, 0.5, [16, 20, 20, 24, 24, 28, 28, 32, 32, 32]),
        (30, 5, 0.4, [12, 16, 24, 28, 30]),
        (16, 4, 0.1, [8, 8, 12, 16]),
        (8, 4, 0.1, [8] * 4),
        (6, 4, 0.1, [6] * 4),
        (224, 3, 0.5, [112, 164, 224]),
        (32, 1, 0.5, [32]),
    ],
)
def test_sides_grow_to_the_full_one(full, epochs, share, expected):
    assert sides(full, epochs, share) == expected


def test_sides_are_multiples_of_four_that_never_fall():
    for full in (8, 12, 28, 33, 224):
        for epochs in (1, 2, 7, 20):
            for share in (0.05, 0.3, 0.75, 0.99):
                found = sides(full, epochs, share)
                assert found == sorted(found)
                assert found[-1] == full
                assert all(side == full or (side % 4 == 0 and side >= 8) for side in found)
                done = (np.arange(epochs)) / epochs
                assert all(side == full for side in np.array(found)[done >= 0.7])


@pytest.mark.parametrize("mixup", [0.0, 0.2])
def test_images_grow_with_the_epochs(mixup):
    images = larger(TRAIN, 16)
    found = watched_epochs(images=images, progressive_resolution=0.5, mixup=mixup)
    assert [{seen.shape[-2:] for seen, _ in each} for each in found] == [
        {(8, 8)},
        {(12, 12)},
        {(12, 12)},
        {(16, 16)},
    ]
    small, full = found[0][0][0].float(), images.images_nchw.float()
    assert float(small.mean()) == pytest.approx(float(full.mean()), rel=0.1)  # still the pictures


def test_a_network_whose_images_grow_is_good_at_the_full_side():
    one = trainer(
        pooled(),
        images=larger(digits(1000), 16),
        progressive_resolution=0.5,
        learning_rate=3e-2,
        epochs=8,
    )
    losses = train(one, 8)
    assert losses[-1] < 0.7 * losses[0]
    assert accuracy(one.trained_model, larger(digits(400, start=1200), 16)) > 0.8


def pooled():
    """Return a network for images of any side."""
    torch.manual_seed(0)
    return nn.Sequential(
        Scaled(),
        nn.Conv2d(1, 16, 3, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def test_a_network_of_one_side_only_is_refused_before_anything_is_spent():
    model = small_net()
    model.network[-1] = nn.Linear(16 * 64, 10)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    with pytest.raises(TrialError, match=r"does not take images of 8 px, which progressive_res"):
        trainer(model, images=larger(TRAIN, 16), progressive_resolution=0.5)
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    trainer(model, images=larger(TRAIN, 16)).run_epoch(1, go)


# --- frozen parts ---------------------------------------------------------------------------------


def timm_net(name="test_efficientnet"):
    torch.manual_seed(0)
    network = timm.create_model(name, in_chans=1, num_classes=10)
    return Deployable(network, mean=[0.3], std=[0.38])


def changed(model, **settings):
    """Return the names of the parameters and buffers that a training changes."""
    before = {name: each.clone() for name, each in model.state_dict().items()}
    one = trainer(model, images=larger(TRAIN, 32), epochs=2, **settings)
    train(one, 2)
    after = one.trained_model.state_dict()
    return {name for name, each in before.items() if not torch.equal(after[name], each)}


@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "sgd", "weight_decay": 0.1}, {"ema_decay": 0.9}]
)
def test_a_frozen_backbone_keeps_its_weights_and_statistics(settings):
    assert changed(timm_net(), trainable="head", **settings) == {
        "network.classifier.weight",
        "network.classifier.bias",
    }


@pytest.mark.parametrize("name", ["test_resnet", "test_mambaout", "test_convnext"])
def test_the_classifier_is_what_timm_calls_so(name):
    model = timm_net(name)
    heads = {id(each) for each in model.network.get_classifier().parameters()}
    named = {name for name, each in model.named_parameters() if id(each) in heads}
    assert changed(model, trainable="head") == named


def test_half_a_network_is_trained_and_its_first_half_is_not():
    model = timm_net()
    owners = [
        name
        for name, module in model.network.named_modules()
        if list(module.parameters(recurse=False))
    ]
    first, second = owners[: len(owners) // 2], owners[len(owners) // 2 :]
    found = {
        name.removeprefix("network.").rpartition(".")[0]
        for name in changed(model, trainable="last_half")
    }
    assert found == set(second)
    assert not found & set(first)


def test_a_whole_network_has_changed_everywhere():
    model = timm_net()
    fixed = {"network.mean", "network.std", "mean", "std"}
    assert changed(model) == set(model.state_dict()) - fixed


def test_without_a_named_classifier_the_last_module_with_weights_is_the_head():
    model = small_net()
    found = changed_of_digits(model, trainable="head")
    assert found == {"network.5.weight", "network.5.bias"}


def changed_of_digits(model, **settings):
    before = {name: each.clone() for name, each in model.state_dict().items()}
    train(trainer(model, **settings), 1)
    return {
        name for name, each in model.state_dict().items() if not torch.equal(before[name], each)
    }


def test_statistics_without_weights_are_frozen_with_their_part():
    torch.manual_seed(0)
    model = nn.Sequential(
        Scaled(),
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8, affine=False),
        nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8, affine=False),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    assert {name.split(".")[0] for name in changed_of_digits(model, trainable="last_half")} == {
        "3",
        "4",
        "6",
    }


def test_the_optimiser_keeps_nothing_for_frozen_weights():
    model = timm_net()
    one = trainer(model, images=larger(TRAIN, 32), trainable="head")
    one.run_epoch(1, go)
    kept = sum(
        each.numel()
        for state in one.state()["optimizer"]["state"].values()
        for name, each in state.items()
        if name != "step"
    )
    head = sum(each.numel() for each in model.network.get_classifier().parameters())
    assert kept == 2 * head


def test_a_frozen_backbone_of_random_features_still_learns_something():
    model, images = small_net(), digits(1000)
    one = trainer(model, images=images, trainable="head")
    train(one)
    assert accuracy(one.trained_model, digits(400, start=1200)) > 0.7


# --- a subset first -------------------------------------------------------------------------------


def images_seen(**settings):
    found = watched_epochs(**settings)
    return [{bytes(image.numpy()) for seen, _ in each for image in seen} for each in found]


def test_the_first_epochs_see_the_subset_and_the_others_everything():
    found = images_seen(subset_fraction=0.25, batch_size=16)
    assert [len(each) for each in found] == [64, 64, 256, 256]
    assert found[0] == found[1] < found[2]


@pytest.mark.parametrize(("until", "on_subset"), [(0, 0), (0.3, 2), (0.75, 3), (1, 4)])
def test_the_share_of_epochs_on_the_subset_may_be_chosen(until, on_subset):
    found = images_seen(subset_fraction=0.5, subset_until=until, batch_size=16)
    assert [len(each) for each in found] == [128] * on_subset + [256] * (4 - on_subset)


def test_the_seed_chooses_the_subset_and_every_class_has_its_share():
    rows = subset_rows(TRAIN.labels, 0.3, seed=5)
    assert torch.equal(rows, subset_rows(TRAIN.labels, 0.3, seed=5))
    assert not torch.equal(rows, subset_rows(TRAIN.labels, 0.3, seed=6))
    whole, part = (torch.bincount(labels) for labels in (TRAIN.labels, TRAIN.labels[rows]))
    assert len(rows) == 77
    assert ((part - 0.3 * whole).abs() <= 1).all()
    assert len(set(rows.tolist())) == len(rows)


def test_a_subset_smaller_than_a_batch_is_one_step():
    found = watched_epochs(subset_fraction=0.1, batch_size=64)
    assert [[len(seen) for seen, _ in each] for each in found] == [[26], [26], [64] * 4, [64] * 4]


def test_the_schedule_ends_with_the_training_whatever_its_epochs_hold():
    model = small_net()
    one = trainer(model, subset_fraction=0.25, batch_size=16, warmup_epochs=1.0)
    rates = []
    for epoch in range(1, 5):
        one.run_epoch(
            epoch, lambda: rates.append(one.state()["optimizer"]["param_groups"][0]["lr"])
        )
    assert len(rates) == 4 + 4 + 16 + 16
    assert np.argmax(rates) == 4  # the warm-up is the first epoch
    assert rates[-1] < 0.02 * max(rates)


# --- optimisers that keep little ------------------------------------------------------------------


def kept_bytes(optimizer, **settings):
    model = nn.Sequential(Scaled(), nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    one = trainer(model, optimizer=optimizer, **settings)
    losses = train(one, 3)
    assert losses[-1] < losses[0]
    state = one.state()["optimizer"]["state"]
    tensors = [each for kept in state.values() for each in kept.values()]
    return sum(each.nbytes for each in tensors if isinstance(each, torch.Tensor))


def test_light_optimisers_keep_less_than_adamw_and_learn():
    whole = kept_bytes("adamw")
    assert kept_bytes("sgd", momentum=0.9) < 0.51 * whole
    assert kept_bytes("lion", learning_rate=1e-3) < 0.51 * whole
    assert kept_bytes("adafactor", momentum=0.0) < 0.1 * whole
    assert kept_bytes("adafactorbv") < 0.4 * whole
    assert kept_bytes("sgd", momentum=0.0) == 0


# --- everything at once, paused -------------------------------------------------------------------

ECONOMIES = [
    {"precision": "bf16", "low_precision_from": 0.5},
    {"precision": "fp16", "low_precision_from": 0.25},
    {"accumulation": 4, "mixup": 0.2},
    {"channels_last": False, "augmentation": "shift_flip_erase"},
    {"progressive_resolution": 0.5, "augmentation": "shift"},
    {"trainable": "head"},
    {"trainable": "last_half", "ema_decay": 0.9},
    {"subset_fraction": 0.5, "subset_until": 0.6, "schedule": "step"},
    {"optimizer": "lion", "learning_rate": 1e-3},
    {"optimizer": "adafactor"},
    {"optimizer": "adafactorbv"},
    {
        "precision": "bf16",
        "low_precision_from": 0.5,
        "accumulation": 2,
        "channels_last": False,
        "progressive_resolution": 0.6,
        "trainable": "last_half",
        "subset_fraction": 0.4,
        "mixup": 0.2,
        "ema_decay": 0.9,
    },
]


@pytest.mark.parametrize("pause", [1, 2, 3])
@pytest.mark.parametrize("settings", ECONOMIES, ids=lambda one: "+".join(one))
def test_a_training_that_was_paused_ends_as_one_that_was_not(settings, pause, tmp_path):
    images = larger(select(TRAIN, slice(128)), 16)

    def begun():
        return trainer(pooled(), images=images, batch_size=32, seed=3, **settings)

    whole, first = begun(), begun()
    expected = train(whole)
    losses = train(first, pause)
    torch.save(first.state(), tmp_path / "state")
    again = begun()
    again.restore(torch.load(tmp_path / "state", weights_only=True))
    losses += [again.run_epoch(epoch, go) for epoch in range(pause + 1, 5)]
    assert losses == expected
    states = [one.trained_model.state_dict().values() for one in (whole, again)]
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
