"""Copies between host and device keep values and shapes; on the host nothing is copied."""

import torch

from maskrcnn_benchmark.utils.transfer import parts_to_device, to_device, to_host


def test_on_the_host_tensors_are_passed_on_as_they_are():
    tensors = [torch.arange(3), torch.zeros(0, 2)]
    assert all(ours is theirs for ours, theirs in zip(to_host(tensors), tensors, strict=True))
    assert to_device(tensors[0], "cpu") is tensors[0]
    assert to_host([]) == []


def test_parts_arrive_as_they_were_sent_empty_ones_too():
    parts = [torch.arange(6).view(3, 2), torch.zeros((0, 2), dtype=torch.int64), torch.tensor([[7, 8]])]
    arrived = parts_to_device(parts, "cpu")
    assert [part.tolist() for part in arrived] == [part.tolist() for part in parts]
    on_another_device = parts_to_device(parts, torch.device("meta"))
    assert [part.shape for part in on_another_device] == [part.shape for part in parts]
    assert {part.device.type for part in on_another_device} == {"meta"}
