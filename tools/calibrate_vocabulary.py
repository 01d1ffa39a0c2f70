#!/usr/bin/env python3
"""Calibrate how a RelCLIP model scores predicates that training never showed.

    python tools/calibrate_vocabulary.py output/relclip-sgdet

Holds out the training's predicates in turn, on training images, and writes vocabulary.json into the folder, where
SceneGraphModel.from_pretrained finds it (docs/api.md). The data set of the training must be there.
"""

import argparse
import logging

from maskrcnn_benchmark.engine.calibrate_vocabulary import STEPS, calibrate_vocabulary, save_calibration
from maskrcnn_benchmark.engine.run_state import seed_everything
from maskrcnn_benchmark.engine.scene_predictor import load_trained, locate
from maskrcnn_benchmark.modeling.language.vocabulary import VOCABULARY_FILE
from maskrcnn_benchmark.utils.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="RUN", help="folder of a training, or a checkpoint")
    parser.add_argument("--config-file", metavar="FILE", help="of the training, where it is not beside the checkpoint")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="training images, at most")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help="of training, for each of the folds")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys and values")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    seed_everything(0)  # the training set draws one of several predicates of a pair, and projections start at random
    config, checkpoint = locate(args.model, args.config_file)
    calibration = calibrate_vocabulary(load_trained(config, checkpoint, opts=args.opts), args.images, args.steps)
    path = checkpoint.parent / VOCABULARY_FILE
    save_calibration(calibration, path)
    print(f"slope {calibration.slope:.2f}, offset {calibration.offset:.2f}, width {calibration.width}; in {path}")
    print(f"not shown in training: {', '.join(calibration.unseen) or 'none'}")


if __name__ == "__main__":
    run(main)
