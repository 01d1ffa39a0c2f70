"""Objects and pairs as they are, without the context of the other objects of the image.

Shapes: n objects in a batch, O object classes, background included.
"""

from __future__ import annotations

from typing import Any, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_motifs import encode_box_info, to_onehot


def without_context(motifs: type) -> type:
    """Motifs' predictor, with each object by itself in place of its context."""

    class NoContextPredictor(motifs):  # type: ignore[misc, valid-type]
        def __init__(self, config: Any, in_channels: int) -> None:
            super().__init__(config, in_channels)
            self.context_layer = NoContext(config, get_dataset_statistics(config)["obj_classes"], in_channels)

    return NoContextPredictor


class NoContext(nn.Module):
    """Each object by its own appearance and box; object classes stay those of the detector.

    Arguments and results are those of the host's other contexts.
    """

    def __init__(self, config: Any, obj_classes: Sequence[str], in_channels: int) -> None:
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.use_gt_label = head.USE_GT_OBJECT_LABEL
        self.num_obj_classes = len(obj_classes)
        self.fc_layer = nn.Linear(in_channels + 9, head.CONTEXT_HIDDEN_DIM)

    def forward(
        self, x: Tensor, proposals: Sequence[Any], rel_pair_idxs: Sequence[Tensor], logger: Any = None
    ) -> tuple:
        if self.use_gt_label:
            labels = torch.cat([proposal.get_field("labels") for proposal in proposals]).long()
            logits = to_onehot(labels, self.num_obj_classes)
        else:
            logits = torch.cat([proposal.get_field("predict_logits") for proposal in proposals]).detach()
            labels = logits[:, 1:].argmax(dim=1) + 1
        edge_ctx = F.relu(self.fc_layer(torch.cat([x, encode_box_info(proposals).to(x.dtype)], dim=1)))
        return logits, labels, edge_ctx, None
