"""From other annotation formats to the VG-SGG format."""

from .annotations import Annotations, ImageGraph, split_at_random
from .coco import read_coco
from .graphs_json import read_graphs_json
from .open_images import read_open_images
from .psg import read_psg
from .tally import Tally
from .vrd import read_vrd
from .writer import BuildReport, NothingKeptError, build_vg_dataset

__all__ = [
    "Annotations",
    "BuildReport",
    "ImageGraph",
    "NothingKeptError",
    "Tally",
    "build_vg_dataset",
    "read_coco",
    "read_graphs_json",
    "read_open_images",
    "read_psg",
    "read_vrd",
    "split_at_random",
]
