"""Train a relation model on a detector that stays as it is, and test it.

    python tools/relation_train_net.py --config-file configs/e2e_relation_X_101_32_8_FPN_1x.yaml \
        MODEL.PRETRAINED_DETECTOR_CKPT detector/model_final.pth OUTPUT_DIR output/motifs-predcls

The same command again goes on where it was stopped. Several processes: torchrun --nproc_per_node=N tools/...
"""

from maskrcnn_benchmark.engine.adapt_clip import adapt_clip
from maskrcnn_benchmark.engine.evaluate import run_test
from maskrcnn_benchmark.engine.launch import launched, training_parser
from maskrcnn_benchmark.engine.recipes import relation_recipe, train
from maskrcnn_benchmark.modeling.roi_heads.relation_head.adapted_clip import joins_adapter
from maskrcnn_benchmark.utils import cli


def main() -> None:
    args = training_parser("Train a relation model on a detector that stays as it is, and test it.").parse_args()
    with launched(args, save=True) as (cfg, distributed, logger):
        model = train(cfg, relation_recipe(cfg), args.seed, distributed, logger)
        if joins_adapter(cfg):
            adapt_clip(cfg, args.seed, logger)
        if not args.skip_test:
            run_test(cfg, model, distributed, logger)


if __name__ == "__main__":
    cli.run(main)
