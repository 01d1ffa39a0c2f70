"""Files that are either whole or absent."""

import os
import signal
import subprocess
import sys

import pytest

from maskrcnn_benchmark.utils.files import atomic_write, flat_names


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


def test_flat_names_are_different_however_paths_are_told_apart():
    paths = ["v1/1.png", "v1_1.png", "V1_1.png", "/v2/1.png", "v2/1.png", "1.png", "v1_1.png.2"]
    names = flat_names(paths)
    assert len({name.lower() for name in names}) == len(paths) and not any("/" in name for name in names)
    assert names[0] == "v1_1.png" and names[3] == "v2_1.png" and names[5] == "1.png"
    assert flat_names([]) == []
