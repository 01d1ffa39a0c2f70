"""The json files of the VG-SGG format, names with their numbers and the list of images: what is wrong with them."""

from __future__ import annotations

import os

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import read_json

BACKGROUND = "__background__"  # name of the class and predicate 0
NAME_KINDS = ("label", "predicate", "attribute")  # keys of the dictionary are label_to_idx, idx_to_label and so on
WHERE = "docs/datasets.md says where to get the files and where each goes"


def read_dictionary(dict_file: str | os.PathLike) -> dict:
    """The json with the names of classes and predicates; what `dictionary_faults` looks for may be wrong with it.

    Raises:
        InputError: the file is missing, no json, or holds something else.
    """
    return read_json(dict_file, json_schemas.Dictionary, hint=WHERE)


def dictionary_faults(dict_file: str | os.PathLike, info: dict, whole: bool = True) -> list[str]:
    """What is wrong with the numbers of a dictionary, a sentence each.

    Args:
        info: what `read_dictionary` gives.
        whole: whether idx_to_label and so on, which nothing reads but SGB's own scripts, must be there.
    """
    faults = []
    for kind in NAME_KINDS:
        names = info.get(f"idx_to_{kind}")
        numbers = info.get(f"{kind}_to_idx", {})
        if f"{kind}_to_idx" not in info and names:
            faults.append(f"data file {dict_file} has no {kind}_to_idx; {WHERE}")
            continue
        fault = _numbers_fault(f"{kind}_to_idx", numbers)
        if fault:
            faults.append(f"data file {dict_file}: {fault}")
        elif (whole or names) and {str(i): name for name, i in numbers.items() if i} != (names or {}):
            faults.append(f"data file {dict_file}: idx_to_{kind} is not the inverse of {kind}_to_idx")
    return faults


def _numbers_fault(key: str, numbers: dict[str, int]) -> str:
    """What is wrong with {name: number}, "" where nothing is; the background may be there as number 0."""
    for name, number in numbers.items():
        if (name == BACKGROUND) != (number == 0):
            return f"{key} gives {name!r} the number {number}; 0 is {BACKGROUND} and nothing else"
    found = sorted(number for number in numbers.values() if number)
    for expected, number in enumerate(found, 1):
        if number != expected:
            doubled = [name for name, value in numbers.items() if value == number][:2]
            what = f"{number} twice ({' and '.join(map(repr, doubled))})" if len(doubled) > 1 else number
            return f"the numbers of {key} are not 1 to {len(found)}: found {what} in place of {expected}"
    return ""


def read_image_list(image_file: str | os.PathLike, sizes: bool = True) -> list[dict]:
    """The json list of images with `image_id`, `width` and `height`.

    Args:
        sizes: whether they must be there.

    Raises:
        InputError: the file is missing or damaged, an entry lacks a field or has one of another type, a size is no
            whole number, or an id comes twice.
    """
    data = read_json(image_file, json_schemas.ImageList if sizes else json_schemas.UnsizedImageList, hint=WHERE)
    places: dict[str, int] = {}
    for place, info in enumerate(data):
        where, image_id = f"data file {image_file}, number {place} of the list", str(info["image_id"])
        if places.setdefault(image_id, place) != place:
            raise InputError(f"{where} has the image_id {info['image_id']!r} of number {places[image_id]} once more")
        for side in ("width", "height") if sizes else ():
            if info[side] % 1:
                raise InputError(f"{where} has the {side} {info[side]}, expected a number of pixels (image {image_id})")
    return data
