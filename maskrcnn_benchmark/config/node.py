"""A yacs node whose complaints name the file, the key and the nearest key that exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import yaml
from yacs.config import CfgNode

from maskrcnn_benchmark.utils.errors import InputError


def dotted_keys(node: CfgNode, prefix: str = "") -> Iterator[str]:
    """All keys of a configuration, nested ones written as in `MODEL.BACKBONE.CONV_BODY`."""
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, CfgNode):
            yield from dotted_keys(value, f"{prefix}{key}.")


class ConfigNode(CfgNode):
    """`yacs.config.CfgNode` that raises `InputError` with one sentence where a merge cannot work."""

    def merge_from_file(self, cfg_filename: str) -> None:
        path = Path(cfg_filename)
        if not path.is_file():
            raise InputError(f"configuration file {path} does not exist")
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"configuration file {path} is not valid YAML: {reason}") from error
        if loaded is None:
            return
        if not isinstance(loaded, dict):
            raise InputError(f"configuration file {path} must hold keys and values, found {type(loaded).__name__}")
        self._check_keys(loaded, f"configuration file {path}")
        try:
            self.merge_from_other_cfg(CfgNode(loaded))
        except (ValueError, KeyError, AssertionError) as error:
            raise InputError(f"configuration file {path}: {_sentence(error)}") from error

    def merge_from_list(self, cfg_list: list) -> None:
        if len(cfg_list) % 2:
            raise InputError(
                f"options come as pairs of KEY VALUE, found {len(cfg_list)} words: {' '.join(map(str, cfg_list))}"
            )
        known = set(dotted_keys(self))
        for key in cfg_list[::2]:
            if key not in known:
                raise InputError(f"option {self._unknown(str(key), known)}")
            if isinstance(self._value(key), CfgNode):
                raise InputError(f"option {key} is a group of keys; give one of the keys below it")
        try:
            super().merge_from_list(cfg_list)
        except (ValueError, KeyError, AssertionError) as error:
            raise InputError(f"option on the command line: {_sentence(error)}") from error

    def _value(self, key: str):
        node = self
        for part in key.split("."):
            node = node[part]
        return node

    def _check_keys(self, loaded: dict, source: str) -> None:
        known = set(dotted_keys(self))

        def walk(values: dict, prefix: str) -> None:
            for name, value in values.items():
                key = f"{prefix}{name}"
                if key not in known:
                    raise InputError(f"{source}: {self._unknown(key, known)}")
                here = self._value(key)
                if isinstance(here, CfgNode):
                    if not isinstance(value, dict):
                        raise InputError(f"{source}: {key} is a group of keys, found the value {value!r}")
                    walk(value, key + ".")

        walk(loaded, "")

    @staticmethod
    def _unknown(key: str, known: set[str]) -> str:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        if not near:
            last = {k.rsplit(".", 1)[-1]: k for k in sorted(known)}
            near = [last[m] for m in difflib.get_close_matches(key.rsplit(".", 1)[-1], last, n=1, cutoff=0.6)]
        return f"{key} is not a configuration key" + (f"; did you mean {near[0]}?" if near else "")


def _sentence(error: Exception) -> str:
    return " ".join(str(error.args[0] if error.args else error).split())
