"""Files of the Hugging Face hub by address: `hf://owner/name/file`, and `hf://datasets/owner/name/file` of data sets.

A revision may follow the name: `hf://owner/name@v1.0/file`. The hub's own client downloads, resumes and caches; its
environment variables count (`HF_ENDPOINT` for a mirror, `HF_HUB_OFFLINE`, `HF_HOME`, `HF_TOKEN`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from .download import is_reachable
from .errors import InputError

SCHEME = "hf://"
INSTALL = "pip install huggingface_hub"
_REPOSITORY = re.compile(r"(?P<kind>datasets/)?(?P<name>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w.-]+))?")


@dataclass(frozen=True)
class Repository:
    """A repository of the hub.

    Attributes:
        name: `owner/name`.
        kind: `model` or `dataset`.
        revision: branch, tag or commit; None for the main branch.
    """

    name: str
    kind: str = "model"
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Repository | None:
        """Of `[hf://][datasets/]owner/name[@revision]`; None where the text is something else."""
        found = _REPOSITORY.fullmatch(text.removeprefix(SCHEME))
        if found is None:
            return None
        return cls(found["name"], "dataset" if found["kind"] else "model", found["revision"])


def split_address(address: str) -> tuple[Repository, str]:
    """Repository and file of an `hf://` address.

    Raises:
        InputError: an address of another form.
    """
    parts = address.removeprefix(SCHEME).split("/")
    names = 3 if parts[0] == "datasets" else 2
    repository = Repository.parse("/".join(parts[:names]))
    if not address.startswith(SCHEME) or repository is None or not all(parts) or len(parts) == names:
        raise InputError(f"{address} is no file of the hub: expected {SCHEME}owner/name/file")
    return repository, "/".join(parts[names:])


def hub_file(address: str, folder: str | os.PathLike | None = None) -> str:
    """Path of the file behind an `hf://` address, downloaded into the hub's cache where it is not there yet.

    Args:
        folder: download into this folder instead, below the file's name in the repository.

    Raises:
        InputError: no network, no such file or repository, or huggingface_hub is not installed.
    """
    repository, file = split_address(address)
    hub = client()
    try:
        return hub.hf_hub_download(
            repository.name,
            file,
            repo_type=repository.kind,
            revision=repository.revision,
            local_dir=folder,
            # asked first, for the client would wait half a minute for each file to find out
            local_files_only=not is_reachable(hub.constants.ENDPOINT),
        )
    except hub.errors.LocalEntryNotFoundError as error:  # what the client raises where it cannot reach the hub
        raise InputError(f"{address} is not in the cache, and the hub cannot be reached") from error
    except (hub.errors.HTTPError, hub.errors.HFValidationError, OSError) as error:
        raise InputError(f"{address} cannot be downloaded: {_first_line(error)}") from error


def hub_folder(address: str, folder: str | os.PathLike, patterns: Sequence[str]) -> None:
    """Download the files of a repository (`hf://[datasets/]owner/name`) that fit patterns, below `folder`.

    What an earlier call downloaded is kept.

    Raises:
        InputError: as `hub_file`.
    """
    repository = Repository.parse(address)
    if repository is None:
        raise InputError(f"{address} is no repository of the hub: expected {SCHEME}owner/name")
    hub = client()
    if not is_reachable(hub.constants.ENDPOINT):
        raise InputError(f"{address} cannot be downloaded: the hub cannot be reached")
    try:
        hub.snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            local_dir=folder,
            allow_patterns=list(patterns),
        )
    except (hub.errors.HTTPError, hub.errors.HFValidationError, OSError) as error:
        raise InputError(f"{address} cannot be downloaded: {_first_line(error)}") from error


def push_folder(folder: str | os.PathLike, name: str) -> str:
    """Upload a folder as a model of the hub, which is made where it does not exist; the address of its page.

    Raises:
        InputError: the hub refuses or cannot be reached, or huggingface_hub is not installed.
    """
    hub = client()
    try:
        api = hub.HfApi(endpoint=hub.constants.ENDPOINT)
        page = api.create_repo(name, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder)
    except (hub.errors.HTTPError, hub.errors.HFValidationError, OSError) as error:
        raise InputError(
            f"{folder} cannot be pushed to {name} ({_first_line(error)}); log in with hf auth login, then push the "
            f"folder with hf upload {name} {folder}"
        ) from error
    return str(page)


def client() -> ModuleType:
    """huggingface_hub.

    Raises:
        InputError: it is not installed.
    """
    try:
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise InputError(f"files of the hub need its client: {INSTALL}") from error
    return huggingface_hub


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
