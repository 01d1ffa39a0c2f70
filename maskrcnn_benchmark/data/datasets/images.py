"""Image files of any kind as 8-bit RGB."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import check_file

_EXIF_ORIENTATION = 0x0112
# Formats that Pillow knows by name only: it cannot decode them itself.
_NO_IMAGES = ("BUFR", "GRIB", "HDF5", "MPEG", "WMF")
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height


def load_image(path: str | os.PathLike, upright: bool = False, max_pixels: int | None = None) -> Image.Image:
    """An image as RGB.

    Greyscale, palette and CMYK images are converted, 16-bit ones scaled to 8 bits; transparency is dropped.

    Args:
        upright: turn the image as its EXIF data say. Not for Visual Genome, whose boxes were drawn on the images as
            they are stored.
        max_pixels: of a larger JPEG file a half, a quarter or an eighth of its width and height is decoded, whichever
            is enough; what is still larger, or in another format, is not decoded at all.

    Raises:
        InputError: a file that is missing, cut short, no image, or too large.
    """
    with _opened(path) as image:
        if max_pixels is not None and image.width * image.height > max_pixels:
            _reduce(image, max_pixels)
        return _to_rgb(ImageOps.exif_transpose(image) if upright else image)


def as_picture(image: Image.Image | np.ndarray | Tensor) -> Image.Image:
    """An image in memory as RGB: a PIL image, an array [H, W, 3] or [H, W], or a tensor [3, H, W].

    Raises:
        InputError: something else, or values that are neither bytes nor floats from 0 to 1.
    """
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, Tensor):
        if image.dim() != 3 or image.shape[0] not in (1, 3):
            raise InputError(f"a tensor of an image has the shape [3, H, W], found {list(image.shape)}")
        image = image.detach().cpu().permute(1, 2, 0).expand(-1, -1, 3).numpy()
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"an image is a path, a PIL image, an array [H, W, 3] or a tensor [3, H, W], found {type(image).__name__}"
        )
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
        raise InputError(f"an array of an image has the shape [H, W, 3], found {list(image.shape)}")
    if image.dtype.kind == "f":
        if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
            raise InputError("an image of floats must have values from 0 to 1; give bytes for 0 to 255")
        image = (image * 255).round().astype(np.uint8)
    if image.dtype != np.uint8:
        raise InputError(f"an image is of bytes or of floats, found {image.dtype}")
    return Image.fromarray(np.ascontiguousarray(image[:, :, :3]))


def image_size(path: str | os.PathLike, upright: bool = False) -> tuple[int, int]:
    """(width, height) in pixels, from the head of the file alone; arguments and errors as in `load_image`."""
    with _opened(path) as image:
        width, height = image.size
        if upright and image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS:
            return height, width
        return width, height


def image_format(path: str | os.PathLike) -> tuple[str, bool]:
    """Pillow's name of the file's format, such as JPEG, and whether its EXIF data say to turn or mirror the image."""
    with _opened(path) as image:
        return str(image.format), image.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Suffixes of the files that Pillow reads as images, in small letters."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN and kind not in _NO_IMAGES)


def _reduce(image: Image.Image, max_pixels: int) -> None:
    """Have an image that is not decoded yet decoded at a smaller size."""
    width, height = image.size
    for factor in (2, 4, 8):
        if -(-width // factor) * -(-height // factor) <= max_pixels:
            image.draft("RGB", (width // factor, height // factor))  # does nothing but for JPEG
            break
    if image.width * image.height > max_pixels:
        raise InputError(f"it has {width * height:,} pixels, and INPUT.MAX_PIXELS allows {max_pixels:,}")


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    check_file(path, "image")
    try:
        with Image.open(path) as image:
            yield image
    # on damaged files Pillow's decoders raise OSError, SyntaxError, ValueError, RuntimeError and more
    except Exception as error:
        raise InputError(f"image {path} cannot be read: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return image.convert("RGB")
    # Pillow cuts deep images off at 255 where it should scale them
    values = np.asarray(image, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InputError("it has values that are nan or infinite")
    largest = values.max(initial=0)
    if largest > 255:
        values = values / 257
    elif image.mode == "F" and largest <= 1:
        values = values * 255
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")
