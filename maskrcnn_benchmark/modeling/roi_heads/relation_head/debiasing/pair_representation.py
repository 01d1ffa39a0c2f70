"""What a predictor knows of each pair just before it classifies it, for wrappers that add classifiers of their own."""

from __future__ import annotations

from torch import Tensor, nn

from maskrcnn_benchmark.utils.errors import InputError


def predicate_classifier(predictor: nn.Module, num_rel_cls: int) -> nn.Module:
    """The layer of a predictor whose input represents pairs, one row each.

    A predictor says which by its attribute `predicate_classifier`, the layer's name within it; of a predictor that
    stands on another one, that of the other counts. Without such an attribute it is the only nn.Linear that has as many
    outputs as there are predicates.

    Raises:
        InputError: there is none, or more than one.
    """
    for module in predictor.modules():
        name = getattr(module, "predicate_classifier", None)
        if isinstance(name, str):
            return module.get_submodule(name)
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
        self.width = layer.in_features
        self._heard: tuple[Tensor, Tensor] | None = None
        layer.register_forward_hook(self._hear)

    def _hear(self, layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        if layer.training and self._heard is None:
            self._heard = inputs[0], output

    def take(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What belongs to the logits [m, R] of the call just made.

        Returns:
            the representation of the pairs [m, width], and what the predictor adds to its classifier's output (the
            frequency bias, further branches), [m, R] without gradient.

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
        return representation, (logits - output).detach()
