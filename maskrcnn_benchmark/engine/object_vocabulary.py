"""Object classes chosen at test time: CLIP names boxes, and the model takes them for the trained classes most alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from maskrcnn_benchmark.modeling.language.phrase_bank import embedding_cache
from maskrcnn_benchmark.modeling.language.phrases import spell, with_article
from maskrcnn_benchmark.modeling.roi_heads.relation_head.second_opinion import make_crops
from maskrcnn_benchmark.structures.bounding_box import BoxList

from .given_boxes import Given
from .scene_predictor import Prepared, Trained

TEMPLATES = ("a photo of {}", "a picture of {} in a scene", "{}")


class ObjectVocabulary:
    """Names boxes by what CLIP's image tower sees in them.

    P(name | box) is the softmax of CLIP's scaled cosines between the box and "a photo of a NAME". The model has no
    context, bias or phrases for such a name, so that it takes those of the trained class whose text is most alike.

    Args:
        names: the classes to choose from.
        trained: a relation model; MODEL.LANGUAGE of its configuration says which CLIP.

    Raises:
        LanguageError: no CLIP with an image tower.
    """

    def __init__(self, names: Sequence[str], trained: Trained) -> None:
        cfg = trained.cfg
        self.device = torch.device(cfg.MODEL.DEVICE)
        self.names = list(names)
        cache = embedding_cache(cfg.MODEL.LANGUAGE, self.device)

        def embed(some: Sequence[str]) -> Tensor:
            phrases = [[template.format(with_article(spell(name))) for name in some] for template in TEMPLATES]
            return torch.from_numpy(cache.embed(phrases, "object names")).to(self.device)

        self.text = embed(self.names)  # [K, d]
        self.nearest = (self.text @ embed(trained.classes[1:]).t()).argmax(dim=1).cpu() + 1  # trained class of each
        self.crops = make_crops(cfg)

    def predict(
        self,
        model_for: Callable[[str], torch.nn.Module],
        run: Callable[[torch.nn.Module, Sequence[Prepared]], list[BoxList]],
        task: str,
        batch: Sequence[Prepared],
    ) -> list[BoxList]:
        """Predictions with `pred_labels` from 1 to K.

        Args:
            model_for: the model for a task.
            run: predictions of a model for prepared images, in pixels of the resized images.
            task: `sgdet`, `sgcls` or `predcls`; in the last the given labels are those of these names.
        """
        if task == "sgdet":
            boxes = [found.copy_with_fields(["pred_scores"]) for found in run(model_for("sgdet"), batch)]
        else:
            boxes = [one.target.copy_with_fields([]) for one in batch]
        if task == "predcls":
            numbers = [one.given.labels for one in batch]
            scores = [one.given.scores for one in batch]
        else:
            numbers, scores = self.name(batch, boxes)
        results: list[BoxList | None] = [None] * len(batch)
        filled = []
        for place, (one, found) in enumerate(zip(batch, boxes, strict=True)):
            if len(found) == 0:
                results[place] = _nothing(found)
                continue
            sure = scores[place] if scores[place] is not None else torch.ones(len(found))
            if found.has_field("pred_scores"):  # of the detection: that there is something
                sure = sure * found.get_field("pred_scores")
            target = found.copy_with_fields([])
            target.add_field("labels", self.nearest[numbers[place] - 1])
            target.add_field("attributes", torch.zeros(len(found), 1, dtype=torch.int64))
            filled.append(
                (place, one._replace(target=target, given=Given(found.bbox, target.get_field("labels"), sure)))
            )
        if filled:
            predictions = run(model_for("predcls"), [one for _, one in filled])
            for (place, _), prediction in zip(filled, predictions, strict=True):
                prediction.add_field("pred_labels", numbers[place])
                results[place] = prediction
        return [result for result in results if result is not None]

    def name(self, batch: Sequence[Prepared], boxes: Sequence[BoxList]) -> tuple[list[Tensor], list[Tensor]]:
        """Number from 1 on and probability of the best name of each box, a list over images each."""
        numbers, scores = [], []
        for one, found in zip(batch, boxes, strict=True):
            if len(found) == 0:
                numbers.append(torch.zeros(0, dtype=torch.int64))
                scores.append(torch.zeros(0))
                continue
            with torch.inference_mode():
                seen = self.crops.embed(one.pixels, found.size, found.bbox)
                probabilities = (self.crops.encoder.scale * seen @ self.text.t()).softmax(dim=1).cpu()
            best, number = probabilities.max(dim=1)
            numbers.append(number + 1)
            scores.append(best)
        return numbers, scores


def _nothing(boxes: BoxList) -> BoxList:
    nothing = boxes.copy_with_fields([])
    nothing.add_field("pred_labels", torch.zeros(0, dtype=torch.int64))
    nothing.add_field("pred_scores", torch.zeros(0))
    return nothing
