"""Zip archives: whole, damaged, and made to write elsewhere."""

import shutil
import zipfile
from collections import namedtuple

import pytest
from loopback import zip_of

from maskrcnn_benchmark.data.acquisition.unpack import unpack
from maskrcnn_benchmark.utils.errors import InputError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.zip"

    def write(files):
        path.write_bytes(zip_of(files))
        return path

    return write


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def take(path, folder, pattern="*.jpg"):
    return unpack(path, folder, pattern, progress=False)


def test_files_that_fit_lie_in_one_folder(archive, tmp_path):
    path = archive(
        {"a/1.jpg": b"one", "b/c/2.jpg": b"two", "b/notes.txt": b"no", "__MACOSX/._1.jpg": b"junk", "d/": b""}
    )
    assert take(path, tmp_path / "out") == 2
    assert contents(tmp_path / "out") == {"1.jpg": b"one", "2.jpg": b"two"}


def test_a_second_call_writes_what_is_missing(archive, tmp_path):
    path, out = archive({"1.jpg": b"one", "2.jpg": b"two", "3.jpg": b"three"}), tmp_path / "out"
    take(path, out)
    before = (out / "1.jpg").stat().st_mtime_ns
    (out / "2.jpg").unlink()
    (out / "3.jpg").write_bytes(b"cut")
    assert take(path, out) == 3
    assert contents(out) == {"1.jpg": b"one", "2.jpg": b"two", "3.jpg": b"three"}
    assert (out / "1.jpg").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"])
def test_names_that_point_elsewhere_are_refused_before_anything_is_written(archive, tmp_path, name):
    path = archive({"good.jpg": b"x", name: b"evil"})
    with pytest.raises(InputError, match="out of its folder: nothing was unpacked"):
        take(path, tmp_path / "in" / "out")
    assert {p.name for p in tmp_path.rglob("*")} == {"a.zip"}


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="a link: nothing was unpacked"):
        take(tmp_path / "a.zip", tmp_path / "out")


def test_two_files_of_one_name_must_be_one(archive, tmp_path):
    assert take(archive({"a/1.jpg": b"same", "b/1.jpg": b"same"}), tmp_path / "out") == 1
    with pytest.raises(InputError, match=r"a/1\.jpg and b/1\.jpg, which would be one file"):
        take(archive({"a/1.jpg": b"this", "b/1.jpg": b"that"}), tmp_path / "other")


def test_what_is_no_whole_archive_is_named(archive, tmp_path):
    path = archive({"1.jpg": b"x" * 1000})
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(InputError, match="is no zip archive"):
        take(path, tmp_path / "out")
    path.write_bytes(whole.replace(b"xxxx", b"xxyx", 1))
    with pytest.raises(InputError, match=r"is no zip archive .*CRC"):
        take(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    with pytest.raises(InputError, match=r"has no \*\.png"):
        take(archive({"1.jpg": b"x"}), tmp_path / "out", "*.png")


def test_a_disk_without_room_gets_nothing(archive, tmp_path, monkeypatch):
    path = archive({"1.jpg": b"x" * 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 100))
    with pytest.raises(InputError, match="needs"):
        take(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
