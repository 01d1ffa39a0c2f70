"""Finds the images that annotations name."""

from __future__ import annotations

import filecmp
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath

from maskrcnn_benchmark.data.datasets.images import image_suffixes
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import is_within


class ImageNotFoundError(InputError):
    """An image is in none of the folders."""


class ImageFolders:
    """Finds the images of annotations in some folders.

    Raises:
        InputError: a folder that does not exist.
    """

    def __init__(self, folders: Sequence[str | os.PathLike]):
        self.folders = [Path(folder) for folder in folders]
        self._stems: dict[Path, dict[str, list[Path]]] = {}
        for folder in self.folders:
            if not folder.is_dir():
                raise InputError(f"image folder {folder} does not exist")

    def find(self, name: str) -> Path:
        """The file of this name, or else the one of another suffix (VRD's list calls some png and gif files jpg).

        A name may begin with folders. They lie in one of the given folders, or are the end of the path of one: the
        name v1/1.png is the file 1.png of the given folder frames/v1, and never that of frames/v2.

        Raises:
            ImageNotFoundError: there is none.
            InputError: several different files could be meant, or the name leads out of the folders.
        """
        places = self._places(name)
        found = [path for path in places if path.is_file()]
        found = found or [path for place in places for path in self._of_stem(place.parent, place.stem)]
        if not found:
            raise ImageNotFoundError(
                f"image {name} is in none of {', '.join(map(str, self.folders))}{self._hint(name)}"
            )
        for path in found:
            if not is_within(path, self.folders):
                raise InputError(f"image {name} is the link {path}, which leads out of the image folders")
        first, *others = {os.path.realpath(path): path for path in found}.values()
        for other in others:
            if not filecmp.cmp(first, other, shallow=False):
                raise InputError(
                    f"image {name} may be {first} or {other}, which differ; name the folder or the suffix as well, or "
                    "give one folder with --images"
                )
        return first

    def _places(self, name: str) -> list[Path]:
        """Where the file may be, whether it is there or not."""
        wanted = PurePath(name)
        if not name.strip() or "\0" in name or ".." in wanted.parts:
            raise InputError(f"image {name!r} must be the name of a file in one of the folders")
        places = []
        for folder in self.folders:
            whole = Path(os.path.abspath(folder))
            if wanted.is_absolute():
                places += [Path(wanted)] * wanted.is_relative_to(whole)
                continue
            places.append(folder / wanted)
            for count in range(1, len(wanted.parts)):
                if whole.parts[-count:] == wanted.parts[:count]:
                    places.append(folder.joinpath(*wanted.parts[count:]))
        return places

    def _of_stem(self, folder: Path, stem: str) -> list[Path]:
        """The images of a folder whose name is this but for the suffix."""
        if folder not in self._stems:
            stems = self._stems[folder] = defaultdict(list)
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in image_suffixes():
                    stems[path.stem].append(path)
        return self._stems[folder].get(stem, [])

    def _hint(self, name: str) -> str:
        stem = PurePath(name).stem
        elsewhere = [path for folder in self.folders for path in self._of_stem(folder, stem)]
        return f" ({elsewhere[0]} lies in another folder than that name says)" if elsewhere else ""
