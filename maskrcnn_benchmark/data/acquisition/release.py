"""A data set that is released as parquet files, images within, on the hub: SGG-Benchmark's. It is written as VG-SGG.

`categories.json` names `categories` and `rel_categories` {"id", "name"}; `data/<split>-*.parquet` has a row per image:
`image` {"bytes"}, `image_id`, `width`, `height`, `objects` [{"id", "bbox": [x, y, width, height], "category_id"}] and
`relations` [{"subject_id", "object_id", "predicate_id"}], subject and object being ids of objects.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from maskrcnn_benchmark.data.conversion import build_vg_dataset, read_coco
from maskrcnn_benchmark.data.datasets.vg_format import SPLIT_CODES
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.download import room_for
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.hub import hub_folder
from maskrcnn_benchmark.utils.json_files import read_json

INSTALL = "pip install pyarrow"
_STAGING = ".downloads"
_PATTERNS = ("categories.json", "data/*.parquet")
_COLUMNS = ["image", "image_id", "width", "height", "objects", "relations"]
_ROWS_AT_ONCE = 64


def build_release(address: str, data_dir: Path, size: int, progress: bool = True) -> str:
    """Download a release and write `data_dir`/vg, which must not exist; what was downloaded is removed at the end.

    Args:
        address: `hf://datasets/owner/name` of the hub.
        size: bytes of the release, roughly.

    Returns:
        what became of it, in words.

    Raises:
        InputError: the release cannot be had or read, pyarrow is not installed, or there is no room on the disk.
    """
    _parquet()  # before the download, not after
    staging = data_dir / _STAGING / address.rsplit("/", 1)[-1]
    room_for(staging / "x", 3 * size)  # as it comes, its images, and the data set
    hub_folder(address, staging, _PATTERNS)
    report = build_from_parquet(staging, data_dir, progress)
    shutil.rmtree(staging)
    return report


def build_from_parquet(release: Path, data_dir: Path, progress: bool = True) -> str:
    """Write `data_dir`/vg from a release that lies in a folder; images and splits are kept as they are."""
    names = read_json(release / "categories.json", json_schemas.Release)
    splits, annotations = {}, None
    for split in SPLIT_CODES:
        files = sorted((release / "data").glob(f"{split}-*.parquet"))
        if not files:
            continue
        annotations = read_coco(
            _write_coco(files, names, release / "unpacked", split, progress), [release / "unpacked"]
        )
        splits[split] = annotations.images
    if annotations is None:
        raise InputError(f"{release / 'data'} has no parquet file of any of {', '.join(SPLIT_CODES)}")
    return str(build_vg_dataset(splits, annotations.objects, annotations.predicates, data_dir, upright=False))


def _write_coco(files: list[Path], names: dict, folder: Path, split: str, progress: bool) -> Path:
    """Write the images of a split, and its annotations in COCO's format; the path of these."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations, relations = [], [], []
    for row in tqdm(_rows(files), desc=f"reading {split}", unit="image", disable=not progress):
        name = f"{row['image_id']}.jpg"
        (folder / name).write_bytes(row["image"]["bytes"])
        images.append({"id": row["image_id"], "file_name": name, "width": row["width"], "height": row["height"]})
        for one in row["objects"]:
            x, y, width, height = one["bbox"]
            # VG-150 takes x + width for the last pixel of a box, COCO's readers x + width - 1
            box = [x, y, width + 1, height + 1]
            annotations.append({**one, "image_id": row["image_id"], "bbox": box})
        relations += [{**one, "category_id": one["predicate_id"]} for one in row["relations"]]
    path = folder / f"{split}.json"
    content = {"images": images, "annotations": annotations, "categories": names["categories"],
               "relations": relations, "relation_categories": names["rel_categories"]}  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _rows(files: list[Path]) -> Iterator[dict]:
    parquet = _parquet()
    for file in files:
        try:
            with parquet.ParquetFile(file) as opened:
                for batch in opened.iter_batches(batch_size=_ROWS_AT_ONCE, columns=_COLUMNS):
                    yield from batch.to_pylist()
        except (OSError, ValueError, KeyError) as error:  # pyarrow's own are kinds of these
            raise InputError(f"{file} is no parquet file of such a release: {error}") from error


def _parquet():
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"parquet files need pyarrow: {INSTALL}") from error
    return pyarrow.parquet
