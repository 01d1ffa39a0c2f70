"""Region pooling in SGB's convention (aligned=False), by torchvision's operator or as sums of rows of the map."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align as _roi_align

REGIONS = 256  # that are summed up at once: their indices and weights take 3 MB


def roi_align(input: Tensor, roi: Tensor, output_size, spatial_scale: float, sampling_ratio: int) -> Tensor:
    """Pool regions [n, 5] (image, x1, y1, x2, y2 in pixels) of features [N, C, H, W]: [n, C, height, width].

    Always in single precision: half precision moves the corners of large images by whole pixels. On a CPU, maps that
    are not learnt are pooled by `_sums_of_rows`, in a tenth of the time of torchvision's loop over channels.
    """
    if _pools_rows(input) and sampling_ratio > 0 and len(roi) > 0:
        pooled = _sums_of_rows(input.float(), roi.float(), output_size, spatial_scale, sampling_ratio)
    else:
        pooled = _roi_align(input.float(), roi.float(), output_size, spatial_scale, sampling_ratio, aligned=False)
    return pooled.to(input.dtype)


def in_pooling_order(features: Tensor) -> Tensor:
    """The same maps in the memory order in which they are pooled, so that no call has to copy them."""
    return features.contiguous(memory_format=torch.channels_last if _pools_rows(features) else torch.contiguous_format)


def _pools_rows(features: Tensor) -> bool:
    learnt = features.requires_grad and torch.is_grad_enabled()
    return features.device.type == "cpu" and not learnt and not torch.compiler.is_compiling()


def _sums_of_rows(features: Tensor, regions: Tensor, output_size, scale: float, samples: int) -> Tensor:
    """`roi_align` with `samples` per bin and side: a bin is a weighted sum of pixels, rows of [N H W, C]."""
    channels, height, width = features.shape[1:]
    rows = features.permute(0, 2, 3, 1).reshape(-1, channels)
    bins_y, bins_x = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    parts = []
    for part in regions.split(REGIONS):
        y, weight_y = _pixels_and_weights(part[:, 2] * scale, part[:, 4] * scale, bins_y, samples, height)
        x, weight_x = _pixels_and_weights(part[:, 1] * scale, part[:, 3] * scale, bins_x, samples, width)
        first = part[:, 0].long() * (height * width)
        index = first[:, None, None, None, None] + y[:, :, None, :, None] * width + x[:, None, :, None, :]
        weight = weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]  # [n, bins_y, bins_x, 2 s, 2 s]
        bags = (-1, 4 * samples * samples)
        sums = F.embedding_bag(index.view(bags), rows, per_sample_weights=weight.view(bags), mode="sum")
        parts.append(sums.view(len(part), bins_y, bins_x, channels))
    return torch.cat(parts).permute(0, 3, 1, 2)


def _pixels_and_weights(first: Tensor, last: Tensor, bins: int, samples: int, size: int) -> tuple[Tensor, Tensor]:
    """The pixels along one side of a map that a bin takes, by linear interpolation at its samples.

    Args:
        first, last: ends of the regions in pixels of the map, [n].
        size: of the map.

    Returns:
        pixels int64 and their weights, [n, bins, 2 * samples]
    """
    step = (last - first).clamp(min=1.0) / bins  # [n]
    bin_, sample = torch.arange(bins).repeat_interleave(samples), torch.arange(samples).repeat(bins)
    place = first[:, None] + bin_ * step[:, None] + (sample + 0.5) * (step / samples)[:, None]  # [n, bins * samples]
    inside = (place >= -1.0) & (place <= size)
    place = place.clamp(min=0.0, max=size - 1.0)
    low = place.floor().long()
    high = (low + 1).clamp(max=size - 1)
    fraction = place - low
    shape = (len(first), bins, 2 * samples)
    weights = torch.stack((1.0 - fraction, fraction), dim=2) * (inside / samples)[:, :, None]
    return torch.stack((low, high), dim=2).view(shape), weights.view(shape)


class ROIAlign(nn.Module):
    """`roi_align` as a layer."""

    def __init__(self, output_size, spatial_scale: float, sampling_ratio: int):
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio

    def forward(self, input: Tensor, rois: Tensor) -> Tensor:
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio)

    def extra_repr(self) -> str:
        return f"{self.output_size}, spatial_scale={self.spatial_scale}, sampling_ratio={self.sampling_ratio}"
