"""Hostile inputs of every kind, each given to the tool that reads it: one sentence, and no code runs."""

import re
import signal

import pytest
from hostile_common import MARKER, SCRIPT, Place
from hostile_inputs import rows
from small_run import write_config
from trained_model import save_run

_SECONDS = 60  # in which each input has its answer
ROWS = rows()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run_here_once):
    """A data set, a training of four iterations with its checkpoints, and a model that predicts."""
    folder = tmp_path_factory.mktemp("whole")
    config = write_config(folder, SOLVER__MAX_ITER=3, SOLVER__CHECKPOINT_PERIOD=2)
    status, _, error = run_here_once("relation_train_net", "--config-file", config, "--skip-test")
    assert status == 0, error
    (folder / "output" / "model_final.pth").rename(folder / "whole.pth")
    save_run(folder / "predictor", task="predcls")
    (folder / "detector").mkdir()
    write_config(folder / "detector", "detector")
    return folder


def test_the_inputs_are_many_and_no_two_alike():
    assert len({(row.kind, row.name) for row in ROWS}) == len(ROWS) >= 200


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.name}")
def test_a_hostile_input(row, whole, tmp_path, run_here):
    def late(*_):
        raise TimeoutError(f"no answer in {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    try:
        status, out, error = run_here(*row.command(Place(whole, tmp_path)))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not (tmp_path / MARKER).exists(), "code ran"
    said = [line for line in (out + error).splitlines() if re.search(row.says, line)]
    if row.says:
        assert status == 1 and said, (status, out[-600:], error[-600:])
        assert all(len(line) < 4000 for line in error.splitlines() if line.startswith("error: "))
    else:
        assert status == 0 and row.why, error[-600:]
        for page in tmp_path.glob("report/*.html"):
            assert SCRIPT not in page.read_text(), "a script in the report"
