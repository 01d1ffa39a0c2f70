"""Reads the tensors of a TorchScript archive without running anything that it holds.

`torch.jit.load` runs code of the archive (`__setstate__`). But its tensors lie beside that code: `data.pkl` is a pickle
of modules as bare attributes, and `data/<key>` holds the bytes of each storage. Here the pickle is read with a list of
the few functions that such a file needs, modules are their attributes, and everything else is refused.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from typing import Any, Dict, Iterator, Tuple

import torch
from torch import Tensor

from .errors import LanguageError

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_torchscript(path: str) -> bool:
    """Whether a file is a TorchScript archive: a zip file with code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_torchscript(path: str) -> Dict[str, Tensor]:
    """Parameters and buffers of the archive's module by name, on the CPU.

    Raises:
        LanguageError: a damaged archive, or one that needs anything else than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl"))
            module = _Unpickler(archive, root).load()
        return dict(_tensors(module, ""))
    except LanguageError as error:
        raise LanguageError(f"{path}: {error}") from error
    except Exception as error:  # unpickling raises whatever the bytes lead to
        raise LanguageError(f"{path}: a damaged TorchScript archive ({type(error).__name__}: {error}).") from error


class _Module:
    """A module of the archive: its attributes."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise LanguageError("a module of the TorchScript archive has a state of its own, which only its code reads")
        self.__dict__.update(state)


def _tensors(module: _Module, prefix: str) -> Iterator[Tuple[str, Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.")


def _rebuild_tensor(storage: Tensor, offset: int, size: Tuple[int, ...], stride: Tuple[int, ...], *_: Any) -> Tensor:
    """A tensor as `torch._utils._rebuild_tensor_v2` makes it, of a storage as a flat tensor."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if all(size) else offset
    if offset < 0 or min((*size, *stride, 0)) < 0 or last >= max(len(storage), 1):
        raise LanguageError("a tensor of the TorchScript archive reaches beyond its data")
    return torch.as_strided(storage, size, stride, offset).clone()


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    **{("torch.jit._pickle", f"build_{kind}list"): list for kind in ("int", "double", "bool", "tensor")},
    ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self.archive, self.root = archive, root
        self.storages: Dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) not in ALLOWED:
            raise LanguageError(f"the TorchScript archive names {module}.{name}, which its tensors do not need")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """A storage, ("storage", type, key, device, number of elements), as a flat tensor."""
        _, dtype, key, _, count = pid
        if key not in self.storages:
            content = bytearray(self.archive.read(f"{self.root}data/{key}"))
            self.storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.zeros(0, dtype=dtype)
        if len(self.storages[key]) != count:
            raise LanguageError(f"storage {key} of the TorchScript archive is cut short")
        return self.storages[key]
