"""Downloads published weights into a cache folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlparse

from .comm import is_main_process, synchronize
from .download import Expected, download
from .errors import InputError

# As in resnet50-0676ba61.pth: the file's SHA-256 begins so.
_HASH = re.compile(r"-([0-9a-f]{8,})\.")


def cache_url(url: str, model_dir: str | None = None, progress: bool = True) -> str:
    """Path of the file behind `url` in the cache, downloaded by rank 0 where it is not there yet.

    Args:
        url: the address.
        model_dir: the cache; default `$TORCH_HOME/models`, `~/.torch/models` without that variable, as in SGB.
        progress: show a bar.

    Raises:
        InputError: no network, an error of the server, or a file of another size or hash than announced.
    """
    path = cached_path(url, model_dir)
    announced = _HASH.search(path.name)
    try:
        if is_main_process() and not path.exists():
            download(url, path, Expected(sha256=announced[1] if announced else None), progress)
    except InputError as error:
        raise InputError(f"{error}; get the file elsewhere and put it at {path}") from error
    finally:
        synchronize()
    if not path.exists():
        raise InputError(f"{path} is missing: rank 0 could not download it")
    return str(path)


def cached_path(url: str, model_dir: str | None = None) -> Path:
    """Where the cache has, or would have, the file behind `url`; `model_dir` as for `cache_url`."""
    if model_dir is None:
        model_dir = os.path.join(os.path.expanduser(os.getenv("TORCH_HOME", "~/.torch")), "models")
    address = urlparse(url).path
    name = os.path.basename(address)
    if name == "model_final.pkl":  # so all detectors of Caffe2 are called: the whole address tells them apart
        name = address.lstrip("/").replace("/", "_")
    return Path(model_dir, name)
