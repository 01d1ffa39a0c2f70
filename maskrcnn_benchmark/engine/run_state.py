"""What a training run has besides weights: random states, and its lines in metrics.json and TensorBoard."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.utils.comm import is_main_process
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write


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
    try:
        version, internal, gauss = states["python"]
        random.setstate((version, tuple(internal), gauss))
        kind, keys, *rest = states["numpy"]
        np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), *rest))
        torch.set_rng_state(states["torch"])
        if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(states["cuda"])
    except Exception as error:  # of any kind where they are no random states
        raise InputError(f"the checkpoint's random states are damaged: {error!r}; use an older one") from error


# -- metrics.json and TensorBoard ------------------------------------------------------------------------------------
class MetricsFile:
    """One json object per line, each with an `iteration`; only the main process writes.

    Args:
        path: appended to.
        start_iter: iterations that are done; lines of later ones are cut off, for they will be written again, and of a
            run that starts anew (0) all.
    """

    def __init__(self, path: str, start_iter: int):
        self._stream = None
        if not is_main_process():
            return
        if os.path.exists(path):
            with open(path) as stream:
                kept = [line for line in stream if start_iter and _iteration(line) <= start_iter]
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


def tensorboard_writer(folder: str, start_iter: int):
    """A writer for a folder on the main process, without what was written after `start_iter`; None on others."""
    if not is_main_process():
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder, purge_step=start_iter + 1)


def _iteration(line: str) -> float:
    """The iteration of a line; endless for a line that was cut short by a crash."""
    try:
        return json.loads(line)["iteration"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf


# -- the run folder --------------------------------------------------------------------------------------------------
# What a run leaves in its folder; run.json and whatever else lies there is the user's.
_OF_A_RUN = (
    "*.pth",
    "last_checkpoint",
    "config.yml",
    "*metrics.json",
    "labels.json",
    "log.txt",
    "tensorboard",
    "inference",
)


def set_aside(folder: str) -> None:
    """Move the run that a folder holds to `earlier_1` in it, or the next number that is free."""
    found = [path for pattern in _OF_A_RUN for path in sorted(Path(folder).glob(pattern))]
    if not found:
        return
    places = (Path(folder, f"earlier_{number}") for number in itertools.count(1))
    place = next(place for place in places if not place.exists())
    place.mkdir()
    for path in found:
        path.rename(place / path.name)
