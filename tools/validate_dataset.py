#!/usr/bin/env python3
"""Check a data set in the VG-SGG format, and count what is in it.

    python tools/validate_dataset.py --data-dir output/own --num-val-im 0 --plot output/own/report.png

Prints a report; the exit status is 1 where something is wrong. docs/own_data.md says what is checked.
"""

import argparse

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.datasets.checks import check_dataset, report_figure
from maskrcnn_benchmark.data.datasets.visual_genome import correct_img_info
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.visualization import save_figure

FILES = ("img_dir", "roidb_file", "dict_file", "image_file")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default="datasets", help="root of the data sets")
    parser.add_argument("--dataset", default="VG_stanford_filtered_with_attribute", help="name without split")
    parser.add_argument("--num-val-im", type=int, default=5000, help="training images that serve for validation")
    parser.add_argument("--skip-images", action="store_true", help="do not decode the images")
    parser.add_argument("--plot", metavar="FILE", help="draw the long tails and the share of zero-shot relations")
    parser.add_argument(
        "--correct-sizes", action="store_true", help="first write the true sizes of the images into the image list"
    )
    args = parser.parse_args()

    config = load_config("", ["DATASETS.DATA_DIR", args.data_dir])
    arguments = load_catalog(config).DatasetCatalog.get(f"{args.dataset}_train", config)["args"]
    files = {name: arguments[name] for name in FILES}
    if args.correct_sizes:
        count = correct_img_info(files["img_dir"], files["image_file"])
        print(f"{count} sizes in {files['image_file']} corrected")
    report = check_dataset(**files, num_val_im=args.num_val_im, check_images=not args.skip_images)
    print(report)
    if args.plot and report.splits:
        save_figure(report_figure(report), args.plot)
        print(f"wrote {args.plot}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    run(main)
