"""PE-Net (Zheng et al., CVPR 2023): pairs are matched with a prototype of each predicate, made from its name.

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), D roi features, d width of objects and pairs (PENET_MLP_DIM), e = 300 word embeddings, H hidden units
(CONTEXT_HIDDEN_DIM).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.make_layers import make_fc
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.global_batch import batch_mean

from .utils_motifs import (
    embed_labels,
    encode_box_info,
    object_word_vectors,
    position_embedding,
    predicate_word_vectors,
    to_onehot,
)
from .utils_pairwise import check_settings
from .utils_predictors import batch_pairs, class_statistics
from .utils_relation import greedy_class_nms, relation_task

# Written into the original, too.
EMBED_DIM, DROPOUT = 300, 0.2
TEMPERATURE = 0.07  # at the start
PAIR_MARGIN, PROTOTYPE_MARGIN = 1.0, 7.0
NUM_NEGATIVES = 10  # nearest prototypes that a pair must keep away from


class MLP(nn.Module):
    """Two linear layers."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int):
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(input_dim, hidden_dim), nn.Linear(hidden_dim, output_dim)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x).relu())


class PrototypeSimilarity(nn.Module):
    """Predicate logits of pairs: cosines of pairs and prototypes over a temperature."""

    def forward(self, pairs: Tensor, prototypes: Tensor, scale: Tensor) -> Tensor:
        """[m, 2 d], [R, 2 d], scalar -> [m, R]"""
        return F.normalize(pairs, dim=1) @ F.normalize(prototypes, dim=1).T * scale


class PrototypeLoss(nn.Module):
    """Prototypes apart from each other; pairs near their own prototype and away from others.

    Among the nearest of a prototype is itself, and among those of a pair its own, both at the distance 0: as in the
    original.
    """

    def forward(self, pairs: Tensor, prototypes: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses by the original's names.

        Args:
            pairs, prototypes: before normalisation, [m, 2 d], [R, 2 d]
            labels: predicates, int64 [m]; pairs of the label -1 do not count.
        """
        with torch.autocast(pairs.device.type, enabled=False):
            counts = labels >= 0
            pairs, prototypes, labels = pairs[counts].float(), prototypes.float(), labels[counts].long()
            return {
                "l21_loss": self.likeness(prototypes),
                "dist_loss2": self.prototype_distance(prototypes),
                "loss_dis": self.pair_distance(pairs, prototypes, labels),
            }

    def likeness(self, prototypes: Tensor) -> Tensor:
        """Sum of the norms of the rows of cosines among prototypes, over R^2."""
        prototypes = F.normalize(prototypes, dim=1)
        return (prototypes @ prototypes.detach().T).norm(dim=1).sum() / len(prototypes) ** 2

    def prototype_distance(self, prototypes: Tensor) -> Tensor:
        """What the squared distance of the nearest other prototype lacks of the margin."""
        distances = (prototypes[:, None] - prototypes.detach()).square().sum(dim=2)
        nearest = distances.topk(min(2, len(distances)), dim=1, largest=False).values.sum(dim=1)
        return (PROTOTYPE_MARGIN - nearest).clamp(min=0).mean()

    def pair_distance(self, pairs: Tensor, prototypes: Tensor, labels: Tensor) -> Tensor:
        """What a pair is farther from its own prototype than from the nearest others, with a margin.

        Squared distances by |r|^2 - 2 r c + |c|^2: the original's differences take m R 2 d numbers.
        """
        squares = pairs.square().sum(dim=1, keepdim=True) + prototypes.square().sum(dim=1)
        distances = (squares - 2 * pairs @ prototypes.T).clamp(min=0)  # [m, R]
        own = distances.gather(1, labels[:, None])
        others = distances.scatter(1, labels[:, None], 0.0)
        number = min(NUM_NEGATIVES + 1, len(prototypes))  # the zero among them
        nearest = others.topk(number, dim=1, largest=False).values.sum(dim=1) / (number - 1)
        return batch_mean((own.squeeze(1) - nearest + PAIR_MARGIN).clamp(min=0).sum(), len(pairs))


class PrototypeEmbeddingNetwork(nn.Module):
    """PE-Net. It has no frequency bias: PREDICT_USE_BIAS changes nothing.

    What the original computes for the subject and the object of every pair is computed once for each object here, in
    both roles; dropout is drawn there, so the pairs of an object share it.
    """

    pairs_interact = False
    predicate_classifier = "project_head"  # its input represents pairs
    object_first = True  # of the halves of post_emb

    def __init__(self, config, in_channels):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        settings = {
            "PREDICT_USE_VISION": (True,),
            "CAUSAL.SEPARATE_SPATIAL": (False,),
            "CONTEXT_POOLING_DIM": (in_channels,),  # union features go in as they are
        }
        check_settings(config, "PrototypeEmbeddingNetwork", settings)
        statistics = class_statistics(config)
        self.mode = relation_task(config)
        self.num_obj_cls = config.MODEL.ROI_BOX_HEAD.NUM_CLASSES
        self.nms_thresh = config.TEST.RELATION.LATER_NMS_PREDICTION_THRES
        width = head.PENET_MLP_DIM
        object_words = object_word_vectors(config, statistics["obj_classes"], EMBED_DIM)
        predicate_words = predicate_word_vectors(config, statistics["rel_classes"], EMBED_DIM)

        # labels of objects
        self.pos_embed = position_embedding()
        self.obj_embed1 = nn.Embedding.from_pretrained(object_words.clone(), freeze=False)
        self.lin_obj_cyx = make_fc(in_channels + EMBED_DIM + 128, head.CONTEXT_HIDDEN_DIM)
        self.out_obj = make_fc(head.CONTEXT_HIDDEN_DIM, self.num_obj_cls)

        # objects and pairs
        self.post_emb = nn.Linear(in_channels, width * 2)
        self.obj_embed = nn.Embedding.from_pretrained(object_words.clone(), freeze=False)
        self.W_sub, self.W_obj = MLP(EMBED_DIM, width // 2, width), MLP(EMBED_DIM, width // 2, width)
        self.vis2sem = nn.Sequential(
            nn.Linear(width, width * 2), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(width * 2, width)
        )
        self.gate_sub, self.gate_obj = nn.Linear(width * 2, width), nn.Linear(width * 2, width)
        self.linear_sub, self.linear_obj = nn.Linear(width, width), nn.Linear(width, width)
        self.norm_sub, self.norm_obj = nn.LayerNorm(width), nn.LayerNorm(width)
        self.down_samp = MLP(in_channels, width, width)
        self.gate_pred = nn.Linear(width * 2, width)
        self.linear_rel_rep, self.norm_rel_rep = nn.Linear(width, width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(DROPOUT)

        # prototypes
        self.rel_embed = nn.Embedding.from_pretrained(predicate_words, freeze=False)
        self.W_pred = MLP(EMBED_DIM, width // 2, width)
        self.linear_pred = nn.Linear(width, width)  # not used, as in the original
        self.project_head = MLP(width, width, width * 2)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))
        self.prototype_similarity = PrototypeSimilarity()
        self.prototype_loss = PrototypeLoss()

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        """As every predictor, and a fourth value as the original: an empty dictionary."""
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        obj_dists, labels = self.refine_obj_labels(roi_features, proposals)
        pair_rep = self.pair_representations(roi_features, union_features, labels, pairs)
        pair_rep = self.project_head(self.dropout(pair_rep.relu()))  # [m, 2 d]
        prototypes = self.project_head(self.dropout(self.W_pred(self.rel_embed.weight).relu()))  # [R, 2 d]
        rel_dists = self.prototype_similarity(pair_rep, prototypes, self.logit_scale.exp())
        losses = {}
        if self.training:
            losses = self.prototype_loss(pair_rep, prototypes, torch.cat(list(rel_labels)))
        return obj_dists.split(num_objs), rel_dists.split(num_rels), losses, {}

    def pair_representations(self, x: Tensor, union_features: Tensor, labels: Tensor, pairs: Tensor) -> Tensor:
        """Both objects without what their union adds to them.

        Args:
            x, union_features: roi features of objects and of unions, [n, D], [m, D]
            labels: of objects, int64 [n]
            pairs: (subject, object), int64 [m, 2]

        Returns:
            [m, d]
        """
        as_object, as_subject = self.post_emb(x).chunk(2, dim=1)  # the object comes first
        words = self.obj_embed(labels)
        subjects, objects = self.W_sub(words), self.W_obj(words)  # [n, d]
        subjects = subjects + self.gated(self.gate_sub, subjects, as_subject)
        objects = objects + self.gated(self.gate_obj, objects, as_object)
        subjects = self.norm_sub(self.dropout(self.linear_sub(subjects).relu()) + subjects)[pairs[:, 0]]  # [m, d]
        objects = self.norm_obj(self.dropout(self.linear_obj(objects).relu()) + objects)[pairs[:, 1]]
        both = (subjects + objects).relu() - (subjects - objects) ** 2
        pair_rep = both - self.gated(self.gate_pred, both, self.down_samp(union_features))
        return self.norm_rel_rep(self.dropout(self.linear_rel_rep(pair_rep).relu()) + pair_rep)

    def gated(self, gate: nn.Linear, meaning: Tensor, seen: Tensor) -> Tensor:
        """What is seen, as far as it fits the meaning: [k, d] each -> [k, d]."""
        seen = self.vis2sem(seen)
        return seen * gate(torch.cat((meaning, seen), dim=1)).sigmoid()

    def refine_obj_labels(self, x: Tensor, proposals: Sequence[BoxList]) -> tuple[Tensor, Tensor]:
        """Logits [n, C] and labels int64 [n] of objects: given ones, or the predictor's own, in training too."""
        codes = encode_box_info(proposals)
        if self.training:  # twice, as in the original, whose running statistics see every batch twice
            with torch.no_grad():
                self.pos_embed(codes)
        position = self.pos_embed(codes)
        if self.mode == "predcls":
            labels = torch.cat([p.get_field("labels") for p in proposals]).long()
            return to_onehot(labels, self.num_obj_cls), labels
        words = embed_labels(self.obj_embed1, proposals, use_gt_label=False)
        logits = self.out_obj(self.lin_obj_cyx(torch.cat((x, words, position), dim=1)))
        if self.mode == "sgcls" or self.training:
            return logits, logits[:, 1:].argmax(dim=1) + 1
        probabilities = logits.float().softmax(dim=1).split([len(p) for p in proposals])
        labels = [
            greedy_class_nms(own, p.get_field("boxes_per_cls"), self.nms_thresh, background=-1.0)
            for own, p in zip(probabilities, proposals, strict=True)
        ]
        return logits, torch.cat(labels)
