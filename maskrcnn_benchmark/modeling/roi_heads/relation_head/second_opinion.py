"""CLIP's image side as a second opinion on the predicates of the likeliest pairs, in evaluation, for any predictor.

The part of the image that shows a pair is embedded as c and compared with the phrases of the two levels, as it is
(equation 8 of docs/method.md) or adapted to relations by RCL (equation 9):

    logit'[p] = logit[p] + WEIGHT * tau_CLIP (c . T_sp[s, p] + c . T_po[p, o]) / 2 + const        p = 1..R

which multiplies the model's distribution over predicates with CLIP's to the power of the weight. The constant keeps the
sum over predicates: CLIP chooses among them, and whether there is a relation at all is the model's alone.

Shapes: n objects and m pairs of an image, O object classes and R predicates with background, d width of CLIP's
embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.modeling.language.crops import CropRule, union_boxes
from maskrcnn_benchmark.modeling.language.image_encoder import ImageEncoder, load_image_encoder
from maskrcnn_benchmark.modeling.language.phrase_bank import encoder_spec, phrase_tables
from maskrcnn_benchmark.modeling.language.similarity import alignment
from maskrcnn_benchmark.utils.errors import InputError

from .adapted_clip import AdaptedClip, joins_adapter
from .pair_crops import PairCrops
from .relclip.clip_adapter import pair_geometry

KEY = "MODEL.ROI_RELATION_HEAD.SECOND_OPINION"


class Opinion(Protocol):
    """What CLIP says of the predicates of pairs, from their crops."""

    def __call__(self, seen: Tensor, geometry: Tensor, labels: Tensor) -> Tensor:
        """What is added to the logits, [m, R].

        Args:
            seen: unit vectors of the crops [m, d].
            geometry: of the boxes [m, g].
            labels: int64 [m, 2], classes of subject and object.
        """

    def set_tables(self, tables: dict[str, Tensor]) -> None:
        """Give other phrases [O, R, d] of the levels sp and po."""

    def prediction_inputs(self) -> dict[str, object]:
        """What a prediction depends on besides the configuration; see `engine.prediction_cache`."""


class RawClip:
    """CLIP as it is.

    Args:
        tables: phrases [O, R, d] of the levels sp and po.
        weight: exponent of its distribution.
        scale: the one that CLIP learnt.
        device: of the tower.
    """

    def __init__(self, tables: dict[str, Tensor], weight: float, scale: float, device: torch.device):
        self.weight, self.scale, self.device = weight, scale, device
        self.set_tables(tables)

    def set_tables(self, tables: dict[str, Tensor]) -> None:
        self.tables = {level: table.to(self.device) for level, table in tables.items()}

    def __call__(self, seen: Tensor, geometry: Tensor, labels: Tensor) -> Tensor:
        cosine = alignment(dict.fromkeys(self.tables, seen), self.tables, labels, len(self.tables["sp"]))
        return self.weight * self.scale * cosine

    def prediction_inputs(self) -> dict[str, object]:
        return {f"phrases {level}": table for level, table in self.tables.items()}


class SecondOpinion:
    """Weights predicates by what CLIP's image tower sees.

    Args:
        crops: embeds pairs.
        opinions: what is made of the embeddings, added up.
        max_pairs: so many pairs of an image are looked at, those with the highest scores.
    """

    def __init__(self, crops: PairCrops, opinions: Sequence[Opinion], max_pairs: int):
        self.crops, self.opinions, self.max_pairs = crops, opinions, max_pairs

    def set_tables(self, tables: dict[str, Tensor]) -> None:
        """Compare with other phrases [O, R, d] of the levels sp and po."""
        for opinion in self.opinions:
            opinion.set_tables(tables)

    def prediction_inputs(self) -> dict[str, object]:
        """What a prediction depends on besides the configuration; see `engine.prediction_cache`."""
        encoder = self.crops.encoder
        found = {f"tower {name}": value for name, value in encoder.tower.state_dict().items()}
        found |= {"scale": encoder.scale, "colours": [encoder.mean, encoder.std]}
        for number, opinion in enumerate(self.opinions):
            found |= {f"opinion {number} {name}": value for name, value in opinion.prediction_inputs().items()}
        return found

    @torch.no_grad()
    def __call__(
        self,
        logits: Tensor,
        image: Tensor,
        size: tuple[int, int],
        boxes: Tensor,
        labels: Tensor,
        pairs: Tensor,
        scores: Tensor,
    ) -> Tensor:
        """Logits [m, R] with CLIP's opinion on the likeliest pairs.

        Args:
            logits: of the predicates [m, R].
            image: as the detector takes it, [3, H, W], padded to the right and below.
            size: its width and height without the padding.
            boxes: of the objects in its pixels, [n, 4].
            labels: their classes, int64 [n].
            pairs: int64 [m, 2].
            scores: of the triplets [m].
        """
        rows = scores.topk(min(len(scores), self.max_pairs)).indices
        ends = pairs[rows]
        # both orders of two objects have the same picture
        shown, of_row = torch.unique(ends.sort(dim=1).values, dim=0, return_inverse=True)
        device = self.crops.encoder.device
        seen = self.crops.embed(image, size, union_boxes(boxes[shown[:, 0]], boxes[shown[:, 1]]))[of_row.to(device)]
        geometry = pair_geometry(boxes[ends[:, 0]].float(), boxes[ends[:, 1]].float(), size).to(device)
        before = logits[rows, 1:].float()
        after = before
        for opinion in self.opinions:
            after = after + opinion(seen, geometry, labels[ends].to(device))[:, 1:].to(before.device)
        after = after + (before.logsumexp(dim=1) - after.logsumexp(dim=1))[:, None]
        foreground = torch.arange(1, logits.shape[1], device=logits.device)
        return logits.float().index_put((rows[:, None], foreground), after)


def asks_clip(cfg) -> bool:
    """Whether a configuration wants CLIP's image side, as it is or adapted, to be asked about crops."""
    return cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT > 0 or joins_adapter(cfg)


def make_crops(cfg, folder: str | None = None, encoder: ImageEncoder | None = None) -> PairCrops:
    """The image tower that a configuration names, with its rule for crops.

    Args:
        folder: where embeddings are kept; None: SECOND_OPINION.CROP_CACHE.
        encoder: that tower, where it is loaded already.

    Raises:
        LanguageError: a value that a key cannot have, or a CLIP that cannot be loaded.
    """
    node = cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION
    rule = CropRule(node.MARGIN, node.FIT)
    rule.check(f"{KEY}.MARGIN", f"{KEY}.FIT")
    encoder = encoder or load_image_encoder(encoder_spec(cfg.MODEL.LANGUAGE), torch.device(cfg.MODEL.DEVICE))
    return PairCrops(encoder, cfg.INPUT, rule, node.CROP_CACHE if folder is None else folder)


def make_second_opinion(cfg, crops: PairCrops | None = None) -> SecondOpinion | None:
    """The second opinion that a configuration asks for; None where it asks for none.

    Args:
        crops: of a tower that is loaded already.

    Raises:
        InputError: a value that a key cannot have. LanguageError: a CLIP that cannot be loaded.
    """
    node = cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION
    if not 0 <= node.WEIGHT < math.inf or node.PAIRS < 1:
        raise InputError(
            f"{KEY}.WEIGHT is {node.WEIGHT} and {KEY}.PAIRS {node.PAIRS}; the weight must be 0 or more and finite, "
            f"the pairs 1 or more"
        )
    CropRule(node.MARGIN, node.FIT).check(f"{KEY}.MARGIN", f"{KEY}.FIT")
    if not asks_clip(cfg):
        return None
    if node.WEIGHT > 0 and cfg.MODEL.LANGUAGE.BANK_FILE:
        raise InputError(
            f"{KEY}.WEIGHT asks a CLIP for both of its towers, and MODEL.LANGUAGE.BANK_FILE has phrases of an unknown "
            f"encoder; leave one of them out"
        )
    statistics = get_dataset_statistics(cfg)
    objects, known = list(statistics["obj_classes"])[1:], list(statistics["rel_classes"])[1:]
    predicates = list(scored_predicates(cfg)) or known
    tables = phrase_tables(cfg, objects, predicates)
    crops = crops or make_crops(cfg)
    scale, device = crops.encoder.scale, crops.encoder.device
    opinions: list[Opinion] = []
    if node.WEIGHT > 0:
        opinions.append(RawClip(tables, node.WEIGHT, scale, device))
    if joins_adapter(cfg):
        opinions.append(AdaptedClip(cfg, tables, predicates, scale, device))
    return SecondOpinion(crops, opinions, node.PAIRS)
