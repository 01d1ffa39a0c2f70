"""Files and folders that are either whole or absent."""

from __future__ import annotations

import contextlib
import glob
import itertools
import math
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from .errors import InputError

_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}  # fmt: skip


def check_file(path: str | os.PathLike, what: str = "file", hint: str = "", most_bytes: int | None = None) -> None:
    """Look at a file before it is opened: opening a pipe waits for ever, a device may never end.

    Args:
        what: how the message calls the file.
        hint: what it adds where there is none.
        most_bytes: the largest that is read; None: any.

    Raises:
        InputError: no such file, something else than a regular file, or a larger one.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{what} {path} does not exist{f'; {hint}' if hint else ''}") from None
    except (OSError, ValueError) as error:  # no permission, a name too long or with a zero byte
        raise InputError(f"{what} {os.fspath(path)!r} cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise InputError(f"{what} {path} is {kind}, expected a regular file")
    if most_bytes is not None and status.st_size > most_bytes:
        raise InputError(f"{what} {path} has {status.st_size:,} bytes; at most {most_bytes:,} are read")


def is_within(path: str | os.PathLike, folders: Sequence[str | os.PathLike]) -> bool:
    """Whether a file lies below one of the folders once all links are followed."""
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def is_named_within(path: str | os.PathLike, folders: Sequence[str | os.PathLike]) -> bool:
    """Whether a file's name is one below one of the folders, which may be links or hold linked folders, and the file
    itself is no link that leads out of its own folder."""
    name = Path(os.path.abspath(path))
    return is_within(name, [name.parent]) and any(name.is_relative_to(os.path.abspath(folder)) for folder in folders)


# Names of temporary files and folders: a dot, the name without suffix, the process, four random bytes, the suffix.
_TEMPORARY = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}(\.[^.]*)?")


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")


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
    temporary = _temporary_beside(path)
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
def atomic_folder(path: str | os.PathLike, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that becomes `path` when the block ends well, and else is removed.

    What an earlier process left behind that was killed while it made the same folder is removed first.

    Args:
        replace: a folder `path` that exists is removed before the new one takes its place.

    Raises:
        InputError: `path` exists and is not to be replaced.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise InputError(f"{path} exists already; remove it or choose another place")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.stem)}.*"):
        _remove_if_left_behind(left)
    temporary = _temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        if replace and path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    flush_folder(path.parent)


def remove_litter(folder: str | os.PathLike, untouched: float = 0) -> None:
    """Remove the temporary files and folders that killed processes of this machine left in a folder and below it.

    Args:
        untouched: seconds since they were written to. In a folder that other machines write to, whose processes
            cannot be seen from here, an hour is safe.
    """
    before = time.time() - untouched
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if _remove_if_left_behind(Path(place, name), before) and name in folders:
                folders.remove(name)


def _remove_if_left_behind(path: Path, before: float = math.inf) -> bool:
    """Remove a temporary file or folder whose process is gone, and say whether it was one."""
    named = _TEMPORARY.fullmatch(path.name)
    if not named or path.is_symlink():
        return False
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:  # it was finished, or removed, in the meantime
        return False
    if written > before or _was_running(int(named[1]), written):
        return False
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return True


def _was_running(process: int, when: float) -> bool:
    """Whether a process that runs now did so then: its number may have gone to another since."""
    try:
        found = psutil.Process(process)
        return found.status() != psutil.STATUS_ZOMBIE and found.create_time() <= when + 1
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


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
