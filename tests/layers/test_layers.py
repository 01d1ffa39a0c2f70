"""Frozen batch norm, region pooling, losses."""

import numpy as np
import pytest
import torch
from support import PARITY
from torch.nn import functional as F

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


def test_label_smoothing_gives_the_reference_losses():
    reference = np.load(PARITY / "predictors.npz")
    labels = torch.tensor(reference["in/train0/rel_labels"]).long()
    keys = [key for key in reference.files if key.endswith("train0/loss_rel_ls1")]
    assert keys
    for key in keys:
        logits = torch.tensor(reference[key.replace("loss_rel_ls1", "rel")])
        loss = layers.Label_Smoothing_Regression(e=0.01)(logits, labels)
        torch.testing.assert_close(loss.item(), float(reference[key]), rtol=1e-6, atol=0)


def test_label_smoothing_is_cross_entropy_with_soft_targets():
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 5), torch.randint(0, 5, (6,))
    target = F.one_hot(labels, 5) * 0.9 + 0.1 / 5
    expected = -(target * logits.log_softmax(1)).sum(1)
    for reduction, want in (("none", expected), ("sum", expected.sum()), ("mean", expected.mean())):
        torch.testing.assert_close(layers.Label_Smoothing_Regression(0.1, reduction)(logits, labels), want)
    with pytest.raises(ValueError, match="reduction"):
        layers.Label_Smoothing_Regression(reduction="max")


def test_entropy_and_divergence():
    torch.manual_seed(0)
    p, q = torch.randn(3, 4).softmax(1), torch.randn(3, 4).softmax(1)
    entropy = torch.distributions.Categorical(p).entropy()
    torch.testing.assert_close(layers.entropy_loss(p), entropy.mean())
    torch.testing.assert_close(layers.entropy_loss(p, reduction="mean"), entropy.mean() / 4)
    divergence = (q * (q / p).log()).sum(1)
    torch.testing.assert_close(layers.kl_div_loss(p, q), divergence.mean())
    assert layers.kl_div_loss(p, p).abs() < 1e-6
    p.requires_grad_()
    q.requires_grad_()
    layers.kl_div_loss(p, q).backward()
    assert p.grad is not None and q.grad is None
    with pytest.raises(ValueError, match=r"\[N, C\]"):
        layers.entropy_loss(p[0])
    with pytest.raises(ValueError, match="reduction"):
        layers.kl_div_loss(p, q, reduction="none")


def test_pytorchs_own_layers_take_empty_batches():
    assert layers.Conv2d(3, 4, 3, padding=1)(torch.zeros(0, 3, 8, 8)).shape == (0, 4, 8, 8)
    assert layers.ConvTranspose2d(3, 4, 2, stride=2)(torch.zeros(0, 3, 8, 8)).shape == (0, 4, 16, 16)
    assert layers.BatchNorm2d(3).eval()(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 8, 8)
    assert layers.interpolate(torch.zeros(1, 3, 8, 8), scale_factor=2).shape == (1, 3, 16, 16)
