"""What pairs are aligned with: equation 1 of docs/method.md, as tables of phrases by class.

Shapes: O object classes and R predicates, background included, d width; tables [G, R, d] as `phrase_bank.class_table`
describes them.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from torch import Tensor, nn

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrase_bank import phrase_tables
from maskrcnn_benchmark.modeling.language.synonyms import LISTS, judged, listed

from .class_vectors import ClassVectors, LearntTargets, moved_tables
from .defaults import KEY
from .loss import NegativeRule

logger = logging.getLogger("maskrcnn_benchmark")

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


class MovedTargets(TextTargets):
    """Phrases moved by what is learnt of their classes, a vector each, which starts at zero: normalize(T + a + b).

    The text encoder stays as it is. Phrases that it has close together can come apart, and where training says nothing
    they stay where it has them. (A residual on text embeddings, as in TaskRes, Yu et al., CVPR 2023; but all phrases
    that name a class share its vector.)

    Args:
        tables: phrases [G, R, d] of the levels sp and po.
    """

    def __init__(self, tables: Mapping[str, Tensor]) -> None:
        super().__init__(tables)
        objects, predicates, width = next(iter(tables.values())).shape
        self.moves = ClassVectors(self.levels, objects, predicates, width)
        for parameter in self.moves.parameters():
            nn.init.zeros_(parameter)

    def forward(self) -> Dict[str, Tensor]:
        """The table of each level."""
        return moved_tables(super().forward(), self.moves.sums())


def make_targets(
    config: Any,
    objects: Sequence[str],
    predicates: Sequence[str],
    predicate_pairs: Optional[Tensor],
    width: int = CONTROL_WIDTH,
) -> Tuple[nn.Module, NegativeRule]:
    """The targets that a configuration asks for, and which phrases of theirs are negatives of which.

    Args:
        objects, predicates: names without background.
        predicate_pairs: on how many ordered pairs of boxes the training set has both of two predicates, int64 [R, R];
            None where that was not counted.
        width: of learnt targets; text has that of its encoder.

    Raises:
        LanguageError: a list of synonyms that cannot be read or does not fit the predicates.
    """
    node = config.MODEL.ROI_RELATION_HEAD.RELCLIP
    levels = tuple(node.LEVELS)
    if node.TARGETS == "learnt":
        targets = LearntTargets(levels, len(objects) + 1, len(predicates) + 1, width)
        return targets, NegativeRule(node.NEGATIVES)
    judges = node.USE_RCL and node.SYNONYMS == "judged" and predicate_pairs is not None
    tables = phrase_tables(config, objects, predicates, tuple(dict.fromkeys((("sp", "po") if judges else ()) + levels)))
    synonyms = find_synonyms(node, tables, predicates, predicate_pairs) if node.USE_RCL else None
    return TextTargets({level: tables[level] for level in levels}), NegativeRule(node.NEGATIVES, synonyms)


def find_synonyms(
    node: Any, tables: Mapping[str, Tensor], predicates: Sequence[str], predicate_pairs: Optional[Tensor]
) -> Optional[Tensor]:
    """Which predicates are synonyms by the rule RELCLIP.SYNONYMS, bool [R, R], and a log line of them; None: none are.

    Args:
        node: RELCLIP.
        tables: levels sp and po where the rule is `judged`.
        predicates, predicate_pairs: as in `make_targets`.
    """
    if node.SYNONYMS == "none":
        return None
    if node.SYNONYMS != "judged":
        if node.SYNONYMS not in LISTS and not os.path.isfile(os.path.expanduser(node.SYNONYMS)):
            known = ", ".join(["judged", "none", *LISTS])
            raise LanguageError(
                f"{KEY}.SYNONYMS is {node.SYNONYMS!r}, and there is no such file; it can be {known} or a list's path."
            )
        found = listed(node.SYNONYMS, predicates)
    elif predicate_pairs is None:
        logger.info(
            "no predicates are taken for synonyms: the statistics of the training set do not say which predicates its "
            "annotators gave to one pair of boxes (%s.SYNONYMS %s names a list instead, or give the path of one)",
            KEY,
            " or ".join(LISTS),
        )
        return None
    else:
        found = judged(tables, predicate_pairs, predicates, node.SYNONYM_SIMILARITY)
    logger.info("synonyms (%s.SYNONYMS %s): %s", KEY, node.SYNONYMS, "; ".join(found.groups) or "none")
    return found.mask if found.groups else None
