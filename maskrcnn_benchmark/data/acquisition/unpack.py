"""Takes files out of a zip archive, without its folders, into one folder."""

from __future__ import annotations

import errno
import fnmatch
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from maskrcnn_benchmark.utils.download import room_for
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write


class ArchiveError(InputError):
    """An archive that will never unpack: damaged, made to write elsewhere, or without what is looked for."""


def unpack(archive: str | os.PathLike, folder: str | os.PathLike, pattern: str, progress: bool = True) -> int:
    """Write the files of a zip archive whose names fit a pattern, each whole or not at all.

    Files that are there with the size that the archive says are kept, so a second call goes on with what is missing.

    Args:
        pattern: of a file's own name, such as `*.jpg`.

    Returns:
        how many files of the archive fit.

    Raises:
        ArchiveError: no zip archive or a damaged one, one whose names point out of the folder, none that fits, or two
            files of one name.
        InputError: no room on the disk.
    """
    folder = Path(folder)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _fitting(opened, archive, pattern)
            missing = [member for name, member in members.items() if not _is_there(folder / name, member.file_size)]
            room_for(folder / "x", sum(member.file_size for member in missing))
            for member in tqdm(missing, desc=f"unpacking {Path(archive).name}", unit="file", disable=not progress):
                target = folder / PurePosixPath(member.filename).name
                with atomic_write(target, flush=False) as path, opened.open(member) as stream, open(path, "wb") as out:
                    shutil.copyfileobj(stream, out)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"the disk of {folder} is full; the same command goes on when there is room") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{archive} is no zip archive that can be read ({error})") from error
    return len(members)


def _fitting(opened: zipfile.ZipFile, archive: str | os.PathLike, pattern: str) -> dict[str, zipfile.ZipInfo]:
    """The members to write, by their own names."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in _safe_members(opened, archive):
        name = PurePosixPath(member.filename).name
        if not fnmatch.fnmatch(name, pattern) or name.startswith("."):  # ._x.jpg is what macOS adds to x.jpg
            continue
        other = found.setdefault(name, member)
        if (other.CRC, other.file_size) != (member.CRC, member.file_size):
            raise ArchiveError(f"{archive} holds {other.filename} and {member.filename}, which would be one file")
    if not found:
        raise ArchiveError(f"{archive} has no {pattern}")
    return found


def _safe_members(opened: zipfile.ZipFile, archive: str | os.PathLike) -> Iterator[zipfile.ZipInfo]:
    """All files; nothing of an archive is written that has a name which no honest program gives."""
    for member in opened.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in member.filename or "\0" in member.filename:
            raise ArchiveError(
                f"{archive} holds {member.filename!r}, which points out of its folder: nothing was unpacked"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ArchiveError(f"{archive} holds {member.filename!r}, a link: nothing was unpacked")
    return (member for member in opened.infolist() if not member.is_dir())


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
