"""Draws depend on seed, iteration and place alone; means are the plain ones in one process."""

import pytest
import torch

from maskrcnn_benchmark.utils import global_batch
from maskrcnn_benchmark.utils.global_batch import (
    Step,
    batch_mean,
    counted,
    image_generators,
    mean_row,
    share_of,
    uniform_by_image,
    uniform_by_row,
    within,
)


def draws(number, **step):
    with within(Step(3, **step)):
        return uniform_by_image(range(number), 4, "cpu"), [torch.rand(2, generator=g) for g in image_generators(number)]


def test_an_image_draws_the_same_on_any_process():
    (rows, others), (second, _) = draws(4, iteration=7), draws(4, iteration=8)
    part_rows, part_others = draws(2, iteration=7, first=2)
    assert torch.equal(rows[2:], part_rows)
    assert all(torch.equal(a, b) for a, b in zip(others[2:], part_others, strict=True))
    assert len({row[0].item() for row in (*rows, *second)}) == 8


def test_rows_of_the_batch_are_shared_out(monkeypatch):
    with within(Step(3, 1)):
        whole = uniform_by_row(7, 2, "cpu")
    monkeypatch.setattr(global_batch, "gather_numbers", lambda numbers, device: [[3], [4]])
    monkeypatch.setattr(global_batch, "get_rank", lambda: 1)
    with within(Step(3, 1, first=2)):
        assert torch.equal(uniform_by_row(4, 2, "cpu"), whole[3:])


def test_outside_of_a_step_torch_draws():
    torch.manual_seed(2)
    first = uniform_by_image([0, 1], 3, "cpu")
    torch.manual_seed(2)
    assert torch.equal(first, torch.rand(2, 3)) and image_generators(2) == [None, None]


def test_means_of_one_process_are_the_plain_ones():
    values = torch.rand(7)
    assert batch_mean(values.sum(), torch.tensor(7)) == values.sum() / 7 == batch_mean(values.sum(), 7)
    assert batch_mean(values[:0].sum(), 0) == 0 and share_of(torch.tensor(3)) == 1.0
    assert torch.equal(mean_row(values[:, None]), values[:, None].mean(dim=0)) and mean_row(values[:0, None]) is None


@pytest.mark.parametrize("share", [[3, 4], [0, 7], [5, 2]])
def test_mean_over_processes_is_that_over_the_batch(monkeypatch, share):
    values = torch.rand(7)
    monkeypatch.setattr(global_batch, "get_world_size", lambda: 2)
    monkeypatch.setattr(global_batch, "sum_over_processes", lambda number: torch.tensor(7.0).double())
    parts = values.split(share)
    assert sum(batch_mean(part.sum(), len(part)) for part in parts) / 2 == pytest.approx(values.mean().item())
    means = [part.mean() if len(part) else torch.tensor(0.0) for part in parts]
    weighted = [mean * share_of(torch.tensor(len(part))) for mean, part in zip(means, parts, strict=True)]
    assert sum(weighted) / 2 == pytest.approx(values.mean().item())


def test_an_image_that_does_not_count_adds_nothing():
    value = torch.ones(2, requires_grad=True)
    with within(Step(3, 1, counts=False)):
        total = counted(value.sum())
    total.backward()
    assert total == 0 and torch.equal(value.grad, torch.zeros(2))
