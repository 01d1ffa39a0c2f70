"""Reads yaml files: plain values only, each key once, and no aliases that unfold to more than a person wrote."""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import Any

import yaml

from .errors import InputError
from .files import check_file

MOST_BYTES = 4 << 20
MOST_DEPTH = 64
MOST_VALUES = 200_000  # after aliases are unfolded
_MOST_DIGITS = 300  # of a number; Python converts no more than 4300


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key that comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        own = node.value  # before `<<` adds those of others, which may repeat
        keys = [self.construct_object(key, deep=True) for key, _ in own if key.tag != "tag:yaml.org,2002:merge"]
        for place, key in enumerate(keys):
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is no key", node.start_mark)
            if key in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | os.PathLike, what: str = "yaml file", hint: str = "") -> dict[str, Any]:
    """Keys and values of a yaml file; an empty file has none.

    Args:
        what: how messages call the file.
        hint: what they add where it does not exist.

    Raises:
        InputError: a file that is missing, no regular file, too large, no yaml, nested too deeply, that has a key
            twice, aliases within themselves or that unfold to too many values, or something else than keys and values.
    """
    check_file(path, what, hint, MOST_BYTES)
    where = f"{what} {path}"
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        _check_depth(text, where)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return {}
            _count(root, {}, where)
            content = loader.construct_document(root)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        # of the reader itself, and of numbers and dates that there are not
        raise InputError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{where} must hold keys and values, found {type(content).__name__}")
    return content


def _check_depth(text: str, where: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and event.value.isdigit() and len(event.value) > _MOST_DIGITS:
            raise InputError(f"{where} has a number of {len(event.value)} digits")
        if depth > MOST_DEPTH:
            raise InputError(f"{where} is nested too deeply: more than {MOST_DEPTH} levels")


def _count(node: yaml.Node, done: dict[int, int | None], where: str) -> int:
    """How many values a node stands for once its aliases are unfolded."""
    if id(node) in done:
        known = done[id(node)]
        if known is None:
            raise InputError(f"{where} has an alias (*) within the value that it stands for")
        return known
    done[id(node)] = None
    parts = node.value if isinstance(node, yaml.CollectionNode) else ()
    nodes = [one for pair in parts for one in (pair if isinstance(pair, tuple) else (pair,))]
    total = 1 + sum(_count(one, done, where) for one in nodes)
    if total > MOST_VALUES:
        raise InputError(f"{where} has aliases (*) that unfold to more than {MOST_VALUES:,} values")
    done[id(node)] = total
    return total
