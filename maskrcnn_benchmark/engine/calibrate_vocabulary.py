"""Brings predicates that training never showed onto the scale of those that it did (language/vocabulary.py).

The training's predicates are held out in turn, a fold of them at a time: their pairs count as background, as pairs
without annotation do, their phrases leave the dictionary of RCL, and new projections into the space of phrases are
trained from scratch on what the trained base makes of the pairs. What these say of the predicates of the fold, on
training images that they were not trained on, is what the model would say of predicates that nobody showed it.

Shapes: N pairs, n objects, R predicates (background included), G folds.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.data import get_dataset_statistics, make_data_loader
from maskrcnn_benchmark.modeling.language.vocabulary import (
    Calibration,
    HeldOut,
    fit_calibration,
    name_similarity,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.embedding import Pairs
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.predictor import NEVER, RelCLIP, Truth
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.json_files import read_json

from .scene_predictor import Trained, for_task

FOLDS = 4
LEARNING_RATE, STEPS, BATCH = 1e-3, 600, 256  # of the projections of a fold
FOREGROUND = 0.25  # of a batch, as in the samplers of the relation head


class SeenPairs(NamedTuple):
    """What the base makes of all pairs of some images.

    Attributes:
        pairs: see `Pairs`.
        base: its logits, [N, R].
        truth: predicates, int64 [N], 0 for none.
        image: number of each pair's image, int64 [N].
    """

    pairs: Pairs
    base: Tensor
    truth: Tensor
    image: Tensor


def calibrate_vocabulary(trained: Trained, max_images: int, steps: int = STEPS) -> Calibration:
    """Slope, offset and width for a model, from training images with their boxes and classes given (PredCls).

    Args:
        trained: a RelCLIP model; DATASETS of its configuration must be there.
        max_images: of DATASETS.TRAIN, from the first on.
        steps: of training of the projections of a fold.

    Raises:
        InputError: another model, or no data.
    """
    head = trained.model.roi_heads["relation"] if trained.cfg.MODEL.RELATION_ON else None
    if getattr(getattr(head, "predictor", None), "relclip", None) is None:
        raise InputError("only a RelCLIP model with alignment has a vocabulary to calibrate")
    counts = torch.as_tensor(get_dataset_statistics(trained.cfg)["fg_matrix"]).sum(dim=(0, 1))
    unseen = [name for name, count in zip(trained.predicates[1:], counts[1:].tolist(), strict=True) if count == 0]
    model = for_task(trained, "predcls")
    relclip = model.roi_heads["relation"].predictor.relclip
    seen = _look(model, trained, max_images)
    device = seen.base.device
    parts = [
        _scores_without(relclip, seen, fold, number, steps)
        for number, fold in enumerate(_folds(torch.bincount(seen.truth, minlength=len(counts))))
    ]
    tables = relclip.targets()
    similarity = name_similarity(tables, tables).to(device)
    return fit_calibration(parts, similarity, unseen, trained.predicates[1:])


def _look(model: nn.Module, trained: Trained, max_images: int) -> SeenPairs:
    """The pairs of training images, as the trained base sees them."""
    predictor, device = model.roi_heads["relation"].predictor, trained.cfg.MODEL.DEVICE
    cfg = trained.cfg.clone()
    cfg.defrost()
    cfg.TEST.IMS_PER_BATCH = 1  # so that it is certain whose pairs the head asks for, in an order of its own
    cfg.freeze()
    heard: list[tuple[Tensor, Pairs]] = []
    truth, image, targets = [], [], []

    def of_relclip(module, inputs, output) -> None:
        heard.append(inputs[:2])

    def of_predictor(module, inputs, output) -> None:
        relation = targets[-1].get_field("relation").long()
        for pairs in inputs[1]:
            truth.append(relation[pairs[:, 0], pairs[:, 1]])
            image.append(truth[-1].new_full((len(pairs),), len(targets) - 1))

    handles = [predictor.relclip.register_forward_hook(of_relclip), predictor.register_forward_hook(of_predictor)]
    with torch.no_grad():
        for images, (target,), _ in make_data_loader(cfg, mode="test", dataset_to_test="train")[0]:
            targets.append(target.to(device))
            model(images.to(device), targets[-1:])
            if len(targets) >= max_images:
                break
    for handle in handles:
        handle.remove()
    first, ends = 0, []
    for _, pairs in heard:
        ends.append(pairs.ends + first)
        first += len(pairs.subject_rep)
    if not heard:
        raise InputError(f"{trained.cfg.DATASETS.TRAIN} has no image with boxes, so nothing to calibrate on")
    pairs = Pairs(
        *(torch.cat([getattr(one, name) for _, one in heard]) for name in ("visual", "subject_rep", "object_rep")),
        torch.cat(ends),
        torch.cat([one.labels for _, one in heard]),
    )
    return SeenPairs(pairs, torch.cat([base for base, _ in heard]), torch.cat(truth), torch.cat(image))


def _folds(counts: Tensor) -> list[Tensor]:
    """Predicates that occur, int64, dealt into folds from the most frequent to the rarest."""
    order = counts[1:].argsort(descending=True, stable=True) + 1
    order = order[counts[order] > 0]
    return [order[fold::FOLDS] for fold in range(min(FOLDS, len(order)))]


def _scores_without(relclip: RelCLIP, seen: SeenPairs, held_out: Tensor, number: int, steps: int) -> HeldOut:
    """What a head says of part `number` of the images that was trained on the others, without some predicates.

    Of the base a class is left out by counting its probability as background's, which is what a classifier learns whose
    training has its pairs without annotation.
    """
    base = seen.base.clone()
    base[:, 0] = torch.cat([base[:, :1], base[:, held_out]], dim=1).logsumexp(dim=1)
    base[:, held_out] = NEVER
    truth = seen.truth.masked_fill(torch.isin(seen.truth, held_out), 0)
    head = _fresh(relclip, held_out)
    training = seen.image % FOLDS != number
    _train(head, seen._replace(base=base, truth=truth), training, number, steps)
    rows = (~training).nonzero()[:, 0]
    with torch.no_grad():
        pairs = _take(seen.pairs, rows)
        aligned = head.aligned(head.embedding(pairs), head.targets(), pairs)
    return HeldOut(base[rows] + aligned, aligned, seen.truth[rows], held_out)


def _fresh(relclip: RelCLIP, held_out: Tensor) -> RelCLIP:
    """The same head before training, which will not hear of some predicates."""
    head = copy.deepcopy(relclip)
    for module in head.embedding.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    nn.init.constant_(head.logit_scale, math.log(head.config.MODEL.ROI_RELATION_HEAD.RELCLIP.SCALE_INIT))
    for loss in head.rcl.values():
        loss.dictionary = loss.dictionary[~torch.isin(loss.dictionary[:, -1], held_out.to(loss.dictionary.device))]
    never = torch.zeros(len(head.predicates) + 1, dtype=torch.bool, device=held_out.device)
    if head.unseen is not None:
        never |= head.unseen.to(never.device)
    head.unseen = never.index_fill(0, held_out, True)
    return head


def _train(head: RelCLIP, seen: SeenPairs, rows: Tensor, seed: int, steps: int) -> None:
    """Train the projections on the pairs of `rows`, bool [N], with a quarter of them related in each batch."""
    generator = torch.Generator().manual_seed(seed)
    kinds = [(rows & related).nonzero()[:, 0].cpu() for related in (seen.truth > 0, seen.truth == 0)]
    sizes = [round(BATCH * FOREGROUND), BATCH - round(BATCH * FOREGROUND)]
    optimizer = torch.optim.AdamW([*head.embedding.parameters(), head.logit_scale], lr=LEARNING_RATE)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    head.train()
    for _ in range(steps):
        chosen = torch.cat(
            [
                kind[torch.randint(len(kind), (size,), generator=generator)]
                for kind, size in zip(kinds, sizes, strict=True)
                if len(kind)
            ]
        ).to(rows.device)
        pairs = _take(seen.pairs, chosen)
        triplets = torch.cat([pairs.labels, seen.truth[chosen][:, None]], dim=1)
        related = (triplets > 0).all(dim=1).nonzero()[:, 0]
        logits, losses = head(seen.base[chosen], pairs, Truth(related, triplets[related]))
        loss = F.cross_entropy(logits, triplets[:, 2]) + sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    head.eval()


def _take(pairs: Pairs, rows: Tensor) -> Pairs:
    """Some of the pairs, with their objects alone."""
    objects, ends = pairs.ends[rows].unique(return_inverse=True)
    return Pairs(pairs.visual[rows], pairs.subject_rep[objects], pairs.object_rep[objects], ends, pairs.labels[rows])


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write what `read_calibration` reads."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({**calibration._asdict(), "unseen": list(calibration.unseen)}, indent=1))


def read_calibration(path: Path) -> Calibration:
    """The calibration in a json file.

    Raises:
        InputError: something else in it.
    """
    found = read_json(path, json_schemas.Calibration, "calibration")
    return Calibration(found["slope"], found["offset"], found["width"], tuple(found["unseen"]))
