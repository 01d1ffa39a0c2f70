"""Feature maps from files equal those of the backbone, and never come from another one."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.modeling.backbone.feature_cache import FeatureCache
from maskrcnn_benchmark.utils.errors import InputError


class CountingBackbone(nn.Module):
    """Two levels; counts the images that go through."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.count = 0
        self.requires_grad_(False)

    def forward(self, x):
        self.count += len(x)
        y = self.conv(x)
        return (y, y[:, :, ::2, ::2])


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return CountingBackbone()


@pytest.fixture
def images():
    return torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(1))


def equal(found, expected):
    for level, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(level, wanted, rtol=0, atol=0)


def test_features_are_those_of_the_backbone_and_computed_once(backbone, images, tmp_path):
    cache = FeatureCache(tmp_path, backbone)
    first = cache(images)
    assert backbone.count == 3
    for level, wanted in zip(first, backbone(images), strict=True):
        torch.testing.assert_close(level, wanted)
    backbone.count = 0
    equal(cache(images), first)
    equal(FeatureCache(tmp_path, backbone)(images[[2, 0]]), [level[[2, 0]] for level in first])
    assert backbone.count == 0


def test_other_weights_images_and_precision_are_other_files(backbone, images, tmp_path):
    cache = FeatureCache(tmp_path, backbone)
    first = cache(images)
    with torch.no_grad():
        backbone.conv.weight.mul_(2)
    changed = cache(images)
    assert backbone.count == 6 and not torch.equal(changed[0], first[0])
    backbone.load_state_dict({"conv.weight": backbone.conv.weight / 2, "conv.bias": backbone.conv.bias})
    equal(cache(images), first)
    assert backbone.count == 6
    cache(images + 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert cache(images)[0].dtype == torch.bfloat16
    assert backbone.count == 12


def test_a_backbone_that_learns_is_refused(backbone, images, tmp_path):
    backbone.requires_grad_(True)
    with pytest.raises(InputError, match="FEATURE_CACHE"):
        FeatureCache(tmp_path, backbone)(images)
    with torch.no_grad():
        assert len(FeatureCache(tmp_path, backbone)(images)) == 2


def test_a_damaged_file_is_named(backbone, images, tmp_path):
    cache = FeatureCache(tmp_path, backbone)
    cache(images[:1])
    (path,) = tmp_path.rglob("*.pt")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=path.name):
        cache(images[:1])


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_half_precision_takes_half_the_room_and_every_epoch_sees_the_same(backbone, images, tmp_path, dtype):
    exact = FeatureCache(tmp_path / "float32", backbone)(images)
    cache = FeatureCache(tmp_path / dtype, backbone, dtype)
    first = cache(images)
    equal(first, [level.to(getattr(torch, dtype)).float() for level in exact])
    backbone.count = 0
    again = cache(images)
    equal(again, first)
    assert again[0].dtype == torch.float32 and backbone.count == 0
    room = {kind: sum(f.stat().st_size for f in (tmp_path / kind).rglob("*.pt")) for kind in ("float32", dtype)}
    numbers = sum(level.numel() for level in exact)
    assert room["float32"] - room[dtype] == pytest.approx(2 * numbers, abs=64 * len(images))  # padding of files


def test_another_precision_is_refused(backbone, tmp_path):
    with pytest.raises(InputError, match="FEATURE_CACHE_DTYPE is int8; it must be one of float32, float16, bfloat16"):
        FeatureCache(tmp_path, backbone, "int8")
