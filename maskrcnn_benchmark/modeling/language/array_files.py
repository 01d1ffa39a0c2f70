"""Reads numpy's files: no objects, nothing larger than the file, real numbers that are finite."""

from __future__ import annotations

import os
import stat
import tokenize
import zipfile
import zlib
from typing import BinaryIO, Dict

import numpy as np

from .errors import LanguageError


def read_array(path: str) -> np.ndarray:
    """The array of an npy file.

    Raises:
        LanguageError: no such file, or another; values that are no finite numbers.
    """
    with _opened(path) as stream:
        try:
            return _read(stream, os.path.getsize(path), path, "its array")
        except LanguageError:
            raise
        except _ERRORS as error:
            raise LanguageError(f"{path}: not an npy file ({error}).") from error


def read_arrays(path: str) -> Dict[str, np.ndarray]:
    """The arrays of an npz file by name, compressed or not: what they hold is as large as they say, or it is refused.

    Raises:
        LanguageError: no such file, or another; a compressed array that is a thousand times larger than its bytes;
            values that are no finite numbers.
    """
    with _opened(path) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                found = {}
                for member in archive.infolist():
                    name = member.filename[: -len(".npy")] if member.filename.endswith(".npy") else member.filename
                    if member.file_size > 1_000_000 + 50 * member.compress_size:
                        raise LanguageError(f"{path}: {name} would unfold to {member.file_size} bytes.")
                    with archive.open(member) as part:
                        found[name] = _read(part, member.file_size, path, name)  # type: ignore[arg-type]
                return found
        except LanguageError:
            raise
        except _ERRORS as error:
            raise LanguageError(f"{path}: not an npz file ({error}).") from error


_ERRORS = (ValueError, OSError, EOFError, KeyError, TypeError, SyntaxError, MemoryError, RuntimeError,
           NotImplementedError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)  # fmt: skip


def _opened(path: str) -> BinaryIO:
    """A regular file; opening a pipe would wait for ever."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise LanguageError(f"{path}: expected a regular file.")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        if isinstance(error, LanguageError):
            raise
        raise LanguageError(f"{path}: cannot be read ({error}).") from error


def _read(stream: BinaryIO, size: int, path: str, name: str) -> np.ndarray:
    """An array from a stream of `size` bytes; its head is looked at before any memory is taken."""
    version = np.lib.format.read_magic(stream)
    head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = head(stream)
    if dtype.kind not in "fiubU":
        raise LanguageError(f"{path}: {name} is of {dtype}; numbers or texts are expected.")
    count = 1
    for side in shape:
        count *= side
    if min((*shape, 0)) < 0 or count * dtype.itemsize > size:
        raise LanguageError(f"{path}: {name} has the shape {list(shape)}, for which the file has too few bytes.")
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise LanguageError(f"{path}: {name} is cut short.")
    array = np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise LanguageError(f"{path}: {name} has values that are nan or infinite.")
    return array.astype(dtype.newbyteorder("="), copy=False)
