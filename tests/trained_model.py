"""Run folders as a training leaves them, of models that nobody trained: small, and made in a second."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from small_run import write_config
from support import HEAD, fill

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data import use_statistics
from maskrcnn_benchmark.modeling.detector import build_detection_model

OBJECTS = ["man", "woman", "elephant", "horse", "street", "umbrella", "traffic_light"]
PREDICATES = ["riding", "wearing", "wears", "on", "near"]
CLASSES = ["__background__", *OBJECTS]
RELATIONS = ["__background__", *PREDICATES]


def statistics() -> dict:
    generator = torch.Generator().manual_seed(3)
    counts = torch.rand(len(CLASSES), len(CLASSES), len(RELATIONS), generator=generator)
    return {
        "pred_dist": counts.log(),
        "fg_matrix": (counts * 9).long() + 1,
        "obj_classes": CLASSES,
        "rel_classes": RELATIONS,
        "att_classes": [],
    }


def save_tiny_clip(path: Path) -> Path:
    """A CLIP with random weights: pictures of 32 pixels, two layers of text."""
    from clip.model import CLIP

    torch.manual_seed(0)
    torch.save(CLIP(16, 32, 1, 64, 16, 24, 49408, 64, 1, 2).state_dict(), path)
    return path


def save_run(folder: Path, predictor: str = "MotifPredictor", task: str = "sgdet", clip: Path | None = None, **options):
    """`config.yml`, `model_final.pth` and `last_checkpoint` in a folder; returns the model."""
    folder.mkdir(parents=True, exist_ok=True)
    relclip = {}
    if clip is not None:
        relclip = {"MODEL__LANGUAGE__NAME": str(clip), "MODEL__LANGUAGE__CACHE_DIR": str(clip.parent / "cache")}
        relclip[HEAD.replace(".", "__") + "RELCLIP__PROJECTION_DIM"] = 12
    config = write_config(
        folder,
        task,
        predictor,
        DATASETS__DATA_DIR="/nowhere",
        MODEL__ROI_BOX_HEAD__NUM_CLASSES=len(CLASSES),
        MODEL__ROI_RELATION_HEAD__NUM_CLASSES=len(RELATIONS),
        **relclip,
        **options,
    )
    config.rename(folder / "config.yml")
    torch.manual_seed(0)
    with use_statistics(statistics()):
        model = fill(build_detection_model(load_config(str(folder / "config.yml"))).eval())
    content = {"model": model.state_dict(), "obj_classes": CLASSES, "rel_classes": RELATIONS}
    torch.save(content, folder / "model_final.pth")
    (folder / "last_checkpoint").write_text(str(folder / "model_final.pth"))
    return model


def photo(size=(80, 60), seed=0) -> Image.Image:
    """An image in which an untrained model finds things: blobs of colour."""
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
