"""Counts of data files are kept by what the files hold."""

import os

import numpy as np
import pytest
import torch
from support import vg_dataset

from maskrcnn_benchmark.data.datasets import content_cache
from maskrcnn_benchmark.data.datasets.content_cache import counted_once
from maskrcnn_benchmark.data.datasets.visual_genome import get_VG_statistics


@pytest.fixture(autouse=True)
def small_files_count(monkeypatch):
    monkeypatch.setattr(content_cache, "LEAST_BYTES", 1)


class Counted:
    """Counts the bytes of a file, and how often it was asked."""

    def __init__(self, file):
        self.file, self.times = file, 0

    def __call__(self):
        self.times += 1
        return {"bytes": np.bincount(np.frombuffer(self.file.read_bytes(), np.uint8), minlength=256)}


def test_a_file_is_counted_once_whatever_it_is_called(tmp_path):
    file = tmp_path / "data.h5"
    file.write_bytes(b"one and two")
    count = Counted(file)
    first, second = (counted_once(tmp_path / "cache", "bytes", [file], [1], count) for _ in range(2))
    assert count.times == 1
    np.testing.assert_array_equal(first["bytes"], second["bytes"])
    file.rename(tmp_path / "moved.h5")
    count.file = tmp_path / "moved.h5"
    counted_once(tmp_path / "cache", "bytes", [count.file], [1], count)
    assert count.times == 1


def test_another_content_of_the_same_size_and_date_is_counted_anew(tmp_path):
    file = tmp_path / "data.h5"
    file.write_bytes(b"one and two")
    count, status = Counted(file), os.stat(file)
    counted_once(tmp_path / "cache", "bytes", [file], [1], count)
    file.write_bytes(b"two and one"[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = counted_once(tmp_path / "cache", "bytes", [file], [1], count)
    assert count.times == 2 and found["bytes"].sum() == 11
    counted_once(tmp_path / "cache", "bytes", [file], [2], count)
    assert count.times == 3


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: b[:90] + b"??" + b[92:]])
def test_what_is_damaged_is_made_again(tmp_path, damage, caplog):
    file = tmp_path / "data.h5"
    file.write_bytes(b"one and two")
    count = Counted(file)
    whole = counted_once(tmp_path / "cache", "bytes", [file], [], count)
    (kept,) = (tmp_path / "cache").iterdir()
    good = kept.read_bytes()
    kept.write_bytes(damage(good))
    again = counted_once(tmp_path / "cache", "bytes", [file], [], count)
    assert count.times == 2 and "is damaged" in caplog.text
    np.testing.assert_array_equal(again["bytes"], whole["bytes"])
    counted_once(tmp_path / "cache", "bytes", [file], [], count)
    assert count.times == 2


def test_small_files_and_no_folder_keep_nothing(tmp_path, monkeypatch, caplog):
    file = tmp_path / "data.h5"
    file.write_bytes(b"one")
    count = Counted(file)
    counted_once("", "bytes", [file], [], count)
    (tmp_path / "no_folder").write_text("")
    counted_once(tmp_path / "no_folder", "bytes", [file], [], count)
    assert "cannot keep what was counted" in caplog.text
    monkeypatch.setattr(content_cache, "LEAST_BYTES", 4)
    counted_once(tmp_path / "cache", "bytes", [file], [], count)
    assert count.times == 3 and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("must_overlap", [True, False])
def test_statistics_from_the_cache_are_those_that_were_counted(tmp_path, must_overlap):
    dataset = vg_dataset("train")
    files = dataset.img_dir, dataset.roidb_file, dataset.dict_file, dataset.image_file
    counted = get_VG_statistics(*files, must_overlap, 10, must_overlap)
    for _ in range(2):
        kept = get_VG_statistics(*files, must_overlap, 10, must_overlap, tmp_path)
        for ours, expected in zip(kept, counted, strict=True):
            assert ours.dtype == expected.dtype
            np.testing.assert_array_equal(ours, expected)
        together = dataset.get_statistics(must_overlap, tmp_path)["predicate_pairs"]
        assert together.dtype == torch.int64
        assert torch.equal(together, dataset.get_statistics(must_overlap)["predicate_pairs"])
    assert len(list(tmp_path.iterdir())) == 1
