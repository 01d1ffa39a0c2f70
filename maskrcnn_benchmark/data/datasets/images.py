"""Image files of any kind as 8-bit RGB."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from maskrcnn_benchmark.utils.errors import InputError

_EXIF_ORIENTATION = 0x0112
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


def is_turned(path: str | os.PathLike) -> bool:
    """Whether the EXIF data say that the image is to be turned or mirrored for viewing."""
    with _opened(path) as image:
        return image.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)


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
