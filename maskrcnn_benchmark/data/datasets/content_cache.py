"""What every run counts again in the same data files, kept under a digest of their content."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.utils.files import atomic_write

LEAST_BYTES = 4_000_000  # smaller data files are counted in no time
_FORMAT = 2
_log = logging.getLogger("maskrcnn_benchmark")


def counted_once(
    folder: str | os.PathLike,
    what: str,
    files: Sequence[str | os.PathLike],
    facts: Any,
    count: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """What `count` gives, from the folder where it was kept before.

    A file there is found by what the data files hold, not by their names or dates. One that is damaged is made again;
    where none can be written, the log says so.

    Args:
        folder: of the files; `~` is the home folder; "": nothing is kept.
        what: how their names begin.
        files: data files that are read; without one of at least `LEAST_BYTES` nothing is kept.
        facts: what else the arrays depend on, as json holds it.
        count: gives arrays by name.
    """
    if not folder or not any(os.path.isfile(file) and os.path.getsize(file) >= LEAST_BYTES for file in files):
        return count()
    key = hashlib.sha256(json.dumps([_FORMAT, facts]).encode())
    for file in files:
        key.update(_digest(file))
    path = Path(folder).expanduser() / f"{what}-{key.hexdigest()[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)  # the archive checks its sums
    except FileNotFoundError:
        pass
    except (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        _log.warning("%s is damaged (%s) and will be made again", path, error)
    arrays = count()
    try:
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, **arrays)
    except OSError as error:
        _log.warning("cannot keep what was counted in %s (%s); the next run counts again", path.parent, error)
    return arrays


def _digest(file: str | os.PathLike) -> bytes:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.digest()
