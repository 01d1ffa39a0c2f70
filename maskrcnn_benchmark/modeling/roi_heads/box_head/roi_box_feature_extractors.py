"""Features of regions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.backbone import resnet
from maskrcnn_benchmark.modeling.make_layers import group_norm, make_fc
from maskrcnn_benchmark.modeling.poolers import Pooler, make_pooler


@registry.ROI_BOX_FEATURE_EXTRACTORS.register("ResNet50Conv5ROIFeatureExtractor")
class ResNet50Conv5ROIFeatureExtractor(nn.Module):
    """The fifth stage of a ResNet on every region."""

    def __init__(self, config, in_channels: int, half_out: bool = False, cat_all_levels: bool = False):
        super().__init__()
        settings = config.MODEL.RESNETS
        self.pooler = make_pooler(config, "ROI_BOX_HEAD")
        self.head = resnet.ResNetHead(
            block_module=settings.TRANS_FUNC,
            stages=(resnet.StageSpec(index=4, block_count=3, return_features=False),),
            num_groups=settings.NUM_GROUPS,
            width_per_group=settings.WIDTH_PER_GROUP,
            stride_in_1x1=settings.STRIDE_IN_1X1,
            res2_out_channels=settings.RES2_OUT_CHANNELS,
            dilation=settings.RES5_DILATION,
        )
        self.out_channels = self.head.out_channels

    def forward(self, x, proposals) -> Tensor:
        """[n, out_channels, height, width]."""
        return self.head(self.pooler(x, proposals))


@registry.ROI_BOX_FEATURE_EXTRACTORS.register("FPN2MLPFeatureExtractor")
class FPN2MLPFeatureExtractor(nn.Module):
    """Two fully connected layers on every region.

    Args:
        half_out: the output is half as wide (SGB's attribute models).
        cat_all_levels: pool from all levels of the pyramid.
    """

    def __init__(self, cfg, in_channels: int, half_out: bool = False, cat_all_levels: bool = False):
        super().__init__()
        head = cfg.MODEL.ROI_BOX_HEAD
        resolution = head.POOLER_RESOLUTION
        self.pooler = Pooler(
            output_size=(resolution, resolution),
            scales=head.POOLER_SCALES,
            sampling_ratio=head.POOLER_SAMPLING_RATIO,
            in_channels=in_channels,
            cat_all_levels=cat_all_levels,
        )
        input_size = in_channels * resolution**2
        self.out_channels = head.MLP_HEAD_DIM // 2 if half_out else head.MLP_HEAD_DIM
        self.resize_channels = input_size
        self.fc6 = make_fc(input_size, head.MLP_HEAD_DIM, head.USE_GN)
        self.fc7 = make_fc(head.MLP_HEAD_DIM, self.out_channels, head.USE_GN)

    def forward(self, x, proposals) -> Tensor:
        """[n, out_channels]."""
        return self.forward_without_pool(self.pooler(x, proposals))

    def forward_without_pool(self, x: Tensor) -> Tensor:
        """Pooled regions [n, C, h, w] to [n, out_channels]."""
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))


@registry.ROI_BOX_FEATURE_EXTRACTORS.register("FPNXconv1fcFeatureExtractor")
class FPNXconv1fcFeatureExtractor(nn.Module):
    """Some convolutions and a fully connected layer on every region."""

    def __init__(self, cfg, in_channels: int, half_out: bool = False, cat_all_levels: bool = False):
        super().__init__()
        head = cfg.MODEL.ROI_BOX_HEAD
        self.pooler = make_pooler(cfg, "ROI_BOX_HEAD")
        layers: list[nn.Module] = []
        channels = in_channels
        for _ in range(head.NUM_STACKED_CONVS):
            conv = nn.Conv2d(
                channels, head.CONV_HEAD_DIM, 3, padding=head.DILATION, dilation=head.DILATION, bias=not head.USE_GN
            )
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.constant_(conv.bias, 0)
            layers.append(conv)
            channels = head.CONV_HEAD_DIM
            if head.USE_GN:
                layers.append(group_norm(channels, settings=cfg.MODEL.GROUP_NORM))
            layers.append(nn.ReLU(inplace=True))
        self.xconvs = nn.Sequential(*layers)
        self.fc6 = make_fc(channels * head.POOLER_RESOLUTION**2, head.MLP_HEAD_DIM)
        self.out_channels = head.MLP_HEAD_DIM

    def forward(self, x, proposals) -> Tensor:
        """[n, out_channels]."""
        return F.relu(self.fc6(self.xconvs(self.pooler(x, proposals)).flatten(1)))


def make_roi_box_feature_extractor(cfg, in_channels: int, half_out: bool = False, cat_all_levels: bool = False):
    """The extractor that MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR names; `out_channels` says how wide its output is."""
    name = cfg.MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR
    maker = registry.lookup(registry.ROI_BOX_FEATURE_EXTRACTORS, name, "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR")
    return maker(cfg, in_channels, half_out, cat_all_levels)
