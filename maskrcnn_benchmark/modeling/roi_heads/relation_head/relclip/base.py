"""The predictor that RelCLIP stands on: any that is registered, unchanged, and what its layers see of a pair.

RelCLIP is a subclass of that predictor, made when the model is built. The predictor's own forward computes its logits,
under its own parameter names, so its weights load; hooks read two of its layers meanwhile. Works with the host's
predictors and with those of the original SGB.

Shapes: n objects and N pairs in a batch, O object classes and R predicates, background included.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.registry import ROI_RELATION_PREDICTOR

from .controls.no_context import without_context
from .defaults import KEY
from .embedding import Pairs

SHORT_NAMES = {
    "motifs": "MotifPredictor",
    "vctree": "VCTreePredictor",
    "transformer": "TransformerPredictor",
    "vtranse": "CausalAnalysisPredictor",
    "none": "MotifPredictor",
}
# Layers from the representation of a pair to its predicates, the one that looks at the union box first.
CLASSIFIERS = ("rel_compress", "vis_compress", "ctx_compress")
RECTIFIED = ("VCTreePredictor",)  # predictors that put a ReLU behind post_emb


def base_class(config: Any) -> Tuple[type, Any]:
    """The class of the predictor that RELCLIP.CONTEXT names, and the configuration to build it with.

    Raises:
        LanguageError: there is no such predictor.
    """
    context = config.MODEL.ROI_RELATION_HEAD.RELCLIP.CONTEXT
    name = SHORT_NAMES.get(context, context)
    if name not in ROI_RELATION_PREDICTOR or name == "RelCLIPPredictor":
        known = [*SHORT_NAMES, *sorted(set(ROI_RELATION_PREDICTOR) - {"RelCLIPPredictor"})]
        raise LanguageError(f"{KEY}.CONTEXT is {context!r}; it can be {', '.join(known)}.")
    base = ROI_RELATION_PREDICTOR[name]
    if context == "vtranse":  # which is no predictor of its own
        config = config.clone()
        config.defrost()
        config.MODEL.ROI_RELATION_HEAD.CAUSAL.CONTEXT_LAYER = "vtranse"
        config.freeze()
    return (without_context(base) if context == "none" else base), config


class PairReader:
    """Reads the representations of objects and pairs off the layers of a predictor.

    Of a pair, what the classifier of its predicates sees (the module that the predictor's attribute
    `predicate_classifier` names, or one of CLASSIFIERS, or its last linear layer with R outputs; the union box's
    features where there is none); of an object, the halves of `post_emb`, as a subject and as an object, or the other
    way round with the attribute `object_first` (else its box's features).

    Attributes:
        visual_dim, end_dim: widths of both.
    """

    def __init__(self, predictor: nn.Module, config: Any, in_channels: int) -> None:
        head = config.MODEL.ROI_RELATION_HEAD
        modules = dict(predictor.named_modules())
        linear = {name: module for name, module in modules.items() if isinstance(module, nn.Linear)}
        fitting = [name for name, module in linear.items() if module.out_features == head.NUM_CLASSES]
        self.layers: Dict[str, str] = {}
        self.visual_dim, self.end_dim = config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM, in_channels
        known = next((name for name in (*CLASSIFIERS, *reversed(fitting)) if name in fitting), None)
        name = getattr(predictor, "predicate_classifier", None) or known
        if name is not None:
            first = next(module for module in modules[name].modules() if isinstance(module, nn.Linear))
            self.layers["classifier"], self.visual_dim = name, first.in_features
        if "post_emb" in linear:
            self.layers["post_emb"], self.end_dim = "post_emb", linear["post_emb"].out_features // 2
        if "context_layer" in modules:
            self.layers["context"] = "context_layer"
        self.object_first = getattr(predictor, "object_first", False)
        self.rectified = any(cls.__name__ in RECTIFIED for cls in type(predictor).__mro__)
        self.use_gt_label = head.USE_GT_OBJECT_LABEL

    @contextlib.contextmanager
    def listen(self, predictor: nn.Module) -> Iterator[Dict[str, Tuple[Any, Any]]]:
        """Within it, a dictionary takes the (inputs, output) of the first call of each layer."""
        heard: Dict[str, Tuple[Any, Any]] = {}

        def listener(what: str) -> Any:
            def listen(module: nn.Module, inputs: Any, output: Any) -> None:
                heard.setdefault(what, (inputs, output))

            return listen

        modules = dict(predictor.named_modules())
        handles = [modules[name].register_forward_hook(listener(what)) for what, name in self.layers.items()]
        try:
            yield heard
        finally:
            for handle in handles:
                handle.remove()

    def read(
        self,
        heard: Mapping[str, Tuple[Any, Any]],
        proposals: Sequence[Any],
        rel_pair_idxs: Sequence[Tensor],
        roi_features: Tensor,
        union_features: Optional[Tensor],
        objects: Sequence[Tensor],
    ) -> Pairs:
        """The batch as the base's layers saw it; arguments as those of `forward`, and object logits [n_i, O]."""
        subject_rep = object_rep = roi_features
        if "post_emb" in heard:
            edges = heard["post_emb"][1]
            subject_rep, object_rep = (F.relu(edges) if self.rectified else edges).chunk(2, dim=1)
            if self.object_first:
                subject_rep, object_rep = object_rep, subject_rep
        visual = union_features if "classifier" not in heard else heard["classifier"][0][0]
        ends = pair_rows(proposals, rel_pair_idxs)
        if visual is None or visual.shape != (len(ends), self.visual_dim):
            raise LanguageError(
                f"{KEY}.CONTEXT: RelCLIP cannot tell what this predictor knows of a pair: found "
                f"{None if visual is None else list(visual.shape)} for {len(ends)} pairs; give the predictor an "
                f"attribute predicate_classifier that names its layer from pairs to predicates."
            )
        labels = self._labels(heard, proposals, torch.cat(list(objects)))
        return Pairs(visual, subject_rep, object_rep, ends, labels[ends])

    def _labels(self, heard: Mapping[str, Tuple[Any, Any]], proposals: Sequence[Any], object_logits: Tensor) -> Tensor:
        """Class of each object, int64 [n]."""
        if self.use_gt_label:
            return true_labels(proposals)
        said = heard["context"][1] if "context" in heard else None
        if isinstance(said, tuple) and torch.is_tensor(said[1]) and said[1].shape == object_logits.shape[:1]:
            return said[1].long()
        return object_logits[:, 1:].argmax(dim=1) + 1


def pair_rows(proposals: Sequence[Any], rel_pair_idxs: Sequence[Tensor]) -> Tensor:
    """Subject and object of each pair as rows of the batch's objects: int64 [N, 2]."""
    first = 0
    rows = []
    for proposal, pairs in zip(proposals, rel_pair_idxs):
        rows.append(pairs.long() + first)
        first += len(proposal)
    return torch.cat(rows)


def true_labels(proposals: Sequence[Any]) -> Tensor:
    """Ground-truth classes of all objects, int64 [n]."""
    return torch.cat([proposal.get_field("labels") for proposal in proposals]).long()
