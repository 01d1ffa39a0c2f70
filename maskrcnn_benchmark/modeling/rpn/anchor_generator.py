"""Reference boxes of the region proposal network, rounded as in py-faster-rcnn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import InputError


class BufferList(nn.Module):
    """A list of buffers, named by their numbers."""

    def __init__(self, buffers=None):
        super().__init__()
        if buffers is not None:
            self.extend(buffers)

    def extend(self, buffers) -> BufferList:
        start = len(self)
        for i, buffer in enumerate(buffers, start):
            self.register_buffer(str(i), buffer)
        return self

    def __len__(self) -> int:
        return len(self._buffers)

    def __iter__(self):
        return iter(self._buffers.values())


class AnchorGenerator(nn.Module):
    """Anchors of all levels.

    Args:
        sizes: side lengths in pixels: one (or a tuple of several) per level, or all of them for a single level.
        aspect_ratios: height over width.
        anchor_strides: of each level in pixels.
        straddle_thresh: anchors that leave the image by more are not used in training; negative: all are.
    """

    def __init__(
        self,
        sizes=(128, 256, 512),
        aspect_ratios=(0.5, 1.0, 2.0),
        anchor_strides=(8, 16, 32),
        straddle_thresh: int = 0,
    ):
        super().__init__()
        if len(anchor_strides) == 1:
            cell_anchors = [generate_anchors(anchor_strides[0], sizes, aspect_ratios).float()]
        else:
            if len(anchor_strides) != len(sizes):
                raise InputError(
                    f"MODEL.RPN.ANCHOR_STRIDE has {len(anchor_strides)} levels and ANCHOR_SIZES has {len(sizes)}: "
                    "a feature pyramid takes one size, or one group of sizes, for each stride"
                )
            cell_anchors = [
                generate_anchors(stride, size if isinstance(size, (tuple, list)) else (size,), aspect_ratios).float()
                for stride, size in zip(anchor_strides, sizes, strict=True)
            ]
        self.strides = anchor_strides
        self.cell_anchors = BufferList(cell_anchors)
        self.straddle_thresh = straddle_thresh

    def num_anchors_per_location(self) -> list[int]:
        return [len(cell_anchors) for cell_anchors in self.cell_anchors]

    def grid_anchors(self, grid_sizes) -> list[Tensor]:
        """Anchors [H W A, 4] of each level, for maps of (H, W).

        Raises:
            InputError: there are more or fewer maps than strides.
        """
        if len(grid_sizes) != len(self.strides):
            raise InputError(
                f"MODEL.RPN.ANCHOR_STRIDE has {len(self.strides)} levels, but MODEL.BACKBONE.CONV_BODY gives "
                f"{len(grid_sizes)}: the two must agree"
            )
        anchors = []
        for (height, width), stride, base in zip(grid_sizes, self.strides, self.cell_anchors, strict=True):
            shift_x = torch.arange(width, dtype=torch.float32, device=base.device) * stride
            shift_y = torch.arange(height, dtype=torch.float32, device=base.device) * stride
            y, x = torch.meshgrid(shift_y, shift_x, indexing="ij")
            shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
            anchors.append((shifts + base).reshape(-1, 4))
        return anchors

    def add_visibility_to(self, boxlist: BoxList) -> None:
        """Mark the anchors that may be used in training, as the field `visibility`."""
        width, height = boxlist.size
        anchors, threshold = boxlist.bbox, self.straddle_thresh
        if threshold >= 0:
            inside = (anchors[:, :2] >= -threshold).all(1)
            inside &= (anchors[:, 2] < width + threshold) & (anchors[:, 3] < height + threshold)
        else:
            inside = torch.ones(len(anchors), dtype=torch.bool, device=anchors.device)
        boxlist.add_field("visibility", inside)

    def forward(self, image_list, feature_maps) -> list[list[BoxList]]:
        """Anchors of each image and level."""
        over_all = self.grid_anchors([feature_map.shape[-2:] for feature_map in feature_maps])
        anchors = []
        for image_height, image_width in image_list.image_sizes:
            in_image = [BoxList(level, (int(image_width), int(image_height)), mode="xyxy") for level in over_all]
            for boxlist in in_image:
                self.add_visibility_to(boxlist)
            anchors.append(in_image)
        return anchors


def make_anchor_generator(config) -> AnchorGenerator:
    """Anchors as the keys of MODEL.RPN describe."""
    rpn = config.MODEL.RPN
    return AnchorGenerator(rpn.ANCHOR_SIZES, rpn.ASPECT_RATIOS, rpn.ANCHOR_STRIDE, rpn.STRADDLE_THRESH)


def generate_anchors(stride: int = 16, sizes=(32, 64, 128, 256, 512), aspect_ratios=(0.5, 1, 2)) -> Tensor:
    """Anchors [ratios x sizes, 4] around the cell (0, 0, stride - 1, stride - 1)."""
    scales = np.array(sizes, dtype=np.float64) / stride
    return _generate_anchors(stride, scales, np.array(aspect_ratios, dtype=np.float64))


def _generate_anchors(base_size: int, scales: np.ndarray, aspect_ratios: np.ndarray) -> Tensor:
    cell = np.array([0, 0, base_size - 1, base_size - 1], dtype=np.float64)
    return torch.from_numpy(np.vstack([_scale_enum(anchor, scales) for anchor in _ratio_enum(cell, aspect_ratios)]))


def _whctrs(anchor: np.ndarray):
    """Width, height and centre of an inclusive box."""
    w, h = anchor[2] - anchor[0] + 1, anchor[3] - anchor[1] + 1
    return w, h, anchor[0] + 0.5 * (w - 1), anchor[1] + 0.5 * (h - 1)


def _mkanchors(ws: np.ndarray, hs: np.ndarray, x_ctr: float, y_ctr: float) -> np.ndarray:
    half_w, half_h = 0.5 * (ws - 1), 0.5 * (hs - 1)
    return np.stack((x_ctr - half_w, y_ctr - half_h, x_ctr + half_w, y_ctr + half_h), axis=1)


def _ratio_enum(anchor: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """The box with other ratios of its sides, which are rounded."""
    w, h, x_ctr, y_ctr = _whctrs(anchor)
    ws = np.round(np.sqrt(w * h / ratios))
    return _mkanchors(ws, np.round(ws * ratios), x_ctr, y_ctr)


def _scale_enum(anchor: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The box at other sizes."""
    w, h, x_ctr, y_ctr = _whctrs(anchor)
    return _mkanchors(w * scales, h * scales, x_ctr, y_ctr)
