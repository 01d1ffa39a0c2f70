"""Arguments that the tools of distant supervision share."""

from __future__ import annotations

import argparse
from pathlib import Path

from maskrcnn_benchmark.utils.errors import InputError


def add_source(parser: argparse.ArgumentParser, what: str) -> None:
    """--h5, --dictionary and --num-val-im."""
    parser.add_argument(
        "--h5", required=True, type=Path, metavar="H5", help=f"data set in the VG-SGG format; its labels are {what}"
    )
    parser.add_argument(
        "--dictionary",
        type=Path,
        metavar="JSON",
        help="class names (default: beside the h5, VG-SGG-dicts-with-attri.json for VG-SGG-with-attri.h5)",
    )
    parser.add_argument(
        "--num-val-im",
        type=int,
        default=5000,
        metavar="N",
        help="DATASETS.NUM_VAL_IM: training images that serve for validation, where no split code 1 marks any, and "
        "keep their labels (default: %(default)s)",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """--output and --link."""
    parser.add_argument("--output", required=True, type=Path, metavar="H5", help="the h5 to write")
    parser.add_argument(
        "--link",
        action="store_true",
        help="put links to the other files beside --h5 beside --output, so that the folder above it can be "
        "DATASETS.DATA_DIR",
    )


def beside(args: argparse.Namespace, given: Path | None, option: str, *names: str) -> Path:
    """A file or folder that an option gives, else the first of these names that stands beside the h5.

    Raises:
        InputError: neither.
    """
    if given is not None:
        return given
    places = [args.h5.parent / name for name in names]
    for place in places:
        if place.exists():
            return place
    raise InputError(f"there is no {' or '.join(map(str, places))}; give {option}")


def dictionary_of(args: argparse.Namespace) -> Path:
    """Path of the dictionary: --dictionary, or the one that belongs to the h5 by its name."""
    name = args.h5.with_suffix(".json").name.replace("SGG", "SGG-dicts", 1)
    return beside(args, args.dictionary, "--dictionary", name)
