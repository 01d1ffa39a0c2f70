"""Copies between host and device that wait no more often than they must."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

WAIT = "to_host"  # what a profile calls the copies that wait for the device


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor of the host on the device, without waiting for what the device is doing; itself where it is there."""
    device = torch.device(device)
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def parts_to_device(parts: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """Tensors of the host that differ in their first dimension only, on the device, by one copy."""
    return list(to_device(torch.cat(list(parts)), device).split([len(part) for part in parts]))


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """All tensors on the host, waiting for the device once; those that are there are passed on as they are."""
    with torch.profiler.record_function(WAIT):
        copies = [tensor.to("cpu", non_blocking=tensor.is_cuda) for tensor in tensors]
        for device in {tensor.device for tensor in tensors if tensor.device.type == "cuda"}:
            torch.cuda.current_stream(device).synchronize()
    return copies
