"""Running values of losses and times."""

from __future__ import annotations

from collections import defaultdict, deque

import torch
from torch import Tensor


class SmoothedValue:
    """A series of numbers: median and mean of the last `window_size`, and the mean of all."""

    def __init__(self, window_size: int = 20):
        self.deque: deque[float] = deque(maxlen=window_size)
        self.total = 0.0
        self.count = 0

    def update(self, value: float) -> None:
        self.deque.append(value)
        self.count += 1
        self.total += value

    @property
    def median(self) -> float:
        return torch.tensor(list(self.deque), dtype=torch.float64).median().item()

    @property
    def avg(self) -> float:
        return sum(self.deque) / len(self.deque)

    @property
    def global_avg(self) -> float:
        return self.total / self.count


class MetricLogger:
    """One `SmoothedValue` per name, printed as `name: median (mean)`."""

    def __init__(self, delimiter: str = "\t"):
        self.meters: defaultdict[str, SmoothedValue] = defaultdict(SmoothedValue)
        self.delimiter = delimiter

    def update(self, **kwargs: float | Tensor) -> None:
        for name, value in kwargs.items():
            self.meters[name].update(value.item() if isinstance(value, Tensor) else float(value))

    def __getattr__(self, name: str) -> SmoothedValue:
        meters = self.__dict__.get("meters", {})
        if name in meters:
            return meters[name]
        raise AttributeError(f"{type(self).__name__} has no meter {name!r}")

    def __str__(self) -> str:
        return self.delimiter.join(f"{n}: {m.median:.4f} ({m.global_avg:.4f})" for n, m in self.meters.items())
