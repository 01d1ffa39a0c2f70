"""What CLIP's image tower sees of pairs: the parts of an image that show them, embedded once and kept on disk if asked.

Shapes: k boxes of an image, d width of CLIP's embeddings, S pixels a side of what the tower takes.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.backbone.feature_cache import content
from maskrcnn_benchmark.modeling.language.crops import CropRule, crop_boxes
from maskrcnn_benchmark.modeling.language.image_encoder import ImageEncoder
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.safe_pickle import load_torch

FORMAT = 1  # raise it when the same crops would come out otherwise
AT_ONCE = 256  # pictures that the tower sees together
logger = logging.getLogger("maskrcnn_benchmark")


class PairCrops:
    """Embeds boxes of images with CLIP's image tower. No nn.Module, so that the tower is in no checkpoint.

    With a folder, every image has a file there, named after its pixels, the tower's weights and the rule, with the
    boxes that were asked for so far and their embeddings in half precision, 2 d bytes each. They are rounded as soon as
    they are computed, so that the first run sees what later ones see. Processes may share a folder.

    Args:
        encoder: CLIP's image tower.
        config_input: the node INPUT, which says how pixels became the tensors that the detector gets.
        rule: how a box becomes a picture.
        folder: "" keeps nothing.
    """

    def __init__(self, encoder: ImageEncoder, config_input, rule: CropRule, folder: str = ""):
        self.encoder, self.rule = encoder, rule
        self.pixel_mean, self.pixel_std = tuple(config_input.PIXEL_MEAN), tuple(config_input.PIXEL_STD)
        self.bgr = config_input.TO_BGR255
        self.folder = Path(folder).expanduser() if folder else None
        self._common = b"" if self.folder is None else self._digest()

    def embed(self, image: Tensor, size: tuple[int, int], boxes: Tensor) -> Tensor:
        """Unit vectors, float32 [k, d] on the tower's device.

        Args:
            image: as the detector takes it, [3, H, W], padded to the right and below.
            size: its width and height without the padding.
            boxes: x1, y1, x2, y2 in its pixels, [k, 4].
        """
        if self.folder is None:
            return self._embed(image, size, boxes)
        shown = image[:, : size[1], : size[0]]
        name = hashlib.blake2b(self._common + repr(tuple(shown.shape)).encode() + content(shown), digest_size=16)
        path = self.folder / name.hexdigest()[:2] / f"{name.hexdigest()}.pt"
        asked = boxes.float().cpu()
        known_boxes, known = self._read(path)
        place = {row.tobytes(): i for i, row in enumerate(known_boxes.numpy())}
        missing = [i for i, row in enumerate(asked.numpy()) if row.tobytes() not in place]
        if missing:
            fresh = self._embed(image, size, boxes[missing]).half().cpu()
            place.update({asked[i].numpy().tobytes(): len(known_boxes) + j for j, i in enumerate(missing)})
            known_boxes = torch.cat([known_boxes, asked[missing]])
            known = torch.cat([known, fresh]) if len(known) else fresh
            with atomic_write(path, flush=False) as temporary:
                torch.save({"boxes": known_boxes, "embeddings": known}, temporary)
        rows = [place[row.tobytes()] for row in asked.numpy()]
        return F.normalize(known[rows].to(self.encoder.device).float(), dim=-1)

    def _embed(self, image: Tensor, size: tuple[int, int], boxes: Tensor) -> Tensor:
        pixels = self.as_clip_takes_it(image.to(self.encoder.device))[None]
        parts = [
            self.encoder.embed(
                crop_boxes(pixels, [size], part.new_zeros(len(part)).long(), part, self.encoder.resolution, self.rule)
            )
            for part in boxes.to(pixels).split(AT_ONCE)
        ]
        return torch.cat(parts)

    def as_clip_takes_it(self, image: Tensor) -> Tensor:
        """RGB, with CLIP's mean and deviation instead of the detector's; [3, H, W]."""

        def column(values) -> Tensor:
            return torch.tensor(values, device=image.device).view(3, 1, 1)

        pixels = image.float() * column(self.pixel_std) + column(self.pixel_mean)
        if self.bgr:
            pixels = pixels.flip(0) / 255
        return (pixels - column(self.encoder.mean)) / column(self.encoder.std)

    def _read(self, path: Path) -> tuple[Tensor, Tensor]:
        """Boxes [k, 4] and embeddings [k, d] of an image so far."""
        nothing = torch.zeros(0, 4), torch.zeros(0, 0)
        if not path.exists():
            return nothing
        try:
            kept = load_torch(str(path))
            boxes, embeddings = kept["boxes"], kept["embeddings"]
            finite = torch.isfinite(boxes).all() and torch.isfinite(embeddings).all()
            if boxes.shape != (len(embeddings), 4) or embeddings.dim() != 2 or not finite:
                raise ValueError(f"boxes {list(boxes.shape)}, embeddings {list(embeddings.shape)}")
        except Exception as error:  # of many kinds, depending on what is wrong with the file
            logger.warning("%s, embeddings of crops, is damaged (%s) and will be made again", path, error)
            return nothing
        return boxes, embeddings

    def _digest(self) -> bytes:
        """Of what decides an embedding besides the image and the box."""
        colours = [self.encoder.mean, self.encoder.std, self.pixel_mean, self.pixel_std, self.bgr]
        facts = [FORMAT, self.encoder.resolution, self.rule, colours, repr(self.encoder.tower)]
        digest = hashlib.blake2b(repr(facts).encode(), digest_size=16)
        for value in self.encoder.tower.state_dict().values():
            digest.update(content(value))
        return digest.digest()
