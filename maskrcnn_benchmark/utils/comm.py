"""Communication between processes; every function works without any, too."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_begun = 0


def begun() -> int:
    """How many communications this process has begun; all processes begin the same, one after the other."""
    return _begun


def _begin() -> None:
    global _begun
    _begun += 1


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _initialized() else 1


def get_rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _initialized() else 0


def is_main_process() -> bool:
    """Whether this process writes files and logs."""
    return get_rank() == 0


def synchronize() -> None:
    """Wait until all processes are here."""
    if get_world_size() > 1:
        _begin()
        dist.barrier()


def all_gather(data: Any) -> list[Any]:
    """The objects of all processes, in order of their ranks, on every process."""
    if get_world_size() == 1:
        return [data]
    gathered: list[Any] = [None] * get_world_size()
    _begin()
    dist.all_gather_object(gathered, data)
    return gathered


def anywhere(flag: bool) -> bool:
    """Whether a flag is set in any process, on every process."""
    if get_world_size() == 1:
        return flag
    value = torch.tensor(int(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    _begin()
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value)


def gather_numbers(numbers: list[int], device: torch.device | str) -> list[list[int]]:
    """As many integers of every process, in order of their ranks; sent by way of the device that the backend knows."""
    if get_world_size() == 1:
        return [numbers]
    own = torch.tensor(numbers, dtype=torch.int64, device=device)
    gathered = own.new_empty(get_world_size() * len(numbers))
    _begin()
    dist.all_gather(list(gathered.chunk(get_world_size())), own)
    return gathered.view(-1, len(numbers)).tolist()


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of the tensors of all processes, on every process, without gradient; itself where there is one."""
    if get_world_size() == 1:
        return tensor
    total = tensor.detach().clone()
    _begin()
    dist.all_reduce(total)
    return total


def reduce_dict(input_dict: dict[str, Tensor], average: bool = True) -> dict[str, Tensor]:
    """Means (or sums) over all processes of scalars, on every process."""
    world_size = get_world_size()
    if world_size == 1:
        return input_dict
    with torch.no_grad():
        names = sorted(input_dict)
        values = torch.stack([input_dict[name].detach().float() for name in names])
        _begin()
        dist.all_reduce(values)
        if average:
            values /= world_size
        return dict(zip(names, values, strict=True))
