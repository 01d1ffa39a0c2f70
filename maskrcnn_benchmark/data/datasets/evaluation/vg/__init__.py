"""Evaluation on Visual Genome and every data set in its format."""

from __future__ import annotations

from .vg_eval import do_vg_evaluation


def vg_evaluation(cfg, dataset, predictions, output_folder, logger, iou_types, dataset_name: str = "", **_) -> float:
    """SGB's entry point; see `do_vg_evaluation`."""
    return do_vg_evaluation(cfg, dataset, predictions, output_folder, logger, iou_types, dataset_name)
