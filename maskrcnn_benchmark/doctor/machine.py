"""The machine: versions, card and driver or why there is none, memory, disk."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
import torchvision

from maskrcnn_benchmark.utils.download import in_words

from .finding import FAILS, NOTE, OK, Finding

_SHARED_MEMORY = Path("/dev/shm")
_LEAST_SHARED = 1 << 30  # bytes: batches of large images go through it from the data loader's workers
_LEAST_DISK = 1 << 30


def machine(cfg) -> Iterator[Finding]:
    """Findings about the machine under a configuration."""
    yield Finding("Python", OK, f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors")
    cuda = torch.version.cuda or torch.version.hip
    built = f"built for {'CUDA' if torch.version.cuda else 'ROCm'} {cuda}" if cuda else "built for the CPU alone"
    yield Finding("PyTorch", OK, f"{torch.__version__}, torchvision {torchvision.__version__}, {built}")
    yield _card(cfg)
    memory = psutil.virtual_memory()
    yield Finding("memory", OK, f"{in_words(memory.available)} of {in_words(memory.total)} free")
    if _SHARED_MEMORY.is_dir() and cfg.DATALOADER.NUM_WORKERS > 0:
        yield _shared_memory(cfg.DATALOADER.NUM_WORKERS)
    yield _disk(cfg.OUTPUT_DIR or ".")


def _card(cfg) -> Finding:
    wanted = torch.device(cfg.MODEL.DEVICE)
    if wanted.type != "cuda":
        if torch.cuda.is_available():
            return Finding("card", NOTE, f"{torch.cuda.get_device_name()} is there, but MODEL.DEVICE is {wanted}",
                           "add MODEL.DEVICE cuda")  # fmt: skip
        return Finding("card", NOTE, f"none: {_why_no_card()}; training runs on the processor, many times slower")
    index = wanted.index if wanted.index is not None else torch.cuda.current_device()
    free, total = torch.cuda.mem_get_info(index)
    found = f"{torch.cuda.get_device_name(index)}, {in_words(free)} of {in_words(total)} free"
    if driver := _driver():
        found += f", driver {driver}"
    return Finding("card", OK, f"{found}, {torch.cuda.device_count()} in all")


def _driver() -> str:
    """Version of NVIDIA's driver; "" where there is none."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return ""
    return next((word for word in words if word.replace(".", "").isdigit() and "." in word), "")


def _why_no_card() -> str:
    if not (torch.version.cuda or torch.version.hip):
        return "this PyTorch is built for the CPU alone (pytorch.org has others)"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides all cards"
    if not _driver():
        return "no NVIDIA driver is loaded (in a container: start it with --gpus all)"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).split("\n", 1)[0]
    return "the driver shows no card"


def _shared_memory(workers: int) -> Finding:
    size = shutil.disk_usage(_SHARED_MEMORY).total
    if size < _LEAST_SHARED:
        return Finding(
            "shared memory", NOTE, f"{_SHARED_MEMORY} has {in_words(size)}, little for {workers} workers of the data "
            "loader: they may die with a bus error", "start the container with --shm-size 8g, or add "
            "DATALOADER.NUM_WORKERS 0",
        )  # fmt: skip
    return Finding("shared memory", OK, in_words(size))


def _disk(folder: str) -> Finding:
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return Finding("disk", FAILS, f"OUTPUT_DIR {folder} cannot be written", "choose another OUTPUT_DIR")
    free = shutil.disk_usage(place).free
    if free < _LEAST_DISK:
        return Finding("disk", FAILS, f"{in_words(free)} free for OUTPUT_DIR {folder}", "choose another OUTPUT_DIR")
    return Finding("disk", OK, f"{in_words(free)} free for OUTPUT_DIR {folder}")
