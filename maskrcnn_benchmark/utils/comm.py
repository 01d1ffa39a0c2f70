"""Communication between processes; every function works without any, too."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


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
        dist.barrier()


def all_gather(data: Any) -> list[Any]:
    """The objects of all processes, in order of their ranks, on every process."""
    if get_world_size() == 1:
        return [data]
    gathered: list[Any] = [None] * get_world_size()
    dist.all_gather_object(gathered, data)
    return gathered


def anywhere(flag: bool) -> bool:
    """Whether a flag is set in any process, on every process."""
    if get_world_size() == 1:
        return flag
    value = torch.tensor(int(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value)


def reduce_dict(input_dict: dict[str, torch.Tensor], average: bool = True) -> dict[str, torch.Tensor]:
    """Means (or sums) over all processes of scalars, on every process."""
    world_size = get_world_size()
    if world_size == 1:
        return input_dict
    with torch.no_grad():
        names = sorted(input_dict)
        values = torch.stack([input_dict[name].detach().float() for name in names])
        dist.all_reduce(values)
        if average:
            values /= world_size
        return dict(zip(names, values, strict=True))
