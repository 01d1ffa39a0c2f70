"""Draw a data set in the format of Visual Genome.

    python tools/make_demo_dataset.py --output output/demo/data --seed 0

Every other tool reads it with DATASETS.DATA_DIR output/demo/data; docs/demo.md says what is drawn.
"""

import argparse

import checkout  # noqa: F401

from demo.dataset import DatasetSettings, make_dataset
from maskrcnn_benchmark.utils import cli


def _count(text: str) -> int:
    """A number of images; zero would make a split that nothing can train on or test."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def main() -> None:
    defaults = DatasetSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, metavar="DIR", help="the data set goes to DIR/vg")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="decides everything that is drawn")
    for split in ("train", "val", "test"):
        number = getattr(defaults, split)
        parser.add_argument(f"--{split}", type=_count, default=number, metavar="N", help=f"images (default {number})")
    parser.add_argument("--overwrite", action="store_true", help="replace a drawn data set of other settings")
    args = parser.parse_args()
    settings = DatasetSettings(seed=args.seed, train=args.train, val=args.val, test=args.test)
    folder = make_dataset(args.output, settings, args.overwrite)
    print(f"{sum(1 for _ in (folder / 'VG_100K').iterdir())} images in {folder}")


if __name__ == "__main__":
    cli.run(main)
