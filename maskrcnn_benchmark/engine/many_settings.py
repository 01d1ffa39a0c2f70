"""Tests a relation model under many settings of what comes after its predictor, in one pass over the images.

A setting is a name and options (KEY VALUE ...) of `CHANGEABLE`. Backbone, features and predictor run once per image and
always score every pair; then each setting adjusts the logits, asks its second opinion and is evaluated by itself, as
`relation_test_net.py` does with the same options.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.data import get_dataset_statistics, make_data_loader, use_statistics
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import VGEvaluator
from maskrcnn_benchmark.data.scored_predicates import Renumbering, scored_predicates
from maskrcnn_benchmark.modeling.language.image_encoder import ImageEncoder
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing import make_test_adjustment
from maskrcnn_benchmark.modeling.roi_heads.relation_head.inference import make_roi_relation_post_processor
from maskrcnn_benchmark.modeling.roi_heads.relation_head.pair_crops import PairCrops
from maskrcnn_benchmark.modeling.roi_heads.relation_head.second_opinion import asks_clip, make_crops
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.comm import is_main_process, synchronize
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import read_json
from maskrcnn_benchmark.utils.miscellaneous import save_config

from .evaluate import iou_types_of, same_buffers, tested_data_sets
from .inference import compute_on_dataset

HEAD = "MODEL.ROI_RELATION_HEAD."
# What a setting may change; of RELCLIP only where CLIP's adapted image side joins the predictor after its logits.
CHANGEABLE = (
    HEAD + "SECOND_OPINION.WEIGHT", HEAD + "SECOND_OPINION.PAIRS", HEAD + "SECOND_OPINION.FIT",
    HEAD + "SECOND_OPINION.MARGIN", HEAD + "DEBIASING.LOGIT_ADJUSTMENT_TEST", HEAD + "RELCLIP.ADAPTER",
    HEAD + "RELCLIP.ALIGNMENT_WEIGHT", HEAD + "RELCLIP.SHRINKAGE",
)  # fmt: skip
_ADAPTER = HEAD + "RELCLIP."


@dataclass
class Setting:
    """A configuration that differs from that of a trained model in `CHANGEABLE` alone, by name."""

    name: str
    cfg: Any


def read_settings(path: str | os.PathLike, cfg) -> list[Setting]:
    """The settings of a file: {name: [KEY, VALUE, ...]}.

    Args:
        cfg: of the trained model.

    Raises:
        InputError: no such file, or nothing like that in it.
    """
    return make_settings(read_json(path, json_schemas.TestSettings, "settings"), cfg)


def make_settings(settings: Mapping[str, Sequence[Any]], cfg) -> list[Setting]:
    """Settings from names and options.

    Raises:
        InputError: a name that no folder can have, a key that is not of `CHANGEABLE`, or a value of another type.
    """
    made = []
    for name, options in settings.items():
        if not re.fullmatch(r"\w[\w .,+=-]*", name) or name == "inference":
            raise InputError(
                f"setting {name!r}: its name becomes a folder; start with a letter or digit, go on with these and "
                f"blanks, dots, commas, +, = and -, and do not call it inference"
            )
        for key in options[::2]:
            if key not in CHANGEABLE:
                raise InputError(
                    f"setting {name!r} changes {key}, which decides more than what comes after the predictor; settings "
                    f"can change {', '.join(CHANGEABLE)}: test others with relation_test_net.py"
                )
            if key.startswith(_ADAPTER) and cfg.MODEL.ROI_RELATION_HEAD.RELCLIP.get("VISION") != "clip":
                raise InputError(
                    f"setting {name!r} changes {key}, which decides the predictor's own logits unless "
                    f"{_ADAPTER}VISION is clip: test it with relation_test_net.py"
                )
        changed = cfg.clone()
        changed.defrost()
        try:
            changed.merge_from_list(list(options))
        except InputError as error:
            raise InputError(f"setting {name!r}: {error}") from error
        changed.freeze()
        made.append(Setting(name, changed))
    return made


class ByName(dict[str, BoxList]):
    """The predictions of one image by the name of the setting."""

    def to(self, device: torch.device | str) -> ByName:
        return ByName((name, boxes.to(device)) for name, boxes in self.items())


class AllSettings(nn.Module):
    """A post-processor that gives `ByName` for each image: takes logits that no setting has adjusted yet.

    Args:
        settings: what to make of them.
    """

    def __init__(self, settings: Sequence[Setting]):
        super().__init__()
        self.names = [setting.name for setting in settings]
        adjustments = [make_test_adjustment(setting.cfg) for setting in settings]
        self.adjustments = nn.ModuleList(adjustment or nn.Identity() for adjustment in adjustments)
        self.second_opinion = None  # each setting has its own; the head asks
        self.crops: dict[tuple, SharedCrops] = {}  # by what decides a crop
        encoder: ImageEncoder | None = None
        processors = []
        for setting in settings:
            node = setting.cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION
            crops = None
            if asks_clip(setting.cfg):
                rule = node.MARGIN, node.FIT, node.CROP_CACHE
                if rule not in self.crops:
                    self.crops[rule] = SharedCrops(make_crops(setting.cfg, encoder=encoder))
                crops = self.crops[rule]
                encoder = crops.encoder
            processors.append(make_roi_relation_post_processor(setting.cfg, crops))
        self.post_processors = nn.ModuleList(processors)

    def forward(
        self,
        x: tuple[Sequence[Tensor], Sequence[Tensor]],
        rel_pair_idxs: Sequence[Tensor],
        boxes: Sequence[BoxList],
        images: Tensor | None = None,
    ) -> list[ByName]:
        """As `PostProcessor`, with every setting."""
        for crops in self.crops.values():
            crops.forget()
        rel_logits, obj_logits = x
        found = []
        for adjust, process in zip(self.adjustments, self.post_processors, strict=True):
            found.append(process(([adjust(part) for part in rel_logits], obj_logits), rel_pair_idxs, boxes, images))
        return [ByName(zip(self.names, of_image, strict=True)) for of_image in zip(*found, strict=True)]


class SharedCrops(PairCrops):
    """Embeds each box of a batch's images once, however many settings ask for it.

    Args:
        crops: embeds them.
    """

    def __init__(self, crops: PairCrops):
        self.encoder, self.crops = crops.encoder, crops
        self.known: dict[tuple, Tensor] = {}

    def forget(self) -> None:
        """The next images are others."""
        self.known = {}

    def embed(self, image: Tensor, size: tuple[int, int], boxes: Tensor) -> Tensor:
        keys = [(image.data_ptr(), *box) for box in boxes.tolist()]
        new = [row for row, key in enumerate(keys) if key not in self.known]
        if new:
            embedded = self.crops.embed(image, size, boxes[new])
            self.known.update((keys[row], vector) for row, vector in zip(new, embedded, strict=True))
        return torch.stack([self.known[key] for key in keys])


def evaluate_settings(
    cfg,
    model: nn.Module,
    settings: Sequence[Setting],
    distributed: bool,
    logger: logging.Logger,
    split: str | None = None,
) -> dict[str, dict[str, float]]:
    """Test a model under many settings; each one's results go to OUTPUT_DIR/<name>/inference/<data set>.

    They are what `relation_test_net.py` writes there, `cost.json` aside: a setting's own cost is not measured.

    Args:
        cfg: of the model.
        model: a trained relation model. What its relation head did after the predictor is replaced.
        split: as in `run_test`.

    Returns:
        {name: {data set: R@100}}; {name: {}} on other processes than the main one.

    Raises:
        InputError: what a test with the options of a setting raises; predictions are to be saved, or are not evaluated.
    """
    for key in ("SAVE_PROPOSALS", "CUSTUM_EVAL"):
        if cfg.TEST[key]:
            raise InputError(
                f"TEST.{key} is on, and predictions of many settings are not kept; use relation_test_net.py"
            )
    if not cfg.OUTPUT_DIR:
        raise InputError("OUTPUT_DIR is empty; the results of every setting need a folder")
    split, names = tested_data_sets(cfg, split)
    head = model.roi_heads["relation"]
    with use_statistics(get_dataset_statistics(cfg)):
        head.post_processor = AllSettings(settings).to(cfg.MODEL.DEVICE)
    head.test_adjustment, head.first_triplets = None, 0
    same_buffers(model)
    values: dict[str, dict[str, float]] = {setting.name: {} for setting in settings}
    loaders = make_data_loader(cfg, mode="test", is_distributed=distributed, dataset_to_test=split)
    for dataset_name, loader in zip(names, loaders, strict=True):
        logger.info("Testing %d settings on %s (%d images).", len(settings), dataset_name, len(loader.dataset))
        found = _test_data_set(cfg, model, settings, loader, dataset_name, logger)
        for name, value in found.items():
            values[name][dataset_name] = value
    return values


def _test_data_set(cfg, model, settings, loader, dataset_name: str, logger) -> dict[str, float]:
    """R@100 of every setting on the main process, {} on others; writes the results."""
    stream = compute_on_dataset(model, loader, cfg.MODEL.DEVICE, cfg.TEST.RELATION.SYNC_GATHER, dtype=cfg.DTYPE)
    dataset, values = loader.dataset, {}
    if not is_main_process():
        for _ in stream:
            pass  # takes its share of the work; the main process gets the predictions
        synchronize()
        return values
    evaluators = {setting.name: VGEvaluator(setting.cfg, dataset, iou_types_of(cfg)) for setting in settings}
    names = scored_predicates(cfg)
    renumber = Renumbering(names, dataset.ind_to_predicates) if names else lambda prediction: prediction
    count = 0
    for index, predictions in stream:
        count += 1
        for name, prediction in predictions.items():
            evaluators[name].update(index, renumber(prediction))
    if count != len(dataset):
        raise RuntimeError(f"{count} of {len(dataset)} images were predicted; the rest is missing from the data loader")
    for setting in settings:
        evaluator = evaluators[setting.name]
        evaluator.compute()
        logger.info("setting %s%s", setting.name, evaluator.text())
        folder = os.path.join(cfg.OUTPUT_DIR, setting.name, "inference", dataset_name)
        evaluator.save(folder, dataset_name)
        save_config(setting.cfg, os.path.join(folder, "config.yml"))
        values[setting.name] = evaluator.value()
    synchronize()
    return values
