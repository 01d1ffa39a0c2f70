"""A folder has one owner at a time: a lock that falls with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError

try:
    import fcntl
except ImportError:  # not a POSIX system: no locks
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_held: set[int] = set()


def _let_go() -> None:
    """Close a forked process's copies of what its parent holds: a worker that outlives it must not keep the folder."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def owned(folder: str | os.PathLike, key: str) -> Iterator[int]:
    """Own a folder, which is made where it is missing, until the block ends or the process does.

    The file `.lock` in it stays; who holds the lock on it is the owner, and what it says is who that is.

    Args:
        key: what the message calls the folder, such as OUTPUT_DIR.

    Yields:
        a descriptor. A program that inherits it (`pass_fds`) keeps the folder owned as long as it lives.

    Raises:
        InputError: another process owns it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / LOCK
    with open(path, "a+", encoding="utf-8") as stream:
        try:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{key} {folder} is in use by {_owner(path)}, or by a program that it started: wait for its end, end "
                f"it, or choose another {key}"
            ) from None
        except OSError as error:
            logging.getLogger("maskrcnn_benchmark").warning(
                "%s cannot be locked (%s): see to it that no other run uses %s", path, error, folder
            )
        stream.truncate(0)
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "started": now}, stream)
        stream.flush()
        _held.add(stream.fileno())
        try:
            yield stream.fileno()
        finally:
            _held.discard(stream.fileno())


def _owner(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']}, which started on {found['started']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has the lock and has not written yet
        return "another process"
