"""What pairs are aligned with: equation 1 of docs/method.md, as tables of phrases by class.

Shapes: O object classes and R predicates, background included, d width; tables [G, R, d] as `phrase_bank.class_table`
describes them.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence, Tuple

from torch import Tensor, nn

from maskrcnn_benchmark.modeling.language.phrase_bank import phrase_tables
from maskrcnn_benchmark.modeling.language.synonyms import predicate_similarity, synonymous

from .controls.learnt import LearntTargets
from .loss import NegativeRule

CONTROL_WIDTH = 512  # d where nothing says what it is


class TextTargets(nn.Module):
    """Embeddings of phrases. They go where the module goes, and never into a checkpoint."""

    def __init__(self, tables: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.levels = tuple(tables)
        for level, table in tables.items():
            self.register_buffer(level, table, persistent=False)

    def forward(self) -> Dict[str, Tensor]:
        """The table of each level."""
        return {level: getattr(self, level) for level in self.levels}


def make_targets(
    config: Any, objects: Sequence[str], predicates: Sequence[str], width: int = CONTROL_WIDTH
) -> Tuple[nn.Module, NegativeRule]:
    """The targets that a configuration asks for, and which phrases of theirs are negatives of which.

    Args:
        objects, predicates: names without background.
        width: of learnt targets; text has that of its encoder.
    """
    node = config.MODEL.ROI_RELATION_HEAD.RELCLIP
    levels = tuple(node.LEVELS)
    if node.TARGETS == "learnt":
        targets = LearntTargets(levels, len(objects) + 1, len(predicates) + 1, width)
        return targets, NegativeRule(node.NEGATIVES)
    tables = phrase_tables(config, objects, predicates, tuple(dict.fromkeys(("sp", "po") + levels)))
    rule = NegativeRule(node.NEGATIVES)
    if not node.KEEP_SYNONYMS:
        similarity = predicate_similarity(tables["sp"], tables["po"])
        synonyms = synonymous(similarity, node.PREDICATE_SYNONYM_THRESHOLD)
        rule = NegativeRule(node.NEGATIVES, node.PHRASE_SYNONYM_THRESHOLD, synonyms)
    return TextTargets({level: tables[level] for level in levels}), rule
