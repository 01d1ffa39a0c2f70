"""Scores pairs of objects in chunks, the most promising first, and stops where none left can matter.

A triplet's score is the product of the scores of subject, predicate and object, so it never exceeds that of the two
objects alone. Pairs are looked at in the order of this bound. Once the K-th best triplet found (one per pair) is above
the bound of all pairs left, none of them has a place among the first K, with or without graph constraint.

Shapes: n objects and m pairs of one image, C object classes, R predicates (background first in both).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .context_memory import contexts_remembered
from .inference import score_triplets

# Pairs of one call: as many as their features (some 0.4 MB each in the making) may take memory, and of one image, as
# many as are looked at before it is asked whether that was enough. On a GPU a call takes much the same time for few
# pairs as for thousands, so there all pairs are looked at: on an H200 stopping early, with the context of the objects
# repeated in each call, took 304 to 352 ms an image where all 6,320 pairs took 196 to 211.
STOPS_EARLY = {"cpu"}
CALL_PAIRS = {"cpu": 2048, "cuda": 16384}
LOOK_PAIRS = 256  # at least; see `_Image.next_look`

Scorer = Callable[[list[int], list[Tensor]], tuple[Sequence[Tensor], Sequence[Tensor]]]


def first_triplets(cfg) -> int:
    """How many of an image's best triplets somebody is going to look at, exactly in their order; 0: all pairs count.

    Where boxes are given, pair accuracy counts all pairs; predictions for images of one's own (TEST.CUSTUM_EVAL) list
    all of them.
    """
    if cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX or cfg.TEST.CUSTUM_EVAL:
        return 0
    return cfg.TEST.RELATION.FIRST_TRIPLETS


def score_pairs(head, features, proposals, rel_pair_idxs, roi_features, logger=None) -> tuple[list, list, list]:
    """Logits of the objects and pairs of a batch, in pieces that bound the memory; outside of training.

    A predictor whose pairs influence each other (`pairs_interact`, also taken for granted where it does not say) gets
    all pairs at once. Others are asked again and again, in SGDet only until the first `head.first_triplets` triplets of
    each image are certain.

    Args:
        head: the relation head.
        features, proposals, logger: as the head gets them.
        rel_pair_idxs: (subject, object) indices, int64 [m_i, 2] each.
        roi_features: [n, D].

    Returns:
        object logits [n_i, C], pairs looked at int64 [k_i, 2] (a part of those given, in their order) and their logits
        [k_i, R]; lists over images
    """
    obj_logits = [roi_features.new_zeros((0, head.num_obj_classes)) for _ in proposals]
    pairs = [p[:0] for p in rel_pair_idxs]
    rel_logits = [roi_features.new_zeros((0, head.num_rel_classes)) for _ in proposals]
    # Images without objects have no context: the predictor sees the others only.
    filled = [i for i, proposal in enumerate(proposals) if len(proposal) > 0]
    rois = roi_features.split([len(proposal) for proposal in proposals])
    kind = roi_features.device.type
    call_pairs = CALL_PAIRS.get(kind, CALL_PAIRS["cpu"])

    def score(images: list[int], chunk: list[Tensor], union_features=None):
        chosen = [filled[i] for i in images]
        if union_features is None:
            of_image = dict(zip(chosen, chunk, strict=True))
            given = [of_image.get(i, p[:0]) for i, p in enumerate(rel_pair_idxs)]
            union_features = head.union_features(features, proposals, given)
        boxes, vectors = [proposals[i] for i in chosen], torch.cat([rois[i] for i in chosen])
        return head.logits(boxes, chunk, vectors, union_features, logger)

    given = [rel_pair_idxs[i] for i in filled]
    if filled and getattr(head.predictor, "pairs_interact", True):
        union_features = _union_features(head, features, proposals, rel_pair_idxs, call_pairs)
        found = ScoredPairs(*score(list(range(len(filled))), given, union_features), given)
    elif filled:
        # a second opinion changes scores, of pairs that it chooses among all
        stops = kind in STOPS_EARLY and head.post_processor.second_opinion is None
        search = PairSearch(
            score,
            lambda i, logits: head.post_processor.objects(logits, proposals[filled[i]]).get_field("pred_scores"),
            head.first_triplets if stops else 0,
            call_pairs,
            LOOK_PAIRS,
        )
        with contexts_remembered():
            found = search(given, [_guess(proposals[i]) for i in filled])
    else:
        return obj_logits, pairs, rel_logits
    for i, *results in zip(filled, found.obj_logits, found.rel_logits, found.pairs, strict=True):
        obj_logits[i], rel_logits[i], pairs[i] = results
    return obj_logits, pairs, rel_logits


def _guess(proposal) -> Tensor:
    """What the detector says of its objects, [n]; ones where it says nothing."""
    if not proposal.has_field("predict_logits"):
        return proposal.bbox.new_ones(len(proposal))
    return proposal.get_field("predict_logits").float().softmax(dim=1)[:, 1:].amax(dim=1)


def _union_features(head, features, proposals, rel_pair_idxs, call_pairs: int):
    """Features of all pairs, made piece by piece where they are many."""
    if sum(map(len, rel_pair_idxs)) <= call_pairs or not head.use_union_box:
        return head.union_features(features, proposals, rel_pair_idxs)
    whole, first = None, 0
    for i, pairs in enumerate(rel_pair_idxs):
        for rows in twins_together(pairs).split(call_pairs):
            given = [p[rows] if k == i else p[:0] for k, p in enumerate(rel_pair_idxs)]
            part = head.union_features(features, proposals, given)
            if whole is None:
                whole = part.new_empty((sum(map(len, rel_pair_idxs)), part.shape[1]))
            whole[first + rows] = part
        first += len(pairs)
    return whole


def twins_together(pairs: Tensor) -> Tensor:
    """An order of pairs, int64 [m, 2] -> [m], in which (i, j) and (j, i) are neighbours: they share a union box."""
    low, high = pairs.sort(dim=1).values.unbind(dim=1)
    return (low * (high.max() + 1) + high if len(pairs) else low).argsort(stable=True)


@dataclass
class ScoredPairs:
    """What came of the pairs of each image."""

    obj_logits: Sequence[Tensor]  # [n_i, C] each
    rel_logits: Sequence[Tensor]  # [k_i, R] each
    # those looked at, or of a search that stops early the best ones; int64 [k_i, 2] each, in the order given
    pairs: Sequence[Tensor]


class PairSearch:
    """Looks at the pairs of a batch of images until the best triplets of each are found.

    Args:
        score: gives object logits [n_i, C] and predicate logits [k_i, R] of some images (by number) and some pairs of
            each, int64 [k_i, 2]; an object's logits may not depend on the pairs.
        object_scores: from (image number, object logits [n, C]) to the scores that triplets are ranked by, [n].
        first: how many triplets of an image must be found, in their order; 0: all pairs are looked at.
        call_pairs, look_pairs: see CALL_PAIRS and LOOK_PAIRS.
    """

    def __init__(
        self,
        score: Scorer,
        object_scores: Callable[[int, Tensor], Tensor],
        first: int,
        call_pairs: int,
        look_pairs: int,
    ):
        self.score = score
        self.object_scores = object_scores
        self.first = first
        self.call_pairs = call_pairs
        self.look_pairs = look_pairs

    def __call__(self, pairs: Sequence[Tensor], guesses: Sequence[Tensor]) -> ScoredPairs:
        """Score pairs.

        Args:
            pairs: (subject, object) indices, int64 [m_i, 2] each, m_i > 0.
            guesses: scores of each image's objects before `score` says better, [n_i] each; they only decide which
                pair comes in the first call.
        """
        images = [_Image(p, guess if self.first > 0 else None) for p, guess in zip(pairs, guesses, strict=True)]
        while active := [i for i, image in enumerate(images) if len(image.order) > 0]:
            share = max(self.call_pairs // len(active), 1)
            counts = [share if self.first == 0 else min(share, images[i].next_look(self.look_pairs)) for i in active]
            chunks = [images[i].take(count) for i, count in zip(active, counts, strict=True)]
            obj_logits, rel_logits = self.score(
                active, [pairs[i][rows] for i, rows in zip(active, chunks, strict=True)]
            )
            for i, rows, obj, rel in zip(active, chunks, obj_logits, rel_logits, strict=True):
                images[i].add(rows, obj, rel)
                if self.first > 0:
                    if images[i].bounds is None:
                        images[i].rank(self.object_scores(i, obj))
                    images[i].rule_out(rel, self.first)
        results = [image.scored() for image in images]
        return ScoredPairs(*map(list, zip(*results, strict=True)))


class _Image:
    """The pairs of one image: which are left, most promising first, and what is known of the others."""

    def __init__(self, pairs: Tensor, guess: Tensor | None):
        self.pairs = pairs
        self.order = twins_together(pairs) if guess is None else self._by_bound(guess)[0]
        self.rows: list[Tensor] = []
        self.rel_logits: list[Tensor] = []
        self.obj_logits: Tensor | None = None
        self.obj_scores: Tensor | None = None
        self.bounds: Tensor | None = None  # of all pairs, in the order in which they were given
        self.best: Tensor | None = None  # scores of the best triplets found, one per pair

    def _by_bound(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of all pairs, highest bound first, and the bounds; scores [n]."""
        bounds = scores[self.pairs].prod(dim=1)
        return bounds.argsort(descending=True, stable=True), bounds

    def next_look(self, least: int) -> int:
        """How many pairs to look at before asking again: half of those that may matter by now, within limits.

        The first pair is looked at alone, for the scores of the objects, which say in which order the others come.
        """
        return 1 if self.bounds is None else min(max(len(self.order) // 2, least), 4 * least)

    def take(self, count: int) -> Tensor:
        """The next pairs, int64 rows."""
        rows, self.order = self.order[:count], self.order[count:]
        return rows

    def add(self, rows: Tensor, obj_logits: Tensor, rel_logits: Tensor) -> None:
        if self.obj_logits is None:
            self.obj_logits = obj_logits
        self.rows.append(rows)
        self.rel_logits.append(rel_logits)

    def rank(self, scores: Tensor) -> None:
        """Put the pairs that are left in the order of their bounds."""
        self.obj_scores = scores
        order, self.bounds = self._by_bound(scores)
        seen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
        seen[torch.cat(self.rows)] = True
        self.order = order[~seen[order]]

    def rule_out(self, rel_logits: Tensor, first: int) -> None:
        """Take the scores of the pairs added last into account, and leave out the pairs that these beat."""
        scores = score_triplets(rel_logits, self.obj_scores, self.pairs[self.rows[-1]])[2]
        best = scores if self.best is None else torch.cat((self.best, scores))
        self.best = best.topk(min(first, len(best))).values
        if len(self.best) == first:
            # a pair whose bound equals the last of the best scores may still come before it
            self.order = self.order[: int((self.bounds[self.order] >= self.best[-1]).sum())]

    def scored(self) -> tuple[Tensor, Tensor, Tensor]:
        """Object logits, predicate logits and pairs, as in `ScoredPairs`."""
        rows, place = torch.cat(self.rows).sort()
        rel_logits, pairs = torch.cat(self.rel_logits)[place], self.pairs[rows]
        if self.best is not None and len(rows) > len(self.best):
            # Others were looked at on the way: which ones depends on the batch, the result must not.
            kept = score_triplets(rel_logits, self.obj_scores, pairs)[2] >= self.best[-1]
            rel_logits, pairs = rel_logits[kept], pairs[kept]
        return self.obj_logits, rel_logits, pairs
