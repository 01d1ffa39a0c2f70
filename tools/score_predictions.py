#!/usr/bin/env python3
"""Score predictions that any program made, under a named protocol: no model, no image files, no GPU.

    python tools/score_predictions.py --ground-truth configs/relclip/motifs_full.yaml \\
        --predictions custom_prediction.json --protocol sgb --output output/theirs
    python tools/score_predictions.py --ground-truth annotated.json --predictions predictions.json --output output/mine
    python tools/compare.py output/theirs output/ours --output output/comparison

Ground truth is a data set of the catalog (the configuration that names it) or json; predictions are the json of
tools/predict.py, SGB's custom_prediction.json or eval_results.pytorch, or the json of sgbench. What was unusual in the
file and what was done about it is printed and written. docs/evaluation.md
"""

import argparse
from pathlib import Path

from maskrcnn_benchmark.data.datasets.evaluation.scoring import (
    parse_fields,
    read_annotated_set,
    score_predictions,
    zero_shot_of,
)
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS, named_protocol
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.logger import setup_logger


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ground-truth", required=True, metavar="FILE_OR_CONFIG", help="annotations")
    parser.add_argument("--predictions", required=True, metavar="FILE")
    parser.add_argument("--protocol", default="sgb", metavar="NAME", help=f"one of {', '.join(PROTOCOLS)}")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="FIELD=VALUE", dest="fields", help="single fields of the protocol"
    )
    parser.add_argument("--task", choices=("predcls", "sgcls", "sgdet"), default="", help="default: as the file shows")
    parser.add_argument("--output", required=True, metavar="DIR", help="gets inference/<data set>/evaluation.json")
    parser.add_argument("--name", default="", metavar="MODEL", help="what the comparison calls it; default: the file")
    parser.add_argument(
        "--dataset", default="", metavar="NAME", help="of the catalog; default: the first DATASETS.TEST"
    )
    parser.add_argument(
        "--dict-file", metavar="FILE", help="names and their numbers, for ground truth that is no config"
    )
    parser.add_argument("--zero-shot", default="", metavar="FILE", help="zero-shot triplets")
    parser.add_argument("--novel", nargs="+", default=[], metavar="PREDICATE", help="novel predicates, or ovsgtr")
    parser.add_argument("--info", metavar="FILE", help="info file of custom_prediction.json; default: beside it")
    parser.add_argument(
        "--input-size", nargs=2, type=int, default=(600, 1000), metavar=("MIN", "MAX"),
        help="sides of the network's input, whose pixels custom_prediction.json has; 0 0: pixels of the image",
    )  # fmt: skip
    parser.add_argument("--only-predicted", action="store_true", help="leave out images that the file does not have")
    parser.add_argument("--export-sgbench", metavar="DIR", help="write both files in sgbench's formats, too")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="configuration keys and values")
    return parser.parse_args()


def main() -> None:
    args = parse()
    setup_logger("maskrcnn_benchmark", "", 0)
    protocol = named_protocol(args.protocol, "--protocol").with_fields(**parse_fields(args.fields))
    opts = [*args.opts, "OUTPUT_DIR", args.output]
    annotated = read_annotated_set(args.ground_truth, args.dataset, args.dict_file, opts)
    score = score_predictions(
        annotated,
        args.predictions,
        protocol,
        args.task,
        zero_shot_of(annotated, args.zero_shot),
        args.novel,
        args.info,
        tuple(args.input_size),
        args.only_predicted,
        args.export_sgbench,
        progress=True,
    )
    score.save(args.output, args.name or Path(args.predictions).stem, args.predictions)
    print(f"{score.text()}written to {args.output}/inference/{annotated.name}/evaluation.json")


if __name__ == "__main__":
    run(main)
