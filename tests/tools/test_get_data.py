"""Getting data from a mirror on the loopback address, to the last image and the counts."""

import hashlib
import json
import shutil
from collections import namedtuple

import pytest
import yaml
from loopback import hub, zip_of
from support import PARITY, open_vg

from maskrcnn_benchmark.utils.errors import InputError

Usage = namedtuple("Usage", "total used free")
NO_ROOM = InputError("no room")


@pytest.fixture
def get(run_here, manifest_file, tmp_path):
    """Run the tool on the mirror: (exit status, output, errors)."""

    def call(*arguments):
        return run_here("get_data", *arguments, "--manifest", manifest_file, "--data-dir", tmp_path / "data")

    return call


def test_everything_arrives_and_opens(get, mirror, tmp_path):
    status, output, error = get("all")
    assert status == 0, error
    vg = tmp_path / "data" / "vg"
    for split, images in (("train", 25), ("val", 10), ("test", 27)):
        dataset = open_vg(vg, split, num_val_im=10, filter_non_overlap=False)
        assert len(dataset) == images and dataset[0][0].size
    assert {path.name for path in (vg / "VG_100K").iterdir()} == {
        path.name for path in (PARITY / "vg" / "VG_100K").iterdir()
    }
    assert "25 train, 10 val, 27 test images with relations, as published" in output
    assert f"tell training: GLOVE_DIR {tmp_path / 'data'}/glove" in output
    assert [path.name for path in (tmp_path / "data" / "glove").iterdir()] == ["glove.6B.200d.txt"]
    assert not list((tmp_path / "data" / ".downloads").iterdir()), "archives are removed"
    record = json.loads((tmp_path / "data" / "downloads.json").read_text())
    digest = hashlib.sha256(mirror.files["/images.zip"]).hexdigest()
    assert record["images.zip"]["sha256"] == digest and f"{digest} (not known before)" in output
    mirror.asked.clear()
    status, output, _ = get("all")
    assert status == 0 and not mirror.asked and output.count("is there") == 6


def test_the_next_source_is_tried_and_the_failure_told(get, mirror):
    status, output, _ = get("vg")
    assert status == 0 and "404" in output
    assert [path for _, path, _ in mirror.asked].count("/missing") == 3


def test_a_wrong_digest_is_refused_and_named(get, mirror, tmp_path):
    mirror.files["/image_data.json"] = b"[]"
    status, output, error = get("vg")
    assert status == 1 and "sent a file with the SHA-256" in output
    assert f"put image_data.json at {tmp_path / 'data/vg/image_data.json'}" in error
    assert not (tmp_path / "data/vg/image_data.json").exists()
    assert (tmp_path / "data/vg/VG-SGG-with-attri.h5").exists(), "the others are got all the same"


def test_a_broken_off_archive_goes_on_in_the_next_call(get, mirror):
    mirror.cut["/images.zip"] = [1 << 16] + [0] * 6
    assert get("vg-images")[0] == 1
    mirror.asked.clear()
    assert get("vg", "vg-images")[0] == 0
    assert ("GET", "/images.zip", f"bytes={1 << 16}-") in mirror.asked
    assert "/images2.zip" not in {path for _, path, _ in mirror.asked}, "what is there is not fetched again"


def test_an_archive_that_writes_elsewhere_is_refused(get, mirror, manifest, manifest_file, tmp_path):
    mirror.files["/images.zip"] = zip_of({"../../evil.jpg": b"x"})
    manifest["vg-images"]["files"][0]["bytes"] = "not known"
    manifest_file.write_text(yaml.safe_dump(manifest))
    status, output, error = get("vg-images")
    assert status == 1 and "out of its folder" in output and "images.zip" in error
    assert not list(tmp_path.rglob("evil.jpg"))


def test_a_damaged_archive_gives_way_to_the_next_source(get, mirror, manifest, manifest_file):
    mirror.files["/bad.zip"] = mirror.files["/images.zip"][:-500]
    manifest["vg-images"]["files"][0] |= {"sources": [f"{mirror.url}/bad.zip", f"{mirror.url}/images.zip"]}
    manifest["vg-images"]["files"][0]["bytes"] = "not known"
    manifest_file.write_text(yaml.safe_dump(manifest))
    status, output, error = get("vg-images")
    assert status == 0 and "is no zip archive" in output, error


def test_an_archive_that_could_not_be_unpacked_is_not_fetched_again(get, mirror, monkeypatch, tmp_path):
    with monkeypatch.context() as full:
        # room for the archive, and not for its files as well
        full.setattr("maskrcnn_benchmark.data.acquisition.unpack.room_for", lambda *_: (_ for _ in ()).throw(NO_ROOM))
        assert get("vg-images")[0] == 1
    assert {path.name for path in (tmp_path / "data" / ".downloads").iterdir()} == {"images.zip", "images2.zip"}
    mirror.asked.clear()
    assert get("vg-images")[0] == 0 and not mirror.asked
    assert len(list((tmp_path / "data" / "vg" / "VG_100K").iterdir())) == 72


def test_a_file_and_an_address_of_ones_own(get, mirror, tmp_path):
    (tmp_path / "mine.bin").write_bytes(b"mine")
    status, _, error = get("other")
    assert status == 1 and "get https://x/page in another way" in error and "--source other.bin=" in error
    status, output, _ = get("other", "--source", f"other.bin={tmp_path / 'mine.bin'}")
    target = tmp_path / "data" / "other.bin"
    assert status == 0 and target.read_bytes() == b"mine" and "SHA-256" in output and (tmp_path / "mine.bin").exists()
    target.unlink()
    assert get("other", "--source", f"other.bin={mirror.url}/glove.zip")[0] == 0
    assert target.read_bytes() == mirror.files["/glove.zip"]
    target.unlink()
    status, _, error = get("other", "--source", f"other.bin={tmp_path / 'nothing'}")
    assert status == 1 and "could not be taken from" in error
    status, _, error = get("other", "--source", "another.bin=x")
    assert status == 1 and "other.bin" in error


def test_a_file_of_the_hub(get, manifest, manifest_file, tmp_path, monkeypatch):
    manifest["other"]["files"][0]["sources"] = ["hf://datasets/some/data/folder/other.bin"]
    manifest_file.write_text(yaml.safe_dump(manifest))
    with hub({"datasets/some/data": {"folder/other.bin": b"from the hub"}}, monkeypatch, tmp_path / "cache"):
        status, _, error = get("other")
    assert status == 0, error
    assert (tmp_path / "data" / "other.bin").read_bytes() == b"from the hub"
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"other.bin", "downloads.json"}


def test_files_put_there_by_hand_count(get, mirror, tmp_path):
    shutil.copytree(PARITY / "vg", tmp_path / "data" / "vg")
    status, output, _ = get("vg", "vg-images")
    assert status == 0 and not mirror.asked and output.count("is there") == 5


def test_another_file_in_the_place_is_kept_and_named(get, tmp_path):
    other = tmp_path / "data" / "vg" / "image_data.json"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    status, _, error = get("vg")
    assert status == 1 and "another file than the published one; move it away" in error and other.read_text() == "mine"


def test_other_counts_than_published_are_an_error(get, manifest, manifest_file):
    manifest["vg"]["counts"]["vg/VG-SGG-with-attri.h5"]["test"] = 28
    manifest_file.write_text(yaml.safe_dump(manifest))
    status, _, error = get("vg")
    assert status == 1 and "27 test images with relations, but 25 train, 10 val, 28 test were published" in error


def test_a_full_disk_is_told_before_anything_is_fetched(get, mirror, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 1000))
    status, output, _ = get("vg-images")
    assert status == 1 and "free" in output and not mirror.asked


def test_the_list_says_what_is_there(get, mirror):
    get("glove")
    mirror.asked.clear()
    status, output, _ = get("--list")
    assert status == 0 and not mirror.asked
    digest = hashlib.sha256(mirror.files["/glove.zip"]).hexdigest()
    assert f"glove.zip (size not known, SHA-256 {digest} as found): is there" in output
    assert output.count("missing") == 6 + 3  # files, and sources of that name
    assert "from https://x/page (by hand)" in output
    status, _, error = get()
    assert status == 1 and "--list" in error
