"""A small annotated set and perfect predictions of it in every format, to be broken one rule at a time."""

import json

import numpy as np
import torch
from support import boxlist

from maskrcnn_benchmark.data.datasets.evaluation.scoring import read_annotated_set, score_predictions
from maskrcnn_benchmark.data.datasets.evaluation.scoring.formats import input_size
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS

CLASSES, PREDICATES = ["ball", "cat", "dog", "man", "tree"], ["holding", "near", "on", "under"]
WIDTH, HEIGHT = 400, 300


def make_truth(images=30, seed=0):
    """{file name: graph}; no pair has two relations, and every image has six objects and five relations."""
    rng = np.random.default_rng(seed)
    graphs = {}
    for number in range(images):
        corner = rng.integers(0, 150, (6, 2))
        boxes = np.concatenate((corner, corner + rng.integers(60, 140, (6, 2))), 1)
        pairs = np.argwhere(~np.eye(6, dtype=bool))
        chosen = pairs[rng.permutation(len(pairs))[:5]].tolist()
        graphs[f"img{number}.jpg"] = {
            "width": WIDTH,
            "height": HEIGHT,
            "objects": [
                {"name": CLASSES[c], "box": box} for c, box in zip(rng.integers(0, 5, 6), boxes.tolist(), strict=True)
            ],
            "relations": [{"subject": s, "predicate": PREDICATES[rng.integers(4)], "object": o} for s, o in chosen],
        }
    return graphs


def perfect(truth):
    """Predictions of tools/predict.py that find everything."""
    return {
        name: {
            **graph,
            "objects": [{**one, "box": [*one["box"]], "score": 0.9} for one in graph["objects"]],
            "relations": [{**one, "score": round(0.9 - 0.1 * i, 2)} for i, one in enumerate(graph["relations"])],
        }
        for name, graph in truth.items()
    }


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def annotated(folder, truth):
    return read_annotated_set(write(folder / "truth.json", truth))


def score(folder, truth, predictions, protocol="sgb", fields=None, ground_truth=None, **options):
    """The score of a file, or of predictions that are first written; `ground_truth` is a file in place of `truth`."""
    if isinstance(predictions, dict):
        predictions = write(folder / "predictions.json", predictions)
    card = PROTOCOLS[protocol].with_fields(**(fields or {}))
    known = read_annotated_set(ground_truth) if ground_truth else annotated(folder, truth)
    return score_predictions(known, predictions, card, **options)


def custom(folder, truth, all_scores=True, background=True, scaled=True):
    """The same predictions as SGB's custom_prediction.json with its info file; the path of the former."""
    names = [["__background__"] * background + kind for kind in (CLASSES, PREDICATES)]
    info = {
        "idx_to_files": [f"/data/{name}" for name in truth],
        "ind_to_classes": names[0],
        "ind_to_predicates": names[1],
    }
    ratio = np.tile(np.array(input_size((WIDTH, HEIGHT), 600, 1000)) / (WIDTH, HEIGHT), 2) if scaled else np.ones(4)
    content = {}
    for number, graph in enumerate(perfect(truth).values()):
        labels = [names[1].index(one["predicate"]) for one in graph["relations"]]
        rows = np.full((len(labels), len(names[1])), 0.01)
        rows[np.arange(len(labels)), labels] = [one["score"] for one in graph["relations"]]
        content[str(number)] = {
            "bbox": (np.array([one["box"] for one in graph["objects"]]) * ratio).tolist(),
            "bbox_labels": [names[0].index(one["name"]) for one in graph["objects"]],
            "bbox_scores": [one["score"] for one in graph["objects"]],
            "rel_pairs": [[one["subject"], one["object"]] for one in graph["relations"]],
            "rel_labels": labels,
            "rel_scores": [one["score"] for one in graph["relations"]],
            "rel_all_scores": rows.tolist() if all_scores else [],
        }
    write(folder / "custom_data_info.json", info)
    return write(folder / "custom_prediction.json", content)


def eval_results(folder, truth, scale=1):
    """The same as SGB's eval_results.pytorch; the predictions in an image `scale` times as large."""
    truths, predictions = [], []
    for graph in truth.values():
        boxes = torch.tensor([one["box"] for one in graph["objects"]], dtype=torch.float32)
        labels = torch.tensor([1 + CLASSES.index(one["name"]) for one in graph["objects"]])
        rows = [(r["subject"], r["object"], 1 + PREDICATES.index(r["predicate"])) for r in graph["relations"]]
        rows = torch.tensor(rows)
        scores = torch.full((len(rows), 5), 0.01)
        scores[torch.arange(len(rows)), rows[:, 2]] = torch.linspace(0.9, 0.5, len(rows))
        truths.append(boxlist(boxes, (WIDTH, HEIGHT), labels=labels, relation_tuple=rows))
        predictions.append(
            boxlist(
                boxes * scale,
                (WIDTH * scale, HEIGHT * scale),
                pred_labels=labels,
                pred_scores=torch.ones(len(boxes)),
                rel_pair_idxs=rows[:, :2],
                pred_rel_scores=scores,
            )
        )
    torch.save({"groundtruths": truths, "predictions": predictions}, folder / "eval_results.pytorch")
    return folder / "eval_results.pytorch"


def sgbench(folder, truth, start=0):
    """The same as sgbench's json, numbers from `start` on."""
    images = [
        {
            "id": name.removesuffix(".jpg"),
            "bboxes": [one["box"] for one in graph["objects"]],
            "categories": [start + CLASSES.index(one["name"]) for one in graph["objects"]],
            "triplets": [
                [one["subject"], one["object"], start + PREDICATES.index(one["predicate"])]
                for one in graph["relations"]
            ],
        }
        for name, graph in truth.items()
    ]
    return write(folder / "sgbench.json", {"version": 1, "images": images})
