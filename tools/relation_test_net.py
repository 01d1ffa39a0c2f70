"""Test a relation model: the newest checkpoint in OUTPUT_DIR, or MODEL.WEIGHT.

    python tools/relation_test_net.py --config-file configs/e2e_relation_X_101_32_8_FPN_1x.yaml \
        OUTPUT_DIR output/motifs-predcls

Results go to OUTPUT_DIR/inference/<data set>; docs/evaluation.md describes them.
"""

from maskrcnn_benchmark.engine.evaluate import load_trained_model, run_test
from maskrcnn_benchmark.engine.launch import launched, tool_parser
from maskrcnn_benchmark.engine.recipes import relation_recipe
from maskrcnn_benchmark.utils import cli


def main() -> None:
    args = tool_parser("Test a relation model: the newest checkpoint in OUTPUT_DIR, or MODEL.WEIGHT.").parse_args()
    with launched(args, save=False) as (cfg, distributed, logger):
        relation_recipe(cfg)  # tells a detector's configuration apart
        run_test(cfg, load_trained_model(cfg, args.opts, logger), distributed, logger)


if __name__ == "__main__":
    cli.run(main)
