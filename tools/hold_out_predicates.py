"""Take predicates out of the training images of a data set, to test how a model does on what it never saw.

    python tools/hold_out_predicates.py --h5 datasets/vg/VG-SGG-with-attri.h5 --predicates "riding,parked on" \
        --output datasets-heldout/vg/VG-SGG-with-attri.h5 --link

Training images lose the relations with these predicates, validation and test images keep theirs, and the dictionary
stays. With --link, DATASETS.DATA_DIR datasets-heldout is all that training and test need. A model that scores
predicates by their phrases alone (RELCLIP.USE_BASE False, PREDICT_USE_BIAS False) can still find them. docs/method.md
"""

from __future__ import annotations

import argparse

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.distant.arguments import add_output, add_source, dictionary_of
from maskrcnn_benchmark.distant.labels import read_arrays, read_labels, training_images, write_labels
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source(parser, "kept, except those held out")
    parser.add_argument("--predicates", required=True, metavar="NAMES", help="those to hold out, separated by commas")
    add_output(parser)
    args = parser.parse_args()

    dictionary = dictionary_of(args)
    _, predicates, _ = load_info(dictionary)
    names = [name.strip() for name in args.predicates.split(",") if name.strip()]
    unknown = [name for name in names if name not in predicates[1:]]
    if unknown or not names:
        raise InputError(
            f"--predicates: {dictionary} has no {unknown[0] if unknown else 'empty list'}; it has "
            f"{', '.join(predicates[1:])}"
        )
    arrays = read_arrays(args.h5)
    images = training_images(arrays, args.num_val_im)
    labels = read_labels(arrays, images)
    kept = ~np.isin(labels.predicates, [predicates.index(name) for name in names])
    write_labels(args.h5, args.output, images, labels.take(kept, labels.weights[kept]), args.link)
    for name in names:
        left_out = np.count_nonzero(labels.predicates == predicates.index(name))
        print(f"{name}: {left_out} relations of training images left out")
    print(f"written to {args.output}")


if __name__ == "__main__":
    run(main)
