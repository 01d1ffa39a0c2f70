"""Reads pickled files without running any code that they name.

Checkpoints of SGB hold a logger inside the state of the scheduler, so `torch.load(weights_only=True)` refuses them, and
Caffe2's ImageNet weights are plain pickles. Here every class or function outside a short list of containers, tensors
and arrays is replaced by an inert placeholder, which is dropped from the result: nothing else is ever called.
"""

from __future__ import annotations

import collections
import os
import pickle
import tarfile
import types
import zipfile
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .errors import InputError


def _new_placeholder() -> type:
    """A class that stands for whatever is not on the list: it takes any arguments and state, and keeps nothing.

    Each reader has its own, because a pickle can set attributes of the classes that it names.
    """

    def ignore(self, *args, **kwargs):
        return None

    methods = dict.fromkeys(("__init__", "__setstate__", "__setitem__", "append", "extend", "add"), ignore)
    placeholder = type("Placeholder", (), methods)
    placeholder.__call__ = lambda self, *args, **kwargs: placeholder()
    return placeholder


def _numpy_globals() -> dict[tuple[str, str], Any]:
    """What pickled arrays and scalars refer to, under the module names of numpy 1 and 2."""
    reconstruct = np.zeros(1).__reduce__()[0]
    scalar = np.float32(1).__reduce__()[0]
    found: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for package in ("numpy.core", "numpy._core"):
        found[f"{package}.multiarray", "_reconstruct"] = reconstruct
        found[f"{package}.multiarray", "scalar"] = scalar
    return found


def _allowed() -> dict[tuple[str, str], Any]:
    """(module, name) of all that a file may refer to; functions are new objects, for the reason given above."""

    def tensor(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None):
        no_hooks: dict = collections.OrderedDict()
        return torch._utils._rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, no_hooks)

    def parameter(data, requires_grad, backward_hooks):
        return torch.nn.Parameter(data, requires_grad)

    def encode(text: str, encoding: str = "latin1") -> bytes:  # how Python 2 and protocol 2 write bytes
        return text.encode("latin1" if encoding == "latin1" else "utf-8")

    found: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("_codecs", "encode"): encode,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): parameter,
        ("torch", "Size"): torch.Size,
        ("torch", "device"): torch.device,
        **_numpy_globals(),
    }
    for package in ("builtins", "__builtin__"):
        for kind in (set, frozenset, list, dict, tuple, slice, int, float, complex, bool, str, bytes, bytearray):
            found[package, kind.__name__] = kind
    return found


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that knows containers, tensors and arrays only."""

    records: tuple[str, ...] = ()  # see `load_torch`

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._allowed = _allowed()
        self.placeholder = _new_placeholder()
        self._records = {name: type(name, (), {}) for name in self.records}

    def find_class(self, module: str, name: str) -> Any:
        return self._records.get(name) or self._allowed.get((module, name), self.placeholder)

    def load(self) -> Any:
        return self._without_placeholders(super().load(), {})

    def _is_placeholder(self, value: Any) -> bool:
        return value is self.placeholder or isinstance(value, self.placeholder)

    def _without_placeholders(self, value: Any, done: dict[int, Any]) -> Any:
        """Entries of dictionaries that hold a placeholder are dropped; elsewhere None stands for it.

        `done` holds by identity what was visited: containers may occur more than once.
        """
        if self._is_placeholder(value):
            return None
        if not isinstance(value, (dict, list)) and type(value) is not tuple:
            return value
        if id(value) in done:
            return done[id(value)]
        done[id(value)] = value
        if isinstance(value, dict):
            for key in [k for k, v in value.items() if self._is_placeholder(k) or self._is_placeholder(v)]:
                del value[key]
            for key, item in value.items():
                value[key] = self._without_placeholders(item, done)
        elif isinstance(value, list):
            value[:] = [self._without_placeholders(item, done) for item in value]
        else:
            done[id(value)] = tuple(self._without_placeholders(item, done) for item in value)
        return done[id(value)]


def _load(stream, **kwargs) -> Any:
    return RestrictedUnpickler(stream, **kwargs).load()


def _pickle_module(records: tuple[str, ...]) -> types.SimpleNamespace:
    """The interface that `torch.load` wants of a pickle module."""
    unpickler = type("Unpickler", (RestrictedUnpickler,), {"records": records})
    return types.SimpleNamespace(
        __name__="restricted_pickle", Unpickler=unpickler, UnpicklingError=pickle.UnpicklingError, load=_load
    )


def load_pickle(path: str | os.PathLike, encoding: str = "latin1") -> Any:
    """Read a plain pickle; `encoding` is that of text written by Python 2.

    Raises:
        InputError: a file that is missing, cut short or no pickle.
    """
    _check_file(path)
    try:
        with open(path, "rb") as stream:
            return _load(stream, encoding=encoding)
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"weights file {path} is cut short or no pickle: {_first_line(error)}") from error


def load_torch(path: str | os.PathLike, mmap: bool = False, records: tuple[str, ...] = ()) -> Any:
    """Read a file of `torch.save` to the CPU: with `weights_only`, or, where that refuses, with the restricted reader.

    Args:
        mmap: map tensors instead of reading them, where the file's format allows it.
        records: names of classes whose instances come as plain objects with their attributes and no method.

    Raises:
        InputError: a file that is missing, cut short or of another format.
    """
    _check_file(path)
    _refuse_programs(path)
    options = {"map_location": "cpu", "mmap": mmap and zipfile.is_zipfile(path)}
    try:
        try:
            return torch.load(path, weights_only=True, **options)
        except pickle.UnpicklingError:  # it holds other objects, such as a logger
            return torch.load(path, weights_only=False, pickle_module=_pickle_module(records), **options)
    except Exception as error:  # a damaged file can raise anything
        raise InputError(
            f"weights file {path} ({os.path.getsize(path)} bytes) is cut short or not of torch.save: "
            f"{_first_line(error)}"
        ) from error


def load_safetensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors file to the CPU.

    Raises:
        InputError: a file that is missing, cut short or of another format.
    """
    _check_file(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"weights file {path} is cut short or no safetensors file: {_first_line(error)}") from error


def _check_file(path: str | os.PathLike) -> None:
    if not os.path.isfile(path):
        raise InputError(f"weights file {path} does not exist")


def _refuse_programs(path: str | os.PathLike) -> None:
    """Refuse what `torch.load` hands on to other readers, in old versions even with `weights_only`."""
    if tarfile.is_tarfile(path):
        raise InputError(f"weights file {path} is in the tar format of PyTorch 0.1; save it again with a newer version")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(os.path.basename(name) == "constants.pkl" for name in archive.namelist()):
                raise InputError(f"weights file {path} is a TorchScript program; a file of torch.save is needed")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
