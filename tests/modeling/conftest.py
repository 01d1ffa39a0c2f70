"""A tiny CLIP, a small made-up world of classes, and RelCLIP predictors over it."""

import logging

import pytest
import torch
from support import HEAD, Scene, boxlist, parity_config

from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.modeling.language import phrase_bank
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import make_roi_relation_predictor

RELCLIP, LANGUAGE = HEAD + "RELCLIP.", "MODEL.LANGUAGE."
OBJECTS = ["man", "woman", "elephant", "horse", "street", "umbrella", "traffic_light"]
PREDICATES = ["riding", "wearing", "wears", "on", "near"]
DIM = 48  # width of the features of boxes


def make_scene(num_objects=(4, 3), seed=0, foreground=True) -> Scene:
    """Images with these numbers of objects and all pairs of them; every third pair has a predicate."""
    g = torch.Generator().manual_seed(seed)
    proposals, pairs, labels, binarys = [], [], [], []
    for n in num_objects:
        corners = 100 * torch.rand(n, 2, generator=g)
        boxes = torch.cat([corners, corners + 5 + 50 * torch.rand(n, 2, generator=g)], dim=1)
        fields = {
            "labels": torch.randint(1, len(OBJECTS) + 1, (n,), generator=g),
            "predict_logits": 3 * torch.randn(n, len(OBJECTS) + 1, generator=g),
            "boxes_per_cls": boxes[:, None] + 2 * torch.randn(n, len(OBJECTS) + 1, 4, generator=g),
        }
        proposals.append(boxlist(boxes, (200, 160), **fields))
        index = (~torch.eye(n, dtype=torch.bool)).nonzero() if n != 1 else torch.zeros(1, 2, dtype=torch.int64)
        predicate = torch.randint(1, len(PREDICATES) + 1, (len(index),), generator=g)
        pairs.append(index)
        labels.append(predicate * ((torch.arange(len(index)) % 3 == 0) & foreground))
        binarys.append(torch.randint(0, 2, (n, n), generator=g))
    total = sum(len(index) for index in pairs)
    roi, union = torch.randn(sum(num_objects), DIM, generator=g), torch.randn(total, DIM, generator=g)
    return Scene(proposals, pairs, labels, binarys, roi, union)


def make_statistics(predicates=PREDICATES) -> dict:
    """Statistics in which about a third of all triplets occur, and none with the last predicate."""
    o, r = len(OBJECTS) + 1, len(predicates) + 1
    g = torch.Generator().manual_seed(5)
    fg_matrix = (torch.rand(o, o, r, generator=g) < 0.3) * torch.randint(1, 9, (o, o, r), generator=g)
    fg_matrix[..., -1] = 0
    fg_matrix[0] = fg_matrix[:, 0] = fg_matrix[..., 0] = 0
    counts = fg_matrix.float()
    counts[..., 0] = 1
    return {
        "fg_matrix": fg_matrix,
        "pred_dist": (counts / counts.sum(dim=-1, keepdim=True) + 1e-3).log(),
        "obj_classes": ["__background__", *OBJECTS],
        "rel_classes": ["__background__", *predicates],
        "att_classes": ["__background__"],
    }


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """Path of the state dict of a CLIP whose text tower has 2 layers of width 64 and a context of 24 tokens."""
    model = pytest.importorskip("clip.model")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.save(model.CLIP(16, 32, 1, 64, 32, 24, 49408, 64, 1, 2).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("relclip")


@pytest.fixture
def config(tiny_clip, cache_dir):
    """Factory of configurations of the small world: config(task, KEY=value of RELCLIP, host=other options).

    language: values of the node MODEL.LANGUAGE.
    """

    def make(task="predcls", predictor="RelCLIPPredictor", host=(), language=(), **relclip):
        options = {
            "MODEL.ROI_BOX_HEAD.NUM_CLASSES": len(OBJECTS) + 1,
            HEAD + "NUM_CLASSES": len(PREDICATES) + 1,
            HEAD + "WORD_EMBEDDING": "random",
            LANGUAGE + "NAME": str(tiny_clip),
            LANGUAGE + "CACHE_DIR": str(cache_dir),
            RELCLIP + "PROJECTION_DIM": 12,
            **{LANGUAGE + key: value for key, value in dict(language).items()},
            **{RELCLIP + key: value for key, value in relclip.items()},
        }
        return parity_config(task, predictor, [x for pair in options.items() for x in pair] + list(host))

    return make


@pytest.fixture
def predictor(config):
    """Factory of predictors of the small world, with the arguments of `config`."""

    def make(*args, statistics=None, seed=0, **kwargs):
        settings = config(*args, **kwargs)
        torch.manual_seed(seed)
        with use_statistics(statistics or make_statistics()):
            return make_roi_relation_predictor(settings, DIM)

    return make


@pytest.fixture
def scene():
    """Factory of batches: see `make_scene`."""
    return make_scene


@pytest.fixture
def make_small_scene():
    """As `scene`, for folders that have scenes of another world."""
    return make_scene


@pytest.fixture
def statistics():
    """Factory of statistics: see `make_statistics`."""
    return make_statistics


@pytest.fixture
def bank(config):
    """The phrase bank of the small world."""
    node = config().MODEL.LANGUAGE
    return phrase_bank.bank_from_config(node, OBJECTS, PREDICATES, ("sp", "po", "spo"), torch.device("cpu"))


@pytest.fixture
def plugin_log(caplog):
    """What the plugin logs, whether or not the host has cut its logger off from the root."""
    logger = logging.getLogger("maskrcnn_benchmark")
    if not logger.propagate:
        logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger="maskrcnn_benchmark"):
        yield caplog
    logger.removeHandler(caplog.handler)
