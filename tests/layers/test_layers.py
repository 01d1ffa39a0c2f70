"""Frozen batch norm, region pooling, losses."""

import pytest
import torch
from torchvision import ops

from maskrcnn_benchmark import layers


def test_frozen_batch_norm_is_batch_norm_in_evaluation_without_epsilon():
    torch.manual_seed(0)
    frozen, reference = layers.FrozenBatchNorm2d(4), torch.nn.BatchNorm2d(4, eps=0.0).eval()
    state = {
        "weight": torch.rand(4),
        "bias": torch.randn(4),
        "running_mean": torch.randn(4),
        "running_var": torch.rand(4) + 0.1,
    }
    frozen.load_state_dict(state)
    reference.load_state_dict(state, strict=False)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(frozen(x), reference(x))
    assert not list(frozen.parameters())
    assert frozen(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("norm", ("frozen", "group"))
def test_a_normalised_convolution_is_a_convolution_and_a_norm(norm):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
    norm = layers.FrozenBatchNorm2d(6) if norm == "frozen" else torch.nn.GroupNorm(2, 6)
    for value in norm.state_dict().values():
        value.uniform_(0.1, 2.0)
    found = []
    for function in (lambda x: layers.normalised_conv(x, conv, norm), lambda x: norm(conv(x))):
        conv.weight.grad = None
        x = torch.ones(2, 4, 7, 7).cumsum(3).requires_grad_()
        out = function(x)
        out.square().sum().backward()
        found.append((out, x.grad, conv.weight.grad))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
    assert layers.normalised_conv(torch.zeros(0, 4, 7, 7), conv, norm).shape == (0, 6, 4, 4)


@pytest.mark.parametrize("size", (7, (2, 3)), ids=str)
@pytest.mark.parametrize("count", (0, 1, 300))
def test_pooling_on_the_cpu_equals_torchvisions(size, count):
    torch.manual_seed(0)
    maps = torch.randn(2, 5, 11, 17)
    ends = torch.rand(count, 2, 2) * torch.tensor([220.0, 150.0]) - 40  # some beyond the map, on either side
    rois = torch.cat((torch.randint(0, 2, (count, 1)), ends.amin(dim=1), ends.amax(dim=1)), dim=1)
    rois[1::7, 3:] = rois[1::7, 1:3]  # without extent
    expected = ops.roi_align(maps, rois, size, 0.1, 2, aligned=False)
    for given in (maps, maps.contiguous(memory_format=torch.channels_last), maps.clone().requires_grad_()):
        torch.testing.assert_close(layers.roi_align(given, rois, size, 0.1, 2), expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(layers.in_pooling_order(given), given)
    assert layers.roi_align(maps.bfloat16(), rois, size, 0.1, 2).dtype == torch.bfloat16
    adaptive = ops.roi_align(maps, rois, size, 0.1, 0, aligned=False)
    torch.testing.assert_close(layers.roi_align(maps, rois, size, 0.1, 0), adaptive)


def test_roi_align_averages_a_constant_gradient():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)  # the value is the column
    pool = layers.ROIAlign((2, 2), spatial_scale=0.5, sampling_ratio=2)
    # the region of the columns 2 to 10 of the map: centres of its halves at 4 and 8
    pooled = pool(ramp, torch.tensor([[0.0, 4, 4, 20, 20]]))
    torch.testing.assert_close(pooled[0, 0], torch.tensor([[4.0, 8.0], [4.0, 8.0]]))
    assert pool(ramp, torch.zeros(0, 5)).shape == (0, 1, 2, 2)
    assert pool(ramp.bfloat16(), torch.tensor([[0.0, 4, 4, 20, 20]])).dtype == torch.bfloat16


def test_smooth_l1_has_both_branches():
    x, zero = torch.tensor([0.1, 3.0]), torch.zeros(2)
    expected = torch.tensor([0.5 * 0.1**2 / 0.5, 3.0 - 0.25])
    torch.testing.assert_close(layers.smooth_l1_loss(x, zero, beta=0.5), expected.mean())
    torch.testing.assert_close(layers.smooth_l1_loss(x, zero, beta=0.5, size_average=False), expected.sum())


def test_pytorchs_own_layers_take_empty_batches():
    assert layers.Conv2d(3, 4, 3, padding=1)(torch.zeros(0, 3, 8, 8)).shape == (0, 4, 8, 8)
    assert layers.ConvTranspose2d(3, 4, 2, stride=2)(torch.zeros(0, 3, 8, 8)).shape == (0, 4, 16, 16)
    assert layers.BatchNorm2d(3).eval()(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 8, 8)
    assert layers.interpolate(torch.zeros(1, 3, 8, 8), scale_factor=2).shape == (1, 3, 16, 16)
