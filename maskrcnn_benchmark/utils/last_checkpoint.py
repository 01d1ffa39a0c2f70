"""Which checkpoint of a folder is the last one: `last_checkpoint` names it."""

from __future__ import annotations

import glob
import os

from .errors import InputError
from .safe_pickle import load_checkpoint

LAST_CHECKPOINT = "last_checkpoint"
_MENDED = "write the name of the checkpoint to go on from into it, or train with --start-anew"


def last_checkpoint_of(folder: str) -> str:
    """The file that a folder's `last_checkpoint` names; where the folder was moved since, the file of that name in it.

    Raises:
        InputError: there is none, it cannot be read, or it names a file that does not exist.
    """
    record = os.path.join(folder, LAST_CHECKPOINT)
    try:
        with open(record, encoding="utf-8") as stream:
            path = stream.read().strip()
    except FileNotFoundError as error:
        raise InputError(f"folder {folder} has no {LAST_CHECKPOINT}; give the path of a .pth file in it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{record} is damaged ({error}): {_MENDED}") from error
    if not path:
        raise InputError(f"{record} is damaged (it is empty): {_MENDED}")
    place = os.path.join(folder, os.path.basename(path))
    if "\0" not in path and os.path.isfile(place):
        return place
    raise InputError(f"{record} names {path[:200]!r}, which does not exist in its folder: {_MENDED}")


def newest_checkpoint(folder: str) -> str:
    """The checkpoint of the most iterations in a folder that has any.

    Raises:
        InputError: one of them cannot be read.
    """
    return max(checkpoints_in(folder), key=_iteration_of)


def checkpoints_in(folder: str) -> list[str]:
    """The checkpoints of a training in its folder; nothing for no folder."""
    return sorted(glob.glob(os.path.join(glob.escape(folder), "model_*.pth"))) if folder else []


def _iteration_of(path: str) -> int:
    return load_checkpoint(path, mmap=True).get("iteration", -1)
