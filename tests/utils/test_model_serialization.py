"""Matching the names of a file with those of a model."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.model_serialization import (
    align_and_update_state_dicts,
    load_state_dict,
    strip_prefix_if_present,
)

MAPPING = {
    "roi_heads.relation.box_feature_extractor": "roi_heads.box.feature_extractor",
    "roi_heads.relation.union_feature_extractor.feature_extractor": "roi_heads.box.feature_extractor",
}


def by_plain_search(model_names, file_names, mapping):
    """SGB's rule: the longest name of the file that the (mapped) name of the model ends with."""
    found = {}
    for name in model_names:
        wanted = name
        for here, there in mapping.items():
            if here in name:
                wanted = name.replace(here, there)
        fits = [file for file in file_names if wanted == file or wanted.endswith("." + file)]
        if fits:
            found[name] = max(fits, key=len)
    return found


def tensors(names):
    return {name: torch.tensor([float(i)]) for i, name in enumerate(names)}


def test_the_longest_suffix_wins_as_in_a_plain_search():
    parts = ["backbone", "body", "layer1", "0", "conv1", "rpn", "head", "fc6"]
    random = torch.Generator().manual_seed(0)

    def name(length):
        return ".".join(parts[i] for i in torch.randint(0, len(parts), (length,), generator=random)) + ".weight"

    model = sorted({name(int(n)) for n in torch.randint(1, 6, (300,), generator=random)})
    file = tensors(sorted({name(int(n)) for n in torch.randint(1, 4, (80,), generator=random)}))
    mapping = {"rpn.head": "fc6"}
    state = {n: torch.tensor([-1.0]) for n in model}
    report = align_and_update_state_dicts(state, file, mapping)
    expected = by_plain_search(model, list(file), mapping)
    assert {n for n in model if state[n] >= 0} == set(expected) == set(report.matched)
    assert all(torch.equal(state[n], file[source]) for n, source in expected.items())
    assert report.missing == [n for n in model if n not in expected]
    assert report.unused == sorted(set(file) - set(expected.values()))


def test_relation_extractors_start_from_the_box_head():
    model = {f"{part}.fc6.weight": torch.zeros(1) for part in (*MAPPING, "roi_heads.box.feature_extractor")}
    report = align_and_update_state_dicts(model, {"roi_heads.box.feature_extractor.fc6.weight": torch.ones(1)}, MAPPING)
    assert all(value == 1 for value in model.values())
    assert not report.missing and not report.unused


def test_prefixes_go_only_where_all_names_have_them():
    assert list(strip_prefix_if_present(tensors(["module.a", "module.module.b"]), "module.")) == ["a", "module.b"]
    assert list(strip_prefix_if_present(tensors(["module.a", "b"]), "module.")) == ["module.a", "b"]
    assert strip_prefix_if_present({}, "module.") == {}


def tiny_model():
    extractor = nn.ModuleDict({"fc6": nn.Linear(2, 2)})
    relation = nn.ModuleDict(
        {"box_feature_extractor": nn.ModuleDict({"fc6": nn.Linear(2, 2)}), "predictor": nn.Linear(2, 3)}
    )
    heads = nn.ModuleDict({"box": nn.ModuleDict({"feature_extractor": extractor}), "relation": relation})
    return nn.ModuleDict({"backbone": nn.ModuleDict({"body": nn.Linear(2, 2)}), "roi_heads": heads})


def test_a_tensor_of_another_shape_stays_and_is_reported(caplog):
    model = tiny_model()
    file = {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    file["roi_heads.relation.predictor.weight"] = torch.ones(5, 2)
    file["further"] = torch.ones(1)
    before = model["roi_heads"]["relation"]["predictor"].weight.clone()
    report = load_state_dict(model, file, source="some.pth")
    assert torch.equal(model["roi_heads"]["relation"]["predictor"].weight, before)
    assert (model["backbone"]["body"].weight == 1).all()
    assert report.other_shape == {"roi_heads.relation.predictor.weight": ([3, 2], [5, 2])}
    assert not report.complete
    text = caplog.records[-1].getMessage()
    assert text.startswith(
        "some.pth: 7 tensors matched, 0 of the model are missing in the file, 1 of the file are unused, 1 have another"
    )
    assert "roi_heads.relation.predictor.weight [3, 2] (file: [5, 2])" in text


def test_nothing_that_fits():
    with pytest.raises(InputError, match=r"no tensor of some.pth fits the model: the first name in the file is a"):
        load_state_dict(tiny_model(), tensors(["a", "b"]), source="some.pth")


def test_a_whole_part_without_a_match():
    model = tiny_model()
    detector = {n: v for n, v in model.state_dict().items() if "relation" not in n}
    with pytest.raises(
        InputError, match=r"no tensor of d.pth fits the model's roi_heads.relation: the file holds backbone, roi_h"
    ):
        load_state_dict(model, detector, source="d.pth")
    report = load_state_dict(model, detector, {"relation.box_feature_extractor": "box.feature_extractor"})
    assert report.missing == ["roi_heads.relation.predictor.bias", "roi_heads.relation.predictor.weight"]


def test_what_is_mapped_has_to_match():
    model = tiny_model()
    backbone = {n: v for n, v in model.state_dict().items() if n.startswith("backbone")}
    with pytest.raises(InputError, match=r"the model's roi_heads.relation.box_feature_extractor"):
        load_state_dict(model, backbone, MAPPING)


def test_a_backbone_alone_may_fill_its_part():
    model = tiny_model()
    report = load_state_dict(model, {"body.weight": torch.ones(2, 2), "fc1000_w": torch.ones(3)})
    assert report.matched == ["backbone.body.weight"]
    assert report.unused == ["fc1000_w"]


def test_weights_of_an_earlier_relclip_are_refused_with_what_changed():
    old = {"roi_heads.relation.predictor.projections.sp.visual.weight": torch.zeros(3, 2)}
    with pytest.raises(InputError, match=r"old\.pth cannot be loaded: .*earlier RelCLIP.*relclip\.embedding"):
        load_state_dict(nn.Linear(2, 3), {**old, "weight": torch.zeros(3, 2)}, source="old.pth")
