"""Transfer labels as IETrans does, by what a trained model thinks of the training set, and write them as a data set.

    python tools/ietrans_transfer.py --config-file output/motifs/config.yml --link \
        --output datasets-ietrans/vg/VG-SGG-with-attri.h5 OUTPUT_DIR output/motifs
    python tools/relation_train_net.py --config-file ... DATASETS.DATA_DIR datasets-ietrans

The model is that of OUTPUT_DIR, or MODEL.WEIGHT, trained on the data set that DATASETS.TRAIN names; the paper takes one
of PredCls. Validation and test images keep their labels. docs/debiasing.md
"""

from __future__ import annotations

import numpy as np

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.distant.arguments import add_output
from maskrcnn_benchmark.distant.data_transfer import TransferRule, transfer
from maskrcnn_benchmark.distant.labels import read_arrays, read_labels, training_images, write_labels
from maskrcnn_benchmark.distant.predictions import training_predictions
from maskrcnn_benchmark.engine.launch import launched, tool_parser
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.comm import is_main_process
from maskrcnn_benchmark.utils.errors import InputError

MOST = 10  # lines of what changed


def main() -> None:
    parser = tool_parser("Transfer labels as IETrans does, by what a trained model thinks of the training set.")
    usual = TransferRule()
    parser.add_argument(
        "--internal",
        type=float,
        default=usual.internal,
        metavar="SHARE",
        help="of the labels of general predicates, those that become informative (default: %(default)s)",
    )
    parser.add_argument(
        "--external",
        type=float,
        default=usual.external,
        metavar="SHARE",
        help="of the unlabelled, overlapping pairs, those that get a label (default: %(default)s)",
    )
    parser.add_argument(
        "--head",
        type=int,
        default=usual.head,
        metavar="N",
        help="the N most frequent predicates are not given to unlabelled pairs (default: %(default)s)",
    )
    add_output(parser)
    args = parser.parse_args()
    rule = TransferRule(args.internal, args.external, args.head)
    rule.check()
    with launched(args, save=False) as (cfg, distributed, logger):
        given = cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX
        if len(cfg.DATASETS.TRAIN) != 1 or not given:
            raise InputError(
                "labels are transferred between the annotated boxes of one training set, but DATASETS.TRAIN is "
                f"{cfg.DATASETS.TRAIN} and MODEL.ROI_RELATION_HEAD.USE_GT_BOX is {given}: take a model of PredCls"
            )
        files = load_catalog(cfg).DatasetCatalog.get(cfg.DATASETS.TRAIN[0], cfg)["args"]
        predicates = load_info(files["dict_file"])[1]
        arrays = read_arrays(files["roidb_file"])
        images = training_images(arrays, cfg.DATASETS.NUM_VAL_IM)
        before = read_labels(arrays, images)
        predictions = training_predictions(cfg, distributed, logger, args.opts)
        after = transfer(before, arrays, predictions, len(predicates), rule)
        if is_main_process():
            weighted = "predicate_weights" in arrays
            write_labels(files["roidb_file"], args.output, images, after, args.link, weighted)
            print(*_changes(before.predicates, after.predicates, predicates), sep="\n")
            print(f"written to {args.output}")


def _changes(before: np.ndarray, after: np.ndarray, names: list[str]) -> list[str]:
    """How many labels there are, and the predicates whose number changed most."""
    counts = [np.bincount(x, minlength=len(names)) for x in (before, after)]
    most = np.argsort(-np.abs(counts[1] - counts[0]), kind="stable")[:MOST]
    lines = [f"{names[p]}: {counts[0][p]} -> {counts[1][p]}" for p in most if counts[0][p] != counts[1][p]]
    return [f"{len(before)} labels before, {len(after)} after; most changed:", *lines]


if __name__ == "__main__":
    run(main)
