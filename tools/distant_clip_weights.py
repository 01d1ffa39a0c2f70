"""Weight the candidates of distant labels by CLIP: its image tower on each pair's crop against the candidates' phrases.

    python tools/distant_clip_weights.py --h5 datasets-distant/vg/VG-SGG-with-attri.h5 \
        --output datasets-clip/vg/VG-SGG-with-attri.h5 --link --human datasets/vg/VG-SGG-with-attri.h5

The first E-step of tools/distant_em.py on its own, so that any predictor can train on what it writes. Scores are kept
on disk: a stopped run goes on, and another temperature, prior or threshold takes seconds. docs/distant.md
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import numpy as np
import torch

from maskrcnn_benchmark.data.datasets.vg_format import load_image_filenames, load_info
from maskrcnn_benchmark.distant.arguments import (
    add_clip,
    add_expectation,
    add_human,
    add_output,
    add_source,
    beside,
    clip_options,
    dictionary_of,
    expectation_of,
)
from maskrcnn_benchmark.distant.clip_scores import ClipScorer
from maskrcnn_benchmark.distant.labels import (
    read_arrays,
    read_human_labels,
    read_labels,
    training_images,
    write_labels,
)
from maskrcnn_benchmark.distant.quality import agreement, count_lines
from maskrcnn_benchmark.modeling.language.text_encoder import EncoderSpec
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source(parser, "the candidates, as tools/distant_label.py writes them")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="pictures (default: VG_100K or images beside the h5)"
    )
    parser.add_argument(
        "--image-data", type=Path, metavar="JSON", help="sizes of the pictures (default: image_data.json beside the h5)"
    )
    add_human(parser)
    parser.add_argument("--clip", default="ViT-B/32", metavar="NAME", help="model or file (default: %(default)s)")
    parser.add_argument("--library", choices=["clip", "open_clip"], default="clip", help="default: %(default)s")
    parser.add_argument("--pretrained", default="", metavar="TAG", help="open_clip: tag or file of the weights")
    parser.add_argument("--cache-dir", default="~/.cache/relclip", help="for phrases and scores (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    add_clip(parser)
    add_expectation(parser)
    add_output(parser)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    classes, predicates, _ = load_info(dictionary_of(args))
    arrays = read_arrays(args.h5)
    images = training_images(arrays, args.num_val_im)
    labels = read_labels(arrays, images)
    if not len(labels):
        raise InputError(f"{args.h5} has no label of a training image to weight")
    human = None if args.human is None else read_human_labels(args.human, arrays, images)
    folder = beside(args, args.images, "--images", "VG_100K", "images")
    filenames, info = load_image_filenames(
        os.fspath(folder), beside(args, args.image_data, "--image-data", "image_data.json")
    )
    if len(filenames) != len(arrays["split"]):
        raise InputError(f"{len(filenames)} images are listed, but {args.h5} has {len(arrays['split'])}")
    sizes = np.array([(image["width"], image["height"]) for image in info])
    scorer = ClipScorer(
        spec=EncoderSpec(args.library, args.clip, args.pretrained),
        cache_dir=args.cache_dir,
        device=torch.device(args.device),
        **clip_options(args),
    )
    expectation = expectation_of(args)
    weighted = expectation.apply(labels, scorer.logits(labels, arrays, filenames, sizes, classes, predicates))
    write_labels(args.h5, args.output, images, weighted, args.link)
    for name, these in (("before", labels), ("after", weighted)):
        print(f"{name}:", *count_lines(these), *(agreement(these, human).lines() if human else []), sep="\n  ")
    print(f"written to {args.output}")


if __name__ == "__main__":
    run(main)
