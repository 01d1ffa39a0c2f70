"""Runs commands that build on one another, some side by side; what is done is not done again."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.folder_lock import owned

PROGRESS_SECONDS = 20


@dataclass(frozen=True)
class Step:
    """A command, the file that is there once it is done, the log of what it prints, and the steps that come before."""

    name: str
    command: tuple[str, ...]
    result: Path
    log: Path
    needs: tuple[str, ...] = ()


@contextlib.contextmanager
def claimed(output: Path, settings: dict) -> Iterator[int]:
    """Keep other runs out of a folder, and results of different settings (such as seeds) apart.

    Yields:
        A descriptor that the steps inherit: as long as one of them lives, the folder is taken, even where this process
        was killed before it could end them.

    Raises:
        InputError: another run is at work there, or the folder belongs to other settings.
    """
    with owned(output, "--output") as lock:
        record = output / "demo.json"
        found = json.loads(record.read_text()) if record.exists() else settings
        if found != settings:
            raise InputError(f"{output} holds a demo of {found}; give another --output for {settings}")
        with atomic_write(record) as path:
            path.write_text(json.dumps(settings))
        yield lock


def run_steps(steps: Sequence[Step], inherited: int, workers: int = 2) -> None:
    """Run every step after those that it needs, `workers` at a time with one thread each, and print how far they are.

    Args:
        steps: of those that could start, the first ones do.
        inherited: a descriptor that the steps hold open, see `claimed`.

    Raises:
        InputError: a step failed (its last lines are printed before; the steps beside it are ended), or needs one that
            is not there.
    """
    if unknown := {need for step in steps for need in step.needs} - {step.name for step in steps}:
        raise InputError(f"steps need what no step makes: {', '.join(sorted(unknown))}")
    done: set[str] = set()
    waiting: list[Step] = []
    running: list[tuple[Step, subprocess.Popen, float]] = []
    for step in steps:
        if step.result.exists():
            print(f"{step.name}: done already ({step.result})", flush=True)
            done.add(step.name)
        else:
            waiting.append(step)
    total = len(waiting)
    told = time.monotonic()
    try:
        while waiting or running:
            for step in [step for step in waiting if done.issuperset(step.needs)][: workers - len(running)]:
                waiting.remove(step)
                running.append((step, _start(step, inherited), time.monotonic()))
            if not running:
                raise InputError(f"steps wait for each other: {', '.join(step.name for step in waiting)}")
            time.sleep(0.5)
            for entry in [entry for entry in running if entry[1].poll() is not None]:
                running.remove(entry)
                _finish(*entry)
                done.add(entry[0].name)
            if running and time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                places = "   ".join(f"{step.name}: {_progress(step.log)}" for step, *_ in running)
                print(f"  [{total - len(waiting) - len(running)} of {total} done]  {places}", flush=True)
    finally:
        for _, process, _ in running:
            process.terminate()
        for _, process, _ in running:
            process.wait()


def _start(step: Step, inherited: int) -> subprocess.Popen:
    step.log.parent.mkdir(parents=True, exist_ok=True)
    with open(step.log, "a") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("tied.py")), str(os.getpid()), *step.command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            pass_fds=(inherited,),
        )
    print(f"{step.name}: started, log in {step.log}", flush=True)
    return process


def _finish(step: Step, process: subprocess.Popen, started: float) -> None:
    if process.returncode != 0 or not step.result.exists():
        print("\n".join(step.log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
        raise InputError(f"the step {step.name} failed (exit status {process.returncode}); its log is {step.log}")
    print(f"{step.name}: done in {time.monotonic() - started:.0f} s", flush=True)


def _progress(log: Path) -> str:
    """The newest of the lines in which a step says how far it is."""
    text = log.read_text(errors="replace")
    found = re.findall(r"iter(?:ation)?:? \d+(?:/\d+)?|step \d+(?:/\d+)?|\d+/\d+ ", text)
    return found[-1].strip() if found else "starting"
