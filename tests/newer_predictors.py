"""Reference numbers of PE-Net, SQUAT, BGNN and GPS-Net, and models and scenes as they were when these were recorded.

`tests/data/parity/newer` holds logits, losses, norms of gradients and running statistics of the original code.
"""

import json
import math

import numpy as np
import torch
from support import PARITY, boxlist, fill, flat, parity_config

from maskrcnn_benchmark.config import cfg as default_config
from maskrcnn_benchmark.modeling import registry

FOLDER = PARITY / "newer"
RECORDED = json.loads((FOLDER / "predictors.json").read_text())
NUMBERS = np.load(FOLDER / "predictors.npz")
MANIFESTS = json.loads((FOLDER / "manifests.json").read_text())
FIELDS = ("labels", "predict_logits", "boxes_per_cls", "pred_labels", "pred_scores")
CLASSES = {name: RECORDED["options"][name]["class"] for name in ("penet", "squat", "bgnn", "gpsnet")}
WIDTH = 48
# where a value of a state dict is not random
FIXED = {
    "logit_scale": math.log(1 / 0.07),
    "alpha": 3.12,
    "beta": 0.06,
    "freq_lambda": 1.0,
    "min_relness": 1e-5,
    "max_relness": 0.5,
}
SCALES = {"fusion_layer.weight": 4.0, "project_head.layers.1.weight": 2.0, "gating_model.w.0.weight": 20.0}


def newer_config(name: str, task: str, *options):
    """Configuration of a recorded model, small sizes included."""
    config = parity_config(task, RECORDED["options"][name]["class"])
    config.merge_from_list(flat(RECORDED["options"][name]["options"]) + list(options))
    return config


def narrow_penet(monkeypatch):
    """Make PE-Net narrow where its width does not matter."""
    monkeypatch.setitem(default_config.MODEL.ROI_RELATION_HEAD, "PENET_MLP_DIM", 32)


def published_config(name: str, task: str):
    """At published sizes: what the small ones replace is the default of SGB or of PySGG."""
    config = newer_config(name, task)
    head, defaults = config.MODEL.ROI_RELATION_HEAD, default_config.MODEL.ROI_RELATION_HEAD
    config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM = 4096
    head.CONTEXT_HIDDEN_DIM, head.EMBED_DIM = defaults.CONTEXT_HIDDEN_DIM, defaults.EMBED_DIM
    head.CONTEXT_POOLING_DIM = 4096 if name == "penet" else 2048
    for module in ("SQUAT_MODULE", "BGNN_MODULE", "GPSNET_MODULE"):
        head[module].GRAPH_HIDDEN_DIM = defaults[module].GRAPH_HIDDEN_DIM
    return config


@torch.no_grad()
def settle(model: torch.nn.Module) -> torch.nn.Module:
    """Scalars at their initial values, gates on both sides of their bounds, no dropout."""
    for name, value in model.state_dict().items():
        last = name.rsplit(".", 1)[-1]
        if last in FIXED and value.numel() == 1:
            value.fill_(FIXED[last])
        elif name.endswith("fusion_layer.bias"):
            value.fill_(-1.6)
        value.mul_(next((factor for end, factor in SCALES.items() if name.endswith(end)), 1))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model


def make_newer_predictor(name: str, task: str, *options):
    """A recorded model with the weights that it had, in evaluation mode."""
    config = newer_config(name, task, *options)
    model = registry.ROI_RELATION_PREDICTOR[config.MODEL.ROI_RELATION_HEAD.PREDICTOR](config, WIDTH)
    return settle(fill(model)).eval()


def recorded_inputs(case: str, task: str):
    """Arguments of a predictor in a recorded case."""
    key = f"in/{case}/"
    num_objs, num_rels = NUMBERS[key + "num_objs"], NUMBERS[key + "num_rels"]

    def split(name, counts):
        return [torch.from_numpy(part) for part in np.split(NUMBERS[key + name], np.cumsum(counts)[:-1])]

    fields = {name: split(name, num_objs) for name in FIELDS}
    if task == "predcls":
        fields["pred_labels"] = fields["labels"]
        fields["pred_scores"] = [torch.ones(len(x)) for x in fields["labels"]]
        fields["predict_logits"] = [
            2000.0 * torch.nn.functional.one_hot(x.long(), 151) - 1000 for x in fields["labels"]
        ]
    elif task == "sgdet" and case.startswith("eval"):
        del fields["labels"]
    proposals = [
        boxlist(boxes, size, **{name: values[i] for name, values in fields.items()})
        for i, (boxes, size) in enumerate(zip(split("boxes", num_objs), NUMBERS[key + "size"], strict=True))
    ]
    binarys = [torch.from_numpy(NUMBERS[f"{key}binary{i}"]) for i in range(len(num_objs))]
    features = [torch.from_numpy(NUMBERS[key + name]) for name in ("roi_features", "union_features")]
    return proposals, split("pairs", num_rels), split("rel_labels", num_rels), binarys, *features


def recorded_values(key: str) -> dict[str, np.ndarray]:
    """What the original gave: by name, from the vector of a case."""
    names = RECORDED["values"][RECORDED["cases"][key]]
    sizes = [math.prod(shape) for shape in names.values()]
    parts = np.split(NUMBERS[key], np.cumsum(sizes)[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(names.items(), parts, strict=True)}


def with_detections(scene):
    """A scene whose objects have the labels and scores of a detector, as SGDet gives them and the others get them."""
    for proposal in scene.proposals:
        scores, labels = proposal.get_field("predict_logits").softmax(dim=1)[:, 1:].max(dim=1)
        proposal.add_field("pred_scores", scores)
        proposal.add_field("pred_labels", labels + 1)
    return scene
