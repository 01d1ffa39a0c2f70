"""Protocol cards: by name, with single fields set beside them, and wherever numbers are written."""

import json
import logging

import pytest
from support import PARITY, parity_config, vg_dataset

from maskrcnn_benchmark.data.datasets.evaluation.vg.predicates import (
    OVSGTR_NOVEL,
    VG150,
    frequency_groups,
    novel_predicates,
)
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS, Protocol, differing_field, protocol_of
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import do_vg_evaluation, pairs_needed
from maskrcnn_benchmark.utils.errors import InputError

KEY = "TEST.RELATION."


def test_named_cards():
    default = Protocol("sgb")
    assert PROTOCOLS["sgb"] == default == protocol_of(parity_config())
    differences = {
        name: {k: v for k, v in card.fields().items() if v != default.fields()[k] and k != "name"}
        for name, card in PROTOCOLS.items()
    }
    assert differences == {
        "sgb": {},
        "visualds": {"ground_truth": "distinct"},
        "vrd": {"average": "relations", "matching": "once", "unpredicted": "missed"},
        "penet": {"relation_nms": 0.6},
    }


def test_single_fields_beside_a_card():
    config = parity_config(extra=[KEY + "PROTOCOL", "penet", KEY + "AVERAGE", "relations", KEY + "RELATION_NMS", 0.0,
                                  KEY + "TOP_K", (5, 10), KEY + "IOU_THRESHOLD", 0.6])  # fmt: skip
    card = protocol_of(config)
    assert card.name == "penet with iou_threshold=0.6, average=relations, relation_nms=off, k=5/10"
    assert (card.average, card.relation_nms, card.k, card.iou_threshold) == ("relations", None, (5, 10), 0.6)


def test_relation_nms_is_no_matter_in_sgdet():
    assert differing_field(PROTOCOLS["penet"].of_task("sgdet").fields(), PROTOCOLS["sgb"].fields()) is None
    assert differing_field(PROTOCOLS["penet"].of_task("sgcls").fields(), PROTOCOLS["sgb"].fields()) == "relation_nms"


@pytest.mark.parametrize(
    "field, value",
    [("constraint", "both"), ("average", "pairs"), ("iou_threshold", 0.0), ("iou_threshold", float("nan")),
     ("relation_nms", 2), ("k", ()), ("k", (50, 20)), ("k", (0, 5)), ("inclusive_boxes", "yes")],
)  # fmt: skip
def test_values_that_cannot_be(field, value):
    with pytest.raises(InputError, match=f"protocol's {field} is"):
        PROTOCOLS["sgb"].with_fields(**{field: value})


def test_every_field_is_written(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    zero_shot = str(PARITY / "vg" / "zeroshot_triplets.json")
    config = parity_config("sgdet", extra=[KEY + "ZERO_SHOT_TRIPLETS", zero_shot, KEY + "TOP_K", (5, 30)])
    dataset = vg_dataset("test", filter_empty_rels=False)
    do_vg_evaluation(config, dataset, [], str(tmp_path), logging.getLogger("test"), ("relations",))
    summary = json.loads((tmp_path / "evaluation.json").read_text())
    card = summary["protocol"]
    bare = sum(not len(relations) for relations in dataset.relationships)
    assert card["split"] == {
        "name": "test", "images": len(dataset), "with_relations": len(dataset) - bare, "without_relations": bare
    }  # fmt: skip
    triplets = {tuple(row) for row in json.loads((PARITY / "vg" / "zeroshot_triplets.json").read_text())}
    assert card["zero_shot"]["triplets"] == len(triplets) and card["zero_shot"]["list"] == "zeroshot_triplets.json"
    assert card["k"] == [5, 30] and "R@30" in summary["metrics"] and "R@20" not in summary["metrics"]
    for name in ("constraint=graph", "ground_truth=all", "relation_nms=off", "k=5/30", "split.without_relations="):
        assert name in caplog.text


def test_pairs_that_an_evaluation_looks_at():
    dataset = vg_dataset("test")
    most = max(map(len, dataset.relationships))
    assert pairs_needed(parity_config("predcls"), dataset) is None
    assert pairs_needed(parity_config("sgcls"), dataset) is None
    assert pairs_needed(parity_config("sgdet"), dataset) == max(100, most)
    assert pairs_needed(parity_config("sgdet", extra=[KEY + "TOP_K", (2,)]), dataset) == max(2, most)


# -- groups of predicates --------------------------------------------------------------------------------------------
def test_head_body_and_tail_of_vg150_have_fixed_limits():
    frequency = dict.fromkeys(VG150, 499) | {"on": 10_001, "has": 10_000, "in": 500}
    rule, groups = frequency_groups(frequency)
    assert (groups["head"], groups["body"], len(groups["tail"])) == (["on"], ["has", "in"], 47)
    assert rule.startswith("VG-150: more than 10000")


def test_other_predicates_in_thirds():
    rule, groups = frequency_groups({"a": 5, "b": 20_000, "c": 1, "d": 3})
    assert groups == {"head": ["b", "a"], "body": ["d"], "tail": ["c"]} and rule.startswith("thirds")
    assert frequency_groups({}).groups == {"head": [], "body": [], "tail": []}


def test_novel_predicates_by_name_or_by_list():
    names = ["__background__", *VG150]
    assert novel_predicates(["ovsgtr"], names, "KEY") == OVSGTR_NOVEL and len(OVSGTR_NOVEL) == 15
    assert novel_predicates(["on", "on"], names, "KEY") == ("on",)
    assert novel_predicates([], names, "KEY") == ()
    with pytest.raises(InputError, match="KEY names 'onto', which the data set lacks"):
        novel_predicates(["onto"], names, "KEY")
    with pytest.raises(InputError, match="KEY names every predicate"):
        novel_predicates(VG150, names, "KEY")
