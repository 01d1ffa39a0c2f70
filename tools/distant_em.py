"""Train on distant labels, weight them by the trained model, train again: expectation maximisation in rounds.

    python tools/distant_em.py --config-file configs/baselines/motifs_predcls_distant.yaml --rounds 2 \
        --human datasets/vg/VG-SGG-with-attri.h5 DATASETS.DATA_DIR datasets-distant OUTPUT_DIR output/em

DATASETS.DATA_DIR is what tools/distant_label.py wrote. The first E-step is CLIP's, that of MODEL.LANGUAGE. The
same command again goes on where it was stopped; more --rounds go on from the last. docs/distant.md
"""

import torch

from maskrcnn_benchmark.distant.arguments import (
    add_clip,
    add_expectation,
    add_human,
    clip_options,
    expectation_of,
)
from maskrcnn_benchmark.distant.clip_scores import ClipScorer
from maskrcnn_benchmark.distant.em import EMSettings, ExpectationMaximisation
from maskrcnn_benchmark.engine.launch import launched, tool_parser
from maskrcnn_benchmark.modeling.language.phrase_bank import encoder_spec
from maskrcnn_benchmark.utils import cli


def main() -> None:
    parser = tool_parser("Train on distant labels, weight them by the trained model, train again.")
    parser.add_argument(
        "--rounds", type=int, default=2, help="E-steps by a trained model, each followed by a training (default: 2)"
    )
    parser.add_argument(
        "--first",
        choices=["clip", "given"],
        default="clip",
        help="the first weights: CLIP's, or those that the labels have (default: clip)",
    )
    parser.add_argument("--skip-test", action="store_true", help="do not test the model of each round")
    add_human(parser)
    add_clip(parser)
    add_expectation(parser)
    args = parser.parse_args()
    with launched(args, save=True) as (cfg, distributed, logger):
        node = cfg.MODEL.LANGUAGE
        scorer = None
        if args.first == "clip":
            scorer = ClipScorer(
                encoder_spec(node), node.CACHE_DIR, torch.device(cfg.MODEL.DEVICE), **clip_options(args)
            )
        settings = EMSettings(args.rounds, expectation_of(args), scorer, args.skip_test)
        ExpectationMaximisation(cfg, settings, args.seed, distributed, logger, args.human).run()


if __name__ == "__main__":
    cli.run(main)
