"""Files that are either whole or absent."""

import os
import signal
import subprocess
import sys

import pytest

from maskrcnn_benchmark.utils.files import atomic_write


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
