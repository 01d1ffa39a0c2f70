"""Measure a detector's mAP at IoU 0.5 on validation and test: the newest checkpoint in OUTPUT_DIR, or MODEL.WEIGHT.

    python tools/detector_pretest_net.py --config-file configs/e2e_relation_detector_X_101_32_8_FPN_1x.yaml \
        OUTPUT_DIR output/detector
"""

from maskrcnn_benchmark.engine.evaluate import load_trained_model, run_val_and_test
from maskrcnn_benchmark.engine.launch import launched, tool_parser
from maskrcnn_benchmark.engine.recipes import detector_recipe
from maskrcnn_benchmark.utils import cli


def main() -> None:
    args = tool_parser("Measure a detector's mAP at IoU 0.5 on validation and test.").parse_args()
    with launched(args, save=False) as (cfg, distributed, logger):
        detector_recipe(cfg)  # tells a relation model's configuration apart
        run_val_and_test(cfg, load_trained_model(cfg, args.opts, logger), distributed, logger)


if __name__ == "__main__":
    cli.run(main)
