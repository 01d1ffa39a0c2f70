"""Reads pickled files without running any code that they name.

Checkpoints of SGB hold a logger inside the state of the scheduler, so `torch.load(weights_only=True)` refuses them, and
Caffe2's ImageNet weights are plain pickles. Here every class or function outside a short list of containers and arrays
is replaced by an inert placeholder: the tensors are read, nothing is called.
"""

from __future__ import annotations

import collections
import pickle
from typing import Any

import numpy as np
import torch

from .errors import InputError


class Placeholder:
    """Stands for an object whose class is not on the list; keeps nothing of it."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __call__(self, *args, **kwargs):
        return Placeholder()

    def append(self, item):
        pass

    def extend(self, items):
        pass

    def __setitem__(self, key, value):
        pass


def _numpy_globals() -> dict[tuple[str, str], Any]:
    """What numpy pickles refer to, under the names of its old and new modules."""
    reduce_array = np.zeros(1).__reduce__()[0]  # numpy's _reconstruct
    reduce_scalar = np.float32(1).__reduce__()[0]  # numpy's scalar
    found: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for package in ("numpy.core", "numpy._core"):
        found[package + ".multiarray", "_reconstruct"] = reduce_array
        found[package + ".multiarray", "scalar"] = reduce_scalar
    for name in ("Float32DType", "Float64DType", "Int64DType", "Int32DType", "UInt8DType", "BoolDType"):
        if hasattr(np, "dtypes") and hasattr(np.dtypes, name):
            found["numpy.dtypes", name] = getattr(np.dtypes, name)
    return found


_STORAGES = (
    "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
)  # fmt: skip
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "Counter"): collections.Counter,
    ("collections", "deque"): collections.deque,
    ("_codecs", "encode"): lambda text, encoding="utf-8", *_: (
        text.encode(encoding) if encoding in ("latin1", "latin-1", "utf-8", "utf8", "ascii") else Placeholder()
    ),
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    **{("torch", f"{name}Storage"): getattr(torch, f"{name}Storage") for name in _STORAGES},
    **_numpy_globals(),
}
for _package in ("builtins", "__builtin__"):
    for _type in (set, frozenset, list, dict, tuple, int, float, bool, str, bytes, complex, slice, range, bytearray):
        _ALLOWED[_package, _type.__name__] = _type


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that knows containers, tensors and arrays only."""

    def find_class(self, module: str, name: str) -> Any:
        return _ALLOWED.get((module, name), Placeholder)


class _PickleModule:
    """The interface that `torch.load` wants of a pickle module."""

    __name__ = "restricted_pickle"
    Unpickler = RestrictedUnpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(stream, **kwargs):
        return RestrictedUnpickler(stream, **kwargs).load()


def load_pickle(path: str, encoding: str = "latin1") -> Any:
    """Read a plain pickle.

    Raises:
        InputError: a file that is missing, cut short or no pickle.
    """
    try:
        with open(path, "rb") as stream:
            return RestrictedUnpickler(stream, encoding=encoding).load()
    except FileNotFoundError as error:
        raise InputError(f"weights file {path} does not exist") from error
    except (pickle.UnpicklingError, EOFError, UnicodeDecodeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"weights file {path} is cut short or no pickle: {error}") from error


def load_torch(path: str) -> Any:
    """Read a file of `torch.save` to the CPU: with `weights_only`, or, where that refuses, with the restricted reader.

    Raises:
        InputError: a file that is missing, cut short or of another format.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"weights file {path} does not exist") from error
    except pickle.UnpicklingError:
        pass  # holds other objects, such as a logger: the restricted reader leaves them out
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(f"weights file {path} cannot be read: {_first_line(error)}") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PickleModule)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"weights file {path} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
