"""What makes a training run: where it started, its seed and random states, and its lines in metrics.json."""

from __future__ import annotations

import json
import logging
import math
import os
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.utils.checkpoint import Checkpointer
from maskrcnn_benchmark.utils.comm import is_main_process
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.safe_pickle import load_torch


@dataclass(frozen=True)
class Run:
    """A training run. Two runs are the same where all but `seed` and `checkpoint` agree.

    Attributes:
        started_from: weights that it started from, "" for none.
        task: predcls, sgcls, sgdet or detector.
        predictor: name of the relation predictor, "" for a detector.
        seed: of all generators.
        checkpoint: the file to go on from; "" at the start of a run.
    """

    started_from: str
    task: str
    predictor: str
    seed: int
    checkpoint: str = ""

    def record(self) -> dict[str, Any]:
        """What a checkpoint keeps, to be recognised by `find_run`."""
        return {
            "started_from": self.started_from,
            "task": self.task,
            "predictor": self.predictor,
            "seed": self.seed,
        }


def find_run(wanted: Run, checkpointer: Checkpointer, logger: logging.Logger) -> Run:
    """Go on with the run in the output folder where it is the wanted one; else start.

    A path given explicitly wins over `last_checkpoint`: a checkpoint of a run that started from other weights, or of
    another task or predictor, is not continued. Without any path to start from, a checkpoint that does not tell its
    run (SGB's) is.
    """
    if not checkpointer.has_checkpoint():
        return wanted
    path = checkpointer.get_checkpoint_file()
    record = load_torch(path).get("run")
    if record is None:
        if not wanted.started_from:
            logger.info("going on from %s, which does not tell how it started", path)
            return replace(wanted, checkpoint=path)
        logger.warning("%s does not tell how it started and is not continued: %s wins", path, wanted.started_from)
        return wanted
    other = [
        f"{name} {record.get(name)!r}, now {value!r}"
        for name, value in wanted.record().items()
        if name != "seed" and record.get(name) != value
    ]
    if other:
        logger.warning("%s is of another run (%s) and is not continued; a new run starts", path, "; ".join(other))
        return wanted
    if record["seed"] != wanted.seed:
        logger.info("the run goes on with its seed %d, not %d", record["seed"], wanted.seed)
    logger.info("going on with the run of %s", path)
    return replace(wanted, seed=record["seed"], checkpoint=path)


def local_path(path: str) -> str:
    """A path that does not depend on the working directory; catalog names and addresses stay."""
    return path if not path or "://" in path else os.path.abspath(path)


# -- random states ---------------------------------------------------------------------------------------------------
def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """The states of all generators of this process, in types that are read without running code."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Set the generators of this process to what `random_states` saw."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


# -- metrics.json ----------------------------------------------------------------------------------------------------
class MetricsFile:
    """One json object per line, each with an `iteration`; only the main process writes.

    Args:
        path: appended to.
        start_iter: lines of later iterations are cut off, for they will be written again.
    """

    def __init__(self, path: str, start_iter: int):
        self._stream = None
        if not is_main_process():
            return
        if os.path.exists(path):
            with open(path) as stream:
                kept = [line for line in stream if _iteration(line) <= start_iter]
            with atomic_write(path) as temporary:
                temporary.write_text("".join(kept))
        self._stream = open(path, "a", buffering=1)  # noqa: SIM115 (closed by close(), kept open between lines)

    def write(self, line: dict[str, Any]) -> None:
        """Append a line; numbers that json lacks (nan, infinities) become null."""
        if self._stream is not None:
            finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
            self._stream.write(json.dumps(finite) + "\n")

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def _iteration(line: str) -> float:
    """The iteration of a line; endless for a line that was cut short by a crash."""
    try:
        return json.loads(line)["iteration"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf
