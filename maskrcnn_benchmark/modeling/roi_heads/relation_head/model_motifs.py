"""Neural Motifs (Zellers et al., CVPR 2018): frequency bias, and context by LSTMs over the objects of an image.

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), D roi features, E word embeddings, H hidden units.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.global_batch import current_step
from maskrcnn_benchmark.utils.transfer import parts_to_device

from .context_memory import depends_on_objects_only
from .utils_motifs import (
    ObjectContext,
    center_x,
    embed_labels,
    encode_box_info,
    get_dropout_mask,
    longest_first,
    object_word_vectors,
    sort_by_score,
    to_onehot,
)
from .utils_relation import greedy_class_nms


class FrequencyBias(nn.Module):
    """log P(predicate | subject class, object class) of the training set as a learned table."""

    def __init__(self, cfg, statistics: dict):
        super().__init__()
        pred_dist = torch.as_tensor(statistics["pred_dist"]).float()  # [C, C, R]
        self.num_objs, self.num_rels = pred_dist.shape[0], pred_dist.shape[2]
        self.obj_baseline = nn.Embedding(self.num_objs**2, self.num_rels)
        with torch.no_grad():
            self.obj_baseline.weight.copy_(pred_dist.view(-1, self.num_rels))

    def index_with_labels(self, labels: Tensor) -> Tensor:
        """Logits of pairs whose labels are known: (subject, object) classes, int64 [m, 2] -> [m, R]."""
        return self.obj_baseline(labels[:, 0] * self.num_objs + labels[:, 1])

    def index_with_probability(self, pair_prob: Tensor) -> Tensor:
        """Mean logits under the class probabilities of subject and object: [m, C, 2] -> [m, R]."""
        joint = pair_prob[:, :, None, 0] * pair_prob[:, None, :, 1]
        return joint.flatten(1) @ self.obj_baseline.weight

    def index_with_object_probability(self, probabilities: Tensor, pairs: Tensor) -> Tensor:
        """What `index_with_probability` gives, from objects: [n, C] and pairs of them int64 [m, 2] -> [m, R].

        Summing over the subject's classes once per object, not per pair, is some n times as fast.
        """
        table = self.obj_baseline.weight.view(self.num_objs, -1)  # [C, C * R]
        by_subject = (probabilities @ table).view(-1, self.num_objs, self.num_rels)  # [n, C, R]
        by_pair = probabilities @ by_subject  # [n, n, R]
        return by_pair[pairs[:, 0], pairs[:, 1]]

    def forward(self, labels: Tensor) -> Tensor:
        return self.index_with_labels(labels)


class PackedLSTM(nn.LSTM):
    """An LSTM over packed sequences, also over none, on the CPU always in single precision.

    Autocast there hands an LSTM in half precision to oneDNN, which has none for many CPUs (those without AVX512).
    """

    def forward(self, input: PackedSequence, hx: tuple[Tensor, Tensor] | None = None):
        if not len(input.data):  # a batch of images without objects
            width = self.hidden_size * (2 if self.bidirectional else 1)
            return input._replace(data=input.data.new_zeros(0, width)), None
        if input.data.device.type != "cpu":
            return super().forward(input, hx)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input._replace(data=input.data.float()), hx)


class DecoderRNN(nn.Module):
    """Highway LSTM that names the objects of each image in turn, each name an input of the next step."""

    def __init__(self, config, obj_classes, embed_dim, inputs_dim, hidden_dim, rnn_drop):
        super().__init__()
        self.hidden_size = hidden_dim
        self.inputs_dim = inputs_dim
        self.rnn_drop = rnn_drop
        self.nms_thresh = config.TEST.RELATION.LATER_NMS_PREDICTION_THRES

        self.obj_embed = nn.Embedding(len(obj_classes) + 1, embed_dim)  # "start", then the classes
        with torch.no_grad():
            self.obj_embed.weight.copy_(object_word_vectors(config, ["start", *obj_classes]))
        self.input_linearity = nn.Linear(inputs_dim + embed_dim, 6 * hidden_dim)
        self.state_linearity = nn.Linear(hidden_dim, 5 * hidden_dim)
        self.out_obj = nn.Linear(hidden_dim, len(obj_classes))
        self.init_parameters()

    def init_parameters(self) -> None:
        nn.init.zeros_(self.state_linearity.bias)
        nn.init.zeros_(self.input_linearity.bias)

    def lstm_equations(
        self,
        timestep_input: Tensor,
        previous_state: Tensor,
        previous_memory: Tensor,
        dropout_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One step of the LSTM with a highway gate past it.

        Args:
            timestep_input: the step's input after `input_linearity`, [b, 6H]
            previous_state, previous_memory: [b, H]
            dropout_mask: factors of the output, [b, H]

        Returns:
            output and memory, [b, H]
        """
        *from_input, shortcut = timestep_input.chunk(6, dim=1)
        from_state = self.state_linearity(previous_state).chunk(5, dim=1)
        sums = [a + b for a, b in zip(from_input, from_state, strict=True)]
        input_gate, forget_gate, output_gate, highway = (torch.sigmoid(sums[i]) for i in (0, 1, 3, 4))
        memory = input_gate * torch.tanh(sums[2]) + forget_gate * previous_memory
        output = highway * (output_gate * torch.tanh(memory)) + (1 - highway) * shortcut
        return (output if dropout_mask is None else output * dropout_mask), memory

    def forward(
        self,
        inputs: PackedSequence,
        initial_state: tuple[Tensor, Tensor] | None = None,
        labels: Tensor | None = None,
        boxes_for_nms: Tensor | None = None,
        images: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Name the objects of all images, one object of each image a step.

        Args:
            inputs: features of the objects in packed order, [n, inputs_dim]
            initial_state: state and memory before the first step, [number of images, H]; zeros without.
            labels: true labels in packed order, int64 [n], background where a proposal has none; read in training,
                where they are the names that the next step sees.
            boxes_for_nms: boxes per class in packed order, [n, C, 4]. Where given, and not in training, the names are
                chosen by greedy suppression within each image.
            images: the place in the batch of the image of each sequence; read in training, default: in order.

        Returns:
            class logits [n, C] and labels int64 [n], both in packed order
        """
        features, batch_sizes = inputs.data, inputs.batch_sizes.tolist()
        if not batch_sizes:  # a batch of images without objects
            none = features.new_zeros(0, self.hidden_size)
            return self.out_obj(none), torch.zeros(0, dtype=torch.int64, device=features.device)
        # The linear layer over [features, previous name] in two parts: that of the features for all steps at once,
        # that of the name as a table over all names.
        of_features, of_names = self.input_linearity.weight.split(
            [self.inputs_dim, self.obj_embed.embedding_dim], dim=1
        )
        projected = F.linear(features, of_features, self.input_linearity.bias)
        projected_names = F.linear(self.obj_embed.weight, of_names)

        if initial_state is None:
            state = memory = features.new_zeros(batch_sizes[0], self.hidden_size)
        else:
            state, memory = initial_state
        names = torch.zeros(batch_sizes[0], dtype=torch.int64, device=features.device)  # rows of obj_embed: "start"
        dropout_mask = None
        if self.training and self.rnn_drop > 0:
            images = range(len(state)) if images is None else images
            dropout_mask = get_dropout_mask(self.rnn_drop, images, self.hidden_size, state.device)

        logits, commitments, start = [], [], 0
        for size in batch_sizes:
            step = slice(start, start + size)
            state, memory = self.lstm_equations(
                projected[step] + projected_names[names[:size]],
                state[:size],
                memory[:size],
                None if dropout_mask is None else dropout_mask[:size],
            )
            logits.append(self.out_obj(state))
            label = logits[-1][:, 1:].argmax(dim=1) + 1
            if self.training:
                label = torch.where(labels[step] == 0, label, labels[step])
            commitments.append(label)
            names = label + 1
            start += size

        logits, commitments = torch.cat(logits), torch.cat(commitments)
        if boxes_for_nms is not None and not self.training:
            probabilities = logits.float().softmax(dim=1)
            for rows in sequence_rows(batch_sizes, features.device):
                commitments[rows] = greedy_class_nms(probabilities[rows], boxes_for_nms[rows], self.nms_thresh)
        return logits, commitments


def sequence_rows(batch_sizes: Sequence[int], device: torch.device) -> list[Tensor]:
    """Rows of each sequence in a packed sequence, int64, from the number of sequences that reach each step."""
    sizes = np.asarray(batch_sizes)
    starts = np.cumsum(sizes) - sizes
    return parts_to_device([torch.from_numpy(starts[sizes > i] + i) for i in range(batch_sizes[0])], device)


class LSTMContext(ObjectContext):
    """Context of each object from its image, by bidirectional LSTMs over the objects from left to right."""

    def __init__(self, config, obj_classes, rel_classes, in_channels):
        super().__init__(config, obj_classes, in_channels)
        head = config.MODEL.ROI_RELATION_HEAD
        input_dim = self.obj_dim + self.embed_dim + 128

        def bidirectional(input_size: int, num_layers: int) -> PackedLSTM:
            dropout = head.CONTEXT_DROPOUT_RATE if num_layers > 1 else 0  # it acts between layers only
            return PackedLSTM(input_size, self.hidden_dim, num_layers, dropout=dropout, bidirectional=True)

        self.obj_ctx_rnn = bidirectional(input_dim, head.CONTEXT_OBJ_LAYER)
        self.decoder_rnn = DecoderRNN(
            config,
            obj_classes,
            embed_dim=self.embed_dim,
            inputs_dim=self.hidden_dim + input_dim,
            hidden_dim=self.hidden_dim,
            rnn_drop=head.CONTEXT_DROPOUT_RATE,
        )
        self.edge_ctx_rnn = bidirectional(self.embed_dim + self.hidden_dim + self.obj_dim, head.CONTEXT_REL_LAYER)
        self.lin_obj_h = nn.Linear(self.hidden_dim * 2, self.hidden_dim)
        self.lin_edge_h = nn.Linear(self.hidden_dim * 2, self.hidden_dim)

        if self.effect_analysis:
            self.register_buffer("untreated_dcd_feat", torch.zeros(self.hidden_dim + input_dim))
            self.register_buffer("untreated_obj_feat", torch.zeros(input_dim))
            self.register_buffer("untreated_edg_feat", torch.zeros(self.embed_dim + self.obj_dim))

    def sort_rois(self, proposals: Sequence[BoxList]) -> tuple[Tensor, Tensor, Tensor]:
        """Packed order in which the LSTMs read the objects: in each image from right to left, as SGB does.

        In training SGB's order of objects that are nearly above each other depends on the other images of the batch;
        in a step it does not, for these may be those of other processes.
        """
        centers = center_x(proposals)
        if self.training and current_step() is None:
            return sort_by_score(proposals, centers / (centers.max() + 1) if len(centers) else centers)
        scores = torch.cat([c / (c.max() + 1) if len(c) else c for c in centers.split([len(p) for p in proposals])])
        return sort_by_score(proposals, scores, each_alone=True)

    def obj_ctx(self, obj_feats, proposals, obj_labels=None, boxes_per_cls=None, ctx_average=False):
        """Object context, and object labels from it.

        Args:
            obj_feats: [n, D + E + 128]
            obj_labels: true labels, int64 [n]; needed in training and where labels are given.
            boxes_per_cls: [n, C, 4], in SGDet outside of training.
            ctx_average: name the objects from average features instead of their own.

        Returns:
            class logits [n, C], labels int64 [n], context [n, H], and the packed order: permutation, its inverse and
            batch sizes
        """
        perm, inv_perm, ls_transposed = self.sort_rois(proposals)
        inputs = obj_feats.index_select(0, perm)
        context = self.lin_obj_h(self.obj_ctx_rnn(PackedSequence(inputs, ls_transposed))[0].data)

        if ctx_average and self.effect_analysis and not self.training:
            decoder_inp = self.untreated_dcd_feat.expand(len(context), -1)
        else:
            decoder_inp = torch.cat((inputs, context), dim=1)
        if self.training and self.effect_analysis:
            self.untreated_dcd_feat = self.moving_average(self.untreated_dcd_feat, decoder_inp)

        if self.mode == "predcls":
            obj_preds = obj_labels
            obj_dists = to_onehot(obj_labels, self.num_obj_classes)
        else:
            obj_dists, obj_preds = self.decoder_rnn(
                PackedSequence(decoder_inp, ls_transposed),
                labels=None if obj_labels is None else obj_labels[perm],
                boxes_for_nms=None if boxes_per_cls is None else boxes_per_cls[perm],
                images=longest_first(proposals) if self.training else None,
            )
            obj_dists, obj_preds = obj_dists.index_select(0, inv_perm), obj_preds[inv_perm]
        return obj_dists, obj_preds, context.index_select(0, inv_perm), perm, inv_perm, ls_transposed

    def edge_ctx(self, inp_feats: Tensor, perm: Tensor, inv_perm: Tensor, ls_transposed: Tensor) -> Tensor:
        """Context of the named objects: [n, E + D + H] -> [n, H]."""
        packed = PackedSequence(inp_feats.index_select(0, perm), ls_transposed)
        return self.lin_edge_h(self.edge_ctx_rnn(packed)[0].data).index_select(0, inv_perm)

    @depends_on_objects_only
    def forward(self, x, proposals, rel_pair_idxs, logger=None, all_average=False, ctx_average=False):
        """Context of the objects of all images.

        Args:
            x: roi features, [n, D]
            proposals: boxes with `labels` (training, or boxes given), `predict_logits` (labels not given) and
                `boxes_per_cls` (SGDet outside of training).
            all_average, ctx_average: put average features in place of an object's own, everywhere or for labels and
                edge context only; only with EFFECT_ANALYSIS, and not in training.

        Returns:
            class logits [n, C], labels int64 [n], edge context [n, H], and None for the pair scores that VCTree has
        """
        average_all = all_average and self.effect_analysis and not self.training
        average_context = (all_average or ctx_average) and self.effect_analysis and not self.training

        obj_labels = boxes_per_cls = None
        if self.training or self.mode != "sgdet":
            obj_labels = torch.cat([p.get_field("labels") for p in proposals]).long()
        else:
            boxes_per_cls = torch.cat([p.get_field("boxes_per_cls") for p in proposals])
        obj_embed = embed_labels(self.obj_embed1, proposals, use_gt_label=self.mode == "predcls")
        pos_embed = self.pos_embed(encode_box_info(proposals))
        own_features = torch.cat((x, obj_embed, pos_embed), dim=1)
        obj_feats = self.untreated_obj_feat.expand(len(x), -1) if average_all else own_features

        obj_dists, obj_preds, context, *order = self.obj_ctx(
            obj_feats, proposals, obj_labels, boxes_per_cls, ctx_average=ctx_average
        )
        own_edges = torch.cat((self.obj_embed2(obj_preds), x), dim=1)
        edges = self.untreated_edg_feat.expand(len(x), -1) if average_context else own_edges
        edge_ctx = self.edge_ctx(torch.cat((edges, context), dim=1), *order)

        if self.training and self.effect_analysis:
            self.untreated_obj_feat = self.moving_average(self.untreated_obj_feat, own_features)
            self.untreated_edg_feat = self.moving_average(self.untreated_edg_feat, own_edges)
        return obj_dists, obj_preds, edge_ctx, None
