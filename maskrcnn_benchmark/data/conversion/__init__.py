"""From other annotation formats to the VG-SGG format."""

from .annotations import Annotations, ImageGraph, read_graphs_json, split_at_random
from .coco import read_coco
from .vrd import read_vrd
from .writer import BuildReport, build_vg_dataset

__all__ = [
    "Annotations",
    "BuildReport",
    "ImageGraph",
    "build_vg_dataset",
    "read_coco",
    "read_graphs_json",
    "read_vrd",
    "split_at_random",
]
