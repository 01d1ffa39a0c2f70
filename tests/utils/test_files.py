"""Files that are either whole or absent."""

import os
import signal
import subprocess
import sys

import pytest

from maskrcnn_benchmark.utils.files import (
    atomic_folder,
    atomic_write,
    flat_names,
    is_named_within,
    is_within,
    remove_litter,
)


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "file.json"
    with atomic_write(path) as temporary:
        temporary.write_text("text")
        assert temporary.parent == path.parent and temporary.suffix == ".json"
        assert not path.exists()
    assert path.read_text() == "text"
    assert os.listdir(path.parent) == ["file.json"]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "file") as temporary:
            temporary.write_text("")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from maskrcnn_benchmark.utils.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def killed_while_writing(path, what="write"):
    """Run a process that is killed in the middle of a file or a folder."""
    program = (
        "import os, signal, sys\n"
        f"from maskrcnn_benchmark.utils.files import atomic_{what} as whole\n"
        "with whole(sys.argv[1]) as temporary:\n"
        "    (temporary / 'part' if temporary.is_dir() else temporary).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -signal.SIGKILL


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("config.yml", "below/last_checkpoint"):
        killed_while_writing(tmp_path / name)
    mine = [".hidden", ".name.json", ".a.12.xyz", "model.123.abcdef01.pth", ".lock"]
    for name in mine:
        (tmp_path / name).write_text("")
    with atomic_write(tmp_path / "now.json") as in_use:
        in_use.write_text("")
        os.utime(in_use)
        remove_litter(tmp_path)
        assert in_use.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*mine, "below", "now.json"])
    assert not list((tmp_path / "below").iterdir())
    # a process of the same number that began after the file was written is another one
    old = tmp_path / f".old.{os.getpid()}.0123abcd"
    old.write_text("")
    os.utime(old, (1, 1))
    remove_litter(tmp_path)
    assert not old.exists()


def test_what_was_just_written_may_be_of_another_machine(tmp_path):
    killed_while_writing(tmp_path / "cache.pt")
    remove_litter(tmp_path, untouched=3600)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_clears_what_an_earlier_attempt_left(tmp_path):
    killed_while_writing(tmp_path / "vg", "folder")
    assert [path.name.split(".")[1] for path in tmp_path.iterdir()] == ["vg"]
    with atomic_folder(tmp_path / "vg") as folder:
        (folder / "whole").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["vg", "whole"]
    with atomic_folder(tmp_path / "vg", replace=True) as folder:
        (folder / "new").write_text("")
    assert [path.name for path in (tmp_path / "vg").iterdir()] == ["new"]


def test_flat_names_are_different_however_paths_are_told_apart():
    paths = ["v1/1.png", "v1_1.png", "V1_1.png", "/v2/1.png", "v2/1.png", "1.png", "v1_1.png.2"]
    names = flat_names(paths)
    assert len({name.lower() for name in names}) == len(paths) and not any("/" in name for name in names)
    assert names[0] == "v1_1.png" and names[3] == "v2_1.png" and names[5] == "1.png"
    assert flat_names([]) == []


def test_a_name_below_a_folder_counts_whatever_folders_are_links(tmp_path):
    disk = tmp_path / "disk" / "images"
    disk.mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (disk / name).touch()
    data = tmp_path / "data"
    data.mkdir()
    (data / "images").symlink_to(disk)
    (tmp_path / "secret.jpg").touch()
    (disk / "c.jpg").symlink_to(tmp_path / "secret.jpg")
    assert is_named_within(data / "images" / "a.jpg", [data])
    assert not is_within(data / "images" / "a.jpg", [data])
    assert not is_named_within(data / "images" / "c.jpg", [data])
    assert not is_named_within(data / ".." / "secret.jpg", [data])
    assert not is_named_within(disk / "b.jpg", [data])
