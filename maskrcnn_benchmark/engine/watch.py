"""Each of several processes watches the others: one that dies or hangs ends them all, with a sentence that names it.

Without it, those that are left wait for the missing one in their next communication, on GPUs for ever or until a
timeout whose message names nobody.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

import torch.distributed as dist

from maskrcnn_benchmark.utils import comm
from maskrcnn_benchmark.utils.errors import InputError

KEY = "PROCESS_TIMEOUT"
PERIOD = 1.0  # seconds between two signs of life
SILENCE = 45.0  # after so many without one a process is taken for dead: loading a large file can block it for a while
SHORT_SILENCE = 6.0  # the same, once a communication has failed


@contextlib.contextmanager
def joined(backend: str, timeout: float) -> Iterator[None]:
    """Within it this process is one of several that watch each other.

    Args:
        backend: `nccl` or `gloo`.
        timeout: PROCESS_TIMEOUT.

    Raises:
        InputError: not all processes came, or one went away before its time.
    """
    watch = _join(backend, timeout)
    try:
        try:
            yield
        except Exception as error:
            if getattr(error, "exit_status", None) is None:
                raise
            _part(watch)  # an end in good order, which all processes come to (utils/cli.py)
            raise
        _part(watch)
    except Exception as error:
        if is_lost_connection(error):
            raise InputError(watch.explain()) from error
        if not watch.has_ended:
            watch.end((str(error) or type(error).__name__).splitlines()[0])
        raise
    finally:
        dist.destroy_process_group()


def _part(watch: Watch) -> None:
    dist.barrier()  # the store ends with the process that has it: nobody must look for it any more
    watch.end()


def _join(backend: str, timeout: float) -> Watch:
    # longer than the watch's, which has more to say
    limit = datetime.timedelta(seconds=timeout + 2 * SILENCE)
    try:
        dist.init_process_group(backend=backend, init_method="env://", timeout=limit)
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(host, port, is_master=False, timeout=limit)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        watch = Watch(dist.PrefixStore(f"watch/{attempt}", store), dist.get_rank(), dist.get_world_size(), timeout)
        dist.barrier()
    except RuntimeError as error:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise InputError(
            f"not all of {os.environ.get('WORLD_SIZE')} processes came to {place} ({str(error).splitlines()[0]})"
        ) from error
    watch.start()
    return watch


class Watch:
    """A thread that gives signs of life in the processes' common store, and reads those of the others.

    A sign tells how many communications of `comm` the process has begun: all processes begin the same, so that one that
    the others wait for has begun fewer.

    Args:
        store: of all processes, on a connection of its own.
        timeout: seconds after which a process that goes on with nothing is taken to hang.
    """

    def __init__(self, store: dist.Store, rank: int, world_size: int, timeout: float):
        self.store, self.rank, self.timeout = store, rank, timeout
        self.names = [f"{place}" for place in range(world_size)]
        self.signs: list[dict] = [{} for _ in self.names]
        self.seen = [time.monotonic()] * world_size  # when the last new sign of each process came
        self.gone_on = time.monotonic()  # when this process last began a communication
        self._beat, self._begun = 0, -1
        self._ended = threading.Event()
        self._give_sign()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def start(self) -> None:
        """Once all processes are there."""
        self.seen = [time.monotonic()] * len(self.names)
        self._thread.start()

    def end(self, farewell: str | None = None) -> None:
        """Stop; with a farewell, what the others are to say of this process, which ends before its time."""
        self._ended.set()
        if farewell is not None:
            try:
                self._give_sign(farewell)
                time.sleep(3 * PERIOD)  # the store may end with this process: the others must have read it
            except (RuntimeError, OSError):
                return  # the store is gone, and with it whoever would read

    def explain(self) -> str:
        """After a communication failed: a sentence about the process that is missing."""
        self._ended.set()
        started = time.monotonic()
        while time.monotonic() < started + SILENCE:
            sentence = self._look(SHORT_SILENCE)
            if sentence:
                return sentence
            time.sleep(PERIOD)
        return "the processes lost each other, though each still gives signs of life: look at the network between them"

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            sentence = self._look(SILENCE) or self._hanging()
            if sentence and not self._ended.wait(3 * PERIOD):
                print(f"error: {sentence}", file=sys.stderr, flush=True)
                os._exit(1)  # the main thread waits where nothing can wake it

    def _give_sign(self, farewell: str | None = None) -> None:
        self._beat += 1
        sign = {"beat": self._beat, "begun": comm.begun(), "host": socket.gethostname(), "pid": os.getpid()}
        self.store.set(self.names[self.rank], json.dumps(sign | {"farewell": farewell}))

    def _look(self, silence: float) -> str | None:
        """Give a sign, read those of the others; a sentence about one that ended, or was silent for so long."""
        now = time.monotonic()
        try:
            self._give_sign()
            signs = [json.loads(sign) for sign in self.store.multi_get(self.names)]
        except (RuntimeError, OSError):
            return "process 0 (or torchrun), which keeps what the processes tell each other, has ended"
        for place, sign in enumerate(signs):
            if sign != self.signs[place]:
                self.signs[place], self.seen[place] = sign, now
        if comm.begun() != self._begun:
            self._begun, self.gone_on = comm.begun(), now
        for place, sign in enumerate(signs):
            if place == self.rank:
                continue
            if sign["farewell"] is not None:
                return f"{self._name(place)} ended: {sign['farewell']}"
            if now - self.seen[place] > silence:
                return (
                    f"{self._name(place)} died or was stopped: no sign of life for "
                    f"{now - self.seen[place]:.0f} seconds. Look for what it said last, and for a lack of memory; the "
                    "same command goes on from the last checkpoint"
                )
        return None

    def _hanging(self) -> str | None:
        seconds = time.monotonic() - self.gone_on
        if seconds < self.timeout:
            return None
        begun = [sign["begun"] for sign in self.signs]
        behind = [place for place, number in enumerate(begun) if number == min(begun)]
        if len(behind) == len(begun):
            what = f"no process has gone on for {seconds:.0f} seconds, and none is behind the others"
        else:
            what = f"{', '.join(map(self._name, behind))} hangs: the others have waited for {seconds:.0f} seconds"
        return f"{what}. {KEY} is {self.timeout:g} seconds: raise it if a step, or an evaluation, can take so long"

    def _name(self, place: int) -> str:
        sign = self.signs[place]
        return f"process {place} (pid {sign['pid']} on {sign['host']})"


def is_lost_connection(error: BaseException) -> bool:
    """Whether a communication failed since another process is not there any more."""
    return isinstance(error, (dist.DistBackendError, dist.DistNetworkError)) or (
        isinstance(error, RuntimeError) and ("gloo" in str(error) or "Connection closed by peer" in str(error))
    )
