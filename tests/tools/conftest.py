"""Tools run in the process of the tests, which saves the time that their imports take."""

import importlib.util
import logging
import sys

import pytest
from data_mirror import manifest, manifest_file, mirror  # noqa: F401  (fixtures)
from small_run import ROOT

from maskrcnn_benchmark.utils import cli


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Run a tool with command-line arguments: (exit status, standard output, standard error)."""
    yield from _runner(monkeypatch, capsys.readouterr)


@pytest.fixture(scope="module")
def run_here_once():
    """The same for fixtures of a module; the output is not caught."""
    with pytest.MonkeyPatch.context() as patch:
        yield from _runner(patch, lambda: ("", ""))


def _runner(monkeypatch, output):
    logger = logging.getLogger("maskrcnn_benchmark")
    before = logger.handlers[:], logger.propagate, logger.level

    def call(name, *args):
        spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
        monkeypatch.setattr("maskrcnn_benchmark.engine.launch.collect_env_info", lambda: "")
        with pytest.raises(SystemExit) as exit_info:
            cli.run(module.main)
        return exit_info.value.code, *output()

    yield call
    for handler in logger.handlers:
        if handler not in before[0]:
            handler.close()
    logger.handlers[:], logger.propagate, logger.level = before
