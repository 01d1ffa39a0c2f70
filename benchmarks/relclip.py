"""What RelCLIP costs beside Motifs: training step, inference, memory of the text branch, and its phrase bank.

    python benchmarks/relclip.py                    # everything, some ten minutes
    python benchmarks/relclip.py step --images 2
    python benchmarks/relclip.py memory bank

Published sizes (features 4096, context 512, text 512, 151 x 51 classes), made-up inputs. `step` times the whole
relation head from the feature maps on, forward and backward, and inference, in turn with Motifs; the least processor
times are compared. `memory` is the peak of what a predictor allocates in a training step, forward and
backward, for 12 images of 1,056 pairs of which 80 have a predicate: that of RelCLIP with its phrases less that of
Motifs. `bank` embeds all phrases of 150 objects and 50 predicates with a text tower of ViT-B/32's size and random
weights; its limit of 4 minutes on 2 cores is held against the processor time of all threads together. Exit status 1
where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.modeling.language.defaults import language_node
from maskrcnn_benchmark.modeling.language.embedding_cache import EmbeddingCache
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank
from maskrcnn_benchmark.modeling.language.text_encoder import EncoderSpec
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import build_roi_relation_head
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import make_roi_relation_predictor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.cli import run

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "relclip" / "motifs_predcls_full.yaml"
HEAD = "MODEL.ROI_RELATION_HEAD."
OBJECTS, PREDICATES, WIDTH = 150, 50, 512
LIMITS = {
    "training step, of a Motifs step": 1.15,
    "inference, of Motifs": 1.10,
    "memory of the text branch, MB": 60,
    "phrase bank, s": 240,
}


def made_up_statistics() -> dict:
    fg_matrix = (torch.rand(OBJECTS + 1, OBJECTS + 1, PREDICATES + 1) < 0.02).long()
    return {
        "fg_matrix": fg_matrix,
        "pred_dist": (fg_matrix / fg_matrix.sum(2, keepdim=True).clamp(min=1) + 1e-3).log(),
        "obj_classes": ["__background__", *(f"object {i}" for i in range(OBJECTS))],
        "rel_classes": ["__background__", *(f"predicate {i}" for i in range(PREDICATES))],
        "att_classes": ["__background__"],
    }


def make_config(folder: str, predictor: str, *options):
    """Published sizes, with a bank of random phrases."""
    path = os.path.join(folder, "bank.npz")
    if not os.path.exists(path):
        names, rng = made_up_statistics(), np.random.default_rng(0)
        arrays = {
            "sp": rng.normal(size=(OBJECTS, PREDICATES, WIDTH)),
            "po": rng.normal(size=(PREDICATES, OBJECTS, WIDTH)),
        }
        PhraseBank(names["obj_classes"][1:], names["rel_classes"][1:], {}, arrays).save(path)
    settings = [HEAD + "PREDICTOR", predictor, HEAD + "WORD_EMBEDDING", "random", "MODEL.LANGUAGE.BANK_FILE", path]
    return load_config(str(CONFIG), [*settings, "MODEL.DEVICE", "cpu", *options])


# -- time ------------------------------------------------------------------------------------------------------------
def make_targets(images: int, objects: int) -> list[BoxList]:
    """Images of 1000 x 600 pixels in which one pair in ten has a relation."""
    targets = []
    for _ in range(images):
        corners = torch.rand(objects, 2) * torch.tensor([700.0, 400.0])
        target = BoxList(torch.cat([corners, corners + 20 + 180 * torch.rand(objects, 2)], dim=1), (1000, 600))
        target.add_field("labels", torch.randint(1, OBJECTS + 1, (objects,)))
        relation = torch.randint(1, PREDICATES + 1, (objects, objects)) * (torch.rand(objects, objects) < 0.1)
        target.add_field("relation", relation.fill_diagonal_(0), is_triplet=True)
        targets.append(target)
    return targets


def head_jobs(config, images: int, objects: int) -> tuple[Callable, Callable]:
    """A training step without the optimizer's, and an inference, of the relation head on feature maps."""
    head = build_roi_relation_head(config, 256)
    maps = [torch.randn(images, 256, 600 // stride, 1000 // stride) for stride in (4, 8, 16, 32)]
    targets = make_targets(images, objects)

    def train() -> None:
        head.train().zero_grad()
        _, _, losses = head(maps, [target.copy_with_fields(["labels"]) for target in targets], targets)
        torch.stack(list(losses.values())).sum().backward()

    @torch.no_grad()
    def infer() -> None:
        head.eval()(maps, [target.copy_with_fields(["labels"]) for target in targets])

    return train, infer


def processor_seconds(job: Callable) -> float:
    """Time of the processor, over all threads: unlike that of the clock, it hardly depends on what else is running."""
    start = time.process_time()
    job()
    return time.process_time() - start


def measure_step(folder: str, images: int, objects: int, repeats: int) -> dict[str, float]:
    with use_statistics(made_up_statistics()):
        jobs = {
            name: head_jobs(make_config(folder, name), images, objects)
            for name in ("MotifPredictor", "RelCLIPPredictor")
        }
    seconds = {(name, kind): [] for name in jobs for kind in (0, 1)}
    for _ in range(repeats + 1):
        for name, kind in seconds:
            seconds[name, kind].append(processor_seconds(jobs[name][kind]))
    best = {key: min(values[1:]) for key, values in seconds.items()}
    for (name, kind), value in best.items():
        print(f"  {name:18} {'inference' if kind else 'training step'}: {value:.2f} s for {images} images")
    return {
        "training step, of a Motifs step": best["RelCLIPPredictor", 0] / best["MotifPredictor", 0],
        "inference, of Motifs": best["RelCLIPPredictor", 1] / best["MotifPredictor", 1],
    }


# -- memory ----------------------------------------------------------------------------------------------------------
def peak_memory(job: Callable) -> float:
    """Most that a job has allocated at a time, in MB, kernels' temporaries included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        job()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        profiler.export_chrome_trace(path)
        with open(path) as file:
            events = json.load(file)["traceEvents"]
    changes = [(event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]"]
    return float(np.cumsum([size for _, size in sorted(changes)]).max()) / 1e6


def measure_memory(folder: str, images: int = 12, objects: int = 33, positives: int = 80) -> dict[str, float]:
    """Peak of a predictor's training step and its gradients, RelCLIP less Motifs, and its phrases on top."""
    targets = make_targets(images, objects)
    pairs = (~torch.eye(objects, dtype=torch.bool)).nonzero()
    labels = torch.randint(1, PREDICATES + 1, (len(pairs),)) * (torch.arange(len(pairs)) < positives)
    peaks, phrases = [], 0.0
    for name in ("MotifPredictor", "RelCLIPPredictor"):
        with use_statistics(made_up_statistics()):
            model = make_roi_relation_predictor(make_config(folder, name), 4096).train()
        if name == "RelCLIPPredictor":
            phrases = sum(table.numel() * table.element_size() for table in model.relclip.targets.buffers()) / 1e6
        roi, union = (torch.randn(images * n, 4096, requires_grad=True) for n in (objects, len(pairs)))

        def job(model=model, roi=roi, union=union) -> None:
            _, logits, losses = model(targets, [pairs] * images, [labels] * images, None, roi, union)
            (torch.cat(list(logits)).logsumexp(dim=1).mean() + sum(losses.values())).backward()

        job()  # parameters get their gradients
        roi.grad = union.grad = None
        peaks.append(peak_memory(job))
    without, with_text = peaks
    print(
        f"  {images} images of {len(pairs)} pairs, {positives} with a predicate: {with_text:.0f} MB with text, "
        f"{without:.0f} MB without, phrases {phrases:.0f} MB"
    )
    return {"memory of the text branch, MB": with_text - without + phrases}


# -- phrase bank -----------------------------------------------------------------------------------------------------
def measure_bank(folder: str) -> dict[str, float]:
    """Seconds for a vocabulary of mostly two words a name (VG-150's have one), with the default templates."""
    from clip.model import CLIP

    path = os.path.join(folder, "clip.pt")
    torch.save(CLIP(WIDTH, 32, 1, 64, 32, 77, 49408, 512, 8, 12).state_dict(), path)
    nouns = ("man", "dog", "street", "car", "table", "shirt", "window", "plate", "giraffe", "umbrella")
    kinds = (
        "",
        "s",
        " box",
        " top",
        " part",
        " side",
        " sign",
        " park",
        " ball",
        " hand",
        " wheel",
        " leg",
        " shop",
        " bag",
        "y",
    )
    verbs = ("riding", "wearing", "holding", "carrying", "eating", "using", "watching", "covering", "playing", "above")
    objects = [noun + kind for kind in kinds for noun in nouns]
    predicates = [verb + place for place in ("", " on", " in", " at", " in front of") for verb in verbs]
    node = language_node()
    cache = EmbeddingCache(EncoderSpec("clip", path), os.path.join(folder, "cache"), torch.device("cpu"))
    start = time.process_time()
    bank = PhraseBank.build(cache, objects, predicates, {"sp": node.TEMPLATES.SP, "po": node.TEMPLATES.PO})
    seconds = time.process_time() - start
    print(
        f"  {len(bank.objects)} objects, {len(bank.predicates)} predicates, {len(node.TEMPLATES.SP)} templates a level"
    )
    return {"phrase bank, s": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["step", "memory", "bank", []], help="default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=1, help="of a training step and an inference")
    parser.add_argument("--objects", type=int, default=33, help="of an image; 33 have 1056 pairs")
    parser.add_argument("--repeats", type=int, default=3, help="steps of which the fastest counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        parts = args.parts or ["step", "memory", "bank"]
        if "step" in parts:
            found.update(measure_step(folder, args.images, args.objects, args.repeats))
        if "memory" in parts:
            found.update(measure_memory(folder))
        if "bank" in parts:
            found.update(measure_bank(folder))
    for name, value in found.items():
        print(f"{name}: {value:.2f} (limit {LIMITS[name]:g})")
    return int(any(value > LIMITS[name] for name, value in found.items()))


if __name__ == "__main__":
    run(main)
