"""Region pooling by torchvision's operator, in SGB's convention (aligned=False)."""

from torch import Tensor, nn
from torchvision.ops import roi_align as _roi_align


def roi_align(input: Tensor, roi: Tensor, output_size, spatial_scale: float, sampling_ratio: int) -> Tensor:
    """Pool regions [n, 5] (image, x1, y1, x2, y2 in pixels) of features [N, C, H, W]: [n, C, height, width].

    Always in single precision: half precision moves the corners of large images by whole pixels.
    """
    pooled = _roi_align(input.float(), roi.float(), output_size, spatial_scale, sampling_ratio, aligned=False)
    return pooled.to(input.dtype)


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
