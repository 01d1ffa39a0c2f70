"""The picture of a data set."""

import subprocess
import sys
from pathlib import Path

from PIL import Image
from support import PARITY

TOOL = Path(__file__).parents[2] / "tools" / "show_dataset.py"


def run_tool(*args):
    return subprocess.run([sys.executable, str(TOOL), *map(str, args)], capture_output=True, text=True, check=False)


def test_draws_a_picture(tmp_path):
    result = run_tool(tmp_path / "out.png", "--data-dir", PARITY, "--num-val-im", 10, "--count", 3)
    assert result.returncode == 0, result.stderr
    assert Image.open(tmp_path / "out.png").width > 600


def test_names_a_data_set_that_does_not_exist(tmp_path):
    result = run_tool(tmp_path / "out.png", "--data-dir", PARITY, "--dataset", "VG_stanford_filtred_test")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "VG_stanford_filtred_test" in result.stderr and "GQA_200" in result.stderr
