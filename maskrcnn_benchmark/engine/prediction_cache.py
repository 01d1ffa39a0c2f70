"""Predictions on the disk, used again only where nothing that they depend on has changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator

import torch

from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import KEYS as PROTOCOL_KEYS
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import save_output
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.comm import all_gather, is_main_process
from maskrcnn_benchmark.utils.files import atomic_write

# What changes the evaluation of predictions but not the predictions.
_EVALUATION_ONLY = (
    "PROTOCOL", *PROTOCOL_KEYS, "NOVEL_PREDICATES", "ZERO_SHOT_TRIPLETS", "IOU_THRESHOLD", "MULTIPLE_PREDS",
    "SYNC_GATHER",
)  # fmt: skip


class PredictionCache:
    """SGB's `eval_results.pytorch`: written where TEST.SAVE_PROPOSALS asks for it, read where
    TEST.ALLOW_LOAD_FROM_CACHE allows it and `eval_results.key` says that weights, configuration and data are the same.

    Writing holds all predictions in memory; without TEST.SAVE_PROPOSALS nothing is held or written.
    """

    def __init__(self, cfg, model: torch.nn.Module, dataset, dataset_name: str, folder: str | None):
        self.dataset = dataset
        self.write = bool(folder) and cfg.TEST.SAVE_PROPOSALS and not cfg.TEST.CUSTUM_EVAL
        self.path = os.path.join(folder, "eval_results.pytorch") if folder else ""
        self.key_path = os.path.join(folder, "eval_results.key") if folder else ""
        there = bool(folder) and cfg.TEST.ALLOW_LOAD_FROM_CACHE and os.path.exists(self.path)
        self.read_allowed = there and not cfg.TEST.CUSTUM_EVAL
        # The key costs a pass over all weights, so it is taken only where it is needed.
        needed = is_main_process() and (self.write or self.read_allowed)
        self.key = prediction_key(cfg, model, dataset, dataset_name) if needed else ""

    def usable(self, logger: logging.Logger) -> bool:
        """Whether the predictions on the disk are those that the model would make; the same on all processes."""
        fresh = False
        if self.read_allowed and is_main_process():
            try:
                with open(self.key_path) as stream:
                    fresh = stream.read() == self.key
            except FileNotFoundError:
                pass  # written by SGB, which keeps no key
            logger.info(
                "predictions in %s are %s",
                self.path,
                "used again" if fresh else "of other weights, another configuration or other data, and not used",
            )
        return all_gather(fresh)[0]

    def read(self) -> Iterator[tuple[int, BoxList]]:
        """The predictions on the disk."""
        torch.serialization.add_safe_globals([BoxList])
        yield from enumerate(torch.load(self.path, weights_only=True)["predictions"])

    def keep(self, stream: Iterable[tuple[int, BoxList]]) -> Iterator[tuple[int, BoxList]]:
        """Pass a stream on, and write it at its end where that is asked for."""
        if not (self.write and is_main_process()):
            yield from stream
            return
        kept: dict[int, BoxList] = {}
        for index, prediction in stream:
            info = self.dataset.get_img_info(index)
            kept[index] = prediction.resize((info["width"], info["height"]))
            yield index, prediction
        groundtruths = [self.dataset.get_groundtruth(index, evaluation=True) for index in sorted(kept)]
        if os.path.exists(self.key_path):
            os.remove(self.key_path)  # from here on the old key would stand beside new predictions
        save_output(os.path.dirname(self.path), groundtruths, [kept[index] for index in sorted(kept)], self.dataset)
        with atomic_write(self.key_path) as temporary:
            temporary.write_text(self.key)


def prediction_key(cfg, model: torch.nn.Module, dataset, dataset_name: str) -> str:
    """A digest of all that predictions depend on: weights and buffers, configuration, and the files of the data set.

    Buffers count also where they are in no checkpoint, such as the embeddings of phrases. A module whose predictions
    depend on more than that, such as weights that are no module of its own, tells of it by a method
    `prediction_inputs()`, which returns {name: tensor, or what json can hold}.
    """
    relevant = {name: json.loads(json.dumps(cfg[name])) for name in ("MODEL", "INPUT", "DATALOADER", "TEST")}
    for name in _EVALUATION_ONLY:
        del relevant["TEST"]["RELATION"][name]
    for name in ("WEIGHT", "PRETRAINED_DETECTOR_CKPT", "DEVICE"):
        del relevant["MODEL"][name]  # the weights themselves are part of the key
    for name in ("IMS_PER_BATCH", "SAVE_PROPOSALS", "ALLOW_LOAD_FROM_CACHE"):
        del relevant["TEST"][name]
    del relevant["DATALOADER"]["NUM_WORKERS"]
    files = [os.stat(path) for path in (dataset.roidb_file, dataset.dict_file, dataset.image_file)]
    data = [[file.st_size, file.st_mtime_ns] for file in files]
    digest = hashlib.sha256(json.dumps([relevant, cfg.DTYPE, dataset_name, len(dataset), data]).encode())
    for name, value in _inputs(model):
        digest.update(name.encode() + b"\0")
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        else:
            digest.update(json.dumps(value, sort_keys=True, default=repr).encode())
    return digest.hexdigest()


def _inputs(model: torch.nn.Module) -> Iterator[tuple[str, object]]:
    """What a model's predictions depend on besides its configuration, by name."""
    state = model.state_dict()
    yield from state.items()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name not in state)
    for name, module in model.named_modules():
        if hasattr(module, "prediction_inputs"):
            yield from ((f"{name}: {key}", value) for key, value in module.prediction_inputs().items())
