"""Downloads that go on where they broke off, and leave a whole, verified file or none.

requests does the transfers: it follows redirects, honours proxies and certificates of the environment, and needs
nothing else (fsspec would bring an event loop and no resumption). What arrived stays in `.<name>.part` beside the file
until it is whole; a note beside that says which version of which address it is a part of.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm

from . import json_schemas
from .errors import InputError
from .files import flush_folder
from .json_files import read_json

_BLOCK = 1 << 16  # what is lost of an answer that breaks off is less
_TIMEOUT = (15, 60)  # seconds: to connect, and between two blocks
_TRIES = 5  # in a row that bring nothing new
_SPARE = 64 << 20  # bytes that a download leaves free on the disk
# An address may stand for a page with a button; where another kind of file is expected, that is no file.
_PAGE = "text/html"


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand.

    Attributes:
        bytes: its size; None where it is not known.
        sha256: its digest, or how it begins; None where it is not known.
    """

    bytes: int | None = None
    sha256: str | None = None


def download(url: str, path: str | os.PathLike, expected: Expected | None = None, progress: bool = True) -> str:
    """Download a file; what an earlier attempt left of it is used.

    Args:
        url: http or https.
        path: where it goes; replaced when the new file is whole.
        progress: show a bar.

    Returns:
        SHA-256 of the file.

    Raises:
        InputError: no network, an error of the server, another size or digest than expected, or no room on the disk.
    """
    path, expected = Path(path), expected or Expected()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path, url, expected)
    tries = 0
    while True:
        before = part.size
        try:
            part.fetch(progress)
            break
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            tries = 0 if part.size > before else tries + 1
            # A server that was never reached will not be there in a second; one that broke off may.
            if tries >= _TRIES or not part.answered:
                raise InputError(f"{url} cannot be downloaded ({_short(error)})") from error
            time.sleep(_pause(tries))
        except requests.RequestException as error:
            raise InputError(f"{url} cannot be downloaded ({_short(error)})") from error
    return part.finish()


class _Part:
    """What is there of a file so far.

    Attributes:
        answered: whether the server has ever answered.
    """

    def __init__(self, path: Path, url: str, expected: Expected):
        self.path, self.url, self.expected = path, url, expected
        self.file = path.with_name(f".{path.name}.part")
        self.note = path.with_name(f".{path.name}.part.json")
        self.answered = False
        self.validator = self._noted_validator()
        if self.validator is None and not self._is_known_by_digest():
            self.drop()

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def fetch(self, progress: bool) -> None:
        """Bring what is missing; returns when the server has sent all of it."""
        start = self.size
        if start and start == self.expected.bytes:
            return
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self.validator:
                headers["If-Range"] = self.validator
        with requests.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            self.answered = True
            if answer.status_code == 416 and start:  # there is no more than what is here, or the file is another
                if answer.headers.get("Content-Range", "").endswith(f"/{start}"):
                    return
                self.drop()
                raise requests.ConnectionError("the server has another file now")
            if answer.status_code in (429, 500, 502, 503, 504):
                raise requests.ConnectionError(f"the server answers {answer.status_code}")
            answer.raise_for_status()
            if answer.headers.get("Content-Type", "").startswith(_PAGE) and self.path.suffix not in (".html", ".htm"):
                raise requests.RequestException("the server sends a web page instead of a file")
            goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
                f"bytes {start}-"
            )
            if not goes_on:
                start = 0
                self._write_note(answer.headers)
            announced = int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
            room_for(self.path, announced if announced is not None else (self.expected.bytes or 0) - start)
            self._copy(answer, start, announced, progress)

    def finish(self) -> str:
        """Verify the whole file and put it in its place.

        A file of another digest is removed, for going on with it would never help.
        """
        size, digest = self.size, sha256_of(self.file)
        wanted = self.expected
        if wanted.bytes is not None and size != wanted.bytes:
            self.drop()
            raise InputError(f"{self.url} sent {size} bytes, expected {wanted.bytes}")
        if wanted.sha256 is not None and not digest.startswith(wanted.sha256):
            self.drop()
            raise InputError(f"{self.url} sent a file with the SHA-256 {digest}, expected {wanted.sha256}")
        with open(self.file, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(self.file, self.path)
        self.note.unlink(missing_ok=True)
        flush_folder(self.path.parent)
        return digest

    def drop(self) -> None:
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _copy(self, answer: requests.Response, start: int, announced: int | None, progress: bool) -> None:
        total = None if announced is None else start + announced
        bar = tqdm(
            total=total, initial=start, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress,
            desc=self.path.name,
        )  # fmt: skip
        with _disk_errors(self.file), open(self.file, "ab" if start else "wb") as stream, bar:
            for block in answer.iter_content(_BLOCK):
                stream.write(block)
                bar.update(len(block))
        if total is not None and self.size != total:
            raise requests.ConnectionError(f"the connection broke off after {self.size} of {total} bytes")

    def _noted_validator(self) -> str | None:
        """What the server said the part is a part of; None where there is no part, or one of another address."""
        try:
            note = read_json(self.note, json_schemas.PartNote)
        except InputError:
            return None
        return note["validator"] if note["url"] == self.url else None

    def _is_known_by_digest(self) -> bool:
        """Whether a part of any origin may be used, because the whole will be verified."""
        return self.expected.sha256 is not None and len(self.expected.sha256) == 64

    def _write_note(self, headers) -> None:
        """Remember by what the server tells versions of the file apart (weak ETags do not hold byte by byte)."""
        etag = headers.get("ETag", "")
        self.validator = (etag if not etag.startswith("W/") else "") or headers.get("Last-Modified")
        self.note.write_text(json.dumps({"url": self.url, "validator": self.validator}), encoding="utf-8")


class _disk_errors:
    """Turns a disk that is full, or a folder that cannot be written, into one sentence."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"the disk of {self.path.parent} is full; the same command goes on from here when there is room"
            ) from error


@functools.cache
def is_reachable(address: str) -> bool:
    """Whether the server of an address answers at all, within a few seconds."""
    try:
        requests.head(address, timeout=(3, 10))
    except requests.RequestException:
        return False
    return True


def room_for(path: str | os.PathLike, size: int) -> None:
    """Check the free space on the disk that `path` is on, or will be.

    Raises:
        InputError: fewer bytes than `size`, with some to spare, are free.
    """
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size > 0 and free < size + _SPARE:
        raise InputError(f"{path} needs {in_words(size)}, but the disk of {folder} has {in_words(free)} free")


def sha256_of(path: str | os.PathLike) -> str:
    """Digest of a file, read block by block."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def in_words(size: float) -> str:
    """A number of bytes for people: 151 MB."""
    units = ["bytes", "KB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    unit = units[0]
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


def _pause(tries: int) -> float:
    return min(2.0**tries, 30.0)


def _short(error: Exception) -> str:
    """The innermost cause of a network error, without the objects that wrap it."""
    while isinstance(error.args[0] if error.args else None, Exception):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return _short(reason)
    return str(error).split("\n", 1)[0].split(">: ", 1)[-1] or type(error).__name__
