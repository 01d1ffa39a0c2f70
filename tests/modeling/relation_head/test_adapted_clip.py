"""Files of CLIP's adapted image side: what was saved, and what is none."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.roi_heads.relation_head.adapted_clip import LEVELS, AdaptedClip, save_adapter
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.clip_adapter import ClipAdapter
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.targets import MovedTargets
from maskrcnn_benchmark.utils.errors import InputError

WIDTH, OBJECTS, PREDICATES = 6, ["man", "dog"], ["on", "near", "under"]


@pytest.fixture(params=[True, False], ids=["with the picture", "without"])
def saved(tmp_path, request):
    path = tmp_path / "clip_adapter.pth"
    counts = torch.randint(5, (3, 3, 4), generator=torch.Generator().manual_seed(0))
    adapter = ClipAdapter(WIDTH, 8, LEVELS, request.param)
    save_adapter(path, adapter, torch.nn.Module(), counts, OBJECTS, PREDICATES, {})
    return path, adapter


def make_tables(predicates=PREDICATES):
    tables = {level: F.normalize(torch.randn(len(OBJECTS) + 1, len(predicates) + 1, WIDTH), dim=-1) for level in LEVELS}
    for table in tables.values():
        table[0] = table[:, 0] = 0
    return tables


def opened(path, predicates=PREDICATES, shrinkage=0.0, tables=None):
    config = cfg.clone()
    config.defrost()
    config.MODEL.ROI_RELATION_HEAD.RELCLIP.ADAPTER = str(path)
    config.MODEL.ROI_RELATION_HEAD.RELCLIP.SHRINKAGE = shrinkage
    return AdaptedClip(config, tables or make_tables(predicates), predicates, 100.0, torch.device("cpu"))


def test_what_is_saved_is_read(saved):
    path, adapter = saved
    adapted = opened(path)
    found = adapted.prediction_inputs()
    for name, value in adapter.state_dict().items():
        assert torch.equal(found[f"adapter {name}"], value)
    assert (adapted.adapter.constant is None) == (adapter.constant is None)


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_phrases_are_moved_by_their_classes_as_often_as_training_shows_them(tmp_path, shrinkage):
    """Other predicates than those of the training stand where their classes move them, or where they were."""
    path, counts = tmp_path / "clip_adapter.pth", torch.randint(4, (3, 3, 4))
    targets = MovedTargets(make_tables())
    with torch.no_grad():
        for vectors in targets.moves.parameters():
            vectors[1:] = torch.randn(len(vectors) - 1, WIDTH)
    save_adapter(path, ClipAdapter(WIDTH, 8, LEVELS), targets, counts, OBJECTS, PREDICATES, {})
    scored = ["under", "behind", "on"]
    tables = make_tables(scored)
    adapted = opened(path, scored, shrinkage, tables)
    adapted.prediction_inputs()
    shown = {"sp": counts.sum(dim=1), "po": counts.sum(dim=0)}  # [s, p], [o, p]
    for level in LEVELS:
        for group in range(1, 3):
            for column, name in enumerate(scored, start=1):
                known = 1 + PREDICATES.index(name) if name in PREDICATES else 0
                number = shown[level][group, known].item() if known else 0
                move = targets.moves.objects[level][0].weight[group] + targets.moves.predicates[level].weight[known]
                share = number / (number + shrinkage) if shrinkage else 1
                expected = F.normalize(tables[level][group, column] + share * move, dim=0)
                torch.testing.assert_close(adapted.tables[level][group, column], expected)
        assert not adapted.tables[level][0].any() and not adapted.tables[level][:, 0].any()
    others = {level: -table for level, table in tables.items()}
    again = opened(path, scored, shrinkage, others)
    again.prediction_inputs()
    adapted.set_tables(others)
    assert all(torch.equal(table, again.tables[level]) for level, table in adapted.tables.items())


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
        (lambda c: {**c, "targets": {"moves.predicates.sp.weight": torch.zeros(4, WIDTH)}}, "Missing key"),
    ],
)
def test_what_is_no_adapter_gets_one_sentence(saved, change, message):
    path, _ = saved
    torch.save(change(torch.load(path, weights_only=True)), path)
    with pytest.raises(InputError, match=f"is no adapter that tools/adapt_clip.py wrote.*{message}"):
        opened(path).prediction_inputs()
