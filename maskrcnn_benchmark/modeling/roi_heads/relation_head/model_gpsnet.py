"""GPS-Net (Lin et al., CVPR 2020) as PySGG has it: objects send each other messages, weighted by what pairs look like.

Shapes: n objects and m pairs of all images of a batch together, b images, l objects of the largest, P features of
objects and of pairs (CONTEXT_POOLING_DIM), H hidden units (GPSNET_MODULE.GRAPH_HIDDEN_DIM).

PySGG leaves out the paper's node priority loss and frequency softening, and never updates the features of pairs while
messages pass: layers for that exist in its checkpoints, and here so that these load.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from maskrcnn_benchmark.modeling.make_layers import make_fc

from .utils_pairwise import PairwiseFeatureExtractor, PairwisePredictor
from .utils_predictors import batch_pairs

EPSILON = 1e-6  # of the sums that weights are divided by


class GatingModel(nn.Module):
    """How much an object matters to a subject, from both and from what the pair looks like."""

    def __init__(self, object_dim: int, pair_dim: int, hidden_dim: int, filter_dim: int = 32):
        super().__init__()
        self.ws = nn.Sequential(make_fc(object_dim, hidden_dim), nn.ReLU())
        self.wo = nn.Sequential(make_fc(object_dim, hidden_dim), nn.ReLU())
        self.wu = nn.Sequential(make_fc(pair_dim, hidden_dim), nn.ReLU())
        self.w = nn.Sequential(make_fc(hidden_dim, filter_dim), nn.ReLU())

    def forward(self, objects: Tensor, pair_features: Tensor, pairs: Tensor) -> Tensor:
        """Objects [n, P], pairs [m, P] and their (subject, object) int64 [m, 2] -> not negative, [m]"""
        both = self.ws(objects)[pairs[:, 0]] * self.wo(objects)[pairs[:, 1]]
        return self.w(both * self.wu(pair_features)).mean(dim=1)


class MessageGenerator(nn.Module):
    """Weighted sums of what objects say, along the pairs and against them."""

    def __init__(self, input_dim: int, hidden_dim: int):
        super().__init__()
        self.output_fc = nn.Sequential(
            nn.Linear(input_dim, input_dim // 4),
            nn.LayerNorm(input_dim // 4),
            nn.ReLU(),
            nn.Linear(input_dim // 4, hidden_dim),
            nn.ReLU(),
        )
        self.message_fc = nn.Sequential(nn.Linear(input_dim, input_dim // 2))

    def forward(self, objects: Tensor, gates: Tensor, rel_pair_idxs: Sequence[Tensor], num_objs: list[int]) -> Tensor:
        """Message to each object; zero to those that are no subject.

        Args:
            objects: [n, P]
            gates: of all pairs, [m]
            rel_pair_idxs: (subject, object) within each image, int64 [m_i, 2] each; a pair given twice counts once.

        Returns:
            [n, H]
        """
        if not len(objects):
            return self.output_fc(objects)
        image = torch.arange(len(num_objs), device=gates.device)
        image = image.repeat_interleave(torch.tensor([len(p) for p in rel_pair_idxs], device=gates.device))
        subjects, others = torch.cat(list(rel_pair_idxs)).unbind(dim=1)
        l = max(num_objs)  # noqa: E741
        scores = gates.new_full((len(num_objs), l, l), -torch.inf, dtype=torch.float32)  # [b, l, l]
        scores = scores.index_put((image, subjects, others), gates.float())
        highest = scores.detach().amax(dim=(1, 2), keepdim=True).clamp(min=0)  # of each image, as if it were alone
        weights = (scores - highest).exp()
        sums = weights.sum(dim=2, keepdim=True)
        weights = (weights / (sums + EPSILON)).to(objects.dtype)

        said = pad_sequence(self.message_fc(objects).split(num_objs), batch_first=True)  # [b, l, P / 2]
        heard = torch.cat((weights @ said, weights.transpose(1, 2) @ said), dim=2)  # [b, l, P]
        is_object = torch.arange(l, device=gates.device) < torch.tensor(num_objs, device=gates.device)[:, None]
        is_subject = (sums.squeeze(2) > 0)[is_object]  # [n]
        return self.output_fc(heard[is_object]) * is_subject[:, None]


class _Unused(nn.Module):
    """Layers under the name `w`, as PySGG's units have them."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.w = nn.Sequential(*layers)


class _UnusedUpdate(nn.Module):
    def __init__(self, input_dim: int, output_dim: int):
        super().__init__()
        self.wih = nn.Sequential(nn.ReLU(), nn.Linear(input_dim, output_dim))
        self.whh = nn.Sequential(nn.ReLU(), nn.Linear(output_dim, output_dim))


class GPSNetContext(nn.Module):
    """Features of objects after all messages, and of pairs from those."""

    def __init__(self, config, obj_classes: Sequence[str], in_channels: int):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        hidden_dim, pooling_dim = head.GPSNET_MODULE.GRAPH_HIDDEN_DIM, head.CONTEXT_POOLING_DIM
        self.pairwise_feature_extractor = PairwiseFeatureExtractor(config, obj_classes, in_channels)
        self.pairwise_obj_feat_updim_fc = nn.Sequential(make_fc(pooling_dim, hidden_dim * 2), nn.ReLU())
        self.pairwise_rel_feat_finalize_fc = nn.Sequential(make_fc(hidden_dim * 2, pooling_dim), nn.ReLU())
        self.obj2obj_gating_model = GatingModel(pooling_dim, pooling_dim, hidden_dim)
        self.obj2obj_msg_gen = MessageGenerator(pooling_dim, hidden_dim)
        self.inst_feat_down_dim_fcs = nn.ModuleList(
            nn.Sequential(make_fc(pooling_dim, hidden_dim), nn.ReLU())
            for _ in range(head.GPSNET_MODULE.GRAPH_ITERATION_NUM)
        )
        self.obj2obj_msg_fuse = nn.Sequential(make_fc(hidden_dim, pooling_dim), nn.ReLU())

        self.sub2pred_msp = _Unused(nn.BatchNorm1d(hidden_dim * 2), nn.Linear(hidden_dim * 2, 64))
        self.obj2pred_msp = _Unused(nn.BatchNorm1d(hidden_dim * 2), nn.Linear(hidden_dim * 2, 64))
        self.rel_feat_update_downdim_fc = nn.Sequential(
            nn.BatchNorm1d(pooling_dim), nn.ReLU(), nn.Linear(pooling_dim, hidden_dim)
        )
        self.rel_feat_update_inst_feat_downdim_fc = nn.Sequential(
            nn.BatchNorm1d(pooling_dim), nn.ReLU(), nn.Linear(pooling_dim, hidden_dim * 2)
        )
        self.rel_feat_update_unit = _UnusedUpdate(hidden_dim, pooling_dim)

    def forward(self, x, union_features, proposals, rel_pair_idxs) -> tuple[Tensor, Tensor]:
        """Features [n, P] of objects and [m, P] of pairs; arguments as of `PairwiseFeatureExtractor`."""
        pairs, num_objs, _ = batch_pairs(proposals, rel_pair_idxs)
        objects, pair_features = self.pairwise_feature_extractor(x, union_features, proposals, pairs)
        for down in self.inst_feat_down_dim_fcs:
            gates = self.obj2obj_gating_model(objects, pair_features, pairs)
            messages = self.obj2obj_msg_gen(objects, gates, rel_pair_idxs, num_objs)
            objects = self.obj2obj_msg_fuse(messages + down(objects))
        as_subject, as_object = self.pairwise_obj_feat_updim_fc(objects).chunk(2, dim=1)  # [n, H] each
        both = torch.cat((as_subject[pairs[:, 0]], as_object[pairs[:, 1]]), dim=1)
        return objects, pair_features + self.pairwise_rel_feat_finalize_fc(both)


class GPSNetPredictor(PairwisePredictor):
    """GPS-Net, with a frequency bias unless FREQUENCY_BAIS is False.

    PySGG takes the largest gate of the whole batch out of the exponents, here it is the image's own, so that an image
    gives the same in any company.
    """

    predicate_classifier = "rel_classifier"
    settings = {"GPSNET_MODULE.MP_ON_VALID_PAIRS": (False,), "GPSNET_MODULE.RELNESS_MP_WEIGHTING": (False,)}

    def __init__(self, config, in_channels):
        super().__init__(config)
        self.context_layer = GPSNetContext(config, self.obj_classes, in_channels)
        self.rel_classifier = nn.Linear(self.pooling_dim, self.num_rel_cls)
        self.obj_classifier = nn.Linear(self.pooling_dim, self.num_obj_cls)

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        objects, pair_features = self.context_layer(roi_features, union_features, proposals, rel_pair_idxs)
        refined = None
        if self.learns_objects:
            refined = self.refined_logits(self.obj_classifier, objects, proposals)
        obj_dists, labels = self.object_predictions(proposals, refined)
        rel_dists = self.rel_classifier(pair_features) + self.bias(labels, pairs)
        return obj_dists.split(num_objs), rel_dists.split(num_rels), {}
