"""Iterative message passing between objects and pairs (Xu et al., CVPR 2017).

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), H hidden units.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.make_layers import make_fc
from maskrcnn_benchmark.structures.bounding_box import BoxList

from .utils_motifs import to_onehot
from .utils_relation import global_pairs, relation_task


class IMPContext(nn.Module):
    """A gated recurrent unit for objects and one for pairs that send each other messages."""

    def __init__(self, config, num_obj, num_rel, in_channels, hidden_dim=512, num_iter=3):
        super().__init__()
        self.num_obj = num_obj
        self.hidden_dim = hidden_dim
        self.num_iter = num_iter
        self.mode = relation_task(config)

        self.rel_fc = make_fc(hidden_dim, num_rel)
        self.obj_fc = make_fc(hidden_dim, num_obj)
        self.obj_unary = make_fc(in_channels, hidden_dim)
        self.edge_unary = make_fc(config.MODEL.ROI_RELATION_HEAD.CONTEXT_POOLING_DIM, hidden_dim)
        self.edge_gru = nn.GRUCell(hidden_dim, hidden_dim)
        self.node_gru = nn.GRUCell(hidden_dim, hidden_dim)
        # weight of each message from what both ends hold: to pairs from subjects and objects, and back
        self.sub_vert_w_fc = nn.Sequential(nn.Linear(hidden_dim * 2, 1), nn.Sigmoid())
        self.obj_vert_w_fc = nn.Sequential(nn.Linear(hidden_dim * 2, 1), nn.Sigmoid())
        self.out_edge_w_fc = nn.Sequential(nn.Linear(hidden_dim * 2, 1), nn.Sigmoid())
        self.in_edge_w_fc = nn.Sequential(nn.Linear(hidden_dim * 2, 1), nn.Sigmoid())

    def forward(
        self,
        x: Tensor,
        proposals: Sequence[BoxList],
        union_features: Tensor,
        rel_pair_idxs: Sequence[Tensor],
        logger=None,
    ) -> tuple[Tensor, Tensor]:
        """Class logits after all messages.

        Args:
            x: roi features, [n, D]
            proposals: boxes, in PredCls with `labels`.
            union_features: [m, CONTEXT_POOLING_DIM]
            rel_pair_idxs: (subject, object) indices, int64 [m_i, 2] each.

        Returns:
            object logits [n, C], predicate logits [m, R]
        """
        subjects, objects = global_pairs(rel_pair_idxs, [len(p) for p in proposals]).unbind(dim=1)
        nodes = self.node_gru(self.obj_unary(x))  # [n, H]
        edges = self.edge_gru(self.edge_unary(union_features).relu())  # [m, H]
        for _ in range(self.num_iter):
            subject_nodes, object_nodes = nodes.index_select(0, subjects), nodes.index_select(0, objects)
            as_subject = torch.cat((subject_nodes, edges), dim=1)
            as_object = torch.cat((object_nodes, edges), dim=1)
            to_edges = self.sub_vert_w_fc(as_subject) * subject_nodes + self.obj_vert_w_fc(as_object) * object_nodes
            to_subjects = self.out_edge_w_fc(as_subject) * edges
            to_objects = self.in_edge_w_fc(as_object) * edges
            to_nodes = torch.zeros_like(nodes).index_add(0, subjects, to_subjects.to(nodes.dtype))
            to_nodes = to_nodes.index_add(0, objects, to_objects.to(nodes.dtype))
            edges, nodes = self.edge_gru(to_edges, edges), self.node_gru(to_nodes, nodes)

        if self.mode == "predcls":
            obj_dists = to_onehot(torch.cat([p.get_field("labels") for p in proposals]), self.num_obj)
        else:
            obj_dists = self.obj_fc(nodes)
        return obj_dists, self.rel_fc(edges)
