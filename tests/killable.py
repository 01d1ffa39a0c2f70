"""Tools in processes of their own that start at once, for tests that end them: a server has done the imports."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import sys
from pathlib import Path

from small_run import ROOT

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["killable", "maskrcnn_benchmark.engine.recipes", "maskrcnn_benchmark.distant.em",
                                 "maskrcnn_benchmark.data.conversion", "torch.utils.tensorboard"])  # fmt: skip


def start(tool: str, *arguments, log: Path) -> multiprocessing.process.BaseProcess:
    """Start a tool with command-line arguments; what it prints is appended to `log`."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the server, which starts with the first process
    process = _context.Process(target=_run, args=(tool, [str(argument) for argument in arguments], str(log)))
    process.start()
    return process


def _run(tool: str, arguments: list[str], log: str) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of workers, as it is without the server
    os.setsid()  # a group of its own, with the workers of its data loaders
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    path = ROOT / "tools" / f"{tool}.py"
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    from maskrcnn_benchmark.engine import launch

    launch.collect_env_info = lambda: ""  # takes longer than all the rest
    with contextlib.chdir(ROOT) if hasattr(contextlib, "chdir") else contextlib.nullcontext():
        runpy.run_path(str(path), run_name="__main__")
