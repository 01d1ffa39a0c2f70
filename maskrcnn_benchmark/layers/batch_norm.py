"""Batch normalisation: with fixed statistics, and with those of the batch that several processes share."""

import torch
import torch.distributed.nn.functional
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.utils.comm import get_world_size
from maskrcnn_benchmark.utils.global_batch import counted


class FrozenBatchNorm2d(nn.Module):
    """y = (x - running_mean) / sqrt(running_var) * weight + bias, all four buffers [n].

    As in SGB, no epsilon is added to the variance.
    """

    def __init__(self, n: int):
        super().__init__()
        self.register_buffer("weight", torch.ones(n))
        self.register_buffer("bias", torch.zeros(n))
        self.register_buffer("running_mean", torch.zeros(n))
        self.register_buffer("running_var", torch.ones(n))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """y = x * scale + shift, [n] each."""
        scale = self.weight * self.running_var.rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift()
        return x * scale.to(x.dtype).reshape(1, -1, 1, 1) + shift.to(x.dtype).reshape(1, -1, 1, 1)


def normalised_conv(x: Tensor, conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """norm(conv(x)), the convolution without a bias; a frozen norm goes into its weights: two passes over maps less."""
    if not isinstance(norm, FrozenBatchNorm2d):
        return norm(conv(x))
    scale, shift = norm.scale_and_shift()
    weight = conv.weight * scale.to(conv.weight.dtype)[:, None, None, None]
    return F.conv2d(x, weight, shift.to(weight.dtype), conv.stride, conv.padding, conv.dilation, conv.groups)


class _OverProcesses(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation whose statistics in training are those of all processes' rows; alone, PyTorch's own.

    PyTorch's SyncBatchNorm works on GPUs only. Every process must call it, and backward, if one does; with no row, too.
    """

    least_rows = 1  # of a batch whose statistics are taken; those of smaller ones are the running ones

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        if get_world_size() == 1:
            return self._by_running(input) if len(input) < self.least_rows else self._alone(input)
        dims, shape = [0, *range(2, input.dim())], [1, -1, *[1] * (input.dim() - 2)]
        x = input.float()
        places = x[0, 0].numel() if len(x) else 1  # a row of an image has many
        number = counted(x.new_tensor([len(x), len(x) * places]))
        sums = _sum(torch.cat((counted(x.sum(dims)), number)))
        rows, number = sums[-2].item(), sums[-1].detach()
        mean = sums[:-2] / number.clamp(min=1)
        centred = x - mean.view(shape)
        var = _sum(counted(centred.square().sum(dims))) / number.clamp(min=1)
        if rows < max(self.least_rows, 1):
            return self._by_running(input) + 0 * var.sum()
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased = var * number / (number - 1).clamp(min=1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        scale = (var + self.eps).rsqrt() * self.weight
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _alone(self, input: Tensor) -> Tensor:
        """PyTorch's; on the CPU not on channels last, whose sums it takes naively: 1e-4 off, and slower at that."""
        if input.device.type != "cpu" or input.is_contiguous():
            return super().forward(input)
        return super().forward(input.contiguous()).contiguous(memory_format=torch.channels_last)

    def _by_running(self, input: Tensor) -> Tensor:
        return nn.functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


def _sum(tensor: Tensor) -> Tensor:
    """Over processes, with gradient."""
    return torch.distributed.nn.functional.all_reduce(tensor)


class SharedBatchNorm1d(_OverProcesses, nn.BatchNorm1d):
    """Of rows [n, C]."""


class SharedBatchNorm2d(_OverProcesses, nn.BatchNorm2d):
    """Of maps [n, C, H, W]."""


class RowBatchNorm1d(SharedBatchNorm1d):
    """Batch normalisation of rows that in training falls back to running statistics where a batch has one row or none.

    One row has no spread, so it cannot be normalised by its own; an image with a single object is such a batch.
    """

    least_rows = 2
