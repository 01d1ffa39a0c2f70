"""Print which predicates are taken for synonyms, and by what, to choose RELCLIP.SYNONYMS by looking.

    python tools/list_synonyms.py --config-file configs/relclip/motifs_predcls_full.yaml
    python tools/list_synonyms.py --dictionary VG-SGG-dicts-with-attri.json MODEL.LANGUAGE.BANK_FILE bank.npz

Synonyms about the same classes are no negatives of each other in the contrastive loss. The rule `judged` wants two
things: phrases that are alike, by RELCLIP.SYNONYM_SIMILARITY or more, and annotators who gave both predicates to one
and the same pair of boxes, more often than once and than by chance. Both are listed, with what the rule makes of them,
and the lists. With --dictionary there is no training set to count in, and so nothing is judged.
"""

from __future__ import annotations

from build_phrase_bank import bank_parser, build, class_names
from torch import Tensor

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.modeling.language.phrase_bank import class_table
from maskrcnn_benchmark.modeling.language.synonyms import LISTS, judged, listed, predicate_similarity, together
from maskrcnn_benchmark.utils.cli import run


def pair_lines(similarity: Tensor, predicate_pairs: Tensor | None, names: list[str], rows: int) -> list[str]:
    """The pairs of predicates that are most alike, and with counts those most often together, one line each.

    Args:
        similarity: [R + 1, R + 1], background first.
        predicate_pairs: how often both are on one pair of boxes, int64 [R + 1, R + 1].
        names: R predicates.
        rows: how many of each.
    """
    pairs = [(p, q) for p in range(1, len(names) + 1) for q in range(1, p)]
    counts = None if predicate_pairs is None else together(predicate_pairs)

    def line(p: int, q: int) -> str:
        text = f"  {float(similarity[p, q]):6.3f}  {names[q - 1]}, {names[p - 1]}"
        if counts is None or not counts.found[p, q]:
            return text
        found, chance = int(counts.found[p, q]), float(counts.by_chance[p, q])
        return f"{text}: together on {found} pairs of boxes, {chance:.1f} by chance"

    alike = sorted(pairs, key=lambda pair: -float(similarity[pair]))[:rows]
    lines = [f"most alike of {len(pairs)} pairs of predicates:", *(line(*pair) for pair in alike)]
    if counts is not None:
        seen = [pair for pair in pairs if counts.found[pair]]
        often = sorted(seen, key=lambda pair: -float(counts.found[pair]))[:rows]
        lines += [f"most often together of {len(seen)} that annotators gave to one pair of boxes:"]
        lines += [line(*pair) for pair in often]
    return lines


def main() -> None:
    parser = bank_parser(__doc__)
    parser.add_argument("--rows", type=int, default=20, help="how many pairs of predicates to list (default 20)")
    args = parser.parse_args()
    cfg = load_config(args.config_file, args.opts)
    node = cfg.MODEL.ROI_RELATION_HEAD.RELCLIP
    objects, predicates = class_names(cfg, args.dictionary)
    bank = build(cfg, args.dictionary)
    tables = {level: class_table(bank.vectors(level, objects, predicates)) for level in ("sp", "po")}
    pairs = None if args.dictionary else get_dataset_statistics(cfg)["predicate_pairs"]
    print(*pair_lines(predicate_similarity(tables), pairs, predicates, args.rows), sep="\n")
    found = {
        rule: listed(rule, predicates)
        for rule in dict.fromkeys((*LISTS, node.SYNONYMS))
        if rule not in ("judged", "none")
    }
    if pairs is not None:
        found[f"judged, from {node.SYNONYM_SIMILARITY:g}"] = judged(tables, pairs, predicates, node.SYNONYM_SIMILARITY)
    elif not args.dictionary:
        print("judged: nothing, as the training set's labels have weights and so come from no annotator")
    for rule, synonyms in found.items():
        print(f"{rule}: {len(synonyms.groups)} groups", *(f"  {group}" for group in synonyms.groups), sep="\n")


if __name__ == "__main__":
    run(main)
