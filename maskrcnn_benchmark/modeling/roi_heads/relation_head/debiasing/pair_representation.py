"""What a predictor knows of each pair just before it classifies it, for wrappers that add classifiers of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.utils.errors import InputError


def predicate_classifier(predictor: nn.Module, num_rel_cls: int) -> nn.Module:
    """The layer of a predictor whose input represents pairs, one row each.

    A predictor says which by its attribute `predicate_classifier`, the layer's name within it. Without that it is the
    only nn.Linear that has as many outputs as there are predicates.

    Raises:
        InputError: there is none, or more than one.
    """
    name = getattr(predictor, "predicate_classifier", None)
    if name is not None:
        return predictor.get_submodule(name)
    layers = [m for m in predictor.modules() if isinstance(m, nn.Linear) and m.out_features == num_rel_cls]
    if len(layers) != 1:
        raise InputError(
            f"{type(predictor).__name__} has {len(layers)} linear layers with {num_rel_cls} outputs, one of which must "
            "classify pairs: name it in the predictor's attribute predicate_classifier"
        )
    return layers[0]


class PairRepresentation:
    """Listens to a predictor's classifier in training.

    Between the call of the predictor and `take` it holds what the classifier was given and what it gave, of the first
    call where there are several.

    Args:
        predictor: see `predicate_classifier`.
        num_rel_cls: R, background included.
    """

    def __init__(self, predictor: nn.Module, num_rel_cls: int):
        self.name = type(predictor).__name__
        layer = predicate_classifier(predictor, num_rel_cls)
        self.width = next(m for m in layer.modules() if isinstance(m, nn.Linear)).in_features
        self._heard: tuple[Tensor, Tensor] | None = None
        layer.register_forward_hook(self._hear)

    def _hear(self, layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        if layer.training and self._heard is None:
            self._heard = inputs[0], output

    def take(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What belongs to the logits [m, R] of the call just made.

        Returns:
            the representation of the pairs [m, width], and what the predictor adds to its classifier's output (the
            frequency bias, further branches), [m, R] without gradient; nothing where that output is no logits, as in
            PE-Net, which compares it with prototypes.

        Raises:
            InputError: the classifier was not called, or with something else than these pairs.
        """
        heard, self._heard = self._heard, None
        if heard is None or len(heard[0]) != len(logits):
            raise InputError(
                f"{self.name} did not call its predicate classifier with a representation of the {len(logits)} pairs; "
                "MODEL.ROI_RELATION_HEAD.DEBIASING.GROUP_RATIO needs a predictor that does: set it to 0"
            )
        representation, output = heard
        rest = logits - output if output.shape == logits.shape else torch.zeros_like(logits)
        return representation, rest.detach()
