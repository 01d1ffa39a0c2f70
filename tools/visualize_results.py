#!/usr/bin/env python3
"""Draw predictions for images of a test set beside their ground truth: found in blue, missed in orange.

    python tools/visualize_results.py --config-file output/own/config.yml --count 6 OUTPUT_DIR output/own
    python tools/visualize_results.py --config-file output/own/config.yml --indices 0 17 --output pictures

The model is the one that tools/relation_test_net.py would test. Pictures are named after their image and go to
OUTPUT_DIR/inference/<data set>/pictures, or to --output.
"""

import argparse
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.build import build_dataset
from maskrcnn_benchmark.data.datasets.evaluation.vg.ranks import MAX_RANK
from maskrcnn_benchmark.data.datasets.images import load_image
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.engine.evaluate import load_trained_model
from maskrcnn_benchmark.engine.recipes import relation_recipe
from maskrcnn_benchmark.engine.side_by_side import images_side_by_side
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.visualization import save_figure, side_by_side_figure


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="configuration of the training")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="whose images")
    parser.add_argument("--indices", nargs="+", type=int, metavar="I", help="which images of the split")
    parser.add_argument("--count", type=int, default=8, help="without --indices: how many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="without --indices: which ones")
    parser.add_argument("--top-k", type=int, default=20, metavar="N", help="predictions of an image that count")
    parser.add_argument("--draw", type=int, default=8, metavar="N", help="relations in a picture, the rest is listed")
    parser.add_argument("--output", metavar="DIR", help="where the pictures go")
    parser.add_argument(
        "opts", default=[], nargs=argparse.REMAINDER, help="configuration keys and values: KEY VALUE KEY VALUE ..."
    )
    return parser.parse_args()


def main() -> None:
    args = parse()
    logger = setup_logger("maskrcnn_benchmark", "", 0)
    cfg = load_config(args.config_file, ["TEST.RELATION.FIRST_TRIPLETS", max(args.top_k, MAX_RANK), *args.opts])
    relation_recipe(cfg)  # tells a detector's configuration apart
    names = cfg.DATASETS[args.split.upper()]
    dataset = build_dataset(
        cfg, names, build_transforms(cfg, is_train=False), load_catalog(cfg).DatasetCatalog, is_train=False
    )[0]
    indices = args.indices
    if indices is None:
        if not 1 <= args.count <= len(dataset):
            raise InputError(f"--count is {args.count}; {names[0]} has {len(dataset)} images")
        indices = sorted(np.random.default_rng(args.seed).choice(len(dataset), args.count, replace=False).tolist())
    wrong = [index for index in indices if not 0 <= index < len(dataset)]
    if wrong:
        raise InputError(f"--indices has {wrong[0]}; the images of {names[0]} are 0 to {len(dataset) - 1}")
    model = load_trained_model(cfg, args.opts, logger)
    output = Path(args.output or Path(cfg.OUTPUT_DIR) / "inference" / names[0] / "pictures")
    for index, truth, prediction in images_side_by_side(cfg, model, dataset, indices, args.top_k):
        file = dataset.filenames[index]
        figure = side_by_side_figure(load_image(file), [truth, prediction], max_drawn=args.draw, max_listed=args.top_k)
        path = output / f"{Path(file).stem}.png"
        save_figure(figure, path)
        logger.info("wrote %s", path)


if __name__ == "__main__":
    run(main)
