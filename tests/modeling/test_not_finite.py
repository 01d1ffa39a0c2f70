"""A model whose numbers are not finite predicts nothing, and says so; it does not predict nonsense."""

import pytest
import torch
from small_run import write_config
from support import fill

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.utils import check_finite
from maskrcnn_benchmark.utils.errors import InputError

# what is spoilt -> what the message names
PLACES = {
    "backbone.body.stem.conv1.weight": "the backbone's feature maps",
    "rpn.head.cls_logits.bias": "the scores of region proposals",
    "roi_heads.box.predictor.cls_score.weight": "the detector's scores of objects",
    "roi_heads.box.predictor.bbox_pred.bias": "the detector's scores of objects",
    "roi_heads.relation.predictor.rel_compress.bias": "the scores of objects and relations",
}


@pytest.fixture
def model(tmp_path, parity_statistics):
    return fill(build_detection_model(load_config(str(write_config(tmp_path, "sgdet")))).eval())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", PLACES)
@torch.no_grad()
def test_one_number_is_enough(model, place, value):
    images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    assert len(model(images)[0]) > 0
    parameters = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    parameters[place].view(-1)[1] = value
    with pytest.raises(InputError, match=f"{PLACES[place]} are not finite"):
        model(images)


def test_nothing_is_finite():
    check_finite([], "nothing")
    check_finite([torch.zeros(0, 3)], "nothing")
    check_finite([torch.full((4,), -1e30)], "large numbers")
