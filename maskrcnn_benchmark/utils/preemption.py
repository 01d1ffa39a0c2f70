"""Ends a training in good order when the machine is wanted back: SIGTERM, or SIGUSR1, as clusters send them.

A signal comes to a process as a whole, so whether one came is known to the module. The training loop asks after each
iteration, validation after each batch (`compute_on_dataset`); what the processes of a job heard is put together there.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
# How long a worker of a data loader outlives a signal, in which the training ends it: the signal often goes to all
# processes of a job, and the training needs its data to the end of the iteration.
_WORKER_SECONDS = 120

_received: list[str] = []


class Preempted(Exception):
    """The training was told to end, and has saved what the same command goes on from."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h: try again later


def requested() -> bool:
    """Whether a signal came to this process since `listening` began."""
    return bool(_received)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Note SIGTERM and SIGUSR1 instead of ending; only the main thread of a process can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number, frame):
        if not _received:
            logging.getLogger("maskrcnn_benchmark").warning(
                "%s: this iteration is finished, and a checkpoint written", signal.Signals(number).name
            )
        _received.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold signals back while workers are started, which begin without a handler: `outlive_signals` lets them in."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def outlive_signals(worker: int) -> None:
    """For the workers of a data loader (`worker_init_fn`): a signal ends them some time later, see above."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: signal.alarm(_WORKER_SECONDS))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
