"""Test one trained relation model under many settings of what comes after its predictor, in one pass over the images.

    python tools/relation_test_settings.py --config-file output/motifs-predcls/config.yml --settings settings.json \
        OUTPUT_DIR output/motifs-predcls

settings.json names the settings, {"name": ["KEY", value, ...], ...}; the results of each go to
OUTPUT_DIR/<name>/inference/<data set>. docs/evaluation.md says which keys settings can change.
"""

from maskrcnn_benchmark.engine.evaluate import load_trained_model
from maskrcnn_benchmark.engine.launch import launched, tool_parser
from maskrcnn_benchmark.engine.many_settings import evaluate_settings, read_settings
from maskrcnn_benchmark.engine.recipes import relation_recipe
from maskrcnn_benchmark.utils import cli


def main() -> None:
    parser = tool_parser("Test one trained relation model under many settings of what comes after its predictor.")
    parser.add_argument("--settings", required=True, metavar="FILE", help="json: {name: [KEY, value, ...], ...}")
    parser.add_argument("--split", choices=("train", "val", "test"), help="default: DATASETS.TO_TEST, or test")
    args = parser.parse_args()
    with launched(args, save=False) as (cfg, distributed, logger):
        relation_recipe(cfg)  # tells a detector's configuration apart
        settings = read_settings(args.settings, cfg)
        evaluate_settings(cfg, load_trained_model(cfg, args.opts, logger), settings, distributed, logger, args.split)


if __name__ == "__main__":
    cli.run(main)
