"""SGG-Benchmark's parquet files become the data set that they were made of."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loopback import hub
from support import open_vg, vg_dataset

from maskrcnn_benchmark.data.acquisition import release
from maskrcnn_benchmark.data.acquisition.release import build_from_parquet, build_release
from maskrcnn_benchmark.utils.errors import InputError

ALL = {"filter_non_overlap": False, "filter_duplicate_rels": False}


def rows_of(dataset, first_id):
    """The rows of a parquet file, boxes in pixels of the images."""
    for index in range(len(dataset)):
        truth = dataset.get_groundtruth(index, evaluation=True)
        boxes = truth.bbox.numpy()
        xywh = np.column_stack((boxes[:, :2], boxes[:, 2:] - boxes[:, :2])).astype(float)
        ids = [first_id + place for place in range(len(boxes))]
        first_id += len(boxes)
        with open(dataset.filenames[index], "rb") as stream:
            image = {"bytes": stream.read(), "path": None}
        info = dataset.img_info[index]
        yield {
            "image": image, "image_id": info["image_id"], "width": info["width"], "height": info["height"],
            "file_name": f"{info['image_id']}.jpg",
            "objects": [{"id": i, "bbox": box.tolist(), "category_id": int(label), "area": 1.0, "iscrowd": 0}
                        for i, box, label in zip(ids, xywh, truth.get_field("labels"), strict=True)],
            "relations": [{"id": 0, "subject_id": ids[s], "object_id": ids[o], "predicate_id": int(p)}
                          for s, o, p in truth.get_field("relation_tuple").tolist()],
        }  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A release of the reference data set's splits, in two files each, and the splits themselves."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "data").mkdir()
    splits = {split: vg_dataset(split, num_im=20, **ALL) for split in ("train", "val", "test")}
    for number, (split, dataset) in enumerate(splits.items()):
        rows = list(rows_of(dataset, 10_000 * number))
        for part in range(2):
            pq.write_table(
                pa.Table.from_pylist(rows[part::2]), folder / "data" / f"{split}-0000{part}-of-00002.parquet"
            )
    names = splits["train"].ind_to_classes, splits["train"].ind_to_predicates
    categories = [[{"id": i, "name": name} for i, name in enumerate(listed) if i] for listed in names]
    content = {"categories": categories[0], "rel_categories": categories[1]}
    (folder / "categories.json").write_text(json.dumps(content))
    return folder, splits


def test_the_data_set_comes_back(published, tmp_path):
    folder, splits = published
    build_from_parquet(folder, tmp_path, progress=False)
    for split, original in splits.items():
        built = open_vg(tmp_path / "vg", split, **ALL)
        assert built.ind_to_classes == original.ind_to_classes and built.ind_to_predicates == original.ind_to_predicates
        order = [*range(0, len(original), 2), *range(1, len(original), 2)]  # the two files one after the other
        assert len(built) == len(order)
        for index, source in enumerate(order):
            mine, theirs = (d.get_groundtruth(i, evaluation=True) for d, i in ((built, index), (original, source)))
            assert mine.get_field("labels").tolist() == theirs.get_field("labels").tolist()
            assert sorted(map(tuple, mine.get_field("relation_tuple").tolist())) == sorted(
                set(map(tuple, theirs.get_field("relation_tuple").tolist()))
            )
            # whole pixels of an image scaled to 1024
            assert np.abs(mine.bbox.numpy() - theirs.bbox.numpy()).max() <= 1.5 * max(theirs.size) / 1024
            with open(built.filenames[index], "rb") as one, open(original.filenames[source], "rb") as other:
                assert one.read() == other.read()


def test_it_comes_from_the_hub_and_leaves_nothing_behind(published, tmp_path, monkeypatch):
    folder, _ = published
    names = ["categories.json", *(f"data/{path.name}" for path in (folder / "data").iterdir())]
    files = {name: (folder / name).read_bytes() for name in names} | {"README.md": b"not asked for"}
    with hub({"datasets/some/release": files}, monkeypatch, tmp_path / "cache") as site:
        report = build_release("hf://datasets/some/release", tmp_path / "data", 1000, progress=False)
        assert not [path for _, path, _ in site.asked if path.endswith("README.md")]
    assert "images" in report and not list((tmp_path / "data" / ".downloads").iterdir())
    assert (tmp_path / "data" / "vg" / "VG-SGG-with-attri.h5").is_file()


def test_what_cannot_be_read_is_named(published, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "categories.json").write_text(json.dumps({"categories": [], "rel_categories": []}))
    with pytest.raises(InputError, match="has no parquet file"):
        build_from_parquet(tmp_path, tmp_path / "out", progress=False)
    (tmp_path / "data" / "train-0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"train-0\.parquet is no parquet file"):
        build_from_parquet(tmp_path, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(release, "room_for", lambda path, size: (_ for _ in ()).throw(InputError("no room")))
    with pytest.raises(InputError, match="no room"):
        build_release("hf://datasets/some/release", tmp_path / "out", 1000)
