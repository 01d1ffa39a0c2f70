"""Files and folders that are either whole or absent."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import InputError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there replaces `path` when the block ends well.

    The data are flushed to the disk before the rename, so that a crash leaves the old or the new file, never a part.
    When the block raises, the temporary file is removed and `path` stays as it was. The temporary name keeps the
    suffix of `path` (writers such as `np.savez` look at it). Missing folders are made.

    Args:
        flush: False for many small files that can be made again: after a crash of the system, some may be damaged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        if flush:
            with open(temporary, "rb+") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if flush:
        flush_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that becomes `path` when the block ends well, and else is removed.

    Raises:
        InputError: `path` exists.
    """
    path = Path(path)
    if path.exists():
        raise InputError(f"{path} exists already; remove it or choose another place")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    flush_folder(path.parent)


def flat_names(paths: Sequence[str]) -> list[str]:
    """A file name for each of some different paths, no two alike: slashes become underscores, and a number follows
    where that would make two of them the same (also on disks that do not tell capitals from small letters).

    >>> flat_names(["a/b.jpg", "a_b.jpg", "/c.jpg"])
    ['a_b.jpg', 'a_b.jpg.2', 'c.jpg']
    """
    taken: set[str] = set()
    names = []
    for path in paths:
        plain = path.strip("/").replace("/", "_")
        numbered = (plain if number == 1 else f"{plain}.{number}" for number in itertools.count(1))
        names.append(next(name for name in numbered if name.lower() not in taken))
        taken.add(names[-1].lower())
    return names


def flush_folder(folder: Path) -> None:
    """Make a rename in `folder` outlive a power failure; only POSIX systems can open a folder for that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
