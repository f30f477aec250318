import pytest
import torch

from ecoautoml.data.augment import POLICIES, augment
from ecoautoml.errors import ConfigError


def images(b=16, c=3, h=16, w=16):
    drawn = torch.randint(256, (b, c, h, w), generator=seeded(99), dtype=torch.uint8)
    return drawn.contiguous(memory_format=torch.channels_last)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def shifted_slowly(image, dy, dx):
    """Return a (c, h, w) image in which pixel (y, x) is the old (y + dy, x + dx) or the edge."""
    _, h, w = image.shape
    out = torch.empty_like(image)
    for y in range(h):
        for x in range(w):
            out[:, y, x] = image[:, min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)]
    return out


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_policy_keeps_shape_and_type_and_leaves_its_input(policy, channels, dtype):
    given = images(c=channels).to(dtype)
    before = given.clone()
    out = augment(given, policy, seeded())
    assert out.shape == given.shape
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(given, before)
    assert POLICIES[policy].description


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "none"])
def test_the_generator_decides(policy):
    first, again = augment(images(), policy, seeded()), augment(images(), policy, seeded())
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(images(), policy, seeded(1)))
    assert not torch.equal(first, images())


def test_none_changes_nothing():
    assert torch.equal(augment(images(), "none", seeded()), images())


@pytest.mark.parametrize(("h", "w"), [(16, 16), (8, 24)])
def test_shift_moves_each_image_by_itself_and_repeats_the_edge(h, w):
    given = images(b=12, h=h, w=w)
    moved = augment(given, "shift", seeded())
    found = set()
    for old, new in zip(given, moved, strict=True):
        matches = [
            (dy, dx)
            for dy in range(-(h // 8), h // 8 + 1)
            for dx in range(-(w // 8), w // 8 + 1)
            if torch.equal(shifted_slowly(old, dy, dx), new)
        ]
        assert len(matches) == 1
        found.update(matches)
    assert len(found) > 4


def test_shift_reaches_both_ways_on_both_axes():
    dot = torch.zeros(400, 1, 16, 16, dtype=torch.uint8)
    dot[:, :, 8, 8] = 1
    where = augment(dot, "shift", seeded()).nonzero()[:, 2:]
    assert where.min(dim=0).values.tolist() == [6, 6]
    assert where.max(dim=0).values.tolist() == [10, 10]


def test_images_too_small_to_shift_stay():
    given = images(h=7, w=7)
    assert torch.equal(augment(given, "shift", seeded()), given)


def test_flip_mirrors_about_half_of_the_images():
    given = images(b=400, h=4, w=6)
    out = augment(given, "flip", seeded())
    is_same = (out == given).flatten(1).all(1)
    is_mirrored = (out == given.flip(3)).flatten(1).all(1)
    assert (is_same ^ is_mirrored).all()
    assert 150 < is_mirrored.sum() < 250


def test_erase_paints_one_rectangle_of_bounded_area_in_about_half_of_the_images():
    erase = POLICIES["shift_flip_erase"].steps[-1]
    given = torch.zeros(400, 1, 32, 32)
    given[:, :, ::2] = 1.0  # mean 0.5: no pixel has the colour of the paint
    painted = (erase(given, seeded()) == 0.5)[:, 0]
    area = painted.float().mean(dim=(1, 2))
    is_erased = area > 0
    assert 150 < is_erased.sum() < 250
    assert area[is_erased].min() > 0.03
    assert area.max() < 0.25
    assert area[is_erased].std() > 0.02
    boxes = painted.any(1).sum(1) * painted.any(2).sum(1)
    assert torch.equal(boxes, painted.sum(dim=(1, 2)))


def test_an_unknown_policy_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="did you mean 'flip'"):
        augment(images(), "flipp", seeded())
