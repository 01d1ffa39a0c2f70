"""Downloads from a server on the loopback address that breaks off, forgets, redirects and lies."""

import errno
import hashlib
import shutil
from collections import namedtuple

import pytest
from loopback import serve

from maskrcnn_benchmark.utils import download as module
from maskrcnn_benchmark.utils.download import Expected, download, in_words, room_for
from maskrcnn_benchmark.utils.errors import InputError

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(module, "_pause", lambda tries: 0.0)
    with serve({"/data.bin": CONTENT}) as site:
        yield site


def fetch(site, target, path="/data.bin", **known):
    return download(site.url + path, target, Expected(**known), progress=False)


def ranges(site):
    return [wanted for _, _, wanted in site.asked]


def test_a_whole_file_and_nothing_else_is_left(site, tmp_path):
    assert fetch(site, tmp_path / "new" / "data.bin", bytes=len(CONTENT), sha256=DIGEST) == DIGEST
    assert (tmp_path / "new" / "data.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data.bin"]


def test_a_source_that_breaks_off_is_asked_for_the_rest(site, tmp_path):
    site.cut["/data.bin"] = [131072, 65536, 0]
    assert fetch(site, tmp_path / "data.bin") == DIGEST
    assert ranges(site) == [None, "bytes=131072-", "bytes=196608-", "bytes=196608-"]


def test_a_later_call_goes_on_where_the_first_stopped(site, tmp_path):
    site.cut["/data.bin"] = [131072] + [0] * 5
    with pytest.raises(InputError, match="cannot be downloaded"):
        fetch(site, tmp_path / "data.bin")
    assert not (tmp_path / "data.bin").exists()
    site.asked.clear()
    assert fetch(site, tmp_path / "data.bin") == DIGEST
    assert ranges(site) == ["bytes=131072-"]


def test_another_version_is_not_glued_to_the_first(site, tmp_path):
    site.cut["/data.bin"] = [131072] + [0] * 5
    with pytest.raises(InputError):
        fetch(site, tmp_path / "data.bin")
    site.files["/data.bin"] = CONTENT[::-1]
    fetch(site, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT[::-1]


def test_a_part_of_another_address_counts_only_where_the_digest_is_known(site, tmp_path):
    site.files["/mirror.bin"] = CONTENT
    for known, wanted in (({}, None), ({"sha256": DIGEST}, "bytes=131072-")):
        site.cut["/data.bin"] = [131072] + [0] * 5
        with pytest.raises(InputError):
            fetch(site, tmp_path / "data.bin", **known)
        site.asked.clear()
        assert fetch(site, tmp_path / "data.bin", "/mirror.bin", **known) == DIGEST
        assert ranges(site) == [wanted]
        (tmp_path / "data.bin").unlink()


def test_a_server_without_ranges_begins_again(site, tmp_path):
    site.ranges = False
    site.cut["/data.bin"] = [131072]
    assert fetch(site, tmp_path / "data.bin") == DIGEST
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_part_that_is_the_whole_is_finished(site, tmp_path):
    site.cut["/data.bin"] = [131072] + [0] * 5
    with pytest.raises(InputError):
        fetch(site, tmp_path / "data.bin")
    (tmp_path / ".data.bin.part").write_bytes(CONTENT)
    assert fetch(site, tmp_path / "data.bin") == DIGEST  # the server answers 416


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"bytes": 5}])
def test_a_wrong_file_is_removed(site, tmp_path, known):
    (tmp_path / "data.bin").write_bytes(b"old")
    with pytest.raises(InputError, match=f"expected {next(iter(known.values()))}"):
        fetch(site, tmp_path / "data.bin", **known)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("data.bin", b"old")]


def test_redirects_are_followed(site, tmp_path):
    site.redirects["/moved"] = site.url + "/data.bin"
    assert fetch(site, tmp_path / "data.bin", "/moved") == DIGEST


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 5)])
def test_errors_of_the_server_are_named(site, tmp_path, status, requests):
    site.statuses["/data.bin"] = status
    with pytest.raises(InputError, match=str(status)):
        fetch(site, tmp_path / "data.bin")
    assert len(site.asked) == requests and not list(tmp_path.iterdir())


def test_a_web_page_is_no_file(site, tmp_path):
    site.headers["/data.bin"] = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(InputError, match="a web page instead of a file"):
        fetch(site, tmp_path / "data.bin")


def test_a_server_that_is_not_there_is_tried_once(tmp_path):
    with serve({}) as site:
        address = site.url
    with pytest.raises(InputError, match=r"cannot be downloaded \(.*refused"):
        download(address + "/data.bin", tmp_path / "data.bin", progress=False)


def test_without_room_nothing_is_begun(site, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(InputError, match=r"needs 256 KB, but the disk of .* has 1\.0 KB free"):
        fetch(site, tmp_path / "data.bin")
    assert not (tmp_path / ".data.bin.part").exists()
    with pytest.raises(InputError, match="free"):
        room_for(tmp_path / "not" / "there" / "yet", 2000)


def test_a_disk_that_fills_up_keeps_what_arrived(site, tmp_path, monkeypatch):
    class Full:
        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()

        def write(self, block):
            self.stream.write(block[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", lambda *args, _open=open, **kwargs: Full(_open(*args, **kwargs)))
        with pytest.raises(InputError, match="is full; the same command goes on"):
            fetch(site, tmp_path / "data.bin")
    assert fetch(site, tmp_path / "data.bin") == DIGEST
    assert ranges(site)[-1] == "bytes=1000-"


def test_sizes_in_words():
    sizes = (0, 999, 1000, 151_000_000, 15_203_363_000, 2 * 10**12)
    assert [in_words(x) for x in sizes] == ["0 bytes", "999 bytes", "1.0 KB", "151 MB", "15.2 GB", "2.0 TB"]
