"""Gets the files of a manifest: what is there stays, sources are tried in order, what was found is written down."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from maskrcnn_benchmark.data.datasets.vg_format import VG_DAMAGED, VG_IMAGES
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.download import download, in_words, room_for, sha256_of
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write, flush_folder
from maskrcnn_benchmark.utils.hub import SCHEME, hub_file
from maskrcnn_benchmark.utils.json_files import read_json

from .manifest import File, Places
from .unpack import ArchiveError, unpack

RECORD = "downloads.json"
_STAGING = ".downloads"  # archives, and what is not whole yet


class Record:
    """What was downloaded: name of the file -> source, bytes, sha256, and the number of files of an archive.

    It lies in the folder of the data, as downloads.json.
    """

    def __init__(self, places: Places):
        self.path = places.data_dir / RECORD
        self.entries: dict[str, dict] = {}
        if self.path.is_file():
            self.entries = read_json(self.path, json_schemas.Downloads, "record of downloads (remove it to check anew)")

    def add(self, file: File, **entry) -> None:
        """Write down an entry, at once."""
        self.entries[file.name] = {"to": file.to, **entry}
        with atomic_write(self.path) as path:
            path.write_text(json.dumps(self.entries, indent=1) + "\n", encoding="utf-8")

    def of(self, file: File) -> dict | None:
        entry = self.entries.get(file.name)
        return entry if entry and entry["to"] == file.to else None


def is_there(file: File, places: Places, record: Record) -> bool:
    """Whether a file is in its place; for an archive, all that it holds.

    Raises:
        InputError: a file of another size or digest than the manifest says is in its place.
    """
    path = places.of(file.to)
    if file.archive:
        return _is_unpacked(file, path, places, record)
    if not path.is_file():
        return False
    size, expected, entry = path.stat().st_size, file.expected, record.of(file)
    found: str | None = None
    if expected.bytes is not None and size != expected.bytes:
        found = f"has {size} bytes, expected {expected.bytes}"
    elif expected.sha256 is not None and not (entry and entry["bytes"] == size and entry["sha256"] == expected.sha256):
        digest = sha256_of(path)
        if digest != expected.sha256:
            found = f"has the SHA-256 {digest}, expected {expected.sha256}"
        else:
            record.add(file, source="was there", bytes=size, sha256=digest)
    if found:
        raise InputError(f"{path} {found}: it is another file than the published one; move it away to get that")
    return True


def _is_unpacked(file: File, folder: Path, places: Places, record: Record) -> bool:
    if file.members:
        return all((folder / name).is_file() for name in file.members)
    if file.lists and (missing := missing_images(places.of(file.lists), folder)) is not None and not missing:
        return True
    entry = record.of(file)
    if entry is None or not folder.is_dir():
        return False
    count = sum(fnmatch.fnmatch(one.name, file.unpack) for one in os.scandir(folder))
    return count >= entry["files"]


def missing_images(list_file: Path, folder: Path) -> list[str] | None:
    """Names of the images of a list in the VG-SGG format that a folder lacks; None where there is no list."""
    if not list_file.is_file():
        return None
    ids = [one["image_id"] for one in read_json(list_file, json_schemas.UnsizedImageList)]
    damaged = VG_DAMAGED if len(ids) == VG_IMAGES else frozenset()
    there = {one.name for one in os.scandir(folder)} if folder.is_dir() else set()
    names = (f"{image_id}.jpg" for image_id in ids if image_id not in damaged)
    return [name for name in names if name not in there]


def fetch(
    file: File,
    places: Places,
    record: Record,
    own: Mapping[str, str] | None = None,
    keep_archive: bool = False,
    progress: bool = True,
    tell=print,
) -> None:
    """Get a file that is not there: from its sources, best first.

    Args:
        own: name of a file -> a path or an address to take instead of the sources of the manifest.
        keep_archive: keep an archive after it is unpacked.
        tell: gets the lines to show.

    Raises:
        InputError: no source has it; the sentence says which file to put where.
    """
    target = places.of(file.to)
    archive = places.data_dir / _STAGING / file.name
    download_to = archive if file.archive else target
    given = (own or {}).get(file.name)
    sources = (given,) if given else file.sources
    if file.archive and archive.is_file() and not given:
        sources = (str(archive), *sources)  # an earlier call brought it, and could not unpack it
    for source in sources:
        try:
            digest = _take(source, download_to, file, progress)
            count = unpack(archive, target, file.unpack, progress) if file.archive else None
            break
        except InputError as error:
            tell(f"  {file.name}: {error}")
            if isinstance(error, ArchiveError):
                archive.unlink()
    else:
        raise InputError(_by_hand(file, target, given))
    size = download_to.stat().st_size
    known = "as expected" if file.expected.sha256 else "not known before"
    tell(f"  {file.name}: {in_words(size)} from {source}, SHA-256 {digest} ({known})")
    found = {"source": source, "bytes": size, "sha256": digest}
    record.add(file, **found, **({} if count is None else {"files": count}))
    if file.archive and not keep_archive:
        archive.unlink()


def _take(source: str, target: Path, file: File, progress: bool) -> str:
    """Bring a file from an address, the hub or a path to `target`; its SHA-256."""
    is_here = Path(source) == target
    room_for(target, file.size * (bool(file.archive) + (not is_here)))
    if source.startswith(("http://", "https://")):
        return download(source, target, file.expected, progress)
    if is_here:
        return sha256_of(target)
    staging = target.parent / f".hub-{target.name}"
    try:
        if source.startswith(SCHEME):
            local = Path(hub_file(source, staging))
        else:
            local = Path(source).expanduser()
            if not local.is_file():
                raise InputError(f"{source} is neither an address nor a file")
            room_for(target, local.stat().st_size)
            local = Path(shutil.copyfile(local, _made(staging) / target.name))
        size, digest = local.stat().st_size, sha256_of(local)
        if file.expected.bytes not in (None, size) or file.expected.sha256 not in (None, digest):
            wanted = file.expected.sha256 or f"{file.expected.bytes} bytes"
            shutil.rmtree(staging)
            raise InputError(f"{source} has {size} bytes and the SHA-256 {digest}, expected {wanted}")
        os.replace(local, target)
        flush_folder(target.parent)
        shutil.rmtree(staging)
    except OSError as error:
        raise InputError(f"{source} cannot be brought to {target}: {error}") from error
    return digest


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _by_hand(file: File, target: Path, given: str | None) -> str:
    """What a person can do."""
    if given:
        return f"{file.name} could not be taken from {given}"
    what = f"unpack {file.unpack} of {file.name} into {target}" if file.archive else f"put {file.name} at {target}"
    places = ", ".join((*file.pages, *file.sources))
    return f"get {places} in another way and {what}, or give it as --source {file.name}=FILE_OR_ADDRESS"
