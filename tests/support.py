"""Helpers of the tests: the reference data set, the reference configurations, and weights made from their names.

The reference numbers in `tests/data/parity` were recorded from the original benchmark; `fill` overwrites every weight
from its own name, so the numbers need no stored weights.
"""

import math
import zlib
from pathlib import Path
from typing import NamedTuple

import torch

from maskrcnn_benchmark.config import cfg as default_config
from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.datasets.visual_genome import VGDataset
from maskrcnn_benchmark.structures.bounding_box import BoxList

PARITY = Path(__file__).parent / "data" / "parity"
HEAD = "MODEL.ROI_RELATION_HEAD."
TASKS = {"predcls": (True, True), "sgcls": (True, False), "sgdet": (False, False)}

# The published relation configuration of SGB ...
PUBLISHED = {
    "INPUT.MIN_SIZE_TEST": 600,
    "INPUT.MAX_SIZE_TEST": 1000,
    "MODEL.DEVICE": "cpu",
    "MODEL.BACKBONE.CONV_BODY": "R-101-FPN",
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 256,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.NUM_GROUPS": 32,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RELATION_ON": True,
    "MODEL.ATTRIBUTE_ON": False,
    "MODEL.RPN.USE_FPN": True,
    "MODEL.RPN.ANCHOR_SIZES": (32, 64, 128, 256, 512),
    "MODEL.RPN.ANCHOR_STRIDE": (4, 8, 16, 32, 64),
    "MODEL.RPN.ASPECT_RATIOS": (0.23232838, 0.63365731, 1.28478321, 3.15089189),
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": 6000,
    "MODEL.RPN.POST_NMS_TOP_N_TEST": 1000,
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": 1000,
    "MODEL.RPN.FPN_POST_NMS_PER_BATCH": False,
    "MODEL.RPN.RPN_MID_CHANNEL": 256,
    "MODEL.ROI_HEADS.USE_FPN": True,
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": 80,
    "MODEL.ROI_HEADS.NMS_FILTER_DUPLICATES": True,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.POOLER_SCALES": (0.25, 0.125, 0.0625, 0.03125),
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPN2MLPFeatureExtractor",
    "MODEL.ROI_BOX_HEAD.PREDICTOR": "FPNPredictor",
    "MODEL.ROI_BOX_HEAD.NUM_CLASSES": 151,
    "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": 4096,
    HEAD + "NUM_CLASSES": 51,
    HEAD + "BATCH_SIZE_PER_IMAGE": 1024,
    HEAD + "POSITIVE_FRACTION": 0.25,
    HEAD + "CONTEXT_POOLING_DIM": 4096,
    HEAD + "CONTEXT_HIDDEN_DIM": 512,
    HEAD + "POOLING_ALL_LEVELS": True,
    HEAD + "REQUIRE_BOX_OVERLAP": False,
    HEAD + "ADD_GTBOX_TO_PROPOSAL_IN_TRAIN": True,
    HEAD + "FEATURE_EXTRACTOR": "RelationFeatureExtractor",
    HEAD + "CAUSAL.SPATIAL_FOR_VISION": True,
    HEAD + "CAUSAL.EFFECT_ANALYSIS": True,
    "DATALOADER.SIZE_DIVISIBILITY": 32,
    "TEST.RELATION.REQUIRE_OVERLAP": False,
    "TEST.RELATION.LATER_NMS_PREDICTION_THRES": 0.5,
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.BIAS_LR_FACTOR": 1,
    "SOLVER.WARMUP_FACTOR": 0.1,
    "SOLVER.WEIGHT_DECAY": 0.0001,
    "SOLVER.SCHEDULE.PATIENCE": 2,
    "SOLVER.SCHEDULE.THRESHOLD": 0.001,
    "SOLVER.SCHEDULE.COOLDOWN": 0,
    "SOLVER.SCHEDULE.FACTOR": 0.1,
    "SOLVER.SCHEDULE.MAX_DECAY_STEP": 3,
}
# ... and everything in it shrunk as in the reference numbers.
SMALL = {
    "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": 48,
    HEAD + "CONTEXT_POOLING_DIM": 40,
    HEAD + "CONTEXT_HIDDEN_DIM": 24,
    HEAD + "EMBED_DIM": 20,
    HEAD + "CONTEXT_DROPOUT_RATE": 0.0,
    HEAD + "TRANSFORMER.DROPOUT_RATE": 0.0,
    HEAD + "TRANSFORMER.OBJ_LAYER": 2,
    HEAD + "TRANSFORMER.REL_LAYER": 1,
    HEAD + "TRANSFORMER.NUM_HEAD": 2,
    HEAD + "TRANSFORMER.KEY_DIM": 8,
    HEAD + "TRANSFORMER.VAL_DIM": 8,
    HEAD + "TRANSFORMER.INNER_DIM": 32,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
    "MODEL.RESNETS.NUM_GROUPS": 2,
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 16,
    "MODEL.RPN.RPN_MID_CHANNEL": 16,
    "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
    "INPUT.MIN_SIZE_TEST": 128,
    "INPUT.MAX_SIZE_TEST": 200,
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": 200,
    "MODEL.RPN.POST_NMS_TOP_N_TEST": 60,
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": 60,
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": 20,
}


def flat(options: dict) -> list:
    """Options as the list that `merge_from_list` takes."""
    return [item for pair in options.items() for item in pair]


def parity_config(task="predcls", predictor="MotifPredictor", extra=(), small=True):
    """The configuration under which the reference numbers were recorded."""
    config = default_config.clone()
    config.merge_from_list(flat(PUBLISHED) + (flat(SMALL) if small else []))
    gt_box, gt_label = TASKS[task]
    config.merge_from_list(
        [HEAD + "USE_GT_BOX", gt_box, HEAD + "USE_GT_OBJECT_LABEL", gt_label, HEAD + "PREDICTOR", predictor]
        + list(extra)
    )
    return config


@torch.no_grad()
def fill(module: torch.nn.Module, salt: str = "") -> torch.nn.Module:
    """Overwrite every floating tensor of the state dict with noise seeded by the CRC-32 of its name, in name order."""
    for name, value in sorted(module.state_dict().items()):
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32((salt + name).encode())))
        if name.endswith("running_var"):
            noise = 0.9 + 0.1 * noise.abs()
        elif name.endswith("running_mean"):
            noise = 0.05 * noise
        elif value.dim() <= 1:
            noise = 0.05 * noise + (1.0 if name.endswith(".weight") else 0.0)
        else:
            noise = noise / math.sqrt(value.numel() / value.shape[0])
        value.copy_(noise)
    return module


def open_vg(folder: Path, split: str, **kwargs) -> VGDataset:
    """A split of the data set in the VG-SGG format in `folder`."""
    return VGDataset(
        split=split,
        img_dir=str(folder / "VG_100K"),
        roidb_file=str(folder / "VG-SGG-with-attri.h5"),
        dict_file=str(folder / "VG-SGG-dicts-with-attri.json"),
        image_file=str(folder / "image_data.json"),
        **kwargs,
    )


def vg_dataset(split: str, **kwargs) -> VGDataset:
    """The reference data set: 72 drawn images in the VG-SGG format, 10 training images for validation."""
    return open_vg(PARITY / "vg", split, num_val_im=10, **kwargs)


def boxlist(boxes, size, **fields) -> BoxList:
    """A BoxList of xyxy boxes in an image of (width, height) with tensor fields."""
    boxes = BoxList(torch.as_tensor(boxes), tuple(int(x) for x in size), "xyxy")
    for name, value in fields.items():
        boxes.add_field(name, torch.as_tensor(value))
    return boxes


def config_of(step):
    """The configuration that a training step's command makes."""
    start = step.command.index("--config-file")
    options = list(step.command[start + 2 :])
    del options[options.index("--seed") : options.index("--seed") + 2]
    return load_config(step.command[start + 1], options)


class Scene(NamedTuple):
    """A batch of images as the relation head hands it to a predictor."""

    proposals: list
    pairs: list
    labels: list
    binarys: list
    roi_features: torch.Tensor
    union_features: torch.Tensor

    def image(self, index: int) -> "Scene":
        """One image of the batch."""
        objects = [len(p) for p in self.proposals]
        pairs = [len(p) for p in self.pairs]
        return Scene(
            *(values[index : index + 1] for values in self[:4]),
            self.roi_features.split(objects)[index],
            self.union_features.split(pairs)[index],
        )

    def arguments(self, training: bool) -> tuple:
        labels, binarys = (self.labels, self.binarys) if training else (None, None)
        return self.proposals, self.pairs, labels, binarys, self.roi_features, self.union_features


CHANNELS = 16  # of the feature maps of `make_batch`


def make_batch(num_objs, seed=0):
    """Feature maps, proposals as the box head hands them on, and ground truth of the same boxes."""
    g = torch.Generator().manual_seed(seed)
    images = len(num_objs)
    features = [torch.randn(images, CHANNELS, 64 // stride, 96 // stride, generator=g) for stride in (4, 8, 16, 32)]
    proposals, targets = [], []
    for n in num_objs:
        corners = torch.rand(n, 2, generator=g) * torch.tensor([60.0, 30.0])
        boxes = torch.cat((corners, corners + 3 + 25 * torch.rand(n, 2, generator=g)), dim=1)
        labels = torch.randint(1, 151, (n,), generator=g)
        logits = torch.randn(n, 151, generator=g)
        per_class = boxes[:, None] + torch.randn(n, 151, 4, generator=g)
        proposals.append(boxlist(boxes, (96, 64), labels=labels, predict_logits=logits, boxes_per_cls=per_class))
        targets.append(boxlist(boxes, (96, 64), labels=labels))
        relation = torch.randint(0, 51, (n, n), generator=g) * (torch.rand(n, n, generator=g) < 0.3)
        targets[-1].add_field("relation", relation.fill_diagonal_(0), is_triplet=True)
    return features, proposals, targets
