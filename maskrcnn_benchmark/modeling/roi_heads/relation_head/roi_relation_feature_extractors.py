"""Features of pairs: the union box's image features plus a convolution over where both boxes lie in the image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers.batch_norm import SharedBatchNorm2d
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.make_layers import make_fc
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_feature_extractors import make_roi_box_feature_extractor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_union
from maskrcnn_benchmark.utils.comm import get_world_size
from maskrcnn_benchmark.utils.transfer import to_device, to_host

from .utils_relation import global_pairs


@registry.ROI_RELATION_FEATURE_EXTRACTORS.register("RelationFeatureExtractor")
class RelationFeatureExtractor(nn.Module):
    """The extractor of Neural Motifs, pooling from all pyramid levels where POOLING_ALL_LEVELS says so.

    With CAUSAL.SEPARATE_SPATIAL the two parts stay apart, as the causal predictor can use them.
    """

    def __init__(self, cfg, in_channels: int):
        super().__init__()
        head = cfg.MODEL.ROI_RELATION_HEAD
        self.feature_extractor = make_roi_box_feature_extractor(
            cfg, in_channels, cat_all_levels=head.POOLING_ALL_LEVELS
        )
        self.out_channels = self.feature_extractor.out_channels

        self.separate_spatial = head.CAUSAL.SEPARATE_SPATIAL
        if self.separate_spatial:
            self.spatial_fc = nn.Sequential(
                make_fc(self.feature_extractor.resize_channels, self.out_channels // 2),
                nn.ReLU(inplace=True),
                make_fc(self.out_channels // 2, self.out_channels),
                nn.ReLU(inplace=True),
            )

        self.rect_size = cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION * 4 - 1  # rect_conv takes it to the resolution
        self.rect_conv = nn.Sequential(
            nn.Conv2d(2, in_channels // 2, kernel_size=7, stride=2, padding=3),
            nn.ReLU(inplace=True),
            SharedBatchNorm2d(in_channels // 2, momentum=0.01),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            nn.Conv2d(in_channels // 2, in_channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            SharedBatchNorm2d(in_channels, momentum=0.01),
        )

    def forward(
        self, x: Sequence[Tensor], proposals: Sequence[BoxList], rel_pair_idxs: Sequence[Tensor]
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Features of the pairs of all images.

        What pairs have in common is computed once: the union box of (i, j), its pooling and reducing convolution are
        those of (j, i), and the first convolution over the rectangles is a sum of one of the subject and one of the
        object.

        Args:
            x: feature maps, one per level.
            proposals: boxes of each image.
            rel_pair_idxs: (subject, object) indices, int64 [m_i, 2] each; on a GPU, pairs that are still on the host
                save a wait.

        Returns:
            [m, out_channels], or with SEPARATE_SPATIAL image and spatial features, [m, out_channels] each
        """
        if sum(map(len, rel_pair_idxs)) == 0 and not (self.training and get_world_size() > 1):
            # neither pooling nor batch normalisation has an answer for nothing
            empty = x[0].new_zeros((0, self.out_channels))
            return (empty, empty) if self.separate_spatial else empty
        rel_pair_idxs = to_host(rel_pair_idxs)
        unions, union_of_pair = union_boxes(proposals, rel_pair_idxs)
        if len(union_of_pair):
            visual = self.feature_extractor.pooler(x, unions).index_select(0, union_of_pair)
        else:  # other processes may have pairs, and normalise with this one
            resolution = (self.rect_size + 1) // 4
            visual = x[0].new_zeros((0, self.rect_conv[-1].num_features, resolution, resolution))
        pairs = to_device(global_pairs(rel_pair_idxs, [len(p) for p in proposals]), visual.device)
        spatial = self._spatial(proposals, pairs)  # [m, in_channels, resolution, resolution]
        if self.separate_spatial:
            return self.feature_extractor.forward_without_pool(visual), self.spatial_fc(spatial.flatten(1))
        return self.feature_extractor.forward_without_pool(visual + spatial)

    def _spatial(self, proposals: Sequence[BoxList], pairs: Tensor) -> Tensor:
        """`rect_conv` over the rectangles of subject and object: pairs int64 [m, 2] -> [m, in_channels, h, w]."""
        rectangles = self._rectangles(proposals)[:, None]
        first, *rest = self.rect_conv
        options = {"stride": first.stride, "padding": first.padding}
        as_subject = F.conv2d(rectangles, first.weight[:, :1], first.bias, **options)
        as_object = F.conv2d(rectangles, first.weight[:, 1:], **options)
        # channels last: two thirds of the time on a CPU
        rows = [role.permute(0, 2, 3, 1).contiguous() for role in (as_subject, as_object)]
        spatial = rows[0].index_select(0, pairs[:, 0]).add_(rows[1].index_select(0, pairs[:, 1])).permute(0, 3, 1, 2)
        for layer in rest:
            spatial = layer(spatial)
        return spatial

    def _rectangles(self, boxes: Sequence[BoxList]) -> Tensor:
        """Each box as ones on a grid that stands for its image, [m, rect_size, rect_size]."""
        scaled = torch.cat([b.resize((self.rect_size, self.rect_size)).bbox for b in boxes])
        first, last = scaled[:, :2].floor().long(), scaled[:, 2:].ceil().long()
        cells = torch.arange(self.rect_size, device=scaled.device)
        inside = (cells >= first[..., None]) & (cells <= last[..., None])  # [m, (x, y), rect_size]
        return (inside[:, 1, :, None] & inside[:, 0, None, :]).float()


def union_boxes(proposals: Sequence[BoxList], rel_pair_idxs: Sequence[Tensor]) -> tuple[list[BoxList], Tensor]:
    """The union box of each two objects that make a pair in either order, once.

    Args:
        proposals: boxes of each image.
        rel_pair_idxs: (subject, object) indices on the host, int64 [m_i, 2] each.

    Returns:
        the boxes of each image, and for each pair of all images the row of its box among those of all images, int64
        [m], where the proposals are
    """
    unions, rows, first = [], [], 0
    for proposal, pairs in zip(proposals, rel_pair_idxs, strict=True):
        ends = pairs.sort(dim=1).values
        keys, row = torch.unique(ends[:, 0] * len(proposal) + ends[:, 1], return_inverse=True)
        ends = torch.stack((keys // max(len(proposal), 1), keys % max(len(proposal), 1)))
        one, other = to_device(ends, proposal.bbox.device)
        boxes = proposal.copy_with_fields([])
        unions.append(boxlist_union(boxes[one], boxes[other]))
        rows.append(row + first)
        first += len(keys)
    return unions, to_device(torch.cat(rows), proposals[0].bbox.device)


def make_roi_relation_feature_extractor(cfg, in_channels: int) -> nn.Module:
    name = cfg.MODEL.ROI_RELATION_HEAD.FEATURE_EXTRACTOR
    return registry.lookup(registry.ROI_RELATION_FEATURE_EXTRACTORS, name, "MODEL.ROI_RELATION_HEAD.FEATURE_EXTRACTOR")(
        cfg, in_channels
    )
