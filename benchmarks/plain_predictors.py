"""PE-Net, SQUAT, BGNN and GPS-Net with the algorithms of the originals, to say what other ones save.

`as_original` makes a predictor compute the same numbers as the original did: PE-Net every pair by itself and all
differences between pairs and prototypes, SQUAT image by image and the update of objects that nobody reads, BGNN
matrices of all objects and pairs with a loop over objects, GPS-Net one graph over the whole batch.
"""

from __future__ import annotations

from types import MethodType

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_penet import NUM_NEGATIVES, PAIR_MARGIN
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_relation import global_pairs


def as_original(name: str, model: nn.Module) -> nn.Module:
    """Change a predictor of that class in place."""
    if name == "PrototypeEmbeddingNetwork":
        model.pair_representations = MethodType(penet_each_pair, model)
        model.prototype_loss.pair_distance = penet_all_differences
    elif name == "SquatPredictor":
        for layer in model.context_layer.m2m_decoder.layers:
            layer.forward = MethodType(squat_each_image, layer)
    elif name == "BGNNPredictor":
        model.context_layer.change_of_objects = MethodType(bgnn_matrices, model.context_layer)
    else:
        messages = model.context_layer.obj2obj_msg_gen
        messages.forward = MethodType(gpsnet_one_graph, messages)
    return model


def penet_each_pair(self, x: Tensor, union_features: Tensor, labels: Tensor, pairs: Tensor) -> Tensor:
    as_object, as_subject = self.post_emb(x).chunk(2, dim=1)
    words = self.obj_embed(labels)
    subjects, objects = self.W_sub(words[pairs[:, 0]]), self.W_obj(words[pairs[:, 1]])
    subjects = subjects + self.gated(self.gate_sub, subjects, as_subject[pairs[:, 0]])
    objects = objects + self.gated(self.gate_obj, objects, as_object[pairs[:, 1]])
    subjects = self.norm_sub(self.dropout(self.linear_sub(subjects).relu()) + subjects)
    objects = self.norm_obj(self.dropout(self.linear_obj(objects).relu()) + objects)
    both = (subjects + objects).relu() - (subjects - objects) ** 2
    pair_rep = both - self.gated(self.gate_pred, both, self.down_samp(union_features))
    return self.norm_rel_rep(self.dropout(self.linear_rel_rep(pair_rep).relu()) + pair_rep)


def penet_all_differences(pairs: Tensor, prototypes: Tensor, labels: Tensor) -> Tensor:
    distances = (pairs[:, None] - prototypes).norm(dim=2) ** 2
    rows = torch.arange(len(pairs))
    keep = torch.ones_like(distances)
    keep[rows, labels] = 0
    nearest = (distances * keep).sort(dim=1).values[:, : NUM_NEGATIVES + 1].sum(dim=1) / NUM_NEGATIVES
    return (distances[rows, labels] - nearest + PAIR_MARGIN).clamp(min=0).mean()


def squat_each_image(self, selected, memory, queries, keys, num_objs):
    all_objects, all_pairs = memory
    (rows, counts), (key_rows, key_counts) = queries, keys
    results = []

    def attend(layer, query, key):
        return layer(query, key, key, need_weights=False)[0]

    parts = (selected.split(counts), rows.split(counts), key_rows.split(key_counts), all_objects.split(num_objs))
    for own, own_rows, own_keys, objects in zip(*parts, strict=True):
        own, objects = own[:, None], objects[:, None]
        own = self.norm1(own + self.dropout(attend(self.self_attn, own, own)))
        objects = self.norm1_unary(objects + self.dropout(attend(self.self_attn_node, objects, objects)))
        pairs = all_pairs.clone()[:, None]
        pairs[own_rows] = own
        looked_at = pairs[own_keys]
        to_pairs = attend(self.multihead_attn_e2e, own, looked_at)
        own = self.norm2(own + self.dropout(to_pairs) + self.dropout(attend(self.multihead_attn_e2n, own, objects)))
        own = self.norm3(own + self.dropout(self.linear2(self.dropout(self.linear1(own).relu()))))
        results.append(own[:, 0])
        unread = attend(self.multihead_attn_n2e, objects, looked_at) + attend(self.multihead_attn_n2n, objects, objects)
        unread = self.norm2(objects + unread)
        self.norm3(unread + self.linear2_unary(self.linear1_unary(unread).relu()))
    return torch.cat(results)


def bgnn_matrices(self, k: int, objects: Tensor, senders: Tensor, pairs: Tensor, weights: Tensor) -> Tensor:
    heard = torch.zeros_like(objects)
    for gate, ends in ((self.gate_pred2sub[k], pairs[:, 0]), (self.gate_pred2obj[k], pairs[:, 1])):
        is_end = torch.zeros(len(objects), len(senders))
        is_end[ends, torch.arange(len(senders))] = 1
        receivers, sources = is_end.nonzero(as_tuple=True)
        messages = gate(objects[receivers], senders[sources]) * weights[sources]
        gathers = torch.zeros(len(objects), len(messages))
        for i in range(len(objects)):
            gathers[i, (receivers == i).nonzero().squeeze(1)] = 1
        heard = heard + (gathers @ messages) / gathers.sum(dim=1, keepdim=True).clamp(min=1)
    return self.object_msg_fusion[k](heard / 2, objects)


def gpsnet_one_graph(self, objects: Tensor, gates: Tensor, rel_pair_idxs, num_objs: list[int]) -> Tensor:
    pairs = global_pairs(rel_pair_idxs, num_objs)
    scores, is_pair = torch.zeros(len(objects), len(objects)), torch.zeros(len(objects), len(objects))
    is_pair[pairs[:, 0], pairs[:, 1]] = 1
    scores = scores.index_put((pairs[:, 0], pairs[:, 1]), gates)
    weights = (scores - scores.max()).exp() * is_pair
    weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-6)
    said = self.message_fc(objects)
    heard = torch.cat([torch.stack((weights, weights.T), dim=2)[:, :, i] @ said for i in range(2)], dim=1)
    subjects = weights.sum(dim=1).nonzero().squeeze(1)
    messages = torch.zeros(len(objects), self.output_fc[-2].out_features)
    return messages.index_copy(0, subjects, self.output_fc(heard[subjects]))
