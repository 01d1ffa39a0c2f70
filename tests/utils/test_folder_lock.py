"""A folder has one owner, whom others are told of, and none once its process is gone."""

import os
import signal
import subprocess
import sys

import pytest

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.folder_lock import owned

OWNER = """
import os, sys, time
from maskrcnn_benchmark.utils.folder_lock import owned
with owned(sys.argv[1], "OUTPUT_DIR"):
    if os.fork() == 0:  # a worker that outlives its parent
        print("owned", flush=True)
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


def test_the_second_is_told_of_the_first_until_that_is_gone(tmp_path):
    folder = tmp_path / "new" / "output"
    first = subprocess.Popen(
        [sys.executable, "-c", OWNER, folder], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert first.stdout.readline() == "owned\n"
        message = rf"OUTPUT_DIR .*output is in use by process {first.pid} on \S+, which started on 20\d\d-"
        with pytest.raises(InputError, match=message), owned(folder, "OUTPUT_DIR"):
            pass
        first.kill()
        first.wait()
        with owned(folder, "OUTPUT_DIR"):  # although the worker lives
            pass
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def test_a_program_that_inherits_the_lock_keeps_the_folder(tmp_path):
    with owned(tmp_path, "--output") as lock:
        step = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    with pytest.raises(InputError, match="or by a program that it started"), owned(tmp_path, "--output"):
        pass
    step.communicate(b"\n")
    with owned(tmp_path, "--output"):
        pass


def test_a_damaged_record_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").write_bytes(b"\xff{")
    with owned(tmp_path, "OUTPUT_DIR"):
        (tmp_path / ".lock").write_bytes(b"\xff{")
        with pytest.raises(InputError, match="in use by another process"), owned(tmp_path, "OUTPUT_DIR"):
            pass


def test_one_folder_after_the_other(tmp_path):
    for _ in range(2):
        with owned(tmp_path, "OUTPUT_DIR"):
            pass
