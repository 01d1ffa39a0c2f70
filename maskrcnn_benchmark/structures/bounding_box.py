"""Boxes of one image with a value of each field for every box."""

from __future__ import annotations

import torch
from torch import Tensor

FLIP_LEFT_RIGHT = 0
FLIP_TOP_BOTTOM = 1

# Pixels are counted inclusively: a box from x1 to x2 is x2 - x1 + 1 wide.
TO_REMOVE = 1


class BoxList:
    """Boxes [n, 4] in pixels (0-based, inclusive corners) of an image of (width, height), and fields.

    A field is a tensor or list with one entry per box; a field added with `is_triplet=True` has one entry for
    every pair of boxes [n, n, ...] and is indexed along both.

    Args:
        bbox: boxes [n, 4], float; anything that `torch.as_tensor` takes.
        image_size: (width, height) in pixels.
        mode: `xyxy` or `xywh`.

    Raises:
        ValueError: boxes of another shape, or an unknown mode.
    """

    def __init__(self, bbox, image_size: tuple[int, int], mode: str = "xyxy"):
        device = bbox.device if isinstance(bbox, Tensor) else torch.device("cpu")
        bbox = torch.as_tensor(bbox, dtype=torch.float32, device=device)
        if bbox.ndim != 2 or bbox.size(-1) != 4:
            raise ValueError(f"boxes must have the shape [n, 4], found {list(bbox.shape)}")
        if mode not in ("xyxy", "xywh"):
            raise ValueError(f"mode must be 'xyxy' or 'xywh', found {mode!r}")
        self.bbox = bbox
        self.size = image_size
        self.mode = mode
        self.extra_fields: dict = {}
        self.triplet_extra_fields: list[str] = []

    def add_field(self, field: str, field_data, is_triplet: bool = False) -> None:
        self.extra_fields[field] = field_data
        if is_triplet and field not in self.triplet_extra_fields:
            self.triplet_extra_fields.append(field)

    def get_field(self, field: str):
        return self.extra_fields[field]

    def has_field(self, field: str) -> bool:
        return field in self.extra_fields

    def fields(self) -> list[str]:
        return list(self.extra_fields)

    def _with(self, bbox: Tensor, size=None, mode: str | None = None) -> BoxList:
        """A list with these boxes and the fields of this one."""
        out = BoxList(bbox, self.size if size is None else size, self.mode if mode is None else mode)
        out.extra_fields = dict(self.extra_fields)
        out.triplet_extra_fields = list(self.triplet_extra_fields)
        return out

    def convert(self, mode: str) -> BoxList:
        """The same boxes as `xyxy` or `xywh`."""
        if mode not in ("xyxy", "xywh"):
            raise ValueError(f"mode must be 'xyxy' or 'xywh', found {mode!r}")
        if mode == self.mode:
            return self
        xmin, ymin, xmax, ymax = self._split_into_xyxy()
        if mode == "xyxy":
            bbox = torch.cat((xmin, ymin, xmax, ymax), -1)
        else:
            bbox = torch.cat((xmin, ymin, xmax - xmin + TO_REMOVE, ymax - ymin + TO_REMOVE), -1)
        return self._with(bbox, mode=mode)

    def _split_into_xyxy(self) -> tuple[Tensor, ...]:
        if self.mode == "xyxy":
            return self.bbox.split(1, -1)
        xmin, ymin, w, h = self.bbox.split(1, -1)
        return xmin, ymin, xmin + (w - TO_REMOVE).clamp(min=0), ymin + (h - TO_REMOVE).clamp(min=0)

    def resize(self, size: tuple[int, int], *args, **kwargs) -> BoxList:
        """The boxes in the image scaled to `size` (width, height); fields with a `resize` of their own follow."""
        ratio_width, ratio_height = (float(s) / float(s_orig) for s, s_orig in zip(size, self.size, strict=True))
        xmin, ymin, xmax, ymax = self._split_into_xyxy()
        scaled = torch.cat((xmin * ratio_width, ymin * ratio_height, xmax * ratio_width, ymax * ratio_height), -1)
        out = self._with(scaled, size=size, mode="xyxy")
        for name, value in self.extra_fields.items():
            if not isinstance(value, Tensor) and hasattr(value, "resize"):
                out.extra_fields[name] = value.resize(size, *args, **kwargs)
        return out.convert(self.mode)

    def transpose(self, method: int) -> BoxList:
        """The boxes in the mirrored image (`FLIP_LEFT_RIGHT` or `FLIP_TOP_BOTTOM`)."""
        width, height = self.size
        xmin, ymin, xmax, ymax = self._split_into_xyxy()
        if method == FLIP_LEFT_RIGHT:
            xmin, xmax = width - xmax - TO_REMOVE, width - xmin - TO_REMOVE
        elif method == FLIP_TOP_BOTTOM:
            # SGB mirrors rows without the inclusive pixel; its numbers are kept.
            ymin, ymax = height - ymax, height - ymin
        else:
            raise NotImplementedError("only FLIP_LEFT_RIGHT and FLIP_TOP_BOTTOM")
        out = self._with(torch.cat((xmin, ymin, xmax, ymax), -1), mode="xyxy")
        for name, value in self.extra_fields.items():
            if not isinstance(value, Tensor) and hasattr(value, "transpose"):
                out.extra_fields[name] = value.transpose(method)
        return out.convert(self.mode)

    def crop(self, box) -> BoxList:
        """The boxes inside the window (left, upper, right, lower), clipped to it."""
        xmin, ymin, xmax, ymax = self._split_into_xyxy()
        w, h = box[2] - box[0], box[3] - box[1]
        corners = (xmin - box[0], ymin - box[1], xmax - box[0], ymax - box[1])
        limits = (w, h, w, h)
        clipped = [c.clamp(min=0, max=limit) for c, limit in zip(corners, limits, strict=True)]
        out = self._with(torch.cat(clipped, -1), size=(w, h), mode="xyxy")
        for name, value in self.extra_fields.items():
            if not isinstance(value, Tensor) and hasattr(value, "crop"):
                out.extra_fields[name] = value.crop(box)
        return out.convert(self.mode)

    def to(self, device) -> BoxList:
        out = self._with(self.bbox.to(device))
        for name, value in self.extra_fields.items():
            if hasattr(value, "to"):
                out.extra_fields[name] = value.to(device)
        return out

    def __getitem__(self, item) -> BoxList:
        out = BoxList(self.bbox[item], self.size, self.mode)
        for name, value in self.extra_fields.items():
            if name in self.triplet_extra_fields:
                out.add_field(name, value[item][:, item], is_triplet=True)
            else:
                out.add_field(name, value[item])
        return out

    def __len__(self) -> int:
        return self.bbox.shape[0]

    def clip_to_image(self, remove_empty: bool = True) -> BoxList:
        """Clip the boxes to the image in place; with `remove_empty`, drop those without extent."""
        width, height = self.size
        self.bbox[:, 0::2].clamp_(min=0, max=width - TO_REMOVE)
        self.bbox[:, 1::2].clamp_(min=0, max=height - TO_REMOVE)
        if not remove_empty:
            return self
        keep = (self.bbox[:, 3] > self.bbox[:, 1]) & (self.bbox[:, 2] > self.bbox[:, 0])
        return self[keep]

    def area(self) -> Tensor:
        """Areas in pixels [n]."""
        if self.mode == "xyxy":
            return (self.bbox[:, 2] - self.bbox[:, 0] + TO_REMOVE) * (self.bbox[:, 3] - self.bbox[:, 1] + TO_REMOVE)
        return self.bbox[:, 2] * self.bbox[:, 3]

    def copy(self) -> BoxList:
        """The boxes without fields."""
        return BoxList(self.bbox, self.size, self.mode)

    def copy_with_fields(self, fields, skip_missing: bool = False) -> BoxList:
        """The boxes with these fields only."""
        out = self.copy()
        for name in fields if isinstance(fields, (list, tuple)) else [fields]:
            if self.has_field(name):
                out.add_field(name, self.get_field(name), is_triplet=name in self.triplet_extra_fields)
            elif not skip_missing:
                raise KeyError(f"this BoxList has no field {name!r}, only {self.fields()}")
        return out

    def __repr__(self) -> str:
        width, height = self.size
        return f"BoxList(num_boxes={len(self)}, image_width={width}, image_height={height}, mode={self.mode})"
