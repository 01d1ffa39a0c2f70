#!/usr/bin/env python3
"""Draw some images of a data set with their boxes and relations into one picture."""

import argparse

import numpy as np

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.datasets import VGDataset
from maskrcnn_benchmark.data.datasets.visual_genome import load_image
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.fonts import told_once
from maskrcnn_benchmark.utils.visualization import scene_graph_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", help="picture to write, .png or .pdf")
    parser.add_argument("--dataset", default="VG_stanford_filtered_with_attribute_test", help="name in the catalog")
    parser.add_argument("--data-dir", default="datasets", help="root of the data sets")
    parser.add_argument("--num-val-im", type=int, default=5000, help="training images that serve for validation")
    parser.add_argument("--count", type=int, default=8, help="how many images")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    args = parser.parse_args()

    config = load_config("", ["DATASETS.DATA_DIR", args.data_dir, "DATASETS.NUM_VAL_IM", args.num_val_im])
    dataset = VGDataset(**load_catalog(config).DatasetCatalog.get(args.dataset, config)["args"])
    if not 1 <= args.count <= len(dataset):
        raise InputError(f"--count is {args.count}; {args.dataset} has {len(dataset)} images")
    chosen = np.random.default_rng(args.seed).choice(len(dataset), args.count, replace=False)
    targets = [dataset.get_groundtruth(int(i), evaluation=True) for i in chosen]
    figure = scene_graph_figure(
        [load_image(dataset.filenames[i]) for i in chosen],
        [target.bbox.numpy() for target in targets],
        [[dataset.ind_to_classes[label] for label in target.get_field("labels").tolist()] for target in targets],
        [
            [(s, dataset.ind_to_predicates[p], o) for s, o, p in target.get_field("relation_tuple").tolist()]
            for target in targets
        ],
    )
    with atomic_write(args.output) as path, told_once():
        figure.savefig(path, bbox_inches="tight", pad_inches=0.05)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    run(main)
