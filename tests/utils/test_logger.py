"""The log on the screen and in the output folder."""

import logging

import pytest

from maskrcnn_benchmark.utils.logger import setup_logger


@pytest.fixture
def name(request):
    yield request.node.name
    log = logging.getLogger(request.node.name)
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()


def test_rank_0_writes_to_screen_and_file(name, tmp_path, capsys):
    setup_logger(name, str(tmp_path / "new"), 0).info("loss %.1f", 0.5)
    line = (tmp_path / "new" / "log.txt").read_text()
    assert line.endswith(f" {name} INFO: loss 0.5\n")
    assert capsys.readouterr().out == line


def test_set_up_twice_writes_once_and_appends(name, tmp_path, capsys):
    setup_logger(name, str(tmp_path), 0).info("first")
    setup_logger(name, str(tmp_path), 0).info("second")
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_other_ranks_are_silent(name, tmp_path, capsys):
    setup_logger(name, str(tmp_path), 1).warning("nobody reads this")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert not list(tmp_path.iterdir())


def test_without_a_folder_only_the_screen(name, capsys):
    setup_logger(name, "", 0).info("here")
    assert "here" in capsys.readouterr().out
