"""Evaluation of predictions, by the kind of data set."""

from __future__ import annotations

from maskrcnn_benchmark.data.datasets.visual_genome import VGDataset

from .vg import vg_evaluation


def evaluate(cfg, dataset, predictions, output_folder, logger, **kwargs) -> float:
    """Evaluate predictions by the measure of their data set.

    Args:
        dataset: a `VGDataset` with annotations.
        predictions: iterable of BoxLists, see `do_vg_evaluation`.
        output_folder: where the results are written, "" or None for nowhere.
        kwargs: further arguments of `do_vg_evaluation`; others of SGB's are accepted and ignored.

    Returns:
        the value that the learning-rate schedule follows: R@100, or mAP for a detector.
    """
    if not isinstance(dataset, VGDataset):
        raise NotImplementedError(f"there is no evaluation for data sets of the type {type(dataset).__name__}")
    return vg_evaluation(cfg, dataset, predictions, output_folder, logger, **kwargs)
