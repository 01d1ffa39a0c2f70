"""SGB's names and arguments outside the models and evaluators, for code that plugs into it."""

import importlib
import inspect
import json

import pytest
from support import PARITY

INTERFACE = json.loads((PARITY / "sgb_interface.json").read_text())
AREAS = ("config", "structures", "layers", "solver", "utils", "data")
# Deformable convolution, RetinaNet's loss, region pooling that nothing of SGB uses, masks, the compiled extension, box
# augmentation at test time, attributes as a target; the evaluators, which here count from ranks.
LEFT_OUT = {
    "maskrcnn_benchmark.data.collate_batch.BBoxAugCollator",
    "maskrcnn_benchmark.data.datasets.evaluation.vg",
    "maskrcnn_benchmark.data.datasets.evaluation.vg.sgg_eval",
    "maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval.generate_attributes_target",
    "maskrcnn_benchmark.layers._utils",
    "maskrcnn_benchmark.layers.roi_pool",
    "maskrcnn_benchmark.layers.sigmoid_focal_loss",
    "maskrcnn_benchmark.utils.cv2_util",
    "maskrcnn_benchmark.layers.misc.DFConv2d",
}


def public(name):
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def entries():
    for module, names in INTERFACE.items():
        if module.split(".")[1] in AREAS and module not in LEFT_OUT:
            for name, what in names.items():
                if public(name) and f"{module}.{name}" not in LEFT_OUT:
                    yield module, name, what


def check_arguments(thing, arguments, what):
    """SGB's arguments in SGB's order; further ones need defaults."""
    found = list(inspect.signature(thing).parameters.values())
    prefix = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    names = [prefix.get(parameter.kind, "") + parameter.name for parameter in found]
    assert names[: len(arguments)] == arguments, what
    assert all(parameter.default is not inspect.Parameter.empty for parameter in found[len(arguments) :]), what


@pytest.mark.parametrize(("module", "name", "what"), list(entries()))
def test_signature(module, name, what):
    thing = getattr(importlib.import_module(module), name)
    if str(getattr(thing, "__module__", "")).startswith("torch.nn"):
        return  # SGB wrapped PyTorch's layers for empty batches; here they are PyTorch's own
    if isinstance(what, list):
        check_arguments(thing, what, f"{module}.{name}")
    elif isinstance(what, dict):
        for method, arguments in what.items():
            found = inspect.getattr_static(thing, method) if public(method) else None
            if isinstance(found, (staticmethod, classmethod)):
                check_arguments(getattr(thing, method), arguments, f"{module}.{name}.{method}")
            elif inspect.isfunction(found):
                check_arguments(found, arguments, f"{module}.{name}.{method}")
            else:  # a property, or inherited from a class of Python
                assert not public(method) or hasattr(thing, method), f"{module}.{name}.{method}"
