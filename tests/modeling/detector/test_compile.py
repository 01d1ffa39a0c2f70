"""The backbone compiled: the same maps, the same names, and a clear sentence without a compiler."""

import shutil

import pytest
import torch
from support import parity_config
from torch import nn

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.utils.errors import InputError

COMPILED = ["MODEL.BACKBONE.COMPILE", True]


def one_convolution(_) -> nn.Module:
    """A backbone that takes little time to compile."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    model.out_channels = 8
    return model


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
def test_a_compiled_backbone_gives_the_same_maps_for_every_size(monkeypatch):
    monkeypatch.setitem(registry.BACKBONES, "one convolution", one_convolution)
    options = ["MODEL.BACKBONE.CONV_BODY", "one convolution", "MODEL.RELATION_ON", False]
    torch.manual_seed(0)
    plain = build_detection_model(parity_config(extra=options))
    compiled = build_detection_model(parity_config(extra=[*options, *COMPILED]))
    compiled.load_state_dict(plain.state_dict())
    assert [*compiled.state_dict()] == [*plain.state_dict()]
    for size in ((1, 3, 32, 48), (2, 3, 64, 32)):
        images = torch.randn(size)
        with torch.no_grad():
            torch.testing.assert_close(compiled.backbone(images), plain.backbone(images), atol=1e-4, rtol=1e-4)


def test_without_a_compiler_the_option_is_answered_by_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"COMPILE is True, which needs a C\+\+ compiler .* found none of g\+\+"):
        build_detection_model(parity_config(extra=COMPILED))
