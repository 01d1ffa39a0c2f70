"""Features of regions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.backbone import resnet
from maskrcnn_benchmark.modeling.make_layers import group_norm, make_fc
from maskrcnn_benchmark.modeling.poolers import Pooler, make_pooler
from maskrcnn_benchmark.utils.errors import InputError


def _make_pooler(cfg, in_channels: int, cat_all_levels: bool) -> Pooler:
    head = cfg.MODEL.ROI_BOX_HEAD
    return Pooler(
        output_size=(head.POOLER_RESOLUTION, head.POOLER_RESOLUTION),
        scales=head.POOLER_SCALES,
        sampling_ratio=head.POOLER_SAMPLING_RATIO,
        in_channels=in_channels,
        cat_all_levels=cat_all_levels,
    )


@registry.ROI_BOX_FEATURE_EXTRACTORS.register("ResNet50Conv5ROIFeatureExtractor")
class ResNet50Conv5ROIFeatureExtractor(nn.Module):
    """The fifth stage of a ResNet on every region, for detectors only: relations take vectors."""

    def __init__(self, config, in_channels: int):
        super().__init__()
        if config.MODEL.RELATION_ON:
            raise InputError(
                "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR is ResNet50Conv5ROIFeatureExtractor, which gives maps, but "
                "relation models need vectors: take FPN2MLPFeatureExtractor, or set MODEL.RELATION_ON False"
            )
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
            norm_settings=config.MODEL.GROUP_NORM,
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
        self.pooler = _make_pooler(cfg, in_channels, cat_all_levels)
        self.resize_channels = in_channels * head.POOLER_RESOLUTION**2
        self.out_channels = head.MLP_HEAD_DIM // 2 if half_out else head.MLP_HEAD_DIM
        self.fc6 = make_fc(self.resize_channels, head.MLP_HEAD_DIM, head.USE_GN, cfg.MODEL.GROUP_NORM)
        self.fc7 = make_fc(head.MLP_HEAD_DIM, self.out_channels, head.USE_GN, cfg.MODEL.GROUP_NORM)

    def forward(self, x, proposals) -> Tensor:
        """[n, out_channels]."""
        return self.forward_without_pool(self.pooler(x, proposals))

    def forward_without_pool(self, x: Tensor) -> Tensor:
        """Pooled regions [n, C, h, w] to [n, out_channels]."""
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))


@registry.ROI_BOX_FEATURE_EXTRACTORS.register("FPNXconv1fcFeatureExtractor")
class FPNXconv1fcFeatureExtractor(nn.Module):
    """Some convolutions and a fully connected layer on every region.

    Args:
        cat_all_levels: pool from all levels of the pyramid.
    """

    def __init__(self, cfg, in_channels: int, cat_all_levels: bool = False):
        super().__init__()
        head = cfg.MODEL.ROI_BOX_HEAD
        self.pooler = _make_pooler(cfg, in_channels, cat_all_levels)
        self.resize_channels = in_channels * head.POOLER_RESOLUTION**2
        layers: list[nn.Module] = []
        for _ in range(head.NUM_STACKED_CONVS):
            conv = nn.Conv2d(
                in_channels, head.CONV_HEAD_DIM, 3, padding=head.DILATION, dilation=head.DILATION, bias=not head.USE_GN
            )
            nn.init.normal_(conv.weight, std=0.01)
            layers.append(conv)
            if head.USE_GN:
                layers.append(group_norm(head.CONV_HEAD_DIM, settings=cfg.MODEL.GROUP_NORM))
            else:
                nn.init.constant_(conv.bias, 0)
            layers.append(nn.ReLU(inplace=True))
            in_channels = head.CONV_HEAD_DIM
        self.xconvs = nn.Sequential(*layers)
        self.fc6 = make_fc(in_channels * head.POOLER_RESOLUTION**2, head.MLP_HEAD_DIM)
        self.out_channels = head.MLP_HEAD_DIM

    def forward(self, x, proposals) -> Tensor:
        """[n, out_channels]."""
        return self.forward_without_pool(self.pooler(x, proposals))

    def forward_without_pool(self, x: Tensor) -> Tensor:
        """Pooled regions [n, C, h, w] to [n, out_channels]."""
        return F.relu(self.fc6(self.xconvs(x).flatten(1)))


def make_roi_box_feature_extractor(cfg, in_channels: int, half_out: bool = False, cat_all_levels: bool = False):
    """The extractor that MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR names; `out_channels` says how wide its output is.

    Raises:
        InputError: an unknown name.
    """
    name = cfg.MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR
    extractor = registry.lookup(registry.ROI_BOX_FEATURE_EXTRACTORS, name, "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR")
    # not every extractor knows both options, so each is passed only where it is asked for
    options = {"half_out": half_out, "cat_all_levels": cat_all_levels}
    return extractor(cfg, in_channels, **{option: True for option, wanted in options.items() if wanted})
