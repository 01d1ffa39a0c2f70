"""A training step of several processes is that of one: random choices and means of the batch that they share.

Processes hold consecutive parts of a global batch. What is drawn for an image depends on the seed, the iteration and
the image's place in the global batch; a mean is one over the global batch. Outside of a `Step`, draws come from torch's
own generators; with one process a mean is the plain one, to the last bit.

A batch can have fewer images than there are processes. A process that is left without one then goes through the step
with the batch's first image, so that it takes part in what all do together, but counts nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .comm import gather_numbers, get_rank, get_world_size, sum_over_processes
from .transfer import to_device


class Step:
    """The random choices of one iteration.

    Args:
        seed: of the run, the same on all processes.
        iteration: from 1.
        first: place in the global batch of this process's first image.
        counts: whether this process's images count.
    """

    def __init__(self, seed: int, iteration: int, first: int = 0, counts: bool = True):
        self.seed, self.iteration, self.first, self.counts = seed, iteration, first, counts
        self._generators: dict[tuple, torch.Generator] = {}

    def generator(self, place: int | None = None, device: torch.device | str = "cpu") -> torch.Generator:
        """Of this process's image at `place`, or of the batch, the same on all processes; it goes on in each call."""
        key = (place, str(device))
        if key not in self._generators:
            # 0 stands for the batch, so that its images begin at 1
            number = 0 if place is None else 1 + self.first + place
            state = np.random.SeedSequence([self.seed, self.iteration, number]).generate_state(2)
            seed = int(state[0]) << 31 | int(state[1]) >> 1
            self._generators[key] = torch.Generator(device).manual_seed(seed)
        return self._generators[key]


_steps: list[Step] = []


@contextlib.contextmanager
def within(step: Step) -> Iterator[None]:
    """Draw and count as this step says."""
    _steps.append(step)
    try:
        yield
    finally:
        _steps.pop()


def current_step() -> Step | None:
    return _steps[-1] if _steps else None


def start_step(seed: int, iteration: int, images: Tensor, indices: Sequence[int]) -> tuple[Step, tuple[int, int]]:
    """What processes must know of each other's images.

    Args:
        images: [b, C, H, W], on the device.
        indices: of the images; negative where the process has none of its own (`samplers.PartOfBatch`).

    Returns:
        the step, and the height and width of the largest images of all processes: what is seen near the right and the
        lower border of an image depends on how it is padded
    """
    counts = all(index >= 0 for index in indices)
    sizes = gather_numbers([len(indices) if counts else 0, *images.shape[-2:]], images.device)
    first = sum(size[0] for size in sizes[: get_rank()])
    return Step(seed, iteration, first, counts), (max(s[1] for s in sizes), max(s[2] for s in sizes))


# -- draws -----------------------------------------------------------------------------------------------------------
def image_generators(number: int, device: torch.device | str = "cpu") -> list[torch.Generator | None]:
    """The generator of each image of this process; None, torch's own, outside of a step."""
    step = current_step()
    return [None if step is None else step.generator(place, device) for place in range(number)]


def uniform_by_image(images: Sequence[int], width: int, device: torch.device | str) -> Tensor:
    """Uniform numbers in [0, 1): a row for each entry of `images`, drawn for the image of that place.

    Returns:
        [len(images), width]
    """
    step = current_step()
    if step is None:
        return torch.rand(len(images), width, device=device)
    rows = [torch.rand(width, generator=step.generator(place)) for place in images]
    return to_device(torch.stack(rows) if rows else torch.zeros(0, width), device)


def uniform_by_row(number: int, width: int, device: torch.device | str) -> Tensor:
    """Uniform numbers in [0, 1) for rows that the whole batch has in order, such as its pairs; [number, width]."""
    step = current_step()
    if step is None:
        return torch.rand(number, width, device=device)
    numbers = [own for (own,) in gather_numbers([number if step.counts else 0], device)]
    drawn = torch.rand(max(sum(numbers), number), width, generator=step.generator())
    first = sum(numbers[: get_rank()]) if step.counts else 0
    return to_device(drawn[first : first + number], device)


# -- means -----------------------------------------------------------------------------------------------------------
def counted(value: Tensor) -> Tensor:
    """A sum or a number of this process; zero, and still connected to the graph, where its images do not count."""
    step = current_step()
    return value if step is None or step.counts else value * 0


def over_batch(number: Tensor | int, like: Tensor | None = None) -> Tensor | int:
    """The sum over the whole batch of a number that each process has, such as that of its pairs; without gradient.

    Args:
        like: a tensor on the device, where `number` is none.
    """
    if get_world_size() == 1:
        return number
    if not isinstance(number, Tensor):
        assert like is not None
        number = torch.tensor(number, device=like.device)
    return sum_over_processes(counted(number).double()).float()


def batch_mean(total: Tensor, number: Tensor | int) -> Tensor:
    """A process's share of a mean over the whole batch; with one process `total / max(number, 1)`.

    The gradients of W processes are averaged, and so are their losses: the mean of s_r / (n / W) is (sum of s_r) / n,
    whatever each process's share of the n terms.

    Args:
        total: sum of this process's terms, s_r.
        number: of this process's terms.
    """
    number = over_batch(number, total)
    number = number.clamp(min=1) if isinstance(number, Tensor) else max(number, 1)
    return counted(total) / (number / get_world_size())


def share_of(number: Tensor) -> Tensor | float:
    """What to multiply a process's own mean of `number` terms by, so that the mean over processes is that of all."""
    return 1.0 if get_world_size() == 1 else batch_mean(number.float(), number)


def mean_row(rows: Tensor) -> Tensor | None:
    """The mean [d] of the rows [n, d] of all processes, without gradient; None where there is none."""
    rows = rows.detach()
    if get_world_size() == 1:
        return rows.mean(dim=0) if len(rows) else None
    sums = torch.cat((rows.sum(dim=0), rows.new_tensor([len(rows)])))
    *_, number = total = sum_over_processes(counted(sums.float()))
    return total[:-1] / number if number > 0 else None
