"""Predictions of many images, one json line each, that a killed run goes on with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.json_files import json_lines, read_json


class GraphLines:
    """Appends lines to `predictions.jsonl` of a folder; of several processes each has a file of its own.

    A line is a scene graph with its `image`, or the `image` and the `error` that it gave. A line that a kill cut short
    is taken off when the file is opened again.

    Args:
        folder: made where it is not there.
        settings: what the predictions depend on; those of a folder must be equal.
        rank, world_size: number of this process and of all, which may differ from run to run.

    Attributes:
        done: names of the images that some process has a line of.
        broken: how many of them gave an error.

    Raises:
        InputError: the folder holds predictions of other settings.
    """

    def __init__(
        self, folder: str | os.PathLike, settings: Mapping[str, Any], rank: int = 0, world_size: int = 1
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check(json.loads(json.dumps(dict(settings))))
        self.path = self.folder / ("predictions.jsonl" if world_size == 1 else f"predictions.{rank}.jsonl")
        _cut_torn_line(self.path)
        self.done: set[str] = set()
        self.broken = 0
        for file in sorted(self.folder.glob("predictions*.jsonl")):
            for _, entry in json_lines(file, json_schemas.GraphLine, whole=True):
                self.done.add(entry["image"])
                self.broken += "error" in entry
        self._out = open(self.path, "a", encoding="utf-8")  # noqa: SIM115, closed by `close`

    def _check(self, settings: dict[str, Any]) -> None:
        record = self.folder / "settings.json"
        if not record.exists():
            with atomic_write(record) as path:
                path.write_text(json.dumps(settings, indent=1))
        found = read_json(record, json_schemas.Settings)
        different = [key for key in {**found, **settings} if found.get(key) != settings.get(key)]
        if different:
            key = different[0]
            raise InputError(
                f"{self.folder} holds predictions with {key} {found.get(key)!r}, not {settings.get(key)!r}: choose "
                f"another --output, or remove them"
            )

    def write(self, name: str, graph: Mapping[str, Any] | str) -> None:
        """Write the line of an image: a graph as a dictionary, or what is wrong with the image."""
        entry = {"image": name, "error": graph} if isinstance(graph, str) else {"image": name, **graph}
        self._out.write(json.dumps(entry) + "\n")
        self._out.flush()
        self.done.add(name)
        self.broken += isinstance(graph, str)

    def close(self) -> None:
        """Flush the file to the disk and close it."""
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()

    def __enter__(self) -> GraphLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cut_torn_line(path: Path) -> None:
    """Take off what stands behind the last line end."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - 65536, 0)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return
            end = start
        file.truncate(0)
