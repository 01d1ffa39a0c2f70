"""Reads pickled files without running any code that they name.

Checkpoints of SGB hold a logger inside the state of the scheduler, so `torch.load(weights_only=True)` refuses them, and
Caffe2's ImageNet weights are plain pickles. Here every class or function outside a short list of containers, tensors
and arrays is replaced by an inert placeholder, which is dropped from the result: nothing else is ever called. A file
that would call what no training leaves in its state (`os.system`, `eval`) is refused.

What is read is checked here, once: tensors are dense, lie whole in the file, and those of weights are finite.
"""

from __future__ import annotations

import collections
import os
import pickle
import tarfile
import types
import zipfile
from typing import Any, TypedDict

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from . import json_schemas
from .errors import InputError
from .files import check_file
from .json_files import conform

# Packages whose objects training states hold beside tensors and arrays; they are left out.
_LEFT_OUT = ("logging", "maskrcnn_benchmark", "pysgg", "torch", "numpy", "yacs", "argparse", "collections", "copyreg",
             "pathlib", "datetime", "threading", "weakref")  # fmt: skip
_MOST_DEPTH = 64  # containers inside each other
_MOST_VALUES = 20_000_000  # containers, numbers and texts of a file

# Values of configurations that trained checkpoints record.
_Plain = bool | int | float | str | None
_Recorded = dict[str, _Plain | list[_Plain | list[_Plain]] | dict[str, _Plain]]


class _Checkpoint(TypedDict, total=False):
    """Entries of a checkpoint beside its tensors, which `state_dict_of` looks at."""

    iteration: json_schemas.Place
    seed: json_schemas.Seed
    obj_classes: list[json_schemas.Name]
    rel_classes: list[json_schemas.Name]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    scaler: dict[str, float]
    random_states: list[dict[str, Any]]
    run: _Recorded
    settings: _Recorded


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


class _Refusing(type):
    """A placeholder that may be there, as the class of something, but is not called."""

    def __call__(cls, *args, **kwargs):
        raise InputError(f"it would call {cls.__name__} when it is read: do not trust it")


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
        found = self._records.get(name) or self._allowed.get((module, name))
        if found is None and module.partition(".")[0] not in _LEFT_OUT:
            return _Refusing(f"{module}.{name}", (self.placeholder,), {})
        return found or self.placeholder

    def load(self) -> Any:
        content = super().load()
        _check_content(content)
        return self._without_placeholders(content, {})

    def _is_placeholder(self, value: Any) -> bool:
        return isinstance(value, self.placeholder) or (isinstance(value, type) and issubclass(value, self.placeholder))

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
        InputError: a file that is missing, no regular file, cut short, no pickle, or that names code.
    """
    check_file(path, "weights file")
    try:
        with open(path, "rb") as stream:
            return _load(stream, encoding=encoding)
    except InputError as error:
        raise InputError(f"weights file {path} is refused: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"weights file {path} is cut short or no pickle: {_first_line(error)}") from error


def load_torch(path: str | os.PathLike, mmap: bool = False, records: tuple[str, ...] = ()) -> Any:
    """Read a file of `torch.save` to the CPU: with `weights_only`, or, where that refuses, with the restricted reader.

    Args:
        mmap: map tensors instead of reading them, where the file's format allows it. Its checksums are not verified
            then.
        records: names of classes whose instances come as plain objects with their attributes and no method.

    Raises:
        InputError: a file that is missing, no regular file, cut short, of another format, changed after it was written,
            that names code, or has tensors that are sparse, quantized or larger than the file.
    """
    check_file(path, "weights file")
    try:
        _check_archive(path, verify=not mmap)
        options = {"map_location": "cpu", "mmap": mmap and zipfile.is_zipfile(path)}
        try:
            content = torch.load(path, weights_only=True, **options)
        except pickle.UnpicklingError:  # it holds other objects, such as a logger
            content = torch.load(path, weights_only=False, pickle_module=_pickle_module(records), **options)
        _check_content(content)
        return content
    except InputError as error:
        raise InputError(f"weights file {path} is refused: {error}") from error
    except Exception as error:  # a damaged file can raise anything
        raise InputError(
            f"weights file {path} ({os.path.getsize(path)} bytes) is cut short or not of torch.save: "
            f"{_first_line(error)}"
        ) from error


def load_checkpoint(path: str | os.PathLike, mmap: bool = False) -> dict[str, Any]:
    """The entries of a checkpoint (`iteration`, names of classes and so on are of their types), or a bare state dict.

    Raises:
        InputError: as `load_torch`, or something else in it.
    """
    content = load_torch(path, mmap)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        kind = _kind(content) if not isinstance(content, dict) else "other keys than names"
        raise InputError(f"weights file {path} holds no dictionary of a checkpoint but {kind}")
    return conform(content, _Checkpoint, f"weights file {path}")


def load_safetensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors file to the CPU.

    Raises:
        InputError: a file that is missing, no regular file, cut short or of another format.
    """
    check_file(path, "weights file")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"weights file {path} is cut short or no safetensors file: {_first_line(error)}") from error


def state_dict_of(path: str | os.PathLike, content: Any, what: str = "a state dict") -> dict[str, torch.Tensor]:
    """Names and tensors, as weights have them: the one place where weights of any file are looked at.

    Args:
        content: what should be a state dict.
        what: what it is called in messages.

    Raises:
        InputError: something else, or a tensor that is no real number, or not finite.
    """
    if not isinstance(content, dict) or not content:
        raise InputError(f"weights file {path} has no names and tensors as {what}, found {_kind(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(f"weights file {path}: {what} has {name!r} with {_kind(value)}, expected a tensor by name")
        if value.is_complex():
            raise InputError(f"weights file {path}: {name} is of {value.dtype}, expected real numbers")
        if value.is_floating_point() and not _is_finite(value):
            raise InputError(
                f"weights file {path}: {name} has values that are nan or infinite; use an older checkpoint"
            )
    return content


def _is_finite(value: torch.Tensor) -> bool:
    # a sum is finite where all are, but for overflow: then every value is looked at
    return bool(torch.isfinite(value.sum(dtype=torch.float64))) or bool(torch.isfinite(value).all())


def _kind(value: Any) -> str:
    if isinstance(value, dict) and not value:
        return "an empty dict"
    return "none" if value is None else f"a {type(value).__name__}"


def _check_archive(path: str | os.PathLike, verify: bool) -> None:
    """Refuse what `torch.load` hands on to other readers, in old versions even with `weights_only`, and what is larger
    than the file: `torch.save` compresses nothing."""
    if tarfile.is_tarfile(path):
        raise InputError("it is in the tar format of PyTorch 0.1; save it again with a newer version")
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if os.path.basename(member.filename) == "constants.pkl":
                raise InputError("it is a TorchScript program; a file of torch.save is needed")
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > os.path.getsize(path):
                raise InputError(f"its part {member.filename} is compressed, which torch.save never does")
        try:
            changed = archive.testzip() if verify else None
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise InputError(f"it is cut short or damaged: {_first_line(error)}") from error
        if changed is not None:
            raise InputError(f"its part {changed} was changed after it was written (the checksum is wrong)")


def _check_content(content: Any) -> None:
    """Look at all containers and tensors once, whatever refers to them: how deep, how many, and how large."""
    waiting, seen, count = [(content, 0)], set(), 0
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, torch.Tensor):
            _check_tensor(value)
            continue
        if isinstance(value, dict):
            parts = [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            parts = list(value)
        elif hasattr(value, "__dict__") and type(value).__module__ == __name__:
            parts = list(vars(value).values())
        else:
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        count += len(parts)
        if depth > _MOST_DEPTH or count > _MOST_VALUES:
            raise InputError(f"it is nested too deeply or has too many values ({_MOST_DEPTH} levels are read)")
        waiting += [(part, depth + 1) for part in parts if not isinstance(part, (str, int, float, bytes, type(None)))]


def _check_tensor(value: torch.Tensor) -> None:
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        raise InputError(f"it has a tensor of another kind than dense numbers ({value.layout}, {value.dtype})")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise InputError(f"it has a tensor of shape {list(value.shape)}, for which it has too few bytes")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
