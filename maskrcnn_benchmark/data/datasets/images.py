"""Image files of any kind as 8-bit RGB."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from maskrcnn_benchmark.utils.errors import InputError

_EXIF_ORIENTATION = 0x0112
# Formats that Pillow knows by name only: it cannot decode them itself.
_NO_IMAGES = ("BUFR", "GRIB", "HDF5", "MPEG", "WMF")
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height


def load_image(path: str | os.PathLike, upright: bool = False) -> Image.Image:
    """An image as RGB.

    Greyscale, palette and CMYK images are converted, 16-bit ones scaled to 8 bits; transparency is dropped.

    Args:
        upright: turn the image as its EXIF data say. Not for Visual Genome, whose boxes were drawn on the images as
            they are stored.

    Raises:
        InputError: a file that is missing, cut short or no image.
    """
    with _opened(path) as image:
        return _to_rgb(ImageOps.exif_transpose(image) if upright else image)


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


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise InputError(f"image {path} does not exist") from error
    # on damaged files Pillow's decoders raise OSError, SyntaxError, ValueError, RuntimeError and more
    except Exception as error:
        raise InputError(f"image {path} cannot be read: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return image.convert("RGB")
    # Pillow cuts deep images off at 255 where it should scale them
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    largest = values.max(initial=0)
    if largest > 255:
        values = values / 257
    elif image.mode == "F" and largest <= 1:
        values = values * 255
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")
