"""Feature maps of a backbone that no longer learns, kept as files: relation models on one detector share them."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write

_DTYPES = ("float32", "float16", "bfloat16")


class FeatureCache:
    """Computes the feature maps of an image once, for every epoch and every run with the same backbone.

    A file is named after the content of the (padded) image, the backbone's weights and the precision, so nothing that
    changed is taken for what it was. Images go through the backbone one by one: what is kept for one does not depend
    on which others were with it. Processes may share a folder.

    Args:
        folder: where the files are; made when needed.
        backbone: maps images [N, C, H, W] to a sequence of feature maps [N, C_l, H_l, W_l].
        dtype: how numbers are kept: as they are (float32), or as float16 or bfloat16, which take half the room. They
            are rounded as soon as they are computed, so the first epoch sees what the later ones see.

    Raises:
        InputError: another dtype.
    """

    def __init__(self, folder: str, backbone: nn.Module, dtype: str = "float32"):
        if dtype not in _DTYPES:
            raise InputError(f"MODEL.BACKBONE.FEATURE_CACHE_DTYPE is {dtype}; it must be one of {', '.join(_DTYPES)}")
        self.folder = Path(folder)
        self.backbone = backbone
        self.dtype = None if dtype == "float32" else getattr(torch, dtype)
        self._state: tuple = ()
        self._weights = b""

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Feature maps [N, C_l, H_l, W_l] of images [N, C, H, W].

        Raises:
            InputError: the backbone is learning, or a file of the cache cannot be read.
        """
        if torch.is_grad_enabled() and any(p.requires_grad for p in self.backbone.parameters()):
            raise InputError(
                "MODEL.BACKBONE.FEATURE_CACHE is for a backbone that does not learn; leave it empty to train a detector"
            )
        found = [self._of_image(image, path) for image, path in zip(images, self._paths(images), strict=True)]
        return [torch.cat(maps) for maps in zip(*found, strict=True)]

    @torch.no_grad()
    def _of_image(self, image: Tensor, path: Path) -> list[Tensor]:
        if not path.exists():
            levels = [level.contiguous() for level in self.backbone(image[None])]
            # in one piece, which is read several times faster
            values = torch.cat([x.flatten() for x in levels])
            contents = {"values": self._kept(values).cpu(), "shapes": [x.shape for x in levels], "dtype": values.dtype}
            with atomic_write(path, flush=False) as temporary:
                torch.save(contents, temporary)
            return [self._kept(level).to(level.dtype) for level in levels]
        try:
            contents = torch.load(path, map_location=image.device, weights_only=True)
            values = contents["values"].to(contents.get("dtype", contents["values"].dtype))
            parts = values.split([math.prod(shape) for shape in contents["shapes"]])
            return [part.view(shape) for part, shape in zip(parts, contents["shapes"], strict=True)]
        except Exception as error:  # of many kinds, depending on what is wrong with the file
            raise InputError(f"{path}, feature maps of an image, cannot be read; remove it ({error})") from error

    def _kept(self, values: Tensor) -> Tensor:
        return values if self.dtype is None else values.to(self.dtype)

    def _paths(self, images: Tensor) -> list[Path]:
        kind = images.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else images.dtype
        kept = "" if self.dtype is None else f" {self.dtype}"
        common = self._weights_digest() + f"{precision} {tuple(images.shape[1:])}{kept}".encode()
        digests = (hashlib.blake2b(common + content(image), digest_size=16).hexdigest() for image in images)
        return [self.folder / name[:2] / f"{name}.pt" for name in digests]

    def _weights_digest(self) -> bytes:
        """Of the backbone as it is now; a tensor's version tells whether it was written to."""
        tensors = self.backbone.state_dict(keep_vars=True)
        state = tuple((name, id(tensor), tensor._version) for name, tensor in tensors.items())
        if state != self._state:
            digest = hashlib.blake2b(repr(self.backbone).encode(), digest_size=16)
            for tensor in tensors.values():
                digest.update(content(tensor))
            self._state, self._weights = state, digest.digest()
        return self._weights


def content(tensor: Tensor) -> bytes:
    """The bytes of a tensor."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
