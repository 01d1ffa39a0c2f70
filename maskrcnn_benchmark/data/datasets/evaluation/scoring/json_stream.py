"""Reads a large json file entry by entry, so that memory holds one image at a time."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import json_lines

LINES = (".jsonl", ".ndjson")  # how files end that have a json object in each line
_CHUNK = 1 << 20  # bytes
# Where an entry that is an object may end: behind it comes the next key, or the end of the file's object.
_MAY_END = re.compile(r'\}(?=\s*(?:,\s*"|\}))')


def stream_graphs(path: str | os.PathLike, lists: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Scene graphs by the names of their images: of json lines, or else the entries of `stream_json`.

    Args:
        path: `.jsonl`, a folder with the `predictions*.jsonl` of tools/predict.py, or json.

    Raises:
        InputError: see `stream_json`; a folder without predictions; a line that is no object with `image`.
    """
    if not os.path.isdir(path) and not str(path).endswith(LINES):
        yield from stream_json(path, lists)
        return
    files = sorted(Path(path).glob("predictions*.jsonl")) if os.path.isdir(path) else [path]
    if not files:
        raise InputError(f"folder {path} has no predictions.jsonl, as tools/predict.py writes it")
    for file in files:
        for _, entry in json_lines(file, json_schemas.ImageLine):
            yield entry["image"], entry


def stream_json(path: str | os.PathLike, lists: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The entries of a json file that holds an object or a list.

    Args:
        lists: keys of the outermost object whose lists come element by element.

    Yields:
        (key, value) of an object, (key, element) for lists that `lists` names, ("", element) of a list.

    Raises:
        InputError: a missing file, or one that is no json or is cut short.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path} does not exist")
    try:
        with open(path, "rb") as stream:
            yield from _entries(_Reader(stream), lists)
    except (ValueError, RecursionError) as error:  # of json, of the encoding, of a number, or nested too deeply
        raise InputError(f"{path} is cut short or no json: {error}") from error


class _Reader:
    """A window on the text of a binary file that moves on with what has been read."""

    def __init__(self, stream: BinaryIO):
        self.stream, self.as_text = (
            stream,
            codecs.getincrementaldecoder("utf-8-sig")().decode,
        )  # quicker than a text file
        self.text, self.place, self.ended = "", 0, False
        self.decode = json.JSONDecoder().raw_decode
        self.quick = True

    def more(self) -> bool:
        """Read on, at least as much as there is, so that a long value is not tried again and again."""
        rest = self.text[self.place :]
        new = self.stream.read(max(_CHUNK, len(rest)))
        self.ended = not new
        self.text, self.place = rest + self.as_text(new, self.ended), 0
        return not self.ended

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            while self.place < len(self.text):
                if not self.text[self.place].isspace():
                    return self.text[self.place]
                self.place += 1
            if not self.more():
                return ""

    def take(self, wanted: str) -> str:
        """One of some characters."""
        found = self.peek()
        if not found or found not in wanted:
            raise json.JSONDecodeError(f"one of {' '.join(wanted)} is missing", self.text, self.place)
        self.place += 1
        return found

    def value(self) -> Any:
        """The next value, with the place moved behind it."""
        # msgspec takes a third of the time of json, but must be told where a value ends. What it reads up to a guessed
        # end is the value, for no object goes on behind its last brace.
        if self.peek() == "{" and self.quick and (guess := _MAY_END.search(self.text, self.place)):
            try:
                value = msgspec.json.decode(self.text[self.place : guess.end()])
                self.place = guess.end()
                return value
            except msgspec.DecodeError:  # the end of something within it, or what json alone takes, such as NaN
                self.quick = False
        while True:
            try:
                value, end = self.decode(self.text, self.place)
                if end < len(self.text) or self.ended:  # a number at the end may go on
                    self.place = end
                    return value
            except json.JSONDecodeError:
                if self.ended:
                    raise
            self.more()


def _entries(reader: _Reader, lists: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if reader.take("{[") == "[":
        yield from _elements(reader, "")
    elif reader.peek() == "}":
        reader.take("}")
    else:
        while True:
            key = reader.value()
            if not isinstance(key, str):
                raise json.JSONDecodeError("a key is no string", reader.text, reader.place)
            reader.take(":")
            if key in lists and reader.peek() == "[":
                reader.take("[")
                yield from _elements(reader, key)
            else:
                yield key, reader.value()
            if reader.take(",}") == "}":
                break
    if reader.peek():
        raise json.JSONDecodeError("there is more behind the end", reader.text, reader.place)


def _elements(reader: _Reader, key: str) -> Iterator[tuple[str, Any]]:
    if reader.peek() == "]":
        reader.take("]")
        return
    while True:
        yield key, reader.value()
        if reader.take(",]") == "]":
            return
