"""SQUAT (Jung et al., CVPR 2023): attention among selected pairs, and of them to pairs and objects.

Shapes: n objects and m pairs of all images of a batch together, q selected pairs, b images, P features of objects and
of pairs (CONTEXT_POOLING_DIM), H hidden units (SQUAT_MODULE.GRAPH_HIDDEN_DIM).

Layers that the original computes for nothing (the update of objects) or never calls are here only so that its
checkpoints load.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from maskrcnn_benchmark.utils.global_batch import batch_mean

from .utils_pairwise import PairwiseFeatureExtractor, PairwisePredictor, gt_rel_proposal_matching, image_means
from .utils_predictors import batch_pairs

HEADS, DROPOUT = 8, 0.1


class MaskPredictor(nn.Module):
    """Whether a pair is worth a look, from itself and from the mean of all pairs of its image."""

    def __init__(self, in_dim: int, hidden_dim: int):
        super().__init__()
        self.layer1 = nn.Sequential(nn.LayerNorm(in_dim), nn.Linear(in_dim, hidden_dim), nn.GELU())
        self.layer2 = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim // 2),
            nn.GELU(),
            nn.Linear(hidden_dim // 2, hidden_dim // 4),
            nn.GELU(),
            nn.Linear(hidden_dim // 4, 1),
        )

    def forward(self, pair_features: Tensor, num_rels: Sequence[int]) -> Tensor:
        """Pairs [m, P] of images with m_i of them each -> logits [m]"""
        own, shared = self.layer1(pair_features).chunk(2, dim=1)
        counts = torch.tensor(num_rels, device=shared.device)
        shared = image_means(shared, num_rels).repeat_interleave(counts, dim=0, output_size=len(shared))
        return self.layer2(torch.cat((own, shared), dim=1)).squeeze(1)


def top_rows(scores: Tensor, num_rels: Sequence[int], share: float) -> tuple[Tensor, list[int]]:
    """The best of each image: int(m_i * share) of its m_i pairs.

    Args:
        scores: of all pairs, [m]

    Returns:
        rows of all pairs, by image and falling score, int64 [q], and how many each image has
    """
    padded = pad_sequence(scores.detach().split(list(num_rels)), batch_first=True, padding_value=-torch.inf)
    counts = [int(number * share) for number in num_rels]
    sizes = torch.tensor([num_rels, counts], device=scores.device)
    starts = sizes[0].cumsum(0) - sizes[0]
    order = padded.argsort(dim=1, descending=True) + starts[:, None]  # [b, largest m_i]
    return order[torch.arange(padded.shape[1], device=scores.device) < sizes[1][:, None]], counts


def attention(
    layer: nn.MultiheadAttention, query: Tensor, num_queries: list[int], memory: Tensor, num_memory: list[int]
) -> Tensor:
    """Attention of each image's rows to its own memory; the layer's bias where that is empty.

    Rows of all images go through the projections together, and side by side into the attention.

    Args:
        query: [q, P], num_queries of each image.
        memory: [k, P], num_memory of each image.

    Returns:
        [q, P]
    """
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    rows = (query, memory, memory)
    heads = [
        pad_sequence(F.linear(x, weight, bias).split(counts), batch_first=True)  # [b, l, P]
        .unflatten(2, (layer.num_heads, -1))
        .transpose(1, 2)
        for x, weight, bias, counts in zip(rows, weights, biases, (num_queries, num_memory, num_memory), strict=True)
    ]
    numbers = torch.tensor([num_queries, num_memory], device=query.device)[:, :, None]
    is_query = torch.arange(heads[0].shape[2], device=query.device) < numbers[0]
    is_memory = torch.arange(heads[1].shape[2], device=query.device) < numbers[1]
    something = numbers[1] > 0  # [b, 1]
    if heads[1].shape[2] == 0:
        seen = torch.zeros_like(query)
    else:
        mask = (is_memory | ~something)[:, None, None]  # an empty memory must not give 0 / 0
        dropout = layer.dropout if layer.training else 0.0
        seen = F.scaled_dot_product_attention(*heads, attn_mask=mask, dropout_p=dropout)
        seen = (seen.transpose(1, 2).flatten(2) * something[:, :, None])[is_query]
    return layer.out_proj(seen)


class P2PDecoderLayer(nn.Module):
    """Selected pairs look at each other, then at the pairs and objects of their image."""

    def __init__(self, dim: int, feedforward_dim: int):
        super().__init__()

        def heads() -> nn.MultiheadAttention:
            return nn.MultiheadAttention(dim, HEADS, dropout=DROPOUT)

        self.self_attn, self.self_attn_node = heads(), heads()
        self.multihead_attn_e2e, self.multihead_attn_e2n = heads(), heads()
        self.linear1, self.linear2 = nn.Linear(dim, feedforward_dim), nn.Linear(feedforward_dim, dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm1_unary = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(DROPOUT)

        # the update of objects, which no later step reads
        self.multihead_attn_n2e, self.multihead_attn_n2n = heads(), heads()
        self.linear1_unary, self.linear2_unary = nn.Linear(dim, feedforward_dim), nn.Linear(feedforward_dim, dim)
        self.norm2_unary, self.norm3_unary = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(
        self,
        selected: Tensor,
        memory: tuple[Tensor, Tensor],
        queries: tuple[Tensor, list[int]],
        keys: tuple[Tensor, list[int]],
        num_objs: list[int],
    ) -> Tensor:
        """Selected pairs [q, P] -> [q, P]

        Args:
            memory: features of objects [n, P] and of pairs [m, P], the same in every layer.
            queries: rows of pairs that are selected, and how many each image has, as `top_rows` gives them.
            keys: the same of the pairs that are looked at.
        """
        objects, pair_features = memory
        (rows, counts), (key_rows, key_counts) = queries, keys
        selected = self.norm1(selected + self.dropout(attention(self.self_attn, selected, counts, selected, counts)))
        context = attention(self.self_attn_node, objects, num_objs, objects, num_objs)
        objects = self.norm1_unary(objects + self.dropout(context))
        pair_features = pair_features.index_copy(0, rows, selected.to(pair_features.dtype))
        looked_at = pair_features.index_select(0, key_rows)
        to_pairs = attention(self.multihead_attn_e2e, selected, counts, looked_at, key_counts)
        to_objects = attention(self.multihead_attn_e2n, selected, counts, objects, num_objs)
        selected = self.norm2(selected + self.dropout(to_pairs) + self.dropout(to_objects))
        hidden = self.dropout(self.linear1(selected).relu())
        return self.norm3(selected + self.dropout(self.linear2(hidden)))


class P2PDecoder(nn.Module):
    """A stack of layers."""

    def __init__(self, num_layers: int, dim: int, feedforward_dim: int):
        super().__init__()
        self.layers = nn.ModuleList(P2PDecoderLayer(dim, feedforward_dim) for _ in range(num_layers))

    def forward(self, selected: Tensor, *memory) -> Tensor:
        """Arguments as of `P2PDecoderLayer`."""
        for layer in self.layers:
            selected = layer(selected, *memory)
        return selected


class SquatContext(nn.Module):
    """Logits of objects and of pairs, and of whether pairs are worth a look."""

    def __init__(self, config, obj_classes: Sequence[str], in_channels: int):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        hidden_dim, pooling_dim = head.SQUAT_MODULE.GRAPH_HIDDEN_DIM, head.CONTEXT_POOLING_DIM
        self.rho, self.beta = head.SQUAT_MODULE.RHO, head.SQUAT_MODULE.BETA
        self.pairwise_feature_extractor = PairwiseFeatureExtractor(config, obj_classes, in_channels)
        self.obj_embedding = nn.Sequential(
            nn.Linear(in_channels, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim), nn.ReLU()
        )
        self.rel_embedding = nn.Sequential(  # never called in the original either
            nn.Linear(in_channels * 2, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, pooling_dim), nn.ReLU()
        )
        self.m2m_decoder = P2PDecoder(head.SQUAT_MODULE.NUM_DECODER, pooling_dim, hidden_dim * 2)
        self.obj_classifier = nn.Linear(hidden_dim, config.MODEL.ROI_BOX_HEAD.NUM_CLASSES)
        self.rel_classifier = nn.Linear(pooling_dim, head.NUM_CLASSES)
        self.mask_predictor = MaskPredictor(pooling_dim, hidden_dim)
        self.mask_predictor_e2e = MaskPredictor(pooling_dim, hidden_dim)
        self.mask_predictor_n2e = MaskPredictor(pooling_dim, hidden_dim)

    def forward(
        self, x, union_features, proposals, rel_pair_idxs, masks_only: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predicate logits [m, R]; and logits [m] of the masks: query, e2e, n2e.

        Args:
            masks_only: nothing but the masks is to learn.
            x, union_features, proposals: as of `PairwiseFeatureExtractor`.
        """
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        objects, pair_features = self.pairwise_feature_extractor(x, union_features, proposals, pairs)
        if masks_only:
            pair_features = pair_features.detach()
        masks = {
            "query": self.mask_predictor(pair_features, num_rels),
            "e2e": self.mask_predictor_e2e(pair_features, num_rels),
            # of the update of objects: it is learnt, as in the original, but chooses nothing
            "n2e": self.mask_predictor_n2e(pair_features, num_rels),
        }
        queries = top_rows(masks["query"], num_rels, self.rho)
        keys = top_rows(masks["e2e"], num_rels, self.beta)
        selected = self.m2m_decoder(pair_features[queries[0]], (objects, pair_features), queries, keys, num_objs)
        pair_features = pair_features.index_copy(0, queries[0], selected.to(pair_features.dtype))
        return self.rel_classifier(pair_features), masks


class SquatPredictor(PairwisePredictor):
    """SQUAT; its masks learn which pairs lie where ground-truth relations lie, of whatever classes."""

    predicate_classifier = "context_layer.rel_classifier"
    settings = {"SQUAT_MODULE.PRE_NORM": (False,)}

    def __init__(self, config, in_channels):
        super().__init__(config)
        node = config.MODEL.ROI_RELATION_HEAD.SQUAT_MODULE
        self.context_layer = SquatContext(config, self.obj_classes, in_channels)
        self.loss_coef = node.LOSS_COEF
        self.pretrain_iterations = node.PRETRAIN_MASK_ITER if node.PRETRAIN_MASK else 0
        self.pretraining = False
        self.relatedness_from_boxes = config.MODEL.ROI_RELATION_HEAD.RELATION_PROPOSAL_MODEL.SET_ON
        self.fg_thres = config.MODEL.ROI_HEADS.FG_IOU_THRESHOLD

    def start_iteration(self, iteration: int) -> None:
        """Nothing but the masks learns in the first PRETRAIN_MASK_ITER iterations."""
        self.pretraining = iteration <= self.pretrain_iterations

    def prepare_inputs(self, proposals, targets, rel_binarys):
        """See `PairwisePredictor`; relatedness is that of the places of boxes where RELATION_PROPOSAL_MODEL.SET_ON."""
        if targets is not None and rel_binarys is not None and self.relatedness_from_boxes:
            _, rel_binarys = gt_rel_proposal_matching(proposals, targets, self.fg_thres, require_overlap=False)
        return super().prepare_inputs(proposals, targets, rel_binarys)

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        masks_only = self.training and self.pretraining
        rel_dists, masks = self.context_layer(roi_features, union_features, proposals, rel_pair_idxs, masks_only)
        refined = None
        if self.learns_objects:
            classifier = nn.Sequential(self.context_layer.obj_embedding, self.context_layer.obj_classifier)
            refined = self.refined_logits(classifier, roi_features, proposals)
        obj_dists, labels = self.object_predictions(proposals, refined)
        rel_dists = rel_dists + self.bias(labels, pairs)
        if masks_only:
            obj_dists, rel_dists = obj_dists.detach(), rel_dists.detach()
        losses = {}
        if self.training:
            losses = {
                f"loss_mask_{name}": self.mask_loss(logits, rel_pair_idxs, rel_binarys)
                for name, logits in masks.items()
            }
        return obj_dists.split(num_objs), rel_dists.split(num_rels), losses

    def mask_loss(self, logits: Tensor, rel_pair_idxs: Sequence[Tensor], rel_binarys: Sequence[Tensor]) -> Tensor:
        """Binary cross entropy of a mask [m]: the mean over the images that have pairs, of means over their pairs."""
        related = [binary[p[:, 0], p[:, 1]] for binary, p in zip(rel_binarys, rel_pair_idxs, strict=True)]
        losses = F.binary_cross_entropy_with_logits(logits.float(), torch.cat(related).float(), reduction="none")
        num_rels = [len(pairs) for pairs in rel_pair_idxs]
        means = image_means(losses, num_rels)
        return batch_mean(means.sum(), sum(number > 0 for number in num_rels)) * (self.loss_coef / 3)
