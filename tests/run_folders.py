"""Output directories as trainings and tests leave them, made without training anything."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image
from support import HEAD, TASKS, flat

import maskrcnn_benchmark.modeling.roi_heads.relation_head  # noqa: F401  (registers RelCLIP's keys)
from maskrcnn_benchmark.config import cfg as default_config
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS

PREDICATES = {"on": 900, "has": 300, "near": 200, "riding": 40, "under": 12, "part of": 3}  # with training labels
METRICS = ("R", "mR", "zR", "ng-R", "ng-mR", "ng-zR", "zR-seen_pair", "zR-new_pair", "F")
DATASET = "VG_stanford_filtered_with_attribute_test"


def write_run(
    folder: Path,
    recall: float = 0.5,
    seed: int | None = 0,
    task: str = "predcls",
    predictor: str = "MotifPredictor",
    options: dict | None = None,
    tags: dict | None = None,
    image: Path | None = None,
    **evaluation,
) -> Path:
    """An output directory whose recalls at 20, 50 and 100 are `recall`, `recall` + 0.1 and `recall` + 0.2.

    Args:
        seed: in the checkpoint; None: the folder of a test, without training.
        options: configuration keys and their values.
        tags: content of run.json.
        image: what the graphs of the images 0, 1 and 2 show; None: a file that does not exist.
        evaluation: entries of evaluation.json.
    """
    config = default_config.clone()
    gt_box, gt_label = TASKS[task]
    keys = {HEAD + "PREDICTOR": predictor, HEAD + "USE_GT_BOX": gt_box, HEAD + "USE_GT_OBJECT_LABEL": gt_label,
            "OUTPUT_DIR": str(folder), "DATASETS.TRAIN": ("VG_stanford_filtered_with_attribute_train",)}  # fmt: skip
    data = {"DATASETS.DATA_DIR": str(image.parent)} if image else {}
    config.merge_from_list(flat(keys | data | (options or {})))
    results = folder / "inference" / DATASET
    results.mkdir(parents=True)
    (results / "config.yml").write_text(config.dump())
    by_predicate = {name: recall / (place + 1) for place, name in enumerate(PREDICATES)}
    summary = {
        "dataset": DATASET,
        "task": task,
        "protocol": PROTOCOLS["sgb"].fields(),
        "num_images": 3,
        "num_images_evaluated": 3,
        "test_set": "aaaa",
        "zero_shot": "bbbb",
        "zero_shot_kinds": "cccc",
        "training_frequency": PREDICATES,
        "metrics": {f"{name}@{k}": recall + 0.1 * i for name in METRICS for i, k in enumerate((20, 50, 100))},
        "recall_by_predicate": {f"{name}@{k}": by_predicate for name in ("mR", "ng-mR") for k in (20, 50, 100)},
    }
    (results / "evaluation.json").write_text(json.dumps(summary | evaluation))
    cost = {"seconds_per_image": 0.25, "device": "cpu", "parameters": 3_000_000, "predictor_parameters": 1_000_000}
    (results / "cost.json").write_text(json.dumps(cost))
    (results / "graphs.json").write_text(json.dumps([_graph(index, image or "/nowhere.png") for index in range(3)]))
    if tags is not None:
        (folder / "run.json").write_text(json.dumps(tags))
    if seed is not None:
        (folder / "config.yml").write_text(config.dump())
        lines = [{"iteration": i, "loss": 2.0 / i, "loss_rel": 1.0 / i, "time": 0.1 * i} for i in (1, 2, 3)]
        lines.append({"iteration": 3, "validation": 0.4})
        (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        torch.save({"model": {}, "seed": seed}, folder / "model_final.pth")
    return folder


def write_image(folder: Path) -> Path:
    """A grey image of 60 x 40 pixels."""
    path = folder / "image.png"
    Image.new("RGB", (60, 40), "grey").save(path)
    return path


def _graph(index: int, image: str | Path) -> dict:
    """Two of three annotated relations are predicted, and one that is not annotated."""

    def relation(subject: int, predicate: str, thing: int, **more) -> dict:
        return {"subject": subject, "predicate": predicate, "object": thing, **more}

    objects = {"boxes": [[2, 2, 20, 30], [15, 10, 50, 35], [0, 30, 59, 39]], "names": ["man", "horse", "<grass>"]}
    truth = [relation(0, "riding", 1), relation(1, "on", 2), relation(0, "near", 2)]
    predicted = [
        relation(0, "riding", 1, score=0.9, matches=[0]),
        relation(1, "near", 0, score=0.6, matches=[]),
        relation(1, "on", 2, score=0.25, matches=[1]),
    ]
    shown = {"index": index, "image": str(image), "width": 60, "height": 40}
    return shown | {
        "ground_truth": {**objects, "relations": truth},
        "prediction": {**objects, "relations": predicted},
    }
