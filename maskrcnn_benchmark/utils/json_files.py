"""Reads json files: what kind of file, how large, how deep and with which digits is checked here, and what it holds
against a schema of `json_schemas.py`. Who gets content from here checks neither types nor ranges again."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from .errors import InputError
from .files import check_file
from .json_schemas import WORDS

MOST_BYTES = 2 << 30  # the largest annotation files of the field have 0.5 GB
MOST_DEPTH = 64  # lists and objects inside each other
MOST_DIGITS = 40  # in a row; what is beyond a schema's range is refused with its place
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DIGITS = re.compile(rb"\d{%d,}" % (MOST_DIGITS + 1))
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[(\.\.\.)\]")  # name, index or any key
_TYPES = {"array": "a list", "object": "an object", "str": "a text", "int": "a whole number", "float": "a number",
          "bool": "true or false", "null": "null"}  # fmt: skip
_QUOTED = re.compile(r"`([^`]+)`")
_QUOTE, _BACKSLASH, _OPEN, _CLOSE = 1, 2, 3, 4
_KINDS = np.zeros(256, dtype=np.uint8)  # of the bytes that tell how deep a text is nested
for _kind, _bytes in ((_QUOTE, b'"'), (_BACKSLASH, b"\\"), (_OPEN, b"[{"), (_CLOSE, b"]}")):
    _KINDS[list(_bytes)] = _kind
_AT_ONCE = 1 << 22  # bytes


def read_json(path: str | os.PathLike, schema: Any, what: str = "data file", hint: str = "") -> Any:
    """Contents of a json file, as plain lists, dictionaries, texts and numbers.

    Args:
        schema: a type that `msgspec.convert` knows; the keys that it does not name are passed over.
        what: how messages call the file.
        hint: what they add where the file does not exist.

    Raises:
        InputError: a file that is missing, no regular file, too large, no json, nested too deeply, that has a number
            which is none (NaN, Infinity) or with too many digits, that has a key twice in one object, or holds
            something else than the schema says.
    """
    check_file(path, what, hint, MOST_BYTES)
    where = f"{what} {path}"
    with open(path, "rb") as stream:
        return conform(parse(stream.read(), where), schema, where)


def json_lines(
    path: str | os.PathLike, schema: Any, what: str = "data file", whole: bool = False
) -> Iterator[tuple[int, Any]]:
    """Contents of the lines of a file, as (number of the line, content); empty lines are passed over.

    Args:
        whole: pass over a last line without line end, too: another process writes it just now, or was killed.

    Raises:
        InputError: as `read_json`; the message names the line.
    """
    check_file(path, what)
    with open(path, "rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MOST_BYTES), b""), 1):
            if line.strip() and not (whole and not line.endswith(b"\n")):
                where = f"{what} {path}, line {number}"
                yield number, conform(parse(line, where), schema, where)


def parse(text: bytes, where: str) -> Any:
    """What a json text stands for, within the limits of this module; errors as in `read_json`."""
    if _DIGITS.search(text) and (digits := _DIGITS.search(_STRING.sub(b'""', text))):
        raise InputError(f"{where} has a number of {len(digits[0])} digits; {MOST_DIGITS} are allowed")
    if (deepest := _depth(text)) > MOST_DEPTH:
        raise InputError(f"{where} is nested too deeply: {deepest} levels, {MOST_DEPTH} are allowed")

    def unique(pairs: list[tuple]) -> dict:
        found = dict(pairs)
        if len(found) != len(pairs):
            doubled = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise InputError(f"{where} has the key {doubled!r} twice in one object")
        return found

    def no_number(name: str) -> float:
        raise InputError(f"{where} is no json: it has {name}, which is no number")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # of json and of the encoding
        raise InputError(f"{where} is cut short or no json: {error}") from error


def _depth(text: bytes) -> int:
    """How many lists and objects are open at most at the same time."""
    if b"\\" in text:  # where a quote may belong to a string
        text = _STRING.sub(b'""', text)
    depth = deepest = inside = 0
    for start in range(0, len(text), _AT_ONCE):
        kinds = _KINDS[np.frombuffer(text, np.uint8, min(_AT_ONCE, len(text) - start), start)]
        kinds = kinds[kinds > 0]
        strings = (np.cumsum(kinds == _QUOTE) + inside) % 2 == 1
        depths = depth + np.cumsum(((kinds == _OPEN).astype(np.int8) - (kinds == _CLOSE)) * ~strings, dtype=np.int64)
        if len(kinds):
            depth, deepest, inside = int(depths[-1]), max(deepest, int(depths.max())), int(strings[-1])
    return deepest


def conform(content: Any, schema: Any, where: str) -> Any:
    """The content, if it is what a schema says.

    Raises:
        InputError: it is not; the message names the place, such as images[3].width, and what is there.
    """
    error = _misfit(content, schema)
    if error is None:
        return content
    said, _, at = str(error).partition(" - at ")
    for pattern, words in WORDS.items():
        said = said.replace(f"`str` matching regex {pattern!r}", words)
    said = _QUOTED.sub(lambda found: " or ".join(_TYPES.get(one, one) for one in found[1].split(" | ")), said)
    path, found = _place(content, schema, at)
    if isinstance(found, (str, int, float)) and "missing" not in said:
        shown = str(found)[:40]
        said = (
            f"{said.partition(', got')[0]}, found {shown!r}"
            if isinstance(found, str)
            else (f"{said.partition(', got')[0]}, found {shown}")
        )
    raise InputError(f"{where}{f', {path}' if path else ''}: {said[:1].lower() + said[1:]}")


def _misfit(content: Any, schema: Any) -> msgspec.ValidationError | None:
    try:
        msgspec.convert(content, schema)
    except msgspec.ValidationError as error:
        return error
    return None


def _place(content: Any, schema: Any, at: str) -> tuple[str, Any]:
    """The place that msgspec names, and what is there.

    Args:
        at: such as "`$.graphs[...][3]`" or "`key` in `$.graphs`": of dictionaries it says no key, which is found here.
    """
    of_key = at.startswith("`key`")
    steps = _STEP.findall(at.rpartition("$")[2]) + ([("", "", "...")] if of_key else [])
    path, keys, value = "", [], content
    for name, index, anything in steps:
        if anything and isinstance(value, dict):
            key: Any = _wrong_key(content, schema, keys, value)
            path += f"[{key[:60]!r}]"
        else:
            key = name or int(index or 0)
            path += f"[{key}]" if index else f"{'.' if path else ''}{key}"
        keys.append(key)
        value = value[key]
    return path, keys[-1] if of_key and keys else value


def _wrong_key(content: Any, schema: Any, keys: list, value: dict) -> Any:
    """Whose entry of a dictionary deep within the content is wrong: halved until one is left."""
    left = list(value)
    while len(left) > 1:
        half = left[: len(left) // 2]
        changed = _with(content, keys, {key: value[key] for key in half})
        left = half if _misfit(changed, schema) else left[len(half) :]
    return left[0]


def _with(content: Any, keys: list, value: Any) -> Any:
    """A copy of the content with another value at a place."""
    if not keys:
        return value
    copied = content.copy()
    copied[keys[0]] = _with(content[keys[0]], keys[1:], value)
    return copied
