"""What the benchmarks share: configurations of published size, and made-up statistics, phrases and images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import h5py
import numpy as np
import torch
from torch import Tensor

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.structures.bounding_box import BoxList

CONFIG = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "configs", "relclip", "motifs_predcls_full.yaml"
)
HEAD = "MODEL.ROI_RELATION_HEAD."
TASKS = {"predcls": (True, True), "sgcls": (True, False), "sgdet": (False, False)}
OBJECTS, PREDICATES, CHANNELS, EMBEDDING = 150, 50, 256, 512
SIZE = (992, 608)  # width and height of an image
STRIDES = (4, 8, 16, 32)

VCTREE = [HEAD + "CONTEXT_HIDDEN_DIM", 1024]
CAUSAL = HEAD + "CAUSAL."
# name -> registered class and options
PREDICTORS = {
    "Motifs": ("MotifPredictor", []),
    "VCTree": ("VCTreePredictor", VCTREE),
    "Transformer": ("TransformerPredictor", []),
    "IMP": ("IMPPredictor", []),
    "Causal, Motifs": ("CausalAnalysisPredictor", []),
    "Causal, Motifs, TDE": (
        "CausalAnalysisPredictor",
        [CAUSAL + "EFFECT_ANALYSIS", True, CAUSAL + "EFFECT_TYPE", "TDE"],
    ),
    "Causal, VCTree": ("CausalAnalysisPredictor", [CAUSAL + "CONTEXT_LAYER", "vctree", *VCTREE]),
    "Causal, VTransE": ("CausalAnalysisPredictor", [CAUSAL + "CONTEXT_LAYER", "vtranse"]),
    "RelCLIP, Motifs": ("RelCLIPPredictor", []),
}
# Everything shrunk, to try a benchmark, or where sizes do not matter.
SMALL = [
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.RESNETS.WIDTH_PER_GROUP", 4),
    *("MODEL.RESNETS.NUM_GROUPS", 2, "MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.RPN.RPN_MID_CHANNEL", 16),
    *("MODEL.BACKBONE.CONV_BODY", "R-50-FPN", "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 48),
    *(HEAD + "CONTEXT_POOLING_DIM", 48, HEAD + "CONTEXT_HIDDEN_DIM", 24, HEAD + "BATCH_SIZE_PER_IMAGE", 64),
    *("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 12),
]


def statistics(objects: int = OBJECTS) -> dict:
    """Counts of a training set that knows one triplet in fifty, of so many classes."""
    generator = torch.Generator().manual_seed(0)
    counts = (torch.rand(objects + 1, objects + 1, PREDICATES + 1, generator=generator) < 0.02).long()
    return {
        "fg_matrix": counts,
        "pred_dist": (counts / counts.sum(2, keepdim=True).clamp(min=1) + 1e-3).log(),
        "obj_classes": ["__background__", *(f"object {i}" for i in range(objects))],
        "rel_classes": ["__background__", *(f"predicate {i}" for i in range(PREDICATES))],
        "att_classes": ["__background__"],
    }


def write_phrase_bank(path: str, objects: list[str], predicates: list[str]) -> None:
    """Random vectors in place of CLIP's, in the format of RelCLIP's phrase banks."""
    rng = np.random.default_rng(0)
    np.savez(
        path,
        objects=np.array(objects),
        predicates=np.array(predicates),
        subject_predicate=rng.standard_normal((len(objects), len(predicates), EMBEDDING), dtype=np.float32),
        predicate_object=rng.standard_normal((len(predicates), len(objects), EMBEDDING), dtype=np.float32),
    )


def configuration(
    folder: str, predictor: str, task: str = "predcls", options: list | tuple = (), classes: int = OBJECTS
):
    """A published configuration of one of PREDICTORS, with random word vectors and phrases.

    Args:
        folder: where the phrases are, written when needed.
        options: further keys and values, the last of a key counts.
        classes: how many classes of objects there are; see `statistics`.
    """
    bank = os.path.join(folder, f"bank-{classes}.npz")
    if not os.path.exists(bank):
        names = statistics(classes)
        write_phrase_bank(bank, names["obj_classes"][1:], names["rel_classes"][1:])
    registered, own = PREDICTORS.get(predictor, (predictor, []))
    box, label = TASKS[task]
    keys = {
        "MODEL.DEVICE": "cpu",
        "MODEL.PRETRAINED_DETECTOR_CKPT": "",
        HEAD + "PREDICTOR": registered,
        HEAD + "USE_GT_BOX": box,
        HEAD + "USE_GT_OBJECT_LABEL": label,
        HEAD + "WORD_EMBEDDING": "random",
        "MODEL.LANGUAGE.BANK_FILE": bank,
        "MODEL.ROI_BOX_HEAD.NUM_CLASSES": classes + 1,
    }
    return load_config(CONFIG, [*(item for pair in keys.items() for item in pair), *own, *options])


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, objects: int, size: tuple[int, int] = SIZE, seed: int = 1) -> list[BoxList]:
    """Targets in which one pair in ten has a relation."""
    g, (width, height) = generator(seed), size
    targets = []
    for _ in range(count):
        corners = torch.rand(objects, 2, generator=g) * torch.tensor([0.7 * width, 0.65 * height])
        sides = torch.tensor([width, height]) * (0.04 + 0.26 * torch.rand(objects, 2, generator=g))
        target = BoxList(torch.cat((corners, corners + sides), dim=1), size)
        target.add_field("labels", torch.randint(1, OBJECTS + 1, (objects,), generator=g))
        relation = torch.randint(1, PREDICATES + 1, (objects, objects), generator=g)
        relation = relation * (torch.rand(objects, objects, generator=g) < 0.1)
        target.add_field("relation", relation.fill_diagonal_(0), is_triplet=True)
        target.add_field("attributes", torch.zeros((objects, 10), dtype=torch.int64))
        targets.append(target)
    return targets


def detections(targets: list[BoxList], seed: int = 2) -> list[BoxList]:
    """The same objects as a detector hands them to the relation head, surer of some than of others."""
    g = generator(seed)
    found = []
    for target in targets:
        objects = len(target)
        one = target.copy_with_fields(["labels"])
        logits = torch.randn(objects, OBJECTS + 1, generator=g)
        logits[torch.arange(objects), target.get_field("labels")] += torch.linspace(9, 3, objects)
        one.add_field("predict_logits", logits)
        shifts = 5 * torch.randn(objects, OBJECTS + 1, 4, generator=g)
        one.add_field("boxes_per_cls", target.bbox[:, None] + shifts)
        scores, labels = logits.softmax(dim=1)[:, 1:].max(dim=1)
        one.add_field("pred_labels", labels + 1)
        one.add_field("pred_scores", scores)
        found.append(one)
    return found


def feature_maps(count: int, channels: int = CHANNELS, size: tuple[int, int] = SIZE, seed: int = 3) -> list[Tensor]:
    g, (width, height) = generator(seed), size
    return [torch.randn(count, channels, height // s, width // s, generator=g) for s in STRIDES]


def like_a_trained_model(best: float = 0.95, decay: float = 0.04, predicate: float = 0.1) -> Callable:
    """A hook for a predictor with random weights, which hardly tells anything apart, that spreads its scores.

    The k-th object of an image scores best * exp(-decay k) for its likeliest class. Logits of predicates are brought to
    a standard deviation of about 2, and that of the background to where the best predicate of a pair has the
    probability `predicate`: the same for all pairs, which is the hardest case for leaving pairs out.
    """

    def hook(_, arguments, output):
        objects, relations, losses = output
        spread = []
        for logits in objects:
            place = torch.arange(len(logits), device=logits.device)
            score = (best * torch.exp(-decay * place)).clamp(min=0.02)
            winner = logits[:, 1:].argmax(dim=1, keepdim=True) + 1
            height = (score * (logits.shape[1] - 1) / (1 - score)).log()[:, None]  # against zeros
            spread.append(torch.zeros_like(logits, dtype=torch.float32).scatter(1, winner, height))
        scaled = []
        for logits in relations:
            logits = logits[:, 1:].float()
            logits = (logits - logits.mean(dim=1, keepdim=True)) / logits.std(dim=1, keepdim=True)
            logits = 5 * (logits / 2.5).tanh()
            others = logits.amax(dim=1, keepdim=True).exp() / predicate - logits.exp().sum(dim=1, keepdim=True)
            scaled.append(torch.cat((others.clamp(min=1e-6).log(), logits), dim=1))
        return spread, scaled, losses

    return hook


def write_data_set(folder: str, count: int, boxes: float = 10.6, relations: float = 5.8) -> dict[str, str]:
    """A data set in the VG-SGG format with empty image files, by default as full as Visual Genome.

    Returns:
        the arguments of `VGDataset` that say where the files are.
    """
    rng = np.random.default_rng(0)
    num_boxes = rng.poisson(boxes - 2, count) + 2
    num_relations = rng.poisson(relations - 1, count) + 1
    ends, relation_ends = np.cumsum(num_boxes), np.cumsum(num_relations)
    image = np.repeat(np.arange(count), num_relations)
    first = (ends - num_boxes)[image]
    subject = rng.integers(0, num_boxes[image])
    partner = (subject + rng.integers(1, num_boxes[image])) % num_boxes[image]
    centres = rng.integers(200, 600, (ends[-1], 2))
    arrays = {
        "boxes_1024": np.column_stack((centres, rng.integers(20, 300, (ends[-1], 2)))).astype(np.int32),
        "labels": rng.integers(1, OBJECTS + 1, (ends[-1], 1)),
        "attributes": np.zeros((ends[-1], 10), dtype=np.int64),
        "img_to_first_box": (ends - num_boxes).astype(np.int32),
        "img_to_last_box": (ends - 1).astype(np.int32),
        "relationships": np.column_stack((first + subject, first + partner)).astype(np.int32),
        "predicates": rng.integers(1, PREDICATES + 1, (relation_ends[-1], 1)),
        "img_to_first_rel": (relation_ends - num_relations).astype(np.int32),
        "img_to_last_rel": (relation_ends - 1).astype(np.int32),
        "split": np.where(np.arange(count) < 0.7 * count, 0, 2).astype(np.int32),
    }
    places = {
        "img_dir": os.path.join(folder, "images"),
        "roidb_file": os.path.join(folder, "graphs.h5"),
        "dict_file": os.path.join(folder, "names.json"),
        "image_file": os.path.join(folder, "image_data.json"),
    }
    os.makedirs(places["img_dir"])
    with h5py.File(places["roidb_file"], "w") as h5:
        for name, array in arrays.items():
            h5.create_dataset(name, data=array)
    names = {
        f"{kind}_to_idx": {f"{word} {i}": i + 1 for i in range(number)}  # as `statistics` calls them
        for kind, word, number in (
            ("label", "object", OBJECTS),
            ("predicate", "predicate", PREDICATES),
            ("attribute", "attribute", 200),
        )
    }
    infos = [
        {"image_id": i, "width": 500, "height": 375, "url": f"https://example.org/{i}.jpg", "coco_id": None}
        for i in range(count)
    ]
    for name, content in (("dict_file", names), ("image_file", infos)):
        with open(places[name], "w", encoding="utf-8") as file:
            json.dump(content, file)
    for i in range(count):
        open(os.path.join(places["img_dir"], f"{i}.jpg"), "w").close()
    return places
