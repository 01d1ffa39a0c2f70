"""The registries of the model's parts, and a lookup that says which names there are."""

import difflib

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.registry import Registry

BACKBONES = Registry()
RPN_HEADS = Registry()
ROI_BOX_FEATURE_EXTRACTORS = Registry()
ROI_BOX_PREDICTOR = Registry()
ROI_RELATION_FEATURE_EXTRACTORS = Registry()
ROI_RELATION_PREDICTOR = Registry()


def lookup(registry: Registry, name: str, key: str):
    """The entry `name` of a registry.

    Args:
        key: configuration key that the name comes from.

    Raises:
        InputError: no such entry; the message lists those that exist.
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(name, registry, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"{key} is {name}, which does not exist; there are {', '.join(sorted(registry))}{hint}")
