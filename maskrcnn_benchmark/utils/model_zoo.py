"""Downloads published weights into a cache folder."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from urllib.parse import urlparse

from tqdm import tqdm

from .comm import is_main_process, synchronize
from .errors import InputError
from .files import atomic_write


def cache_url(url: str, model_dir: str | None = None, progress: bool = True) -> str:
    """Path of the file behind `url` in the cache, downloaded where it is not there yet.

    Args:
        url: the address.
        model_dir: the cache; default `$TORCH_HOME/models`, `~/.torch/models` without that variable, as in SGB.
        progress: show a bar.

    Raises:
        InputError: no network, an error of the server, or fewer bytes than it announced.
    """
    if model_dir is None:
        model_dir = os.path.join(os.path.expanduser(os.getenv("TORCH_HOME", "~/.torch")), "models")
    # Caffe2's baselines are all called model_final.pkl: the whole path makes the name.
    parsed = urlparse(url)
    name = os.path.basename(parsed.path)
    if name == "model_final.pkl":
        name = parsed.path.lstrip("/").replace("/", "_")
    path = os.path.join(model_dir, name)
    if not os.path.exists(path) and is_main_process():
        _download(url, path, progress)
    synchronize()
    return path


def _download(url: str, path: str, progress: bool) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            announced = int(response.headers.get("Content-Length") or 0)
            bar = tqdm(total=announced or None, unit="B", unit_scale=True, disable=not progress, desc=path)
            with atomic_write(path) as temporary, open(temporary, "wb") as stream, bar:
                received = 0
                while block := response.read(1 << 20):
                    stream.write(block)
                    received += len(block)
                    bar.update(len(block))
                if announced and received != announced:
                    raise InputError(f"{url} sent {received} of {announced} bytes; try again")
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise InputError(f"{url} cannot be downloaded ({error}); put the file at {path} yourself") from error
