"""The manifest: names, their files, and where each comes from and goes (configs/data.yaml explains the keys)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.utils.download import Expected
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.yaml_files import read_yaml

# In the checkout that the library is imported from, or where it is installed without one, that of the working folder.
_PLACES = [folder / "configs" / "data.yaml" for folder in (Path(__file__).parents[3], Path.cwd())]
DEFAULT = next((path for path in _PLACES if path.is_file()), _PLACES[0])
ALL = "all"
_NOT_KNOWN = "not known"
_ITEM_KEYS = {"about", "alternative", "files", "release", "roughly", "counts", "then"}
_FILE_KEYS = {"to", "sources", "pages", "bytes", "sha256", "roughly", "archive", "unpack", "lists"}


@dataclass(frozen=True)
class File:
    """A file to get; see configs/data.yaml for the attributes."""

    to: str
    sources: tuple[str, ...]
    pages: tuple[str, ...]
    expected: Expected
    roughly: int
    archive: str
    unpack: str
    lists: str

    @property
    def name(self) -> str:
        """What the download is called."""
        return self.archive or self.to.rsplit("/", 1)[-1]

    @property
    def size(self) -> int:
        """Bytes of the download, at least roughly; 0 where nothing is known."""
        return self.expected.bytes or self.roughly

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the files to take out of the archive, where they are given one by one."""
        return () if not self.archive or set(self.unpack) & set("*?[") else (self.unpack,)


@dataclass(frozen=True)
class Item:
    """What can be asked for by name.

    Attributes:
        release: a repository of the hub with parquet files, to be converted; "" for none.
        roughly: its bytes.
        counts: path of an h5 -> images with relations of each split.
        then: what to tell training.
    """

    name: str
    about: str
    alternative: bool
    files: tuple[File, ...]
    release: str
    roughly: int
    counts: Mapping[str, Mapping[str, int]]
    then: str


@dataclass(frozen=True)
class Places:
    """Where the files of a manifest go."""

    data_dir: Path

    def of(self, to: str) -> Path:
        """The path that a `to` of the manifest stands for."""
        if to.startswith("~"):
            return Path(to).expanduser()
        return Path(to) if to.startswith("./") else self.data_dir / to


def read_manifest(path: str | os.PathLike = DEFAULT) -> dict[str, Item]:
    """The items of a manifest by name.

    Raises:
        InputError: a file that is missing or malformed.
    """
    content = read_yaml(path, "manifest")
    if not content:
        raise InputError(f"manifest {path} must hold names and their files")
    return {name: _item(name, values, f"manifest {path}, {name}") for name, values in content.items()}


def choose(manifest: Mapping[str, Item], names: Iterable[str]) -> list[Item]:
    """The items of these names, each once; `all` stands for those that are no alternative to another.

    Raises:
        InputError: a name that the manifest lacks.
    """
    chosen: dict[str, Item] = {}
    for name in names:
        if name == ALL:
            chosen.update({key: item for key, item in manifest.items() if not item.alternative})
        elif name in manifest:
            chosen[name] = manifest[name]
        else:
            raise InputError(f"{name} is not in the manifest, which has {', '.join(manifest)}, and {ALL}")
    return list(chosen.values())


def _item(name: str, values: Any, where: str) -> Item:
    _check_keys(values, _ITEM_KEYS, where)
    files = tuple(_file(one, f"{where}, files[{i}]") for i, one in enumerate(values.get("files") or ()))
    return Item(
        name=name,
        about=values.get("about", ""),
        alternative=bool(values.get("alternative", False)),
        files=files,
        release=values.get("release", ""),
        roughly=values.get("roughly") or 0,
        counts=values.get("counts") or {},
        then=values.get("then", ""),
    )


def _file(values: Any, where: str) -> File:
    _check_keys(values, _FILE_KEYS, where)
    if not values.get("to") or bool(values.get("archive")) != bool(values.get("unpack")):
        raise InputError(f"{where} needs `to`, and `archive` and `unpack` together or not at all")
    size, digest = (None if values.get(key, _NOT_KNOWN) == _NOT_KNOWN else values[key] for key in ("bytes", "sha256"))
    if size is not None and not isinstance(size, int):
        raise InputError(f"{where}: bytes is {size!r}; it must be a number or `{_NOT_KNOWN}`")
    if digest is not None and not re.fullmatch("[0-9a-f]{64}", str(digest)):
        raise InputError(f"{where}: sha256 is {digest!r}; it must have 64 hexadecimal digits, or be `{_NOT_KNOWN}`")
    return File(
        to=values["to"],
        sources=tuple(values.get("sources") or ()),
        pages=tuple(values.get("pages") or ()),
        expected=Expected(size, digest),
        roughly=values.get("roughly") or 0,
        archive=values.get("archive") or "",
        unpack=values.get("unpack") or "",
        lists=values.get("lists") or "",
    )


def _check_keys(values: Any, known: set[str], where: str) -> None:
    if not isinstance(values, dict):
        raise InputError(f"{where} must hold keys and values, found {values!r}")
    if unknown := sorted(set(values) - known):
        raise InputError(
            f"{where}: {', '.join(unknown)} is no key of the manifest; it can be {', '.join(sorted(known))}"
        )
