"""The configuration node `MODEL.ROI_RELATION_HEAD.RELCLIP`; docs/method.md explains each choice."""

from typing import Any, Dict, List, Tuple

from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.language.defaults import add_node
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrases import LEVELS

KEY = "MODEL.ROI_RELATION_HEAD.RELCLIP"  # what error messages call the node
CHOICES: Dict[str, Tuple[str, ...]] = {
    "VISION": ("detector", "clip"),
    "TARGETS": ("text", "learnt"),
    "DICTIONARY": ("train", "full"),
    "NEGATIVES": ("related", "all", "batch", "weighted", "joined"),
}


def relclip_node() -> CfgNode:
    """The node with its default values."""
    node = CfgNode()

    # The predictor that RelCLIP stands on: motifs | vctree | transformer | vtranse | none, or the name of any that is
    # registered. Without alignment its logits are that predictor's.
    node.CONTEXT = "motifs"
    # What is aligned with phrases: detector (what the predictor sees of a pair; RCL beside its own loss) | clip (CLIP's
    # image side, adapted by RCL alone when training ends, and joined in evaluation: the predictor stays as it is).
    node.VISION = "detector"
    # Phrases that pairs are aligned with: sp (subject, predicate), po (predicate, object), spo (whole triplet).
    node.LEVELS = ("sp", "po")
    # What they are aligned with: text (embeddings of the phrases) | learnt (vectors of classes and predicates that are
    # learnt, the control that knows no language).
    node.TARGETS = "text"

    # Add the alignment with the phrases to the logits of the predicates, and gamma, its weight.
    node.USE_ALIGNMENT = True
    node.ALIGNMENT_WEIGHT = 1.0
    # Train with the relational contrastive loss (RCL), and its weight in the sum of losses.
    node.USE_RCL = True
    node.RCL_WEIGHT = 1.0
    # The logits of the predicates from the predictor that RelCLIP stands on. Without them only its background logit
    # stays, and predicates are scored by their phrases alone.
    node.USE_BASE = True
    # Where tau starts, which both parts use; it is learnt, and never more than 100.
    node.SCALE_INIT = 1 / 0.07
    # Width of the hidden layer between a pair's representation and the embedding space of the text.
    node.PROJECTION_DIM = 512

    # Phrases from which negatives come: train (those that occur in the training set) | full (every combination).
    node.DICTIONARY = "train"
    # Which of them: related (all components but one are those of the positive) | all | batch (positives of the batch) |
    # weighted (all, each phrase as often as training shows it) | joined (the mean of that loss and of a cross-entropy
    # over all predicates, by their phrases about the positive's classes).
    node.NEGATIVES = "weighted"
    # Predicates that are synonyms; about the same classes the one is no negative of the other. judged (those whose
    # phrases are alike and that annotators gave to one and the same pair of boxes) | none | vg150 (a list made for that
    # data set) | the path of a list of one's own. tools/list_synonyms.py prints what each finds.
    node.SYNONYMS = "judged"
    # judged: how alike, a cosine, when what all predicates have in common is taken off.
    node.SYNONYM_SIMILARITY = 0.75

    # With VISION clip: the adapter's file, "" for clip_adapter.pth in OUTPUT_DIR; and how it is trained, PROJECTION_DIM
    # being the width of its hidden layer.
    node.ADAPTER = ""
    node.ADAPTER_STEPS = 2000
    node.ADAPTER_BATCH = 512
    node.ADAPTER_LR = 0.001
    # It moves phrases, too, by a vector of each class and predicate that is learnt; False: they stay as they are.
    node.ADAPT_TEXT = True
    # False: it sees the geometry of the two boxes alone, a constant in place of CLIP's embedding, which can join beside
    # it by SECOND_OPINION.WEIGHT.
    node.PICTURE = True
    # In evaluation a phrase that training shows n times gets n / (n + SHRINKAGE) of what the adapter adds.
    node.SHRINKAGE = 0.0

    # Predicates to score in evaluation instead of the data set's, by name; they need not occur in training.
    # Needs USE_BASE False.
    node.TEST_PREDICATES = ()
    return node


def add_relclip_config(cfg: CfgNode) -> None:
    """Add MODEL.ROI_RELATION_HEAD.RELCLIP."""
    add_node(cfg.MODEL.ROI_RELATION_HEAD, "RELCLIP", relclip_node())


def check_node(node: Any) -> None:
    """Check the values of the node.

    Raises:
        LanguageError: a value that a key cannot have, or a combination that leaves nothing to score predicates with.
    """
    for key, allowed in CHOICES.items():
        if node[key] not in allowed:
            raise LanguageError(f"{KEY}.{key} is {node[key]!r}; it can be {', '.join(allowed)}.")
    levels: List[str] = list(node.LEVELS)
    if not levels or len(set(levels)) < len(levels) or not set(levels) <= set(LEVELS):
        raise LanguageError(f"{KEY}.LEVELS is {tuple(levels)}; it can hold {', '.join(LEVELS)}, each once.")
    if not 0 < node.SCALE_INIT <= 100:
        raise LanguageError(f"{KEY}.SCALE_INIT is {node.SCALE_INIT}; it can be more than 0, and 100 at most.")
    if not -1 <= node.SYNONYM_SIMILARITY <= 1:
        raise LanguageError(f"{KEY}.SYNONYM_SIMILARITY is {node.SYNONYM_SIMILARITY}; it can be -1 to 1, a cosine.")
    if not (node.USE_BASE or node.USE_ALIGNMENT):
        raise LanguageError(f"nothing scores predicates: {KEY}.USE_BASE and {KEY}.USE_ALIGNMENT are both False.")
    if node.VISION == "clip":
        if set(levels) != {"sp", "po"} or not (node.USE_BASE and node.USE_RCL):
            raise LanguageError(
                f"{KEY}.VISION clip needs the levels sp and po, {KEY}.USE_BASE and {KEY}.USE_RCL: the adapter is "
                f"trained by RCL alone and joined to the logits of the base."
            )
        for key in ("ADAPTER_STEPS", "ADAPTER_BATCH", "ADAPTER_LR"):
            if not 0 < node[key] < float("inf"):
                raise LanguageError(f"{KEY}.{key} is {node[key]}; it must be more than 0.")
    if node.TEST_PREDICATES and (node.USE_BASE or not node.USE_ALIGNMENT or node.TARGETS != "text"):
        raise LanguageError(
            f"{KEY}.TEST_PREDICATES are scored by their phrases alone: set {KEY}.USE_BASE to False, "
            f"{KEY}.USE_ALIGNMENT to True and {KEY}.TARGETS to text."
        )
