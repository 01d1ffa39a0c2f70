"""Downloads published weights into a cache folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

from tqdm import tqdm

from .comm import is_main_process, synchronize
from .errors import InputError
from .files import atomic_write

# As in resnet50-0676ba61.pth: the file's SHA-256 begins so.
_HASH = re.compile(r"-([0-9a-f]{8,})\.")
_BLOCK = 1 << 20


def cache_url(url: str, model_dir: str | None = None, progress: bool = True) -> str:
    """Path of the file behind `url` in the cache, downloaded by rank 0 where it is not there yet.

    Args:
        url: the address.
        model_dir: the cache; default `$TORCH_HOME/models`, `~/.torch/models` without that variable, as in SGB.
        progress: show a bar.

    Raises:
        InputError: no network, an error of the server, or a file of another size or hash than announced.
    """
    if model_dir is None:
        model_dir = os.path.join(os.path.expanduser(os.getenv("TORCH_HOME", "~/.torch")), "models")
    address = urlparse(url).path
    name = os.path.basename(address)
    if name == "model_final.pkl":  # so all detectors of Caffe2 are called: the whole address tells them apart
        name = address.lstrip("/").replace("/", "_")
    path = Path(model_dir, name)
    try:
        if is_main_process() and not path.exists():
            _download(url, path, progress)
    finally:
        synchronize()
    if not path.exists():
        raise InputError(f"{path} is missing: rank 0 could not download it")
    return str(path)


def _download(url: str, path: Path, progress: bool) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            announced = int(response.headers.get("Content-Length") or 0)
            with atomic_write(path) as temporary:
                _copy(response, temporary, announced, progress, path.name)
                _verify(temporary, announced, path.name, url)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise InputError(f"{url} cannot be downloaded ({error}); get it elsewhere and put it at {path}") from error


def _copy(response, target: Path, announced: int, progress: bool, name: str) -> None:
    bar = tqdm(total=announced or None, unit="B", unit_scale=True, disable=not progress, desc=name)
    with open(target, "wb") as stream, bar:
        while block := response.read(_BLOCK):
            stream.write(block)
            bar.update(len(block))


def _verify(file: Path, announced: int, name: str, url: str) -> None:
    received = file.stat().st_size
    if announced and received != announced:
        raise InputError(f"{url} sent {received} of {announced} bytes; try again")
    if expected := _HASH.search(name):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if not digest.startswith(expected[1]):
            raise InputError(f"{url} sent a file with the SHA-256 {digest}, but its name announces {expected[1]}")
