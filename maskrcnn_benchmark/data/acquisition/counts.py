"""The counts that prove a data set to be the published one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from maskrcnn_benchmark.data.datasets.vg_format import SPLIT_CODES, choose_images, read_h5


def relation_images(h5: str | os.PathLike, num_val_im: int) -> dict[str, int]:
    """Images with relations of each split of a file in the VG-SGG format.

    Args:
        num_val_im: how many training images serve for validation where the file marks none.

    Raises:
        InputError: a file that is missing or damaged.
    """
    arrays = read_h5(h5)
    return {split: len(choose_images(arrays, split, num_val_im=num_val_im)) for split in SPLIT_CODES}


def describe(found: Mapping[str, int], expected: Mapping[str, int]) -> str:
    """Counts in words; where they differ, with what was expected."""
    text = ", ".join(f"{count:,} {split}" for split, count in found.items())
    if dict(found) == dict(expected):
        return f"{text} images with relations, as published"
    wanted = ", ".join(f"{expected.get(split, 0):,} {split}" for split in found)
    return f"{text} images with relations, but {wanted} were published: it is another data set"
