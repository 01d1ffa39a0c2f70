"""Label the training images of a data set by a knowledge base instead of by people.

    python tools/distant_label.py --h5 datasets/vg/VG-SGG-with-attri.h5 --knowledge-base knowledge_base.json \
        --output datasets-distant/vg/VG-SGG-with-attri.h5 --link

Every ordered pair of different, overlapping boxes whose classes the knowledge base knows gets all its predicates, with
the weights that the loader draws by. Validation and test images keep their labels. The result is an ordinary data set:
with --link, DATASETS.DATA_DIR datasets-distant is all that training needs. SGB has no such key, and ignores weights:
there, write the h5 with --repeat-rows 20 over the path that its paths_catalog.py names. docs/distant.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.distant.arguments import add_output, add_source, dictionary_of
from maskrcnn_benchmark.distant.knowledge_base import read_knowledge_base
from maskrcnn_benchmark.distant.labelling import PairRule, label_images
from maskrcnn_benchmark.distant.labels import read_arrays, read_labels, training_images, write_labels
from maskrcnn_benchmark.distant.quality import agreement, count_lines
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source(parser, "human labels, with which the noisy ones are compared")
    parser.add_argument("--knowledge-base", required=True, type=Path, metavar="JSON", help="see docs/distant.md")
    parser.add_argument(
        "--skip-unknown", action="store_true", help="leave out names that the dictionary lacks (default: an error)"
    )
    near = parser.add_mutually_exclusive_group()
    near.add_argument(
        "--overlap",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="only boxes that overlap (default: yes)",
    )
    near.add_argument(
        "--max-distance",
        type=float,
        metavar="SHARE",
        help="instead, only boxes whose gap is at most this share of the image's longer side",
    )
    parser.add_argument(
        "--max-pairs", type=int, metavar="N", help="per image at most N pairs, those of largest IoU (default: all)"
    )
    parser.add_argument(
        "--weights",
        choices=["counts", "even"],
        default="counts",
        help="of a pair's candidates: shares of the knowledge base's counts, or all the same (default: counts)",
    )
    parser.add_argument(
        "--repeat-rows",
        type=int,
        metavar="N",
        help="for SGB, which ignores weights: N rows for every pair, each candidate as often as its weight says; all "
        "weights are 1",
    )
    add_output(parser)
    args = parser.parse_args()
    if args.repeat_rows is not None and args.repeat_rows < 1:
        raise InputError(f"--repeat-rows is {args.repeat_rows}; it must be 1 or more")

    classes, predicates, _ = load_info(dictionary_of(args))
    base = read_knowledge_base(args.knowledge_base, classes, predicates, args.skip_unknown)
    print(f"{len(base.predicates)} triplets of {len(base.pairs)} class pairs in {args.knowledge_base}")
    arrays = read_arrays(args.h5)
    images = training_images(arrays, args.num_val_im)
    rule = PairRule(args.overlap and args.max_distance is None, args.max_distance, args.max_pairs)
    labels = label_images(arrays, images, base, rule, use_counts=args.weights == "counts")
    if not len(labels):
        raise InputError(
            f"none of the pairs of boxes in the {len(images)} training images of {args.h5} has classes that "
            f"{args.knowledge_base} knows: the result would be empty"
        )
    written = labels.repeated(args.repeat_rows) if args.repeat_rows else labels
    write_labels(args.h5, args.output, images, written, args.link)
    print(*count_lines(labels), *agreement(labels, read_labels(arrays, images)).lines(), sep="\n")
    print(f"written to {args.output}")


if __name__ == "__main__":
    run(main)
