"""Adapt CLIP's image side to the relations of a training set by RCL (RELCLIP.VISION clip), on any trained predictor.

    python tools/adapt_clip.py --config-file output/motifs/config.yml OUTPUT_DIR output/motifs-clip \
        MODEL.ROI_RELATION_HEAD.PREDICTOR RelCLIPPredictor MODEL.ROI_RELATION_HEAD.RELCLIP.VISION clip
    python tools/relation_test_net.py --config-file output/motifs/config.yml OUTPUT_DIR output/motifs-clip \
        MODEL.ROI_RELATION_HEAD.PREDICTOR RelCLIPPredictor MODEL.ROI_RELATION_HEAD.RELCLIP.VISION clip \
        MODEL.WEIGHT output/motifs/model_final.pth

tools/relation_train_net.py does the same at the end of a training with these settings. The adapter knows nothing of the
predictor: one file serves them all (RELCLIP.ADAPTER). docs/method.md
"""

from maskrcnn_benchmark.engine.adapt_clip import adapt_clip
from maskrcnn_benchmark.engine.launch import launched, tool_parser
from maskrcnn_benchmark.utils import cli


def main() -> None:
    parser = tool_parser("Adapt CLIP's image side to the relations of a training set by RCL.")
    args = parser.parse_args()
    with launched(args, save=False) as (cfg, _, logger):
        adapt_clip(cfg, args.seed, logger)


if __name__ == "__main__":
    cli.run(main)
