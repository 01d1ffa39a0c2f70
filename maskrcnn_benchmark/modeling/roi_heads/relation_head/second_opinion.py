"""CLIP's image tower as a second opinion on the predicates of the likeliest pairs, in evaluation, for any predictor.

The part of the image that shows a pair is embedded as c and compared with the phrases of the two levels (equation 8 of
docs/method.md):

    logit'[p] = logit[p] + WEIGHT * tau_CLIP (c . T_sp[s, p] + c . T_po[p, o]) / 2 + const        p = 1..R

which multiplies the model's distribution over predicates with CLIP's to the power of the weight. The constant keeps the
sum over predicates: CLIP chooses among them, and whether there is a relation at all is the model's alone.

Shapes: n objects and m pairs of an image, R predicates with background, S pixels a side of what the tower takes.
"""

import math

import torch
from torch import Tensor

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.modeling.language.crops import CropRule, crop_boxes, union_boxes
from maskrcnn_benchmark.modeling.language.image_encoder import ImageEncoder, load_image_encoder
from maskrcnn_benchmark.modeling.language.phrase_bank import encoder_spec, phrase_tables
from maskrcnn_benchmark.modeling.language.similarity import alignment
from maskrcnn_benchmark.utils.errors import InputError

KEY = "MODEL.ROI_RELATION_HEAD.SECOND_OPINION"
AT_ONCE = 256  # pictures that the tower sees together


class SecondOpinion:
    """Weights predicates by what CLIP's image tower sees. No nn.Module, so that the tower is in no checkpoint.

    Args:
        encoder: CLIP's image tower.
        tables: phrases [O, R, d] of the levels sp and po.
        config_input: the node INPUT, which says how pixels became the tensors that the detector gets.
        weight: exponent of CLIP's distribution.
        max_pairs: so many pairs of an image are looked at, those with the highest scores.
        rule: how a pair's box becomes a picture.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        tables: dict[str, Tensor],
        config_input,
        weight: float,
        max_pairs: int,
        rule: CropRule,
    ):
        self.encoder, self.tables = encoder, {level: table.to(encoder.device) for level, table in tables.items()}
        self.pixel_mean, self.pixel_std = tuple(config_input.PIXEL_MEAN), tuple(config_input.PIXEL_STD)
        self.bgr = config_input.TO_BGR255
        self.weight, self.max_pairs, self.rule = weight, max_pairs, rule

    def prediction_inputs(self) -> dict[str, object]:
        """What a prediction depends on besides the configuration; see `engine.prediction_cache`."""
        encoder = self.encoder
        phrases = {f"phrases {level}": table for level, table in self.tables.items()}
        tower = {f"tower {name}": value for name, value in encoder.tower.state_dict().items()}
        return phrases | tower | {"scale": encoder.scale, "colours": [encoder.mean, encoder.std]}

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
        crops, of_row = torch.unique(ends.sort(dim=1).values, dim=0, return_inverse=True)
        seen = self.embed(image, size, union_boxes(boxes[crops[:, 0]], boxes[crops[:, 1]]))[of_row]
        device = self.encoder.device
        cosine = alignment(
            dict.fromkeys(self.tables, seen), self.tables, labels[ends].to(device), len(self.tables["sp"])
        )
        before = logits[rows, 1:].float()
        after = before + self.weight * self.encoder.scale * cosine[:, 1:].to(before.device)
        after = after + (before.logsumexp(dim=1) - after.logsumexp(dim=1))[:, None]
        foreground = torch.arange(1, logits.shape[1], device=logits.device)
        return logits.float().index_put((rows[:, None], foreground), after)

    def embed(self, image: Tensor, size: tuple[int, int], boxes: Tensor) -> Tensor:
        """Unit vectors, float32 [k, d] on the tower's device, of boxes [k, 4] of an image."""
        pixels = self.as_clip_takes_it(image.to(self.encoder.device))[None]
        parts = [
            self.encoder.embed(
                crop_boxes(pixels, [size], part.new_zeros(len(part)).long(), part, self.encoder.resolution, self.rule)
            )
            for part in boxes.to(pixels).split(AT_ONCE)
        ]
        return torch.cat(parts)

    def as_clip_takes_it(self, image: Tensor) -> Tensor:
        """RGB, with CLIP's mean and deviation instead of the detector's; [3, H, W]."""

        def column(values) -> Tensor:
            return torch.tensor(values, device=image.device).view(3, 1, 1)

        pixels = image.float() * column(self.pixel_std) + column(self.pixel_mean)
        if self.bgr:
            pixels = pixels.flip(0) / 255
        return (pixels - column(self.encoder.mean)) / column(self.encoder.std)


def make_second_opinion(cfg, encoder: ImageEncoder | None = None) -> SecondOpinion | None:
    """The second opinion that a configuration asks for; None where its weight is 0.

    Args:
        encoder: the configured CLIP's image tower, where it is loaded already.

    Raises:
        InputError: a value that a key cannot have. LanguageError: a CLIP that cannot be loaded.
    """
    node = cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION
    if not 0 <= node.WEIGHT < math.inf or node.PAIRS < 1:
        raise InputError(
            f"{KEY}.WEIGHT is {node.WEIGHT} and {KEY}.PAIRS {node.PAIRS}; the weight must be 0 or more and finite, "
            f"the pairs 1 or more"
        )
    rule = CropRule(node.MARGIN, node.FIT)
    rule.check(f"{KEY}.MARGIN", f"{KEY}.FIT")
    if node.WEIGHT == 0:
        return None
    if cfg.MODEL.LANGUAGE.BANK_FILE:
        raise InputError(
            f"{KEY}.WEIGHT asks a CLIP for both of its towers, and MODEL.LANGUAGE.BANK_FILE has phrases of an unknown "
            f"encoder; leave one of them out"
        )
    statistics = get_dataset_statistics(cfg)
    predicates = list(scored_predicates(cfg)) or list(statistics["rel_classes"])[1:]
    tables = phrase_tables(cfg, list(statistics["obj_classes"])[1:], predicates)
    encoder = encoder or load_image_encoder(encoder_spec(cfg.MODEL.LANGUAGE), torch.device(cfg.MODEL.DEVICE))
    return SecondOpinion(encoder, tables, cfg.INPUT, node.WEIGHT, node.PAIRS, rule)
