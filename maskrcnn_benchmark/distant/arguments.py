"""Arguments that the tools of distant supervision share."""

from __future__ import annotations

import argparse
from pathlib import Path

from maskrcnn_benchmark.modeling.language.crops import FITS, CropRule
from maskrcnn_benchmark.utils.errors import InputError

from .clip_scores import TEMPLATES
from .expectation import Expectation


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


def add_human(parser: argparse.ArgumentParser) -> None:
    """--human."""
    parser.add_argument(
        "--human", type=Path, metavar="H5", help="the h5 with human labels, to compare with; nothing is learnt from it"
    )


def add_clip(parser: argparse.ArgumentParser) -> None:
    """How CLIP sees pairs: --margin, --fit, --template, --batch, --workers."""
    rule = CropRule()
    parser.add_argument(
        "--margin",
        type=float,
        default=rule.margin,
        metavar="SHARE",
        help="added around a pair's box, as a share of its sides (default: %(default)s)",
    )
    parser.add_argument(
        "--fit",
        choices=FITS,
        default=rule.fit,
        help="how the crop becomes a square: filled up, or out of proportion (default: %(default)s)",
    )
    parser.add_argument(
        "--template",
        action="append",
        metavar="TEXT",
        help="phrase with {subject}, {predicate} and {object}; may be repeated (default: three)",
    )
    parser.add_argument("--batch", type=int, default=256, help="crops at once (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that read pictures (default: none, in this process)"
    )


def clip_options(args: argparse.Namespace) -> dict:
    """What `add_clip` read, as arguments of `ClipScorer`."""
    for name in ("batch", "workers"):
        if getattr(args, name) < (name == "batch"):
            raise InputError(f"--{name} is {getattr(args, name)}; it must be {int(name == 'batch')} or more")
    return {
        "templates": tuple(args.template or TEMPLATES),
        "rule": CropRule(args.margin, args.fit),
        "batch": args.batch,
        "workers": args.workers,
    }


def add_expectation(parser: argparse.ArgumentParser) -> None:
    """How scores become weights: --temperature, --prior, --threshold."""
    rule = Expectation()
    parser.add_argument(
        "--temperature",
        type=float,
        default=rule.temperature,
        help="of the scores: below 1 the likeliest candidate gets more (default: %(default)s)",
    )
    parser.add_argument(
        "--prior",
        type=float,
        default=rule.prior,
        help="exponent of the weights that candidates have already; 0: they do not count (default: %(default)s)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=rule.threshold,
        help="candidates below this are dropped, except the likeliest of a pair (default: %(default)s)",
    )


def expectation_of(args: argparse.Namespace) -> Expectation:
    """What `add_expectation` read.

    Raises:
        InputError: a value that it cannot have.
    """
    expectation = Expectation(args.temperature, args.prior, args.threshold)
    expectation.check()
    return expectation
