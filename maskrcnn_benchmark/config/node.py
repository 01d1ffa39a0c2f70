"""A yacs node whose complaints name the source, the key and the nearest key that exists."""

from __future__ import annotations

import ast
import contextlib
import difflib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.retired import retired_key
from maskrcnn_benchmark.utils.yaml_files import read_yaml

BASE_KEY = "_BASE_"  # as in detectron2


def dotted_keys(node: CfgNode, prefix: str = "") -> Iterator[str]:
    """All keys of a configuration, groups among them, nested ones written as in `MODEL.BACKBONE.CONV_BODY`."""
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, CfgNode):
            yield from dotted_keys(value, f"{prefix}{key}.")


def nearest_key(key: str, known: set[str]) -> str | None:
    """The key most like a mistyped one: by its whole name, else by its last part."""
    if near := difflib.get_close_matches(key, known, n=1):
        return near[0]
    by_last_part = {name.rsplit(".", 1)[-1]: name for name in sorted(known)}
    near = difflib.get_close_matches(key.rsplit(".", 1)[-1], by_last_part, n=1)
    return by_last_part[near[0]] if near else None


class ConfigNode(CfgNode):
    """`yacs.config.CfgNode` that raises `InputError` with one sentence where something cannot be merged.

    Keys registered with `register_deprecated_key` (and all below them) are skipped with a warning.
    """

    def merge_from_file(self, cfg_filename: str) -> None:
        """Merge a YAML file, after the files that its key `_BASE_` names.

        `_BASE_` is a path relative to the file, or a list of such paths, of which later ones win. Bases may have bases.

        Raises:
            InputError: the file or a base is missing or malformed, bases lead in a circle, or as `merge_from_list`.
        """
        self._merge_files(Path(cfg_filename), ())

    def _merge_files(self, path: Path, above: tuple[Path, ...]) -> None:
        """Merge the bases of a file, then the file; `above` are those that it is a base of."""
        if any(path.resolve() == one.resolve() for one in above):
            circle = " -> ".join(map(str, (*above, path)))
            raise InputError(f"configuration files are each other's {BASE_KEY}: {circle}")
        values = read_yaml(path, "configuration file", f"{BASE_KEY} of {above[-1]} names it" if above else "")
        bases = values.pop(BASE_KEY, [])
        if isinstance(bases, str):
            bases = [bases]
        if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
            raise InputError(f"configuration file {path}: {BASE_KEY} must be a path or a list of them, found {bases!r}")
        for base in bases:
            self._merge_files(Path(os.path.normpath(path.parent / base)), (*above, path))
        self._merge(values, f"configuration file {path}: ")

    def merge_from_other_cfg(self, cfg_other: dict) -> None:
        """Merge nested dictionaries or another configuration; errors as `merge_from_list`."""
        self._merge(cfg_other, "")

    def merge_from_list(self, cfg_list: list) -> None:
        """Merge [KEY, VALUE, KEY, VALUE, ...]; values may be text as typed on a command line.

        Raises:
            InputError: a key that does not exist (the nearest one is named), a value of another type, a word too many.
        """
        if len(cfg_list) % 2:
            words = " ".join(map(str, cfg_list))
            raise InputError(f"options come as pairs of KEY VALUE, found {len(cfg_list)} words: {words}")
        known = set(dotted_keys(self))
        for key, value in zip(cfg_list[::2], cfg_list[1::2], strict=True):
            self._set(str(key), value, known, "option ")

    def _merge(self, values: dict, source: str) -> None:
        known = set(dotted_keys(self))

        def walk(group: dict, prefix: str) -> None:
            for name, value in group.items():
                key = f"{prefix}{name}"
                if isinstance(value, dict) and key in known and isinstance(self._value(key), CfgNode):
                    walk(value, key + ".")
                else:
                    self._set(key, value, known, source)

        walk(values, "")

    def _set(self, key: str, value: Any, known: set[str], source: str) -> None:
        parts = key.split(".")
        for i in range(len(parts)):
            if ".".join(parts[: i + 1]) in self.__dict__[CfgNode.DEPRECATED_KEYS]:
                logging.getLogger("maskrcnn_benchmark").warning("%s%s is left out here and ignored", source, key)
                return
        if key not in known:
            if became := retired_key(key):
                raise InputError(f"{source}{key} is not a configuration key any more: {became}")
            near = nearest_key(key, known)
            raise InputError(f"{source}{key} is not a configuration key" + (f"; did you mean {near}?" if near else ""))
        default = self._value(key)
        if isinstance(default, CfgNode):
            raise InputError(f"{source}{key} is a group of keys, found the value {value!r}")
        group = self._value(".".join(parts[:-1])) if len(parts) > 1 else self
        setattr(group, parts[-1], _as_type_of(default, value, f"{source}{key}"))

    def _value(self, key: str) -> Any:
        node = self
        for part in key.split("."):
            node = node[part]
        return node


def _as_type_of(default: Any, value: Any, what: str) -> Any:
    """`value`, or what its text stands for, in the type of `default`; whole numbers may stand for real ones."""
    decoded = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError, SyntaxError):  # plain text stays
            decoded = ast.literal_eval(value)
        if isinstance(default, str) and not isinstance(decoded, str):
            decoded = value  # text that looks like a number
    if default is None or type(decoded) is type(default):
        return decoded
    if isinstance(default, float) and type(decoded) is int:
        return float(decoded)
    if isinstance(default, (tuple, list)) and isinstance(decoded, (tuple, list)):
        return type(default)(decoded)
    example = " such as ('a', 'b')" if isinstance(default, (tuple, list)) else ""
    raise InputError(
        f"{what} must be of type {type(default).__name__}{example}, found {decoded!r} ({type(decoded).__name__})"
    )
