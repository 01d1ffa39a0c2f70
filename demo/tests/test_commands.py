"""The demo's commands find it from any folder, without an installation of their own."""

import os
import subprocess
import sys
from pathlib import Path

from demo.dataset import DatasetSettings, is_made

TOOLS = Path(__file__).parents[2] / "tools"


def test_the_data_sets_command_runs_outside_of_the_checkout(tmp_path):
    settings = DatasetSettings(seed=5, train=3, val=1, test=1)
    done = subprocess.run(
        [sys.executable, TOOLS / "make_demo_dataset.py", "--output", tmp_path, "--seed", "5"]
        + ["--train", "3", "--val", "1", "--test", "1"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"5 images in {tmp_path / 'vg'}\n" and is_made(tmp_path, settings)
