import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecoautoml.data.decode import UnreadableImageError, decode, read_header


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_grey_image_of_the_wanted_size_keeps_every_pixel():
    pixels = noise(9, 9)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), 9, 1)[0], pixels)
    assert np.array_equal(decode(pixels, 9, 1)[0], pixels)
    assert np.array_equal(decode(pixels[:, :, None], 9, 1)[0], pixels)


def test_rgb_image_comes_out_with_channels_first():
    pixels = noise(9, 9, 3)
    for raw in (pixels, encoded(Image.fromarray(pixels)), Image.fromarray(pixels)):
        assert np.array_equal(decode(raw, 9, 3), pixels.transpose(2, 0, 1))


def test_grey_becomes_three_equal_channels_when_rgb_is_asked_for():
    pixels = noise(5, 5)
    assert np.array_equal(decode(pixels, 5, 3), np.stack([pixels] * 3))


def test_transparent_pixels_become_white():
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (255, 0, 0, 255)
    pixels = decode(encoded(Image.fromarray(rgba)), 4, 3)
    assert pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert pixels[:, 3, 0].tolist() == [255, 255, 255]


def test_palette_images_get_their_colours():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert decode(encoded(image), 4, 3)[:, 2, 2].tolist() == [10, 20, 30]
    assert decode(encoded(image, transparency=1), 4, 3)[:, 2, 2].tolist() == [255, 255, 255]


def test_sixteen_bit_grey_is_divided_down_not_clipped():
    values = np.array([[0, 257], [257 * 128, 65535]], np.uint16)
    image = Image.fromarray(values)
    assert decode(encoded(image), 2, 1)[0].tolist() == [[0, 1], [128, 255]]
    assert read_header(encoded(image)).is_grey


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_comes_out_as_asked(mode, channels):
    image = Image.new(mode, (6, 4))
    raw = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    pixels = decode(raw, 4, channels)
    assert pixels.shape == (channels, 4, 4)
    assert pixels.dtype == np.uint8


def test_the_centre_of_the_longer_side_is_kept():
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 200
    assert (decode(pixels, 10, 1) == 200).all()
    assert (decode(pixels.T, 10, 1) == 200).all()


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    small = decode(stripes, 8, 1)[0, 2:-2, 2:-2].astype(float)
    assert np.abs(small - 127.5).max() < 12


def test_a_photo_stands_upright_as_its_exif_says():
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    raw = encoded(Image.fromarray(pixels), "JPEG", exif=exif, quality=100)
    assert (decode(raw, 8, 1)[0, :, 5:] > 250).all()


def test_a_large_jpeg_is_decoded_to_the_right_size():
    raw = encoded(Image.new("RGB", (640, 480), (200, 30, 30)), "JPEG", quality=95)
    pixels = decode(raw, 32, 3)
    assert pixels.shape == (3, 32, 32)
    assert np.abs(pixels.astype(int) - np.array([200, 30, 30])[:, None, None]).max() < 6


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_unreadable(form):
    raw = encoded(Image.fromarray(noise(64, 64, 3)), form)
    with pytest.raises(UnreadableImageError):
        decode(raw[: len(raw) // 2], 8, 3)


@pytest.mark.parametrize("raw", [b"", b"no image", None, Path("nowhere.png")])
def test_what_is_no_image_is_unreadable(raw):
    with pytest.raises(UnreadableImageError):
        decode(raw, 8, 3)
    with pytest.raises(UnreadableImageError):
        read_header(raw)
