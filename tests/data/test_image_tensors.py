import numpy as np
import pytest
import torch

from ecoautoml.config.models import DigitsData, NumpyData
from ecoautoml.data import load_images, load_labels, prepare_data
from ecoautoml.data.tensors import ImageTensors, TensorCache, batches, load_tensors


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_data(DigitsData(), tmp_path_factory.mktemp("data") / "digits")


def numbered(count):
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    return ImageTensors(images_nchw=images.contiguous(), labels=torch.arange(count))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_at_the_prepared_size_the_bytes_are_those_on_disk(digits):
    tensors = load_tensors(digits, "test", 8)
    assert tensors.images_nchw.dtype == torch.uint8
    assert tensors.labels.dtype == torch.int64
    assert np.array_equal(tensors.images_nchw.numpy(), load_images(digits, "test"))
    assert np.array_equal(tensors.labels.numpy(), load_labels(digits, "test"))


def test_changing_a_tensor_changes_no_file(digits):
    load_tensors(digits, "test", 8).images_nchw.zero_()
    assert load_images(digits, "test").any()


@pytest.mark.parametrize("resolution", [5, 16])
def test_resized_images_stay_bytes_and_keep_their_look(digits, resolution):
    tensors = load_tensors(digits, "train", resolution)
    assert tensors.images_nchw.shape == (1257, 1, resolution, resolution)
    assert tensors.images_nchw.dtype == torch.uint8
    whole = load_images(digits, "train").mean(axis=(1, 2, 3))
    resized = tensors.images_nchw.float().mean(dim=(1, 2, 3)).numpy()
    assert np.abs(whole - resized).mean() < 4


def test_shrinking_in_memory_is_antialiased(tmp_path):
    stripes = np.zeros((6, 32, 32), np.uint8)
    stripes[:, :, ::2] = 255
    np.savez(tmp_path / "x.npz", x_train=stripes, y_train=np.arange(6) % 2)
    data = prepare_data(NumpyData(kind="numpy", path=tmp_path / "x.npz"), tmp_path / "p")
    small = load_tensors(data, "train", 8).images_nchw[:, :, 2:-2, 2:-2].float()
    assert (small - 127.5).abs().max() < 12


def test_the_cache_gives_the_same_tensors_again(digits):
    cache = TensorCache(digits, 10**9)
    assert cache.get("test", 12) is cache.get("test", 12)
    assert cache.get("test", 12) is not cache.get("test", 16)


def test_the_cache_forgets_what_was_used_longest_ago(digits):
    one = load_tensors(digits, "test", 12).size_bytes
    cache = TensorCache(digits, 2 * one + 10)
    first, second = cache.get("test", 12), cache.get("validation", 12)
    assert cache.get("test", 12) is first
    cache.get("test", 11)
    assert cache.size_bytes <= 2 * one + 10
    assert cache.get("test", 12) is first
    assert cache.get("validation", 12) is not second


def test_what_is_too_large_for_the_cache_is_still_handed_out(digits):
    cache = TensorCache(digits, 100)
    assert len(cache.get("test", 8).labels) == 270
    assert cache.size_bytes == 0


def test_batches_are_bytes_with_channels_last_and_their_own_labels():
    for images, labels in batches(numbered(10), 4, generator=seeded(), drop_last=False):
        assert images.dtype == torch.uint8
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(images[:, 0, 0, 0].long(), labels)


def test_without_a_generator_the_order_is_that_of_the_data():
    labels = [y.tolist() for _, y in batches(numbered(5), 2, generator=None, drop_last=False)]
    assert labels == [[0, 1], [2, 3], [4]]


def test_shuffled_batches_hold_every_image_once_and_repeat_with_the_seed():
    def order(seed):
        parts = batches(numbered(50), 8, generator=seeded(seed), drop_last=False)
        return torch.cat([y for _, y in parts]).tolist()

    assert sorted(order(0)) == list(range(50))
    assert order(0) == order(0) != order(1)


def test_epochs_of_one_generator_differ():
    generator = seeded()
    first, second = (
        torch.cat([y for _, y in batches(numbered(50), 8, generator=generator, drop_last=False)])
        for _ in range(2)
    )
    assert not torch.equal(first, second)


def test_drop_last_leaves_out_the_rest_but_never_everything():
    def sizes(count, size):
        return [len(y) for _, y in batches(numbered(count), size, generator=None, drop_last=True)]

    assert sizes(10, 4) == [4, 4]
    assert sizes(8, 4) == [4, 4]
    assert sizes(3, 4) == [3]
