"""What is said of machines with and without a card, memory and disk."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.doctor.finding import FAILS, NOTE, OK
from maskrcnn_benchmark.doctor.machine import machine

Usage = namedtuple("Usage", "total used free")


def found(what, *options):
    (finding,) = [one for one in machine(load_config("", options)) if one.what == what]
    return finding


@pytest.fixture
def card(monkeypatch):
    """A machine with one card."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index=0: "Some Card")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (8 * 10**9, 24 * 10**9))


def test_a_card_and_its_memory(card):
    finding = found("card", "MODEL.DEVICE", "cuda")
    assert finding.state == OK and finding.found.startswith("Some Card, 8.0 GB of 24.0 GB free")


def test_a_card_that_is_not_used(card):
    finding = found("card", "MODEL.DEVICE", "cpu")
    assert finding.state == NOTE and finding.remedy == "add MODEL.DEVICE cuda"


@pytest.mark.parametrize(
    ("built", "visible", "reason"),
    [(None, None, "built for the CPU alone"), ("13.0", "-1", "CUDA_VISIBLE_DEVICES hides all cards"),
     ("13.0", None, "no NVIDIA driver is loaded")],
)  # fmt: skip
def test_why_there_is_no_card(monkeypatch, built, visible, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr("maskrcnn_benchmark.doctor.machine._driver", lambda: "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    finding = found("card", "MODEL.DEVICE", "cpu")
    assert finding.state == NOTE and reason in finding.found


def test_a_disk_that_is_full_or_closed(monkeypatch, tmp_path):
    options = ("OUTPUT_DIR", str(tmp_path / "not" / "there" / "yet"))
    assert found("disk", *options).state == OK
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 10**6))
    full = found("disk", *options)
    assert full.state == FAILS and "1.0 MB free" in full.found and full.remedy
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "cannot be written" in found("disk", *options).found


def test_little_shared_memory_for_workers(monkeypatch):
    if not Path("/dev/shm").is_dir():
        pytest.skip("this system has no /dev/shm")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 * 10**6, 0, 10**12))
    finding = found("shared memory", "DATALOADER.NUM_WORKERS", 4)
    assert finding.state == NOTE and "--shm-size" in finding.remedy
    assert "shared memory" not in {one.what for one in machine(load_config("", ["DATALOADER.NUM_WORKERS", 0]))}
