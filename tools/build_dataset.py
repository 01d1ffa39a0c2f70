#!/usr/bin/env python3
"""Make a data set in the VG-SGG format from other annotations.

    python tools/build_dataset.py vrd --train annotations_train.json --test annotations_test.json \\
        --objects objects.json --predicates predicates.json \\
        --images sg_train_images sg_test_images --output output/vrd
    python tools/build_dataset.py coco --train train.json --val val.json --test test.json --relations rel.json \\
        --images images --output output/coco
    python tools/build_dataset.py json --all graphs.json --num-test 10 --images photos --output output/own
    python tools/build_dataset.py psg --train psg.json --test psg.json --images coco --output output/psg
    python tools/build_dataset.py openimages --train oidv6-train-annotations-vrd.csv \\
        --classes class-descriptions-boxable.csv --images train --output output/openimages

At the end it prints how many images, objects and relations were read, kept and left out, and why. Where a whole file
contributed nothing, no data set is written and the exit status is 1. Every other tool reads the data set with
DATASETS.DATA_DIR output/vrd; docs/own_data.md describes the formats.
"""

import argparse

from maskrcnn_benchmark.data.conversion import (
    Annotations,
    NothingKeptError,
    build_vg_dataset,
    read_coco,
    read_graphs_json,
    read_open_images,
    read_psg,
    read_vrd,
    split_at_random,
)
from maskrcnn_benchmark.data.datasets.vg_format import SPLIT_CODES, load_info
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    for name, text in (
        ("vrd", "VRD: triplets by file name, boxes [y1, y2, x1, x2]"),
        ("coco", "COCO's objects with relations, also those of SGG-Benchmark and SGG-Annotate"),
        ("json", "objects and relations by file name, as tools/predict.py writes them"),
        ("psg", "OpenPSG's psg.json: boxes of things and stuff"),
        ("openimages", "relations of Open Images, a csv"),
    ):
        one = formats.add_parser(name, help=text, description=text)
        for split in SPLIT_CODES:
            one.add_argument(f"--{split}", metavar="FILE", help=f"annotations of the {split} split")
        one.add_argument("--all", metavar="FILE", help="annotations to split at random, in place of the three")
        one.add_argument("--num-val", type=int, default=0, metavar="N", help="with --all: images for validation")
        one.add_argument("--num-test", type=int, default=0, metavar="N", help="with --all: images for testing")
        one.add_argument("--seed", type=int, default=0, help="with --all: which images these are")
        one.add_argument("--images", nargs="+", required=True, metavar="DIR", help="folders with the images")
        one.add_argument("--output", required=True, metavar="DIR", help="the data set goes to DIR/vg")
        one.add_argument(
            "--dict-file", metavar="FILE", help="take names and numbers from the dictionary of another data set"
        )
        one.add_argument(
            "--as-stored", action="store_true", help="do not turn images as their EXIF data say; the boxes do not"
        )
        if name == "vrd":
            one.add_argument("--objects", required=True, metavar="FILE", help="names of the objects")
            one.add_argument("--predicates", required=True, metavar="FILE", help="names of the predicates")
        if name == "coco":
            one.add_argument("--relations", metavar="FILE", help="RelTR's rel.json; without it they are in each file")
        if name == "openimages":
            one.add_argument(
                "--classes", nargs="+", required=True, metavar="FILE", help="csv files with codes and names of classes"
            )
    return parser.parse_args()


def read(args: argparse.Namespace, path: str, split: str) -> Annotations:
    if args.format == "vrd":
        return read_vrd(path, args.objects, args.predicates, args.images)
    if args.format == "coco":
        return read_coco(path, args.images, args.relations, split)
    if args.format == "psg":
        return read_psg(path, args.images, None if args.all else split)
    if args.format == "openimages":
        return read_open_images(path, args.classes, args.images, upright=not args.as_stored)
    return read_graphs_json(path, args.images)


def main() -> None:
    args = parse()
    given = {split: path for split in SPLIT_CODES if (path := getattr(args, split))}
    if bool(given) == bool(args.all):
        raise InputError("give either --all, or --train and, where there are such images, --val and --test")
    if args.all:
        annotations = [read(args, args.all, "train")]
        splits = split_at_random(annotations[0].images, args.num_val, args.num_test, args.seed)
        tallies = dict.fromkeys(splits, annotations[0].tally)
    else:
        annotations = [read(args, path, split) for split, path in given.items()]
        splits = {split: one.images for split, one in zip(given, annotations, strict=True)}
        tallies = {split: one.tally for split, one in zip(given, annotations, strict=True)}
    if args.dict_file:
        objects, predicates, _ = load_info(args.dict_file)
        names = objects[1:], predicates[1:]
    else:
        names = tuple(
            list(dict.fromkeys(name for one in annotations for name in getattr(one, kind)))
            for kind in ("objects", "predicates")
        )
        if args.format in ("json", "openimages"):  # there is no list of them
            names = tuple(sorted(some) for some in names)
    try:
        report = build_vg_dataset(splits, *names, args.output, upright=not args.as_stored, tallies=tallies)
    except NothingKeptError as error:
        print(error.report)
        raise
    print(report)
    print(
        f"DATASETS.DATA_DIR {args.output}   MODEL.ROI_BOX_HEAD.NUM_CLASSES {len(names[0]) + 1}   "
        f"MODEL.ROI_RELATION_HEAD.NUM_CLASSES {len(names[1]) + 1}"
    )


if __name__ == "__main__":
    run(main)
