"""Compare trained relation models: one table per task as Markdown, json and a page with plots and scene graphs.

    python tools/compare.py output/motifs-predcls output/relclip-predcls --output output/comparison

Each folder is an OUTPUT_DIR of relation_train_net.py or relation_test_net.py; docs/comparison.md says what is compared
with what.
"""

import argparse

from maskrcnn_benchmark.report import markdown, read_run, write_report
from maskrcnn_benchmark.utils.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="output directory of a training or a test")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="gets report.md, report.json, report.html")
    parser.add_argument("--dataset", default="", help="which tested data set counts, where there are several")
    parser.add_argument(
        "--data-per-seed", action="store_true", help="every seed has a test set of its own, which its runs share"
    )
    parser.add_argument(
        "--show", nargs="+", default=[], metavar="MODEL", help="models in plots; the first two also in the pictures"
    )
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="MODEL",
        help="compare this one with every other, seed by seed; may be given several times",
    )
    parser.add_argument(
        "--baseline",
        default="",
        metavar="MODEL",
        help="say what each reference brought over this one, and hold points against its R-mR curve",
    )
    parser.add_argument("--title", default="Comparison of relation models", help="heading of the report")
    args = parser.parse_args()
    runs = [read_run(folder, args.dataset) for folder in args.runs]
    tables = write_report(runs, args.output, args.data_per_seed, args.show, args.title, args.reference, args.baseline)
    print(f"{markdown(tables)}\n\nwritten to {args.output}/report.md, report.json and report.html")


if __name__ == "__main__":
    run(main)
