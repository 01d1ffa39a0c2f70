"""What a trained model says about the annotated boxes of a training set."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch

from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.engine.evaluate import load_trained_model
from maskrcnn_benchmark.engine.inference import compute_on_dataset
from maskrcnn_benchmark.structures.bounding_box import BoxList


def training_predictions(
    cfg, distributed: bool, logger: logging.Logger, opts: list[str] | tuple[str, ...] = ()
) -> Iterator[tuple[int, np.ndarray, BoxList]]:
    """Predict the training images with relations, whose boxes are given.

    Args:
        cfg: of the model; MODEL.ROI_RELATION_HEAD.USE_GT_BOX must be True.
        opts: of the command line, see `load_trained_model`.

    Yields:
        image of the h5, the boxes of it that the prediction has (`kept_boxes`), and the prediction; nothing on other
        processes than the main one.
    """
    model = load_trained_model(cfg, list(opts), logger)
    loader = make_data_loader(cfg, "test", distributed, dataset_to_test="train")[0]
    image_of_index = np.flatnonzero(loader.dataset.split_mask)
    device, gather = cfg.MODEL.DEVICE, cfg.TEST.RELATION.SYNC_GATHER
    for index, prediction in compute_on_dataset(model, loader, device, gather, dtype=cfg.DTYPE):
        yield int(image_of_index[index]), kept_boxes(loader.dataset, index), prediction


def kept_boxes(dataset, index: int) -> np.ndarray:
    """Which boxes of an image the loader's samples have, in order: those with an extent inside the image; int64 [n]."""
    boxes = dataset.get_groundtruth(index, evaluation=True).bbox
    return torch.nonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))[:, 0].numpy()


def prediction_rows(pairs: np.ndarray, kept: np.ndarray, predicted_pairs: np.ndarray) -> np.ndarray:
    """Where pairs of an image stand among the predicted ones.

    Args:
        pairs: int [m, 2]; they count all boxes of the image.
        kept: the boxes that the prediction has, ascending, int [n].
        predicted_pairs: int [k, 2]; they count the kept boxes.

    Returns:
        int64 [m], -1 for pairs that were not predicted
    """
    number = 1 + max(pairs.max(initial=0), kept.max(initial=0))
    row_of = np.full(number * number, -1)
    predicted = kept[predicted_pairs.reshape(-1, 2)]
    row_of[predicted[:, 0] * number + predicted[:, 1]] = np.arange(len(predicted))
    return row_of[pairs[:, 0] * number + pairs[:, 1]]
