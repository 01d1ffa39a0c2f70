"""The json files of the VG-SGG format, names with their numbers and the list of images: what is wrong with them."""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter

from maskrcnn_benchmark.utils.errors import InputError

BACKGROUND = "__background__"  # name of the class and predicate 0
NAME_KINDS = ("label", "predicate", "attribute")  # keys of the dictionary are label_to_idx, idx_to_label and so on
WHERE = "docs/datasets.md says where to get the files and where each goes"


def read_json(path: str | os.PathLike):
    """Contents of a json file.

    Raises:
        InputError: the file is missing, no json, nested too deeply, or has a key twice in one object, of which json
            would silently keep the last.
    """

    def unique(pairs: list[tuple]) -> dict:
        found = dict(pairs)
        if len(found) != len(pairs):
            doubled = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise InputError(f"data file {path} has the key {doubled!r} twice in one object")
        return found

    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream, object_pairs_hook=unique)
    except FileNotFoundError as error:
        raise InputError(f"data file {path} does not exist; {WHERE}") from error
    except OSError as error:
        raise InputError(f"data file {path} cannot be read: {error}") from error
    except InputError:
        raise
    except ValueError as error:  # of json, of the encoding, and of numbers of thousands of digits
        raise InputError(f"data file {path} is cut short or no json: {error}") from error
    except RecursionError as error:
        raise InputError(f"data file {path} is nested too deeply") from error


def dictionary_faults(dict_file: str | os.PathLike, info, whole: bool = True) -> list[str]:
    """What is wrong with a dictionary json, a sentence each.

    Args:
        info: what the file holds.
        whole: whether idx_to_label and so on, which nothing reads but SGB's own scripts, must be there.
    """
    if not isinstance(info, dict):
        return [f"data file {dict_file} must hold an object with label_to_idx, found a {type(info).__name__}"]
    faults = []
    for kind in NAME_KINDS:
        names = info.get(f"idx_to_{kind}")
        numbers = info.get(f"{kind}_to_idx", {})
        if f"{kind}_to_idx" not in info and (names or kind != "attribute"):
            faults.append(f"data file {dict_file} has no {kind}_to_idx; {WHERE}")
            continue
        fault = _numbers_fault(f"{kind}_to_idx", numbers)
        if fault:
            faults.append(f"data file {dict_file}: {fault}")
        elif (whole or names) and {str(i): name for name, i in numbers.items() if i} != (names or {}):
            faults.append(f"data file {dict_file}: idx_to_{kind} is not the inverse of {kind}_to_idx")
    return faults


def has_control_characters(name: str) -> bool:
    """Whether a text has line ends, halves of letters or other characters that no name has."""
    return any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)


def _numbers_fault(key: str, numbers) -> str:
    """What is wrong with {name: number}, "" where nothing is; the background may be there as number 0."""
    if not isinstance(numbers, dict):
        return f"{key} is a {type(numbers).__name__}, expected an object with names as keys and numbers as values"
    for name, number in numbers.items():
        if not name.strip() or has_control_characters(name):
            return f"{key} has the name {name!r}, which is empty or has line ends or other control characters"
        if isinstance(number, bool) or not isinstance(number, int):
            return f"{key} gives {name!r} the number {number!r}, expected a whole number"
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
        InputError: the file is missing or damaged, an entry lacks a field or has one of another type, or an id comes
            twice.
    """
    data = read_json(image_file)
    if not isinstance(data, list):
        raise InputError(f"data file {image_file} is no list of image_id, width and height: a {type(data).__name__}")
    places: dict = {}
    for place, info in enumerate(data):
        where = f"data file {image_file}, number {place} of the list"
        if not isinstance(info, dict):
            raise InputError(f"{where} is {info!r}, expected an object with image_id, width and height")
        image_id = info.get("image_id")
        if isinstance(image_id, bool) or not isinstance(image_id, (int, str)) or set("/\\\0") & set(str(image_id)):
            raise InputError(f"{where} {_said(info, 'image_id')}, expected the name of a file without .jpg")
        if places.setdefault(str(image_id), place) != place:
            raise InputError(f"{where} has the image_id {image_id!r} of number {places[str(image_id)]} once more")
        for side in ("width", "height") if sizes else ():
            value = info.get(side)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not (value >= 1 and value % 1 == 0):
                raise InputError(f"{where} {_said(info, side)}, expected a number of pixels (image {image_id})")
    return data


def _said(info: dict, key: str) -> str:
    return f"has the {key} {info[key]!r}" if key in info else f"has no {key}"
