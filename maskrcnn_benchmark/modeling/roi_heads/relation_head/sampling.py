"""Which pairs of objects the relation head looks at, and their predicates in training.

Shapes: n proposals and t ground-truth objects of one image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou
from maskrcnn_benchmark.utils.global_batch import image_generators
from maskrcnn_benchmark.utils.transfer import to_host


class RelationSampling:
    """Draws as many pairs of each kind as SGB does, for each image by the generator that a step has for it.

    Drawing is many small steps whose sizes depend on the values, so it is done on the host, whatever the device: it
    takes one copy of what is needed from there, and what is drawn comes back on the host.
    """

    def __init__(
        self,
        fg_thres: float,
        require_overlap: bool,
        num_sample_per_gt_rel: int,
        batch_size_per_image: int,
        positive_fraction: float,
        use_gt_box: bool,
        test_overlap: bool,
        max_test_pairs: int = 0,
    ):
        """
        Args:
            fg_thres: IoU above which a proposal of the right class stands for a ground-truth object (SGDet).
            require_overlap: in SGDet training, background pairs overlap.
            num_sample_per_gt_rel: proposal pairs per ground-truth relation, at most.
            batch_size_per_image: pairs per image, at most.
            positive_fraction: how many of them have a relation, at most.
            use_gt_box: boxes are given, so proposals and ground truth are the same objects.
            test_overlap: in SGDet evaluation, pairs overlap.
            max_test_pairs: in SGDet evaluation, pairs of an image at most, those of the highest product of scores; 0:
                all.
        """
        self.fg_thres = fg_thres
        self.require_overlap = require_overlap
        self.num_sample_per_gt_rel = num_sample_per_gt_rel
        self.batch_size_per_image = batch_size_per_image
        self.num_pos_per_img = int(batch_size_per_image * positive_fraction)
        self.use_gt_box = use_gt_box
        self.test_overlap = test_overlap
        self.max_test_pairs = max_test_pairs

    def prepare_test_pairs(self, device: torch.device, proposals: Sequence[BoxList]) -> list[Tensor]:
        """All ordered pairs of different objects, in SGDet those that overlap where that is asked for.

        An image without such a pair gets the pair (0, 0), as in SGB: its recall then counts as nought, whereas an image
        without predictions would be left out of the mean.

        Returns:
            (subject, object) indices, int64 [m_i, 2] each
        """
        pairs = []
        for proposal in proposals:
            possible = ~torch.eye(len(proposal), dtype=torch.bool, device=device)
            if self.test_overlap and not self.use_gt_box:
                possible &= boxlist_iou(proposal, proposal) > 0
            found = possible.nonzero()
            if len(found) == 0 and len(proposal) > 0:
                found = torch.zeros((1, 2), dtype=torch.int64, device=device)
            if not self.use_gt_box and 0 < self.max_test_pairs < len(found):
                scores = proposal.get_field("pred_scores")[found].prod(dim=1)
                found = found[scores.argsort(descending=True, stable=True)[: self.max_test_pairs]]
            pairs.append(found)
        return pairs

    def gtbox_relsample(self, proposals: Sequence[BoxList], targets: Sequence[BoxList]):
        """Pairs of given boxes: those with a relation, and others as background.

        Args:
            proposals: the ground-truth boxes.
            targets: with the field `relation`, predicate of each pair of boxes or 0, [n, n]; -1 stands for a relation
                that the loss leaves out.

        Returns:
            proposals, predicates int64 [m_i], pairs int64 [m_i, 2], and 1 for each two objects that are related in
            either direction, int64 [n_i, n_i]; a list over images each
        """
        rel_labels, rel_pair_idxs, rel_binarys = [], [], []
        for proposal, target in zip(proposals, targets, strict=True):
            if len(proposal) != len(target):
                raise ValueError(
                    f"{len(proposal)} proposals, but {len(target)} ground-truth boxes: they must be the same"
                )
        relations = to_host([target.get_field("relation") for target in targets])
        for relation, generator in zip(relations, image_generators(len(targets)), strict=True):
            relation = relation.long()
            related = relation != 0
            foreground = _sample(related.nonzero(), self.num_pos_per_img, generator)
            unrelated = ~related & ~torch.eye(len(related), dtype=torch.bool)
            background = _sample(unrelated.nonzero(), self.batch_size_per_image - len(foreground), generator)
            pairs = torch.cat((foreground, background))
            rel_pair_idxs.append(pairs)
            rel_labels.append(relation[pairs[:, 0], pairs[:, 1]])
            rel_binarys.append((related | related.T).long())
        return proposals, rel_labels, rel_pair_idxs, rel_binarys

    def detect_relsample(self, proposals: Sequence[BoxList], targets: Sequence[BoxList]):
        """Pairs of detected boxes: those that stand for related ground-truth objects, and others as background.

        Args:
            proposals: with the field `labels`, the class of the ground-truth object that the box was matched to.
            targets: with the fields `labels` and `relation` [t, t].

        Returns:
            as `gtbox_relsample`
        """
        rel_labels, rel_pair_idxs, rel_binarys = [], [], []
        copies = on_host(proposals, ["labels"], targets, ["labels", "relation"])
        for proposal, target, generator in zip(*copies, image_generators(len(targets)), strict=True):
            labels = proposal.get_field("labels")
            ious = boxlist_iou(target, proposal)  # [t, n]
            is_match = (target.get_field("labels")[:, None] == labels) & (ious > self.fg_thres)
            if self.require_overlap and not self.use_gt_box:
                own_ious = boxlist_iou(proposal, proposal)
                possible = (own_ious > 0) & (own_ious < 1)  # 1: the box itself, or its double
            else:
                possible = ~torch.eye(len(proposal), dtype=torch.bool, device=labels.device)
            foreground = labels > 0
            possible &= foreground[:, None] & foreground
            triplets, binary = self.motif_rel_fg_bg_sampling(
                labels.device, target.get_field("relation"), ious, is_match, possible, generator
            )
            rel_pair_idxs.append(triplets[:, :2])
            rel_labels.append(triplets[:, 2])
            rel_binarys.append(binary)
        return proposals, rel_labels, rel_pair_idxs, rel_binarys

    def motif_rel_fg_bg_sampling(
        self,
        device: torch.device,
        tgt_rel_matrix: Tensor,
        ious: Tensor,
        is_match: Tensor,
        rel_possibility: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Foreground and background pairs of one image, as Neural Motifs assigns them.

        Of the proposal pairs that match a ground-truth relation at most `num_sample_per_gt_rel` are drawn, by the
        product of both IoUs, without replacement.

        Args:
            tgt_rel_matrix: predicate of each pair of ground-truth objects or 0, [t, t]
            ious: of ground truth and proposals, [t, n]
            is_match: which proposals stand for which ground-truth object, bool [t, n]
            rel_possibility: which pairs of proposals may be drawn as background, bool [n, n]
            generator: of the draws; None: torch's own.

        Returns:
            (subject, object, predicate), foreground first, int64 [m, 3], m > 0 where n > 0, and 1 for each two
            proposals that stand for related objects in either direction, int64 [n, n]
        """
        subjects, objects = tgt_rel_matrix.nonzero(as_tuple=True)  # r ground-truth relations
        predicates = tgt_rel_matrix[subjects, objects].long()
        matches = is_match[subjects][:, :, None] & is_match[objects][:, None, :]  # [r, n, n]
        matched = matches.any(dim=0)
        binary = (matched | matched.T).long()

        relation, head, tail = matches.nonzero(as_tuple=True)
        different = head != tail
        relation, head, tail = relation[different], head[different], tail[different]
        background = (rel_possibility.bool() & ~matched).nonzero()

        weights = ious[subjects[relation], head] * ious[objects[relation], tail]
        drawn = _weighted_sample(relation, weights, self.num_sample_per_gt_rel, generator)
        triplets = torch.stack((head, tail, predicates[relation]), dim=1)[drawn]
        triplets = _sample(triplets, self.num_pos_per_img, generator)
        background = _sample(background, self.batch_size_per_image - len(triplets), generator)
        triplets = torch.cat((triplets, torch.nn.functional.pad(background, (0, 1))))
        if len(triplets) == 0 and len(rel_possibility):  # one pair keeps every later step free of special cases
            triplets = torch.zeros((1, 3), dtype=torch.int64, device=device)
        return triplets, binary


def on_host(
    proposals: Sequence[BoxList], proposal_fields: list[str], targets: Sequence[BoxList], target_fields: list[str]
) -> tuple[list[BoxList], list[BoxList]]:
    """Boxes and these fields of them on the host, by one wait for the device."""
    boxes = [one.copy_with_fields(proposal_fields) for one in proposals]
    boxes += [one.copy_with_fields(target_fields) for one in targets]
    tensors = [tensor for one in boxes for tensor in (one.bbox, *one.extra_fields.values())]
    copies = iter(to_host(tensors))
    for one in boxes:
        one.bbox = next(copies)
        for name in one.fields():
            one.extra_fields[name] = next(copies)
    return boxes[: len(proposals)], boxes[len(proposals) :]


def _sample(rows: Tensor, number: int, generator: torch.Generator | None) -> Tensor:
    """That many of the rows, drawn at random; all, in order, where there are no more."""
    if len(rows) <= number:
        return rows
    return rows[torch.randperm(len(rows), device=rows.device, generator=generator)[:number]]


def _weighted_sample(groups: Tensor, weights: Tensor, number: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw at most that many rows of each group without replacement, with probabilities as the weights.

    The largest keys log(u) / w of each group are such a draw (Efraimidis and Spirakis, 2006).

    Args:
        groups: group of each row, int64 [k], sorted.
        weights: positive, [k]

    Returns:
        rows drawn, ascending, int64
    """
    uniform = torch.rand(weights.shape, dtype=weights.dtype, device=weights.device, generator=generator)
    keys = uniform.log() / weights
    by_key = keys.argsort(descending=True)
    order = by_key[groups[by_key].argsort(stable=True)]  # within each group, largest key first
    first = torch.searchsorted(groups, groups)  # where each row's group begins
    rank = torch.arange(len(groups), device=groups.device) - first
    return order[rank < number].sort().values


def make_roi_relation_samp_processor(cfg) -> RelationSampling:
    head = cfg.MODEL.ROI_RELATION_HEAD
    return RelationSampling(
        cfg.MODEL.ROI_HEADS.FG_IOU_THRESHOLD,
        head.REQUIRE_BOX_OVERLAP,
        head.NUM_SAMPLE_PER_GT_REL,
        head.BATCH_SIZE_PER_IMAGE,
        head.POSITIVE_FRACTION,
        head.USE_GT_BOX,
        cfg.TEST.RELATION.REQUIRE_OVERLAP,
        head.MAX_PROPOSAL_PAIR,
    )
