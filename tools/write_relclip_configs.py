"""Write the files of configs/relclip and configs/baselines: one per context or baseline, task and supervision.

    python tools/write_relclip_configs.py            # write them
    python tools/write_relclip_configs.py --check    # exit status 1 where they are not what this would write

SGB's configurations cannot include one another, so each file says everything that differs from the defaults. What the
files share, and the reason of each value, stands once, here: RelCLIP and the baselines differ in nothing but the
predictor and what belongs to it. They hold keys of SGB and of the plugin only, so that they work in an SGB checkout,
too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.files import atomic_write

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
HEAD = "MODEL.ROI_RELATION_HEAD."
CAUSAL = HEAD + "CAUSAL."

TASKS = {"predcls": (True, True), "sgcls": (True, False), "sgdet": (False, False)}
SUPERVISION = ("full", "distant")

# (key, value, reason). Reasons are comments in the files; values are written as they would be typed.
DETECTOR = [
    ("INPUT.MIN_SIZE_TRAIN", (600,), "pixels of the shorter side; the size of SGB's published detector"),
    ("INPUT.MAX_SIZE_TRAIN", 1000, "unless the longer side would exceed this"),
    ("INPUT.MIN_SIZE_TEST", 600, "as in training"),
    ("INPUT.MAX_SIZE_TEST", 1000, "as in training"),
    (
        "MODEL.PRETRAINED_DETECTOR_CKPT",
        "checkpoints/pretrained_faster_rcnn/model_final.pth",
        "SGB's published detector for VG-150; relation training keeps it as it is",
    ),
    ("MODEL.BACKBONE.CONV_BODY", "R-101-FPN", "with the groups below: ResNeXt-101-32x8d"),
    ("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 256, "channels of the FPN in that detector"),
    ("MODEL.RESNETS.STRIDE_IN_1X1", False, "ResNeXt has its stride in the 3x3 convolutions"),
    ("MODEL.RESNETS.NUM_GROUPS", 32, "ResNeXt-101-32x8d"),
    ("MODEL.RESNETS.WIDTH_PER_GROUP", 8, "ResNeXt-101-32x8d"),
    ("MODEL.RELATION_ON", True, "train relations, not the detector"),
    ("MODEL.RPN.USE_FPN", True, "as the detector was trained"),
    ("MODEL.RPN.ANCHOR_STRIDE", (4, 8, 16, 32, 64), "one anchor size per level of the FPN"),
    (
        "MODEL.RPN.ASPECT_RATIOS",
        (0.23232838, 0.63365731, 1.28478321, 3.15089189),
        "from VG's boxes, by Neural Motifs",
    ),
    ("MODEL.RPN.PRE_NMS_TOP_N_TRAIN", 6000, "as the detector was trained"),
    ("MODEL.RPN.POST_NMS_TOP_N_TRAIN", 1000, "as the detector was trained"),
    ("MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN", 1000, "as the detector was trained"),
    ("MODEL.RPN.FPN_POST_NMS_TOP_N_TEST", 1000, "as the detector was trained"),
    ("MODEL.RPN.FPN_POST_NMS_PER_BATCH", False, "so that an image's proposals do not depend on its batch"),
    ("MODEL.RPN.RPN_MID_CHANNEL", 256, "as the detector was trained"),
    ("MODEL.ROI_HEADS.USE_FPN", True, "as the detector was trained"),
    ("MODEL.ROI_HEADS.POSITIVE_FRACTION", 0.5, "SGDet: objects among the boxes that relations are trained on"),
    ("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 80, "SGDet: 80 boxes give 6,320 pairs"),
    ("MODEL.ROI_HEADS.NMS_FILTER_DUPLICATES", True, "SGDet: one class per box"),
    ("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 7, "as the detector was trained"),
    ("MODEL.ROI_BOX_HEAD.POOLER_SCALES", (0.25, 0.125, 0.0625, 0.03125), "levels of the FPN that boxes are cut from"),
    ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 2, "as the detector was trained"),
    ("MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR", "FPN2MLPFeatureExtractor", "as the detector was trained"),
    ("MODEL.ROI_BOX_HEAD.PREDICTOR", "FPNPredictor", "as the detector was trained"),
    ("MODEL.ROI_BOX_HEAD.NUM_CLASSES", 151, "VG-150 and background"),
    ("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 4096, "as the detector was trained"),
]
RELATIONS = [
    (HEAD + "REQUIRE_BOX_OVERLAP", False, "SGDet: train on pairs that do not touch, too"),
    (HEAD + "ADD_GTBOX_TO_PROPOSAL_IN_TRAIN", True, "SGDet: relations of objects that the detector misses count, too"),
    (HEAD + "BATCH_SIZE_PER_IMAGE", 1024, "pairs of an image: nearly all of them, as a test sees them"),
    ("DATASETS.TRAIN", ("VG_stanford_filtered_with_attribute_train",), "VG-150"),
    ("DATASETS.VAL", ("VG_stanford_filtered_with_attribute_val",), "settings are chosen here"),
    ("DATASETS.TEST", ("VG_stanford_filtered_with_attribute_test",), "VG-150"),
    ("DATALOADER.SIZE_DIVISIBILITY", 32, "the coarsest level of the backbone"),
    ("SOLVER.IMS_PER_BATCH", 12, "SGB multiplies the base rate by this; its baselines use 12"),
    ("SOLVER.BIAS_LR_FACTOR", 1, "as for SGB's baselines"),
    ("SOLVER.WARMUP_FACTOR", 0.1, "as for SGB's baselines"),
    ("SOLVER.WEIGHT_DECAY", 0.0001, "as for SGB's baselines"),
    ("SOLVER.MAX_ITER", 50000, "as for SGB's baselines; the schedule stops earlier"),
    ("SOLVER.VAL_PERIOD", 2000, "the plateau schedule needs validation results"),
    ("SOLVER.CHECKPOINT_PERIOD", 2000, "a checkpoint per validation"),
    ("TEST.ALLOW_LOAD_FROM_CACHE", False, "never show an older model's predictions"),
    ("TEST.RELATION.REQUIRE_OVERLAP", False, "as in training"),
    ("TEST.RELATION.LATER_NMS_PREDICTION_THRES", 0.5, "SGDet: two boxes above this IoU may not share a class"),
]
PLATEAU = [
    ("SOLVER.BASE_LR", 0.01, "times 12 images; as for SGB's baselines"),
    ("SOLVER.SCHEDULE.TYPE", "WarmupReduceLROnPlateau", "as for SGB's baselines"),
    ("SOLVER.SCHEDULE.THRESHOLD", 0.001, "as for SGB's baselines"),
    ("SOLVER.SCHEDULE.COOLDOWN", 0, "as for SGB's baselines"),
    ("SOLVER.SCHEDULE.FACTOR", 0.1, "as for SGB's baselines"),
    ("SOLVER.SCHEDULE.MAX_DECAY_STEP", 3, "stop after the third decay"),
]
VCTREE = (HEAD + "CONTEXT_HIDDEN_DIM", 1024, "as for SGB's VCTree")
TRANSFORMER = [*PLATEAU[1:], ("SOLVER.BASE_LR", 0.001, "times 12 images; what SGB says its Transformer needs")]


def relclip(context: str) -> list[tuple[str, object, str]]:
    own: list[tuple[str, object, str]] = [(HEAD + "PREDICTOR", "RelCLIPPredictor", "")]
    if context != "motifs":
        own.append((HEAD + "RELCLIP.CONTEXT", context, "representation of pairs"))
    return own


def causal(context: str) -> list[tuple[str, object, str]]:
    own: list[tuple[str, object, str]] = [
        (HEAD + "PREDICTOR", "CausalAnalysisPredictor", ""),
        (CAUSAL + "EFFECT_ANALYSIS", True, "keep the average features that TDE, NIE and TE need at test time"),
        (CAUSAL + "SPATIAL_FOR_VISION", True, "as for SGB's baselines"),
    ]
    if context != "motifs":
        own.append((CAUSAL + "CONTEXT_LAYER", context, "representation of pairs"))
    return own


# Of each folder, what belongs to each context of RelCLIP and to each baseline.
MODELS = {
    "relclip": {
        "motifs": [*relclip("motifs"), *PLATEAU],
        "vctree": [*relclip("vctree"), *PLATEAU, VCTREE],
        "transformer": [*relclip("transformer"), *TRANSFORMER],
        "vtranse": [*relclip("vtranse"), *PLATEAU],
        "none": [*relclip("none"), *PLATEAU],
    },
    "baselines": {
        "motifs": [(HEAD + "PREDICTOR", "MotifPredictor", ""), *PLATEAU],
        "vctree": [(HEAD + "PREDICTOR", "VCTreePredictor", ""), *PLATEAU, VCTREE],
        "transformer": [(HEAD + "PREDICTOR", "TransformerPredictor", ""), *TRANSFORMER],
        "imp": [(HEAD + "PREDICTOR", "IMPPredictor", ""), *PLATEAU],
        "causal-motifs": [*causal("motifs"), *PLATEAU],
        "causal-vctree": [*causal("vctree"), *PLATEAU, VCTREE],
        "causal-vtranse": [*causal("vtranse"), *PLATEAU],
    },
}
TITLES = {
    "motifs": "Motifs",
    "vctree": "VCTree",
    "transformer": "Transformer",
    "imp": "IMP",
    "causal-motifs": "The causal predictor on Motifs",
    "causal-vctree": "The causal predictor on VCTree",
    "causal-vtranse": "VTransE, or the causal predictor on it",
}
RELCLIP_UNDER = {
    "full": [],
    "distant": [
        (
            HEAD + "RELCLIP.BIAS",
            "triplets",
            "the knowledge base knows triplets that no image shows: the best recall on the demo (docs/method.md)",
        ),
    ],
}
HEADERS = {
    "full": "Labels made by people.",
    "distant": (
        "Labels from a knowledge base.\n"
        "# The data set at the names below must be the one that tools/distant_label.py wrote: set DATASETS.DATA_DIR\n"
        "# to its folder (in an SGB checkout: its path in paths_catalog.py)."
    ),
}


def settings(folder: str, model: str, task: str, supervision: str) -> list[tuple[str, object, str]]:
    """What one file says: (key, value, reason)."""
    boxes, labels = TASKS[task]
    of_task: list[tuple[str, object, str]] = []
    # SGB's defaults are those of SGCls
    if not boxes:
        of_task.append((HEAD + "USE_GT_BOX", False, "SGDet: boxes are detected"))
    if labels:
        of_task.append((HEAD + "USE_GT_OBJECT_LABEL", True, "PredCls: classes are given"))
    of_supervision = RELCLIP_UNDER[supervision] if folder == "relclip" else []
    output = ("OUTPUT_DIR", f"output/{folder}/{model}_{task}_{supervision}", "one folder per run")
    predictor, *own = MODELS[folder][model]
    return [*DETECTOR, predictor, *RELATIONS, *of_task, *own, *of_supervision, output]


def as_yaml(entries: list[tuple[str, object, str]]) -> str:
    """Nested YAML, with the reason of each value behind it."""
    tree: dict = {}
    for key, value, reason in entries:
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = (value, reason)
    lines: list[str] = []

    def walk(node: dict, indent: str) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                lines.append(f"{indent}{key}:")
                walk(value, indent + "  ")
            else:
                shown = f'"{value[0]}"' if isinstance(value[0], str) else str(value[0])
                line = f"{indent}{key}: {shown}"
                if value[1] and len(line) + len(value[1]) > 114:
                    lines.append(f"{indent}# {value[1]}")
                elif value[1]:
                    line += f"  # {value[1]}"
                lines.append(line)

    walk(tree, "")
    return "\n".join(lines) + "\n"


def file_text(folder: str, model: str, task: str, supervision: str) -> str:
    task_name = {"predcls": "PredCls", "sgcls": "SGCls", "sgdet": "SGDet"}[task]
    title = f"RelCLIP on the context {model!r}" if folder == "relclip" else TITLES[model]
    effects = "# In a test, CAUSAL.EFFECT_TYPE TDE, NIE or TE shows a causal effect.\n" if "causal" in model else ""
    return (
        f"# {title}, {task_name}. {HEADERS[supervision]}\n{effects}"
        f"# Only what differs from the defaults. Written by tools/write_relclip_configs.py.\n"
        f"{as_yaml(settings(folder, model, task, supervision))}"
    )


def all_files() -> dict[Path, str]:
    """Path and text of every file."""
    return {
        CONFIGS / folder / f"{model}_{task}_{supervision}.yaml": file_text(folder, model, task, supervision)
        for folder, models in MODELS.items()
        for model in models
        for task in TASKS
        for supervision in SUPERVISION
    }


def main() -> int | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    files = all_files()
    if not args.check:
        for path, text in files.items():
            with atomic_write(path) as temporary:
                temporary.write_text(text)
        print(f"{len(files)} files written to {' and '.join(str(CONFIGS / folder) for folder in MODELS)}")
        return 0
    stale = [path.name for path, text in files.items() if not path.is_file() or path.read_text() != text]
    there = {path for folder in MODELS for path in (CONFIGS / folder).glob("*.yaml")}
    extra = sorted(path.name for path in there - set(files))
    print(f"{len(stale)} of {len(files)} files are not what would be written; {len(extra)} others: {stale + extra}")
    return 1 if stale or extra else 0


if __name__ == "__main__":
    run(main)
