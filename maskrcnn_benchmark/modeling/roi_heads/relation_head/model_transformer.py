"""Context by self-attention over the objects of an image: a Transformer encoder for labels, another for pairs.

Shapes: b images, l objects of the largest, n objects of all images together, C object classes (background first),
D roi features, E word embeddings, H hidden units, k attention heads.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.transfer import to_device

from .context_memory import depends_on_objects_only
from .utils_motifs import embed_labels, encode_box_info, object_word_vectors, to_onehot
from .utils_relation import greedy_class_nms, relation_task


class ScaledDotProductAttention(nn.Module):
    """Attention with dropout of its weights."""

    def __init__(self, temperature: float, attn_dropout: float = 0.1):
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(attn_dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values by the likeness of queries and keys.

        Args:
            q, k, v: queries, keys, values, [..., l, width]
            mask: which keys are no keys, bool, broadcast to [..., l, l]

        Returns:
            output [..., l, width of v] and weights [..., l, l]
        """
        scores = (q / self.temperature) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(mask, torch.finfo(scores.dtype).min)  # -inf: nan where no key is one
        weights = self.dropout(scores.softmax(dim=-1))
        return weights @ v, weights


class MultiHeadAttention(nn.Module):
    """Attention in several heads, with residual and layer normalisation."""

    def __init__(self, n_head: int, d_model: int, d_k: int, d_v: int, dropout: float = 0.1):
        super().__init__()
        self.n_head = n_head
        self.w_qs = nn.Linear(d_model, n_head * d_k)
        self.w_ks = nn.Linear(d_model, n_head * d_k)
        self.w_vs = nn.Linear(d_model, n_head * d_v)
        for layer, width in ((self.w_qs, d_k), (self.w_ks, d_k), (self.w_vs, d_v)):
            nn.init.normal_(layer.weight, mean=0, std=(2.0 / (d_model + width)) ** 0.5)
        # The dropout of the weights stays at its default whatever DROPOUT_RATE says, as in SGB.
        self.attention = ScaledDotProductAttention(temperature=d_k**0.5)
        self.layer_norm = nn.LayerNorm(d_model)
        self.fc = nn.Linear(n_head * d_v, d_model)
        nn.init.xavier_normal_(self.fc.weight)
        self.dropout = nn.Dropout(dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attention of q [b, l, H] to k and v of that shape; `mask` bool, broadcast to [b, l, l], marks no keys.

        Returns:
            output [b, l, H] and weights [b, k, l, l]
        """
        heads = [
            layer(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)  # [b, k, l, width]
            for layer, x in ((self.w_qs, q), (self.w_ks, k), (self.w_vs, v))
        ]
        output, weights = self.attention(*heads, mask=None if mask is None else mask.unsqueeze(1))
        output = self.dropout(self.fc(output.transpose(1, 2).flatten(2)))
        return self.layer_norm(output + q), weights


class PositionwiseFeedForward(nn.Module):
    """Two layers for each position by itself, with residual and layer normalisation."""

    def __init__(self, d_in: int, d_hid: int, dropout: float = 0.1):
        super().__init__()
        # convolutions of width 1, that is linear layers, for the shape that published weights have
        self.w_1 = nn.Conv1d(d_in, d_hid, 1)
        self.w_2 = nn.Conv1d(d_hid, d_in, 1)
        self.layer_norm = nn.LayerNorm(d_in)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[b, l, H] -> [b, l, H]"""
        hidden = F.linear(x, self.w_1.weight.squeeze(-1), self.w_1.bias).relu()
        output = F.linear(hidden, self.w_2.weight.squeeze(-1), self.w_2.bias)
        return self.layer_norm(self.dropout(output) + x)


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward layers."""

    def __init__(self, d_model: int, d_inner: int, n_head: int, d_k: int, d_v: int, dropout: float = 0.1):
        super().__init__()
        self.slf_attn = MultiHeadAttention(n_head, d_model, d_k, d_v, dropout=dropout)
        self.pos_ffn = PositionwiseFeedForward(d_model, d_inner, dropout=dropout)

    def forward(self, enc_input: Tensor, slf_attn_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[b, l, H] -> [b, l, H] and attention weights [b, k, l, l]; `slf_attn_mask` marks keys that are none."""
        output, weights = self.slf_attn(enc_input, enc_input, enc_input, mask=slf_attn_mask)
        return self.pos_ffn(output), weights


class TransformerEncoder(nn.Module):
    """A stack of encoder layers over the objects of each image."""

    def __init__(self, n_layers, n_head, d_k, d_v, d_model, d_inner, dropout=0.1):
        super().__init__()
        self.layer_stack = nn.ModuleList(
            EncoderLayer(d_model, d_inner, n_head, d_k, d_v, dropout=dropout) for _ in range(n_layers)
        )

    def forward(self, input_feats: Tensor, num_objs: Sequence[int]) -> Tensor:
        """Features of all images [n, H], and how many objects each image has -> [n, H]"""
        padded = pad_sequence(input_feats.split(num_objs), batch_first=True)  # [b, l, H]
        is_object = np.arange(padded.shape[1]) < np.array(num_objs)[:, None]  # [b, l]
        no_key = to_device(torch.from_numpy(~is_object[:, None]), padded.device)
        for layer in self.layer_stack:
            padded, _ = layer(padded, slf_attn_mask=no_key)
        rows = to_device(torch.from_numpy(np.flatnonzero(is_object)), padded.device)
        return padded.flatten(0, 1).index_select(0, rows)


class TransformerContext(nn.Module):
    """Object labels and edge context by two Transformer encoders."""

    def __init__(self, config, obj_classes, rel_classes, in_channels):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.mode = relation_task(config)
        self.num_obj_cls = len(obj_classes)
        self.hidden_dim = head.CONTEXT_HIDDEN_DIM
        self.nms_thresh = config.TEST.RELATION.LATER_NMS_PREDICTION_THRES

        word_vectors = object_word_vectors(config, obj_classes)
        self.obj_embed1 = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.obj_embed2 = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.bbox_embed = nn.Sequential(
            nn.Linear(9, 32),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Linear(32, 128),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
        )
        self.lin_obj = nn.Linear(in_channels + head.EMBED_DIM + 128, self.hidden_dim)
        self.lin_edge = nn.Linear(head.EMBED_DIM + self.hidden_dim + in_channels, self.hidden_dim)
        self.out_obj = nn.Linear(self.hidden_dim, self.num_obj_cls)

        def encoder(num_layers: int) -> TransformerEncoder:
            sizes = head.TRANSFORMER
            return TransformerEncoder(
                num_layers,
                sizes.NUM_HEAD,
                sizes.KEY_DIM,
                sizes.VAL_DIM,
                self.hidden_dim,
                sizes.INNER_DIM,
                sizes.DROPOUT_RATE,
            )

        self.context_obj = encoder(head.TRANSFORMER.OBJ_LAYER)
        self.context_edge = encoder(head.TRANSFORMER.REL_LAYER)

    @depends_on_objects_only
    def forward(self, roi_features: Tensor, proposals: Sequence[BoxList], logger=None) -> tuple[Tensor, Tensor, Tensor]:
        """Context of the objects of all images.

        Args:
            roi_features: [n, D]
            proposals: boxes with `labels` (PredCls), `predict_logits` (otherwise) and `boxes_per_cls` (SGDet outside of
                training).

        Returns:
            class logits [n, C], labels int64 [n], edge context [n, H]
        """
        num_objs = [len(p) for p in proposals]
        obj_embed = embed_labels(self.obj_embed1, proposals, use_gt_label=self.mode == "predcls")
        pos_embed = self.bbox_embed(encode_box_info(proposals))
        obj_feats = self.lin_obj(torch.cat((roi_features, obj_embed, pos_embed), dim=1))
        obj_feats = self.context_obj(obj_feats, num_objs)

        if self.mode == "predcls":
            obj_preds = torch.cat([p.get_field("labels") for p in proposals]).long()
            obj_dists = to_onehot(obj_preds, self.num_obj_cls)
        else:
            obj_dists = self.out_obj(obj_feats)
            if self.mode == "sgdet" and not self.training:
                boxes_per_cls = [p.get_field("boxes_per_cls") for p in proposals]
                obj_preds = self.nms_per_cls(obj_dists, boxes_per_cls, num_objs)
            else:
                obj_preds = obj_dists[:, 1:].argmax(dim=1) + 1

        edges = self.lin_edge(torch.cat((roi_features, obj_feats, self.obj_embed2(obj_preds)), dim=1))
        return obj_dists, obj_preds, self.context_edge(edges, num_objs)

    def nms_per_cls(self, obj_dists: Tensor, boxes_per_cls: Sequence[Tensor], num_objs: Sequence[int]) -> Tensor:
        """Labels by greedy suppression within each image, never background.

        Args:
            obj_dists: class logits, [n, C]
            boxes_per_cls: [n_i, C, 4] each
            num_objs: n_i

        Returns:
            int64 [n]
        """
        probabilities = obj_dists.float().softmax(dim=1).split(num_objs)
        return torch.cat(
            [
                greedy_class_nms(probs, boxes, self.nms_thresh, background=-1.0)
                for probs, boxes in zip(probabilities, boxes_per_cls, strict=True)
            ]
        )
