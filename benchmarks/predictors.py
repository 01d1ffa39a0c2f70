"""What a training step and a prediction cost with each relation predictor, relative to Motifs.

    OMP_NUM_THREADS=1 python benchmarks/predictors.py --images 4 --objects 24 --task sgcls

Sizes are the published ones (features 4096, context 512, for VCTree 1024), all pairs of an image's objects are looked
at, and everything is made up. Measured is the predictor alone, from the features of objects and pairs on; --features
adds what those cost, which is the same for every predictor. --originals adds what PE-Net, SQUAT, BGNN and GPS-Net cost
with the algorithms of the originals, relative to themselves. Times are those of the processor, each predictor is timed
in turn with Motifs and the least times are compared, so that it matters little whether others use the machine, too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import made_up
import numpy as np
import torch
from made_up import CHANNELS, EMBEDDING, HEAD, OBJECTS, PREDICATES, TASKS
from plain_predictors import as_original
from torch import Tensor

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_feature_extractors import make_roi_box_feature_extractor
from maskrcnn_benchmark.modeling.roi_heads.relation_head.loss import make_roi_relation_loss_evaluator
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_feature_extractors import (
    make_roi_relation_feature_extractor,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import make_roi_relation_predictor
from maskrcnn_benchmark.structures.bounding_box import BoxList

CONFIGS = os.path.join(os.path.dirname(__file__), "..", "configs")
CONFIG = "e2e_relation_X_101_32_8_FPN_1x.yaml"
PREDICTORS = {
    **made_up.PREDICTORS,
    "PE-Net": ("PrototypeEmbeddingNetwork", []),
    "SQUAT": ("SquatPredictor", []),
    "BGNN": ("BGNNPredictor", []),
    "GPS-Net": ("GPSNetPredictor", []),
}
FILES = {
    name: f"baselines/base/{name.lower().replace('-', '')}.yaml" for name in ("PE-Net", "SQUAT", "BGNN", "GPS-Net")
}
SIZE = (1000, 600)


class Batch(NamedTuple):
    """What the relation head hands to a predictor, and feature maps that it could come from."""

    proposals: list[BoxList]
    pairs: list[Tensor]
    labels: list[Tensor]
    binarys: list[Tensor]
    roi_features: Tensor
    union_features: Tensor
    maps: list[Tensor]


def make_batch(images: int, objects: int, width: int) -> Batch:
    corners = torch.rand(images, objects, 2) * torch.tensor([700.0, 400.0])
    boxes = torch.cat((corners, corners + 20 + 180 * torch.rand(images, objects, 2)), dim=2)
    proposals = []
    for image_boxes in boxes:
        proposal = BoxList(image_boxes, SIZE)
        proposal.add_field("labels", torch.randint(1, OBJECTS + 1, (objects,)))
        proposal.add_field("predict_logits", torch.randn(objects, OBJECTS + 1))
        proposal.add_field("pred_labels", proposal.get_field("labels"))
        proposal.add_field("pred_scores", torch.rand(objects))
        proposal.add_field("boxes_per_cls", image_boxes[:, None] + 5 * torch.randn(objects, OBJECTS + 1, 4))
        proposals.append(proposal)
    pairs = (~torch.eye(objects, dtype=torch.bool)).nonzero()
    # one pair in ten has a relation
    labels = torch.randint(1, PREDICATES + 1, (images, len(pairs))) * (torch.rand(images, len(pairs)) < 0.1)
    return Batch(
        proposals,
        [pairs] * images,
        list(labels),
        list((torch.rand(images, objects, objects) < 0.1).long()),
        torch.randn(images * objects, width).relu(),
        torch.randn(images * len(pairs), width).relu(),
        [torch.randn(images, CHANNELS, SIZE[1] // stride, SIZE[0] // stride) for stride in (4, 8, 16, 32)],
    )


def made_up_statistics() -> dict:
    counts = torch.randint(0, 3, (OBJECTS + 1, OBJECTS + 1, PREDICATES + 1))
    return {
        "fg_matrix": counts,
        "pred_dist": (counts / counts.sum(2, keepdim=True).clamp(min=1) + 1e-3).log(),
        "obj_classes": ["__background__", *(f"object{i}" for i in range(OBJECTS))],
        "rel_classes": ["__background__", *(f"predicate{i}" for i in range(PREDICATES))],
        "att_classes": ["__background__"],
    }


def write_phrase_bank(path: str, names: dict) -> None:
    """A phrase bank of random vectors in place of CLIP's, in RelCLIP's format."""
    rng = np.random.default_rng(0)
    np.savez(
        path,
        objects=np.array(names["obj_classes"][1:]),
        predicates=np.array(names["rel_classes"][1:]),
        subject_predicate=rng.standard_normal((OBJECTS, PREDICATES, EMBEDDING), dtype=np.float32),
        predicate_object=rng.standard_normal((PREDICATES, OBJECTS, EMBEDDING), dtype=np.float32),
    )


def make_config(task: str, name: str, bank: str):
    predictor, options = PREDICTORS[name]
    gt_box, gt_label = TASKS[task]
    options = [*options, HEAD + "PREDICTOR", predictor, HEAD + "WORD_EMBEDDING", "random", "MODEL.DEVICE", "cpu"]
    options += [HEAD + "USE_GT_BOX", gt_box, HEAD + "USE_GT_OBJECT_LABEL", gt_label, "MODEL.LANGUAGE.BANK_FILE", bank]
    return load_config(os.path.join(CONFIGS, FILES.get(name, CONFIG)), options)


def predictor_jobs(config, batch: Batch, original: bool = False) -> tuple[int, Callable, Callable]:
    """Number of parameters, a training step without the optimizer's, and a prediction; `original`: as_original."""
    model = make_roi_relation_predictor(config, batch.roi_features.shape[1])
    if original:
        as_original(config.MODEL.ROI_RELATION_HEAD.PREDICTOR, model)
    loss_evaluator = make_roi_relation_loss_evaluator(config)
    roi_features = batch.roi_features.clone().requires_grad_()
    union_features = batch.union_features.clone().requires_grad_()

    def train() -> None:
        model.train().zero_grad()
        obj, rel, losses = model(*batch[:4], roi_features, union_features)[:3]
        losses = [*losses.values(), *loss_evaluator(batch.proposals, batch.labels, rel, obj)]
        sum(losses).backward()

    @torch.no_grad()
    def predict() -> None:
        model.eval()(batch.proposals, batch.pairs, None, None, batch.roi_features, batch.union_features)

    return sum(p.numel() for p in model.parameters()), train, predict


def feature_jobs(config, batch: Batch) -> tuple[int, Callable, Callable]:
    """The same for the extractors of the objects' and the pairs' features."""
    box = make_roi_box_feature_extractor(config, CHANNELS)
    union = make_roi_relation_feature_extractor(config, CHANNELS)

    def extract() -> Tensor:
        return box(batch.maps, batch.proposals).sum() + union(batch.maps, batch.proposals, batch.pairs).sum()

    def train() -> None:
        box.train().zero_grad()
        union.train().zero_grad()
        extract().backward()

    @torch.no_grad()
    def predict() -> None:
        box.eval()
        union.eval()
        extract()

    return sum(p.numel() for m in (box, union) for p in m.parameters()), train, predict


def seconds(job: Callable) -> float:
    """Time of the processor, which does not count while other programs run."""
    start = time.process_time()
    job()
    return time.process_time() - start


def ratio(job: Callable, reference: Callable, rounds: int) -> float:
    """Least time of one job over that of another, both run in turn; a first round of each is not counted."""
    job(), reference()
    times = [(seconds(job), seconds(reference)) for _ in range(rounds)]
    return min(own for own, _ in times) / min(of for _, of in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4, help="images of a batch")
    parser.add_argument("--objects", type=int, default=24, help="objects of an image")
    parser.add_argument("--task", choices=TASKS, default="sgcls")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each ratio")
    parser.add_argument("--originals", action="store_true", help="also the originals' algorithms (slow)")
    parser.add_argument("--only", nargs="*", default=[], choices=PREDICTORS, help="these predictors beside Motifs")
    parser.add_argument("--features", action="store_true", help="also the features of objects and pairs (slow)")
    args = parser.parse_args()

    torch.manual_seed(0)
    statistics = made_up_statistics()
    batch = make_batch(args.images, args.objects, 4096)
    with tempfile.TemporaryDirectory() as folder, use_statistics(statistics):
        bank = os.path.join(folder, "bank.npz")
        write_phrase_bank(bank, statistics)
        names = ["Motifs", *(name for name in PREDICTORS if name != "Motifs" and name in (args.only or PREDICTORS))]
        configs = {name: make_config(args.task, name, bank) for name in names}
        parameters, train, predict = predictor_jobs(configs["Motifs"], batch)
        train(), predict()
        times = [min(seconds(job) for _ in range(args.rounds)) for job in (train, predict)]
        print(f"{args.task}, {args.images} images of {args.objects} objects, {torch.get_num_threads()} threads")
        print(f"Motifs: {times[0]:.2f} s a training step, {times[1]:.2f} s a prediction\n")
        print("| | parameters | training step | prediction |")
        print("| --- | ---: | ---: | ---: |")
        print(f"| Motifs | {parameters / 1e6:.0f} M | 1 | 1 |")
        jobs = {name: (predictor_jobs, config) for name, config in configs.items() if name != "Motifs"}
        if args.features:
            jobs["features of objects and pairs"] = (feature_jobs, configs["Motifs"])
        for name, (make_jobs, config) in jobs.items():
            parameters, *own = make_jobs(config, batch)
            ratios = [ratio(job, of, args.rounds) for job, of in zip(own, (train, predict), strict=True)]
            print(f"| {name} | {parameters / 1e6:.0f} M | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)
        if args.originals:
            print("\n| the original's algorithms, relative to these | training step | prediction |")
            print("| --- | ---: | ---: |")
            for name in [name for name in names if name in FILES]:
                _, *own = predictor_jobs(configs[name], batch)
                _, *originals = predictor_jobs(configs[name], batch, original=True)
                ratios = [ratio(job, of, args.rounds) for job, of in zip(originals, own, strict=True)]
                print(f"| {name} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
