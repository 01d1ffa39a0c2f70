"""The phrase prior: a frequency bias of two levels, with counts shared among classes that the text encoder finds alike.

SGB's bias is a table of log P(predicate | subject, object): exact where the training set shows a pair often, and a wall
in front of every triplet that it never shows. Here the two sides speak for themselves (docs/method.md, equation 6):

    log P(p | s, o) ~ log P(p | s) + log P(p | o) - log P(p)

which is what Bayes' rule says where subject and object are independent given the predicate. Counts of rare classes are
filled up with those of similar ones: what is known of "man" says something about "guy". An option of every predictor
that has a frequency bias (MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR), and of IMP, which otherwise has none.

Shapes: n objects and m pairs, C object classes and R predicates, background included, d width of the embeddings.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.phrase_bank import phrase_tables
from maskrcnn_benchmark.utils.errors import InputError

from .model_motifs import FrequencyBias


def make_frequency_bias(cfg, statistics: dict) -> nn.Module:
    """The frequency bias that a configuration asks for: SGB's table, or the phrase prior.

    Raises:
        InputError: a width that it cannot have.
    """
    node = cfg.MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR
    if not node.ON:
        return FrequencyBias(cfg, statistics)
    if not 0 <= node.WIDTH < math.inf:
        raise InputError(f"MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.WIDTH is {node.WIDTH}; it must be 0 or more and finite")
    similarity = None
    if node.WIDTH > 0:
        names = [list(statistics[key])[1:] for key in ("obj_classes", "rel_classes")]
        tables = phrase_tables(cfg, *names)
        similarity = class_similarity(tables["sp"], node.WIDTH), class_similarity(tables["po"], node.WIDTH)
    return PhrasePrior(statistics["fg_matrix"], similarity, leave_out=node.LEAVE_OUT)


class PhrasePrior(nn.Module):
    """Learnt tables of log P(p | s) and log P(p | o), each less half of log P(p).

    With `leave_out`, the bias of a pair of classes does not count, in training, what the training set says of this very
    pair. The model then learns to trust the bias as far as it holds for pairs that were never counted.

    Args:
        fg_matrix: SGB's statistic [C, C, R]: how often a (subject, object, predicate) occurs, in channel 0 how often a
            pair of classes overlaps without one.
        similarity: [C, C] in 0 to 1 each, how much of another class's counts a class takes over as a subject, and as
            an object (`class_similarity`); None: nothing.
        strength: the predicates' overall frequencies count as many observations of every class.
        leave_out: see above. It changes nothing in evaluation.
    """

    left_out: Tensor | None  # [C, C, R], what to add to a pair's bias in training

    def __init__(
        self,
        fg_matrix: Tensor,
        similarity: tuple[Tensor, Tensor] | None = None,
        strength: float = 1.0,
        leave_out: bool = False,
    ) -> None:
        super().__init__()
        counts = torch.as_tensor(fg_matrix).double()
        overall = counts.sum(dim=(0, 1)) + 1  # a predicate that never occurs stays possible
        overall = overall / overall.sum()

        def log_share(seen: Tensor) -> Tensor:
            return ((seen + strength * overall) / (seen.sum(dim=-1, keepdim=True) + strength)).log()

        tables, left_out = [], torch.zeros_like(counts) if leave_out else None
        for k in (0, 1):
            by_class = counts.sum(dim=1 - k)  # [C, R]
            if similarity is not None:
                by_class = similarity[k].double() @ by_class
            share = log_share(by_class)
            tables.append((share - overall.log() / 2).float())
            if left_out is not None:
                others = (by_class.unsqueeze(1 - k) - counts).clamp(min=0)  # never below zero by rounding
                left_out += log_share(others) - share.unsqueeze(1 - k)
        self.subject = nn.Embedding.from_pretrained(tables[0], freeze=False)
        self.object = nn.Embedding.from_pretrained(tables[1], freeze=False)
        self.register_buffer("left_out", None if left_out is None else left_out.float(), persistent=False)

    def index_with_labels(self, labels: Tensor) -> Tensor:
        """Logits [m, R] of pairs with these (subject, object) classes, int64 [m, 2]."""
        subject, object_ = labels.unbind(dim=1)
        logits = self.subject(subject) + self.object(object_)
        if self.training and self.left_out is not None:
            logits = logits + self.left_out[subject, object_]
        return logits

    def index_with_object_probability(self, probabilities: Tensor, pairs: Tensor) -> Tensor:
        """Mean logits [m, R] under the class probabilities of objects [n, C], for pairs of them int64 [m, 2]."""
        subjects, objects = probabilities @ self.subject.weight, probabilities @ self.object.weight  # [n, R] each
        return subjects[pairs[:, 0]] + objects[pairs[:, 1]]


def class_similarity(table: Tensor, width: float) -> Tensor:
    """How alike classes are in one role: exp((cosine - 1) / width) of their mean phrases, the mean class taken off.

    Args:
        table: unit vectors [C, R, d] of a level's phrases, zero for background.
        width: the cosine distance at which a class counts 1/e as much as the class itself.

    Returns:
        [C, C], ones on the diagonal; background is like nothing else.
    """
    classes = table[1:, 1:].float().mean(dim=1)
    classes = F.normalize(classes - classes.mean(dim=0), dim=-1)
    similarity = torch.eye(len(table), device=table.device)
    similarity[1:, 1:] = ((classes @ classes.t() - 1) / width).exp()
    return similarity.fill_diagonal_(1)  # a class is as alike to itself as can be, whatever rounding says
