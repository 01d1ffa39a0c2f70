"""Train the small CLIP that stands in for ViT-B/32 on drawn data.

    python tools/train_small_clip.py --output output/demo/clip/small.pt --seed 0

The file is a state dict as OpenAI's package keeps it: `clip.load(path)` reads it, and so does RelCLIP with
MODEL.LANGUAGE.NAME path. Its pictures come from the world of --seed, from other draws
than the data set's.
"""

import argparse
import logging
import sys

import checkout  # noqa: F401
import torch

from demo.captions import captioned_pictures
from demo.dataset import DatasetSettings
from demo.small_clip import ClipSettings, new_clip, train_clip
from maskrcnn_benchmark.utils import cli
from maskrcnn_benchmark.utils.files import atomic_write


def main() -> None:
    defaults = ClipSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, metavar="FILE", help="where the state dict goes")
    parser.add_argument("--seed", type=int, default=0, help="of the world, the pictures and the training")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="0 leaves the weights untrained")
    parser.add_argument("--pictures", type=int, default=20_000, help="captioned pictures to draw")
    parser.add_argument(
        "--captions",
        choices=["all", "training"],
        default="all",
        help="training: leave out the compositions that the scene graph training set lacks (the control)",
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    logger = logging.getLogger("maskrcnn_benchmark.small_clip")
    settings = ClipSettings(steps=args.steps)
    if args.steps == 0:
        torch.manual_seed(args.seed)
        model = new_clip(settings)
    else:
        data_settings = DatasetSettings(seed=args.seed)
        logger.info("drawing %d captioned pictures", args.pictures)
        pictures = captioned_pictures(
            data_settings.make_world(),
            data_settings.scene,
            args.seed,
            args.pictures,
            settings.resolution,
            training_only=args.captions == "training",
        )
        model = train_clip(pictures, settings, args.seed, logger)
    with atomic_write(args.output) as path:
        torch.save(model.state_dict(), path)
    logger.info("saved %s", args.output)


if __name__ == "__main__":
    cli.run(main)
