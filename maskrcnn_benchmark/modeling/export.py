"""The relation head without its detector, as ONNX and by torch.export: features and boxes in, scores out.

What is exported is one image with given classes (PredCls): after any detector, that is what a relation head needs. The
numbers of objects and pairs are free. Images of a batch
are run one after the other, since the context is an LSTM over the objects of one image in their order, which a fixed
graph cannot pack and sort for several of any sizes. Motifs and RelCLIP on Motifs can be exported; a tree LSTM (VCTree)
follows a tree that is grown for each image, which is no fixed graph of operations.

Shapes: n objects and m pairs of an image, O object classes and R predicates, background first in both.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_motifs import LSTMContext
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.embedding import Pairs
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import MotifPredictor
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write

INPUTS = ("roi_features", "union_features", "boxes", "labels", "pairs", "size")
FREE = {"roi_features": "objects", "union_features": "pairs", "boxes": "objects", "labels": "objects", "pairs": "pairs"}


@torch.library.custom_op("relclip::bidirectional_lstm", mutates_args=())
def bidirectional_lstm(inputs: Tensor, weights: list[Tensor], hidden_size: int) -> Tensor:
    """A bidirectional LSTM of any number of layers over one sequence [n, d]: [n, 2 hidden_size].

    torch.export would unroll an LSTM to the length that it saw; as one operation it takes any.
    """
    state = inputs.new_zeros(len(weights) // 4, 1, hidden_size)
    return torch.lstm(
        inputs[:, None], (state, state), weights, True, len(weights) // 8, 0.0, False, True, False
    )[0][:, 0].contiguous()  # fmt: skip


@bidirectional_lstm.register_fake
def _(inputs: Tensor, weights: list[Tensor], hidden_size: int) -> Tensor:
    return inputs.new_empty(inputs.shape[0], 2 * hidden_size)


class ExportedRelationHead(nn.Module):
    """A predictor's weights behind plain tensors, for one image with given classes.

    Args:
        predictor: Motifs, or RelCLIP on it, in evaluation mode.
        as_operation: LSTMs as one operation (torch.export); else as they are (ONNX has an LSTM).

    Raises:
        InputError: a predictor that cannot be exported.
    """

    def __init__(self, predictor: nn.Module, as_operation: bool) -> None:
        super().__init__()
        name, context = type(predictor).__name__, type(getattr(predictor, "context_layer", None)).__name__
        if not isinstance(predictor, MotifPredictor) or not isinstance(predictor.context_layer, LSTMContext):
            why = (
                "its tree LSTM follows a tree that is grown for each image"
                if "Tree" in context
                else f"it has {context}"
            )
            raise InputError(f"{name} cannot be exported: {why}; MotifPredictor can, and RelCLIPPredictor on it")
        self.predictor, self.as_operation = predictor, as_operation
        self.eval()

    def forward(
        self, roi_features: Tensor, union_features: Tensor, boxes: Tensor, labels: Tensor, pairs: Tensor, size: Tensor
    ) -> Tensor:
        """Probabilities of the predicates [m, R].

        Args:
            roi_features: of the objects, [n, D].
            union_features: of the pairs' union boxes, [m, MLP_HEAD_DIM].
            boxes: x1, y1, x2, y2 in pixels, [n, 4].
            labels: classes, int64 [n].
            pairs: subject and object, int64 [m, 2].
            size: width and height of the image in pixels, [2].
        """
        predictor = self.predictor
        context = self.context(roi_features, boxes, labels, size)
        subjects, objects = predictor.post_emb(context).chunk(2, dim=1)
        ends = torch.cat((subjects[pairs[:, 0]], objects[pairs[:, 1]]), dim=1)
        visual = predictor.post_cat(ends) * predictor.project_union(union_features)
        logits = predictor.rel_compress(visual)
        named = labels[pairs]
        if predictor.use_bias:
            logits = logits + predictor.freq_bias.index_with_labels(named)
        relclip = getattr(predictor, "relclip", None)
        if relclip is not None:
            logits = self.align(relclip, logits, visual, subjects, objects, pairs, named)
        return logits.softmax(dim=1)

    def context(self, roi_features: Tensor, boxes: Tensor, labels: Tensor, size: Tensor) -> Tensor:
        """Edge context of the objects [n, H]; `LSTMContext.forward` for one image with given classes."""
        layer = self.predictor.context_layer
        corner, far = boxes[:, :2], boxes[:, 2:]
        extent = far - corner + 1.0
        middle = corner + 0.5 * extent
        area = extent.prod(dim=1, keepdim=True) / size.prod()
        code = torch.cat((extent / size, middle / size, corner / size, far / size, area), dim=1)
        inputs = torch.cat((roi_features, layer.obj_embed1(labels), layer.pos_embed(code)), dim=1)
        # from right to left, as `LSTMContext.sort_rois` puts them
        centre = 0.5 * (boxes[:, 0] + boxes[:, 2])
        order = (centre / (centre.max() + 1)).argsort(descending=True)
        back = order.argsort()
        objects = layer.lin_obj_h(self.lstm(layer.obj_ctx_rnn, inputs[order]))[back]
        edges = torch.cat((layer.obj_embed2(labels), roi_features, objects), dim=1)
        return layer.lin_edge_h(self.lstm(layer.edge_ctx_rnn, edges[order]))[back]

    def lstm(self, module: nn.LSTM, inputs: Tensor) -> Tensor:
        """A bidirectional LSTM over one sequence [n, d]."""
        if self.as_operation:
            return bidirectional_lstm(inputs, list(module._flat_weights), module.hidden_size)
        return nn.LSTM.forward(module, inputs[:, None])[0][:, 0]

    def align(self, relclip, base, visual, subjects, objects, pairs, named) -> Tensor:
        """RelCLIP's logits; phrases are gathered by pair."""
        v = relclip.embedding(Pairs(visual, subjects, objects, pairs, named))
        tables = relclip.targets()
        count = len(relclip.objects) + 1
        groups = {"sp": named[:, 0], "po": named[:, 1], "spo": named[:, 0] * count + named[:, 1]}
        similarity = [(tables[level][groups[level]].to(x.dtype) @ x[:, :, None])[:, :, 0] for level, x in v.items()]
        logits = relclip.base_logits(base, tables)
        if relclip.use_alignment:
            scale = relclip.alignment_weight * relclip.logit_scale.exp()
            logits = logits + scale * torch.stack(similarity).mean(dim=0)
        return logits


def example_inputs(predictor: nn.Module, in_channels: int, union_channels: int, objects: int, pairs: int) -> tuple:
    """Inputs of these sizes, for tracing."""
    count = predictor.context_layer.obj_embed1.num_embeddings
    corners = torch.arange(objects, dtype=torch.float32)[:, None] * 3 + torch.tensor([[1.0, 2.0]])
    ends = torch.stack((torch.arange(pairs) % objects, (torch.arange(pairs) + 1) % objects), dim=1)
    return (
        torch.ones(objects, in_channels), torch.ones(pairs, union_channels), torch.cat((corners, corners + 9), dim=1),
        torch.arange(objects) % (count - 1) + 1, ends, torch.tensor([100.0, 80.0]),
    )  # fmt: skip


def widths(predictor: nn.Module) -> tuple[int, int]:
    """Channels of a box's features, and of a union box's."""
    union = predictor.pooling_dim if predictor.up_dim is None else predictor.up_dim.in_features
    return predictor.context_layer.obj_dim, union


def export_program(predictor: nn.Module, path: str | os.PathLike | None = None) -> torch.export.ExportedProgram:
    """The head by torch.export, written to `path` (.pt2) where that is given.

    A program that uses this needs `import maskrcnn_benchmark.modeling.export` before `torch.export.load`, for the LSTM.
    """
    head = ExportedRelationHead(predictor, as_operation=True)
    sizes = {"objects": torch.export.Dim("objects", min=2), "pairs": torch.export.Dim("pairs", min=2)}
    shapes = {name: {0: sizes[FREE[name]]} if name in FREE else None for name in INPUTS}
    with torch.no_grad():
        program = torch.export.export(head, example_inputs(predictor, *widths(predictor), 5, 7), dynamic_shapes=shapes)
    if path is not None:
        with atomic_write(path) as temporary:
            torch.export.save(program, temporary)
    return program


def export_onnx(predictor: nn.Module, path: str | os.PathLike) -> None:
    """The head as an ONNX file with inputs `INPUTS` and the output `scores`.

    Raises:
        InputError: a predictor that cannot be exported, or onnx is not installed.
    """
    head = ExportedRelationHead(predictor, as_operation=False)
    try:
        import onnx  # noqa: F401, torch needs it
    except ImportError:
        raise InputError("ONNX needs onnx: pip install 'relclip-sgb[export]'") from None
    axes = {name: {0: size} for name, size in FREE.items()} | {"scores": {0: "pairs"}}
    with atomic_write(Path(path)) as temporary, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that unrolls no LSTM is called an old one
        torch.onnx.export(
            head, example_inputs(predictor, *widths(predictor), 5, 7), str(temporary), dynamo=False,
            input_names=list(INPUTS), output_names=["scores"], dynamic_axes=axes, opset_version=17,
        )  # fmt: skip
