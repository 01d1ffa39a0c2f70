"""Files of CLIP's adapted image side: what was saved, and what is none."""

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.roi_heads.relation_head.adapted_clip import LEVELS, AdaptedClip, save_adapter
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.clip_adapter import ClipAdapter
from maskrcnn_benchmark.utils.errors import InputError

WIDTH, OBJECTS, PREDICATES = 6, ["man", "dog"], ["on", "near", "under"]


@pytest.fixture(params=[True, False], ids=["with the picture", "without"])
def saved(tmp_path, request):
    path = tmp_path / "clip_adapter.pth"
    counts = torch.randint(5, (3, 3, 4), generator=torch.Generator().manual_seed(0))
    adapter = ClipAdapter(WIDTH, 8, LEVELS, request.param)
    save_adapter(path, adapter, torch.nn.Module(), counts, OBJECTS, PREDICATES, {})
    return path, adapter


def opened(path):
    config = cfg.clone()
    config.defrost()
    config.MODEL.ROI_RELATION_HEAD.RELCLIP.ADAPTER = str(path)
    tables = {level: torch.randn(len(OBJECTS) + 1, len(PREDICATES) + 1, WIDTH) for level in LEVELS}
    return AdaptedClip(config, tables, PREDICATES, 100.0, torch.device("cpu"))


def test_what_is_saved_is_read(saved):
    path, adapter = saved
    adapted = opened(path)
    found = adapted.prediction_inputs()
    for name, value in adapter.state_dict().items():
        assert torch.equal(found[f"adapter {name}"], value)
    assert (adapted.adapter.constant is None) == (adapter.constant is None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: [c], "expected an object"),
        (lambda c: {**c, "width": 10**9}, "the entries, width"),
        (lambda c: {**c, "hidden": 90_000}, "size mismatch"),
        (lambda c: {**c, "shown": {"sp": c["shown"]["sp"]}}, "counts of sp"),
        (lambda c: {**c, "shown": {level: c["shown"][level][:1] for level in LEVELS}}, "counts of 2 classes"),
        (lambda c: {**c, "adapter": {k: v * torch.nan for k, v in c["adapter"].items()}}, "nan or infinite"),
        (lambda c: {**c, "adapter": dict.fromkeys(c["adapter"], "text")}, "expected a tensor by name"),
    ],
)
def test_what_is_no_adapter_gets_one_sentence(saved, change, message):
    path, _ = saved
    torch.save(change(torch.load(path, weights_only=True)), path)
    with pytest.raises(InputError, match=f"is no adapter that tools/adapt_clip.py wrote.*{message}"):
        opened(path).prediction_inputs()
