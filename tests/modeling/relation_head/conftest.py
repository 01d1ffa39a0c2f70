"""Made-up scenes and predictors for the tests of the relation head."""

import pytest
import torch
from support import HEAD, Scene, boxlist, fill, parity_config

from maskrcnn_benchmark.modeling import registry

CAUSAL = HEAD + "CAUSAL."
DIM = 48  # width of the features in the reference numbers

# name -> registered class and options, as in the reference numbers
PREDICTORS = {
    "motifs": ("MotifPredictor", []),
    "vctree": ("VCTreePredictor", []),
    "transformer": ("TransformerPredictor", []),
    "imp": ("IMPPredictor", []),
}
for context in ("motifs", "vctree", "vtranse"):
    layer = [CAUSAL + "CONTEXT_LAYER", context, HEAD + "CONTEXT_POOLING_DIM", DIM]
    for fusion in ("sum", "gate"):
        options = [*layer, CAUSAL + "FUSION_TYPE", fusion]
        PREDICTORS[f"causal_{context}_{fusion}"] = ("CausalAnalysisPredictor", options)
    for effect in ("TDE", "NIE", "TE"):
        options = [*layer, CAUSAL + "FUSION_TYPE", "sum", CAUSAL + "EFFECT_TYPE", effect]
        PREDICTORS[f"causal_{context}_sum_{effect}"] = ("CausalAnalysisPredictor", options)


def make_scene(num_objs, seed: int = 0, dim: int = DIM) -> Scene:
    """Images with these numbers of objects and all pairs of them."""
    g = torch.Generator().manual_seed(seed)
    proposals, pairs, labels, binarys = [], [], [], []
    for n in num_objs:
        corners = 100 * torch.rand(n, 2, generator=g)
        boxes = torch.cat((corners, corners + 5 + 50 * torch.rand(n, 2, generator=g)), dim=1)
        proposals.append(
            boxlist(
                boxes,
                (200, 160),
                labels=torch.randint(1, 151, (n,), generator=g),
                predict_logits=3 * torch.randn(n, 151, generator=g),
                boxes_per_cls=boxes[:, None] + 2 * torch.randn(n, 151, 4, generator=g),
            )
        )
        pairs.append((~torch.eye(n, dtype=torch.bool)).nonzero())
        labels.append(torch.randint(0, 51, (len(pairs[-1]),), generator=g))
        binarys.append(torch.randint(0, 2, (n, n), generator=g))
    objects, relations = sum(num_objs), sum(map(len, pairs))
    return Scene(
        proposals,
        pairs,
        labels,
        binarys,
        torch.randn(objects, dim, generator=g),
        torch.randn(relations, dim, generator=g),
    )


def make_predictor(name: str, task: str):
    """One of PREDICTORS at the size of the reference numbers, with weights made from their names, in eval mode."""
    cls, options = PREDICTORS[name]
    torch.manual_seed(0)
    config = parity_config(task, cls, options)
    return fill(registry.ROI_RELATION_PREDICTOR[cls](config, DIM)).eval()


@pytest.fixture(params=PREDICTORS)
def predictor_name(request):
    return request.param


@pytest.fixture
def predictor_class(predictor_name):
    """Registered name and options of the predictor at hand."""
    return PREDICTORS[predictor_name]


@pytest.fixture(params=("predcls", "sgcls", "sgdet"))
def task(request):
    return request.param


@pytest.fixture
def scene():
    """Factory of batches: see `make_scene`."""
    return make_scene


@pytest.fixture
def predictor(parity_statistics):
    """Factory of predictors: see `make_predictor`."""
    return make_predictor
