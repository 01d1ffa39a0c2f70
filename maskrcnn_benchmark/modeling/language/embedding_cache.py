"""Embeddings of phrases, made once with a frozen text encoder and kept on disk."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import os
import tempfile
import time
import uuid
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch

from .array_files import read_array
from .defaults import KEY
from .errors import LanguageError
from .text_encoder import EncoderSpec, TextEncoder, import_library, load_text_encoder

try:
    import fcntl
except ImportError:  # Windows: processes that start together each embed for themselves, the last file stays
    fcntl = None  # type: ignore[assignment]

FORMAT = 1  # raise it when the same phrases would come out otherwise
PHRASES_AT_ONCE = 4096
logger = logging.getLogger("maskrcnn_benchmark")


class EmbeddingCache:
    """Embeds phrases, or finds what an earlier run embedded.

    A file's name is made of the weights (hash of the file, or the name that stands for published weights), of all
    phrases, and of the version of the text encoder's library. So a change of any of them embeds anew, and since none of
    them needs the library, what is on disk is found without it; then the version of the library does not matter.

    Args:
        spec: the text encoder.
        folder: where the files are; made if it is not there.
        device: where the text tower runs.
    """

    def __init__(self, spec: EncoderSpec, folder: str, device: torch.device) -> None:
        self.spec = spec
        self.folder = os.path.abspath(os.path.expanduser(folder))
        self.device = device

    def embed(self, templated: Sequence[Sequence[str]], what: str, dtype: type = np.float32) -> np.ndarray:
        """Embeddings averaged over templates.

        Args:
            templated: for each template the list of n phrases.
            what: what the log calls them.
            dtype: of the array in memory and on disk.

        Returns:
            [n, d], every row of length 1.

        Raises:
            LanguageError: nothing on disk, and no text encoder to embed with.
        """
        stem, path = self._place(templated, dtype)
        found = self._read(path, len(templated[0]))
        if found is not None:
            return found
        if self.spec.library_version() is None:
            import_library(self.spec.library)  # says what is missing and how to install it
        assert path is not None
        try:
            os.makedirs(self.folder, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise LanguageError(f"{KEY}.CACHE_DIR: cannot write to the folder {self.folder} ({error}).") from error
        with locked(stem + ".lock"):  # of several processes that start together, one embeds and the others wait
            found = self._read(path, len(templated[0]))
            if found is None:
                found = embed_phrases(load_text_encoder(self.spec, self.device), templated, what, dtype)
                write_file(path, lambda file: np.save(file, found))
                logger.info("kept %d embeddings of %s in %s", len(found), what, path)
        return found

    def holds(self, templated: Sequence[Sequence[str]], dtype: type = np.float32) -> bool:
        """Whether `embed` would find the embeddings of these phrases on disk; arguments as there."""
        _, path = self._place(templated, dtype)
        return path is not None and os.path.exists(path)

    def _place(self, templated: Sequence[Sequence[str]], dtype: type) -> Tuple[str, Optional[str]]:
        """How the file's name begins, and its path; without the library that of the newest file, None without any."""
        stem = os.path.join(self.folder, f"{self.spec.library}-{self._key(templated, dtype)}")
        version = self.spec.library_version()
        return stem, newest(stem) if version is None else f"{stem}-{version}.npy"

    def _key(self, templated: Sequence[Sequence[str]], dtype: type) -> str:
        facts = json.dumps([FORMAT, self.spec.identity(), np.dtype(dtype).name, [list(t) for t in templated]])
        return hashlib.sha256(facts.encode()).hexdigest()[:32]

    @staticmethod
    def _read(path: Optional[str], count: int) -> Optional[np.ndarray]:
        if path is None or not os.path.exists(path):
            return None
        try:
            array = read_array(path)
            if array.ndim != 2 or len(array) != count or array.dtype.kind != "f" or not array.any(axis=1).all():
                raise LanguageError(f"shape {array.shape} of {array.dtype}, or zeros, instead of ({count}, d)")
        except LanguageError as error:
            logger.warning("%s is damaged (%s) and will be made again", path, error)
            return None
        logger.info("read %d embeddings from %s", count, path)
        return array


def embed_phrases(encoder: TextEncoder, templated: Sequence[Sequence[str]], what: str, dtype: type) -> np.ndarray:
    """Embed phrases in batches, average over templates, normalise; logs how far it is and how long it will take."""
    count, start, logged = len(templated[0]), time.time(), time.time()
    logger.info("embedding %d phrases of %s in %d templates", count, what, len(templated))
    out: List[np.ndarray] = []
    for first in range(0, count, PHRASES_AT_ONCE):
        batch = [encoder.encode(phrases[first : first + PHRASES_AT_ONCE]) for phrases in templated]
        mean = torch.nn.functional.normalize(torch.stack(batch).mean(dim=0), dim=-1)
        out.append(mean.numpy().astype(dtype))
        done = first + len(mean)
        if time.time() - logged > 10 and done < count:
            logged = time.time()
            left = (logged - start) / done * (count - done)
            logger.info("%d of %d phrases of %s, %.0f s to go", done, count, what, left)
    return np.concatenate(out)


def newest(stem: str) -> Optional[str]:
    """The file of that stem that was written last, whatever the version of the library in its name."""
    return max(glob.glob(glob.escape(stem) + "-*.npy"), key=os.path.getmtime, default=None)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a lock that other processes on this file system wait for; it falls with the process."""
    with open(path, "a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("waiting for another process that embeds the same phrases")
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:  # a file system without locks: each process embeds, the last file stays
                logger.warning("cannot lock %s (%s)", path, error)
        yield


def write_file(path: str, write: Callable) -> None:
    """Write a file under a temporary name in its own folder and rename it, so that it is whole or not there.

    An original SGB checkout has no helper for this.
    """
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
