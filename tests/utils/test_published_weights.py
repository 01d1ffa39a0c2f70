"""Caffe2's pickles and torchvision's networks give on SGB's input what they gave on their own."""

import pickle
import re

import numpy as np
import pytest
import torch
from support import parity_config
from torchvision.models import vgg
from torchvision.models.resnet import Bottleneck, ResNet

from maskrcnn_benchmark.modeling.backbone import build_backbone
from maskrcnn_benchmark.utils import c2_model_loading
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import InputError

WIDE = [
    "MODEL.RESNETS.STEM_OUT_CHANNELS", 64,
    "MODEL.RESNETS.RES2_OUT_CHANNELS", 256,
    "MODEL.RESNETS.WIDTH_PER_GROUP", 64,
    "MODEL.RESNETS.NUM_GROUPS", 1,
]  # fmt: skip


def to_caffe2(name):
    """The blob of Caffe2 for a tensor of the backbone, written down the other way round than in the package."""
    name = name.removeprefix("body.")
    value = {"weight": "w", "bias": "b"}[name.rsplit(".", 1)[1]]
    if "bn" in name or "downsample.1" in name:
        value = {"w": "s", "b": "b"}[value]
    if name.startswith("stem.conv1"):
        return f"conv1_{value}"
    if name.startswith("stem.bn1"):
        return f"res_conv1_bn_{value}"
    if found := re.match(r"fpn\.fpn_(inner|layer)(\d)", name):
        level = int(found[2])
        block = {1: 2, 2: 3, 3: 5, 4: 2}[level]
        inner = found[1] == "inner"
        lateral = "_lateral" if inner and level < 4 else ""
        return f"fpn_{'inner_' if inner else ''}res{level + 1}_{block}_sum{lateral}_{value}"
    stage, block, layer = re.match(r"layer(\d)\.(\d+)\.(.+)\.\w+$", name).groups()
    branch = {
        "downsample.0": "branch1", "downsample.1": "branch1_bn",
        "conv1": "branch2a", "bn1": "branch2a_bn", "conv2": "branch2b", "bn2": "branch2b_bn",
        "conv3": "branch2c", "bn3": "branch2c_bn",
    }[layer]  # fmt: skip
    return f"res{int(stage) + 1}_{block}_{branch}_{value}"


@pytest.mark.parametrize("nested", [True, False])
def test_caffe2_weights_reach_every_layer(tmp_path, nested):
    config = parity_config()
    model = torch.nn.ModuleDict({"backbone": build_backbone(config)})
    expected = {}
    blobs = {"fc1000_w": np.zeros((2, 2), np.float32), "conv1_w_momentum": np.zeros(1, np.float32)}
    for name, value in model["backbone"].state_dict().items():
        if "running" in name:
            continue
        expected[name] = torch.rand(value.shape)
        blobs[to_caffe2(name)] = expected[name].numpy()
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "text"} if nested else blobs, protocol=2))

    checkpointer = DetectronCheckpointer(config, model)
    checkpointer.load(str(path))
    loaded = model["backbone"].state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert checkpointer.report.unused == ["fc1000_w"]
    assert all("running" in name for name in checkpointer.report.missing)


def test_group_norm_and_detector_blobs_have_names_here():
    names = {
        "conv1_gn_s": "stem.bn1.weight",
        "res4_12_branch2b_gn_b": "layer3.12.bn2.bias",
        "res2_0_branch1_gn_s": "layer1.0.downsample.1.weight",
        "conv_rpn_fpn2_w": "rpn.head.conv.weight",
        "conv_rpn_w": "rpn.head.conv.weight",
        "rpn_bbox_pred_fpn2_b": "rpn.head.bbox_pred.bias",
        "rpn_cls_logits_w": "rpn.head.cls_logits.weight",
        "fc6_w": "feature_extractor.fc6.weight",
        "cls_score_b": "predictor.cls_score.bias",
        "fc1000_w": "fc1000_w",
        "res5_2_branch2c_bn_riv": "res5_2_branch2c_bn_riv",
    }
    assert {name: c2_model_loading._module_name(name) for name in names} == names


def test_caffe2_weights_for_another_backbone(tmp_path):
    config = parity_config(extra=["MODEL.BACKBONE.CONV_BODY", "VGG-16"])
    with pytest.raises(InputError, match=r"R-50-FPN, R-101-FPN, R-152-FPN, but MODEL.BACKBONE.CONV_BODY is VGG-16"):
        c2_model_loading.load_c2_format(config, str(tmp_path / "R-50.pkl"))


def test_a_pickle_of_something_else(tmp_path):
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps(["no", "blobs"]))
    with pytest.raises(InputError, match=r"R-50\.pkl holds no blobs of Caffe2"):
        c2_model_loading.load_c2_format(parity_config(), str(path))


@pytest.fixture(scope="module")
def torchvision_resnet():
    torch.manual_seed(0)
    model = ResNet(Bottleneck, [3, 4, 6, 3]).eval().double()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model


def torchvision_features(model, x):
    stem = model.bn1(model.conv1(x))
    x = model.maxpool(model.relu(stem.clone()))
    return stem, model.layer4(model.layer3(model.layer2(model.layer1(x))))


def normalised(image):
    """What torchvision's networks saw, from RGB in 0..1."""
    mean, std = (torch.tensor(v).double().view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return (image - mean) / std


def own_input(image, to_bgr255):
    """Options with torchvision's means, and a function from the means to the input that the options describe."""
    unit = 255 if to_bgr255 else 1
    own_mean = [unit * value for value in ((0.406, 0.456, 0.485) if to_bgr255 else (0.485, 0.456, 0.406))]
    own_std = [1.0, 1.0, 1.0] if to_bgr255 else [0.3, 0.2, 0.1]

    def as_configured(mean):
        x = (image.flip(1) if to_bgr255 else image) * unit
        return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(own_std).view(1, 3, 1, 1)

    options = ["INPUT.TO_BGR255", to_bgr255, "INPUT.PIXEL_MEAN", own_mean, "INPUT.PIXEL_STD", own_std]
    return options, as_configured


@torch.no_grad()
@pytest.mark.parametrize(("to_bgr255", "wrapped"), [(True, False), (False, True)])
def test_torchvision_weights_give_the_same_features(tmp_path, torchvision_resnet, to_bgr255, wrapped):
    image = torch.rand(1, 3, 64, 96, dtype=torch.float64)  # RGB in 0..1
    stem, features = torchvision_features(torchvision_resnet, normalised(image))

    options, as_configured = own_input(image, to_bgr255)
    config = parity_config(extra=[*WIDE, "MODEL.BACKBONE.CONV_BODY", "R-50-C5", *options])
    model = torch.nn.ModuleDict({"backbone": build_backbone(config)}).eval().double()
    state = torchvision_resnet.state_dict()
    path = tmp_path / "resnet50.pth"
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 1} if wrapped else state, path)
    checkpointer = DetectronCheckpointer(config, model)
    checkpointer.load(str(path))
    assert checkpointer.report.complete and checkpointer.report.unused == ["fc.bias", "fc.weight"]
    torch.testing.assert_close(
        model["backbone"](as_configured(config.INPUT.PIXEL_MEAN))[-1], features, rtol=1e-5, atol=1e-5
    )

    # another mean: the same but for the margin, where the convolution pads with that mean
    other = [value * 1.05 for value in config.INPUT.PIXEL_MEAN]
    config.INPUT.PIXEL_MEAN = other
    DetectronCheckpointer(config, model).load(str(path))
    body = model["backbone"].body
    own_stem = body.stem.bn1(body.stem.conv1(as_configured(other)))
    torch.testing.assert_close(own_stem[..., 2:-2, 2:-2], stem[..., 2:-2, 2:-2], rtol=1e-5, atol=1e-5)


def test_torchvision_weights_with_the_stride_elsewhere_are_warned_of(torchvision_resnet, caplog):
    config = parity_config(extra=["MODEL.RESNETS.STRIDE_IN_1X1", True])
    c2_model_loading.convert_torchvision_resnet(config, torchvision_resnet.state_dict())
    assert "set MODEL.RESNETS.STRIDE_IN_1X1 False" in caplog.text


@torch.no_grad()
@pytest.mark.parametrize("to_bgr255", (True, False))
def test_torchvision_vgg16_gives_the_same_features(tmp_path, to_bgr255):
    torch.manual_seed(0)
    theirs = torch.nn.ModuleDict({"features": vgg.make_layers(vgg.cfgs["D"]), "classifier": torch.nn.Linear(2, 2)})
    for convolution in theirs["features"]:
        if isinstance(convolution, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            torch.nn.init.normal_(convolution.bias, std=0.1)
    path = tmp_path / "vgg16-397923af.pth"
    torch.save(theirs.state_dict(), path)
    image = torch.rand(1, 3, 32, 48, dtype=torch.float64)
    features = theirs["features"].double()[:-1](normalised(image))  # without the last pooling

    options, as_configured = own_input(image, to_bgr255)
    config = parity_config(extra=["MODEL.BACKBONE.CONV_BODY", "VGG-16", *options])
    model = torch.nn.ModuleDict({"backbone": build_backbone(config)}).eval().double()
    checkpointer = DetectronCheckpointer(config, model)
    checkpointer.load(str(path))
    assert checkpointer.report.complete
    assert checkpointer.report.unused == ["classifier.bias", "classifier.weight"]
    own = model["backbone"](as_configured(config.INPUT.PIXEL_MEAN))[-1]
    torch.testing.assert_close(own, features, rtol=1e-3, atol=1e-4 * float(features.max()))

    # another mean: the same but for the margin, where the convolution pads with that mean
    config.INPUT.PIXEL_MEAN = other = [value * 1.05 for value in config.INPUT.PIXEL_MEAN]
    DetectronCheckpointer(config, model).load(str(path))
    own = model["backbone"].body.conv_body[0](as_configured(other))
    expected = theirs["features"][0](normalised(image))
    torch.testing.assert_close(own[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layers, batch_norm", (("A", False), ("D", True), ("E", False)))
def test_other_vggs_are_not_taken_for_vgg16(layers, batch_norm):
    with torch.device("meta"):
        state = torch.nn.ModuleDict({"features": vgg.make_layers(vgg.cfgs[layers], batch_norm)}).state_dict()
    assert not c2_model_loading.is_torchvision_vgg16(state)
