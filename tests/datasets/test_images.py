"""Images of every mode and state."""

import io

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.datasets.images import image_format, image_size, load_image
from maskrcnn_benchmark.utils.errors import InputError


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_images_of_every_mode_become_rgb(tmp_path, mode):
    path = tmp_path / ("picture.png" if mode in ("LA", "P") else "picture.tif")
    colour = Image.new("RGB", (6, 4), (200, 200, 200))
    # Pillow 12 cannot read an uncompressed YCbCr TIFF, its own included
    colour.convert(mode).save(path, compression="tiff_lzw" if mode == "YCbCr" else None)
    image = load_image(path)
    assert image.mode == "RGB" and image.size == image_size(path) == (6, 4)
    if mode != "1":
        assert abs(np.asarray(image).astype(int) - 200).max() <= 4  # palettes are coarse


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_images_are_scaled(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype=np.uint16)).save(path)
    assert np.asarray(load_image(path))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_float_images_are_scaled(tmp_path):
    path = tmp_path / "float.tif"
    Image.fromarray(np.array([[0, 0.5, 1, 0]], dtype=np.float32)).save(path)
    assert np.asarray(load_image(path))[0, :, 1].tolist() == [0, 128, 255, 0]


def test_exif_rotation_is_applied_on_request_only(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20] = 255
    Image.fromarray(picture).save(path, exif=exif)
    assert image_format(path) == ("JPEG", True)
    assert load_image(path).size == image_size(path) == (60, 40)
    upright = load_image(path, upright=True)
    assert upright.size == image_size(path, upright=True) == (40, 60)
    # turned clockwise, what was above is on the right
    assert np.asarray(upright)[30, 35].min() > 200 and np.asarray(upright)[30, 5].max() < 50
    Image.fromarray(picture).save(path)
    assert image_format(path) == ("JPEG", False)


def test_broken_files_are_named(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40)).save(buffer, "PNG")
    contents = {"empty": b"", "text": b"hello", "cut": buffer.getvalue()[:60]}
    for name, content in contents.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"image .*{name}\.png cannot be read"):
            load_image(path)
    with pytest.raises(InputError, match=r"missing\.png does not exist"):
        image_size(tmp_path / "missing.png")


def test_values_that_are_no_numbers_are_named(tmp_path):
    path = tmp_path / "deep.tiff"
    Image.fromarray(np.array([[0, np.nan]], dtype=np.float32)).save(path)
    with pytest.raises(InputError, match=r"deep\.tiff cannot be read: it has values that are nan or infinite"):
        load_image(path)


def test_an_image_too_large_to_be_true_is_named(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("L", (60, 40)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"bomb\.png cannot be read"):
        load_image(path)
