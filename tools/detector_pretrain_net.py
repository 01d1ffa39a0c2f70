"""Train a detector, and measure its mAP at IoU 0.5 on validation and test.

    python tools/detector_pretrain_net.py --config-file configs/e2e_relation_detector_X_101_32_8_FPN_1x.yaml \
        OUTPUT_DIR output/detector

The same command again goes on where it was stopped. Several processes: torchrun --nproc_per_node=N tools/...
"""

from maskrcnn_benchmark.engine.evaluate import run_val_and_test
from maskrcnn_benchmark.engine.launch import launched, training_parser
from maskrcnn_benchmark.engine.recipes import detector_recipe, train
from maskrcnn_benchmark.utils import cli


def main() -> None:
    args = training_parser("Train a detector, and measure its mAP at IoU 0.5 on validation and test.").parse_args()
    with launched(args, save=True) as (cfg, distributed, logger):
        model = train(cfg, detector_recipe(cfg), args.seed, distributed, logger)
        if not args.skip_test:
            run_val_and_test(cfg, model, distributed, logger)


if __name__ == "__main__":
    cli.run(main)
