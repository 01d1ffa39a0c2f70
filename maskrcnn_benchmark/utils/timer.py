"""A stop watch."""

from __future__ import annotations

import datetime
import time


class Timer:
    """Sums the seconds between `tic` and `toc` and counts the calls."""

    def __init__(self):
        self.reset()

    @property
    def average_time(self) -> float:
        return self.total_time / self.calls if self.calls > 0 else 0.0

    def tic(self) -> None:
        self.start_time = time.perf_counter()

    def toc(self, average: bool = True) -> float:
        """Stop; the average of all calls in seconds, or this call's."""
        self.add(time.perf_counter() - self.start_time)
        return self.average_time if average else self.diff

    def add(self, time_diff: float) -> None:
        self.diff = time_diff
        self.total_time += time_diff
        self.calls += 1

    def reset(self) -> None:
        self.total_time = 0.0
        self.calls = 0
        self.start_time = 0.0
        self.diff = 0.0

    def avg_time_str(self) -> str:
        return get_time_str(self.average_time)


def get_time_str(time_diff: float) -> str:
    """Seconds as h:mm:ss."""
    return str(datetime.timedelta(seconds=time_diff))
