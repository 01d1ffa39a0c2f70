"""Print which predicates and phrases count as synonyms at a threshold, to choose it by looking.

    python tools/list_synonyms.py --config-file configs/relclip/motifs_predcls_full.yaml --threshold .9 --threshold .95

Synonyms are no negatives of the contrastive loss. Text encoders differ in how close they put phrases to each other, so
a threshold (RELCLIP.PHRASE_SYNONYM_THRESHOLD, RELCLIP.PREDICATE_SYNONYM_THRESHOLD) that suits one need not suit
another.
"""

from __future__ import annotations

import torch
from build_phrase_bank import bank_parser, build, class_names
from torch import Tensor

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.modeling.language.phrase_bank import class_table
from maskrcnn_benchmark.modeling.language.phrase_index import component_index, dictionary
from maskrcnn_benchmark.modeling.language.synonyms import predicate_similarity, synonymous
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.negatives import negative_mask
from maskrcnn_benchmark.utils.cli import run

ROWS_AT_ONCE = 512


def connected_groups(linked: Tensor) -> list[list[int]]:
    """Groups of two or more that links connect; bool [n, n], symmetric.

    >>> connected_groups(torch.tensor([[0, 0, 1], [0, 0, 0], [1, 0, 0]]).bool())
    [[0, 2]]
    """
    reach = linked | torch.eye(len(linked), dtype=torch.bool)
    while True:
        further = (reach.float() @ reach.float()) > 0
        if torch.equal(further, reach):
            break
        reach = further
    groups = {tuple(row.nonzero()[:, 0].tolist()) for row in reach}
    return sorted(list(group) for group in groups if len(group) > 1)


def predicate_lines(similarity: Tensor, threshold: float, names: list[str]) -> list[str]:
    """One line per group of synonymous predicates, with the pairs that link it, most alike first.

    Args:
        similarity: [R + 1, R + 1], background first.
        names: R predicates.
    """
    linked = synonymous(similarity, threshold)
    lines = []
    for group in connected_groups(linked):
        pairs = [(float(similarity[p, q]), p, q) for p in group for q in group if p < q and linked[p, q]]
        shown = ", ".join(f"{names[p - 1]} ~ {names[q - 1]} {s:.3f}" for s, p, q in sorted(pairs, reverse=True))
        lines.append(f"{' | '.join(names[p - 1] for p in group)}   ({shown})")
    return lines


def related_similarities(table: Tensor) -> tuple[Tensor, Tensor]:
    """Similarities of all pairs of phrases that share a component, each pair once.

    Args:
        table: of the level sp or po, [O + 1, R + 1, d].

    Returns:
        cosines [n], and the two phrases of each pair as (class, predicate) int64 [n, 2, 2]
    """
    objects, predicates = table.shape[:2]
    phrases = dictionary("sp", torch.ones(objects, objects, predicates))
    vectors = table.flatten(0, 1)[component_index(phrases, objects, predicates)]
    found, pairs = [], []
    for first in range(0, len(phrases), ROWS_AT_ONCE):
        rows = torch.arange(first, min(first + ROWS_AT_ONCE, len(phrases)))
        similarity = vectors[rows] @ vectors.t()
        mask = negative_mask(phrases[rows], phrases, related=True) & (rows[:, None] < torch.arange(len(phrases)))
        found.append(similarity[mask])
        a, b = mask.nonzero().unbind(dim=1)
        pairs.append(torch.stack([phrases[rows[a]], phrases[b]], dim=1))
    return torch.cat(found), torch.cat(pairs)


def phrase_lines(table: Tensor, thresholds: list[float], level: str, objects: list[str], predicates: list[str]):
    """For each threshold, how many pairs of phrases that share a component reach it, and those nearest to it."""
    similarity, pairs = related_similarities(table)

    def name(phrase: Tensor) -> str:
        words = objects[int(phrase[0]) - 1], predicates[int(phrase[1]) - 1]
        return " ".join(words if level == "sp" else reversed(words))

    for threshold in thresholds:
        above = similarity >= threshold
        yield f"  {threshold:g}: {int(above.sum())} of {len(similarity)} pairs are synonyms"
        for side, chosen in (("just above", above), ("just below", ~above)):
            index = chosen.nonzero()[:, 0]
            nearest = index[(similarity[index] - threshold).abs().argsort()[:3]]
            for i in nearest.tolist():
                yield f"    {side}: {name(pairs[i, 0])} ~ {name(pairs[i, 1])} {float(similarity[i]):.3f}"


def main() -> None:
    parser = bank_parser(__doc__)
    parser.add_argument("--threshold", action="append", type=float, help="may be repeated; default: those configured")
    args = parser.parse_args()
    cfg = load_config(args.config_file, args.opts)
    node = cfg.MODEL.ROI_RELATION_HEAD.RELCLIP
    objects, predicates = class_names(cfg, args.dictionary)
    bank = build(cfg, args.dictionary)
    tables = {level: class_table(bank.vectors(level, objects, predicates)) for level in ("sp", "po")}
    similarity = predicate_similarity(tables["sp"], tables["po"])
    others = similarity[1:, 1:][~torch.eye(len(predicates), dtype=torch.bool)]
    print(f"predicates: similarity {others.min():.3f} to {others.max():.3f}, median {others.median():.3f}")
    for threshold in args.threshold or [node.PREDICATE_SYNONYM_THRESHOLD]:
        lines = predicate_lines(similarity, threshold, predicates)
        print(f"  {threshold:g}: {len(lines)} groups")
        for line in lines:
            print(f"    {line}")
    for level, what in (("sp", "subject and predicate"), ("po", "predicate and object")):
        print(f"phrases of {what} that share one of both:")
        for line in phrase_lines(
            tables[level], args.threshold or [node.PHRASE_SYNONYM_THRESHOLD], level, objects, predicates
        ):
            print(line)


if __name__ == "__main__":
    run(main)
