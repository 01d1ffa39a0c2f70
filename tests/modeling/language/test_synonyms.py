"""Synonyms: by phrases and by what annotators gave to one pair of boxes, against loops; by a list; what is wrong."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrase_bank import class_table
from maskrcnn_benchmark.modeling.language.synonyms import (
    LISTS,
    judged,
    listed,
    predicate_similarity,
    read_list,
    together,
)

NAMES = ["above", "below", "wearing", "wears", "on", "near"]
VG150 = json.loads((Path(__file__).resolve().parents[2] / "data" / "vg150_names.json").read_text())["predicates"]


def phrases(seed=0):
    """Tables in which above is as alike to below as wearing is to wears, and all are alike."""
    g = torch.Generator().manual_seed(seed)
    topics = torch.randn(4, 32, generator=g)[torch.tensor([0, 0, 1, 1, 2, 3])]  # [R, d]
    common = 6 * torch.randn(3, 1, 32, generator=g)  # of each class
    tables = [common + topics + 0.2 * torch.randn(3, len(NAMES), 32, generator=g) for _ in range(2)]
    return {level: class_table(F.normalize(table, dim=-1)) for level, table in zip(("sp", "po"), tables, strict=True)}


def counts(**pairs):
    """Predicate pairs [R, R] from names joined by `_`."""
    found = torch.zeros(len(NAMES) + 1, len(NAMES) + 1, dtype=torch.int64)
    found.diagonal().fill_(100)
    for names, count in pairs.items():
        p, q = (NAMES.index(name) + 1 for name in names.split("_"))
        found[p, q] = found[q, p] = count
    return found


def test_predicates_are_as_alike_as_what_their_phrases_do_not_share_with_all():
    g = torch.Generator().manual_seed(0)
    sp, po = (F.normalize(torch.randn(3, 4, 5, generator=g), dim=-1) for _ in range(2))
    similarity = predicate_similarity({"sp": class_table(sp), "po": class_table(po)})
    own = [table[i] - table[i].mean(dim=0) for table in (sp, po) for i in range(3)]
    for p in range(4):
        for q in range(4):
            mean = sum(float(F.cosine_similarity(x[p], x[q], dim=0)) for x in own) / len(own)
            assert similarity[p + 1, q + 1].item() == pytest.approx(mean, abs=1e-6)
    assert not similarity[0].any() and not similarity[:, 0].any()


def test_wears_and_wearing_are_synonyms_and_above_and_below_are_not():
    """The text encoder puts all four together; annotators give the first two to one pair, the others by a slip."""
    tables = phrases()
    raw = torch.einsum("gpd,gqd->pq", tables["sp"], tables["sp"]) / 3
    above, below, wearing, wears = range(1, 5)
    assert raw[above, below] > 0.9 and raw[1:, 1:].min() > 0.9
    assert predicate_similarity(tables)[above, below] > 0.8
    found = judged(tables, counts(above_below=1, wearing_wears=4, on_near=9), NAMES, 0.75)
    assert found.groups == ["wearing, wears"]
    assert found.mask.nonzero().tolist() == [[wearing, wears], [wears, wearing]]


def test_slips_that_add_up_stay_below_chance():
    """Antonyms meet on more than one pair of boxes where there are many, and less often than any two names do."""
    pairs = counts(above_below=5, above_on=400, below_near=400, wearing_wears=60, on_near=300)
    assert together(pairs).often()[1, 2].item() is False
    assert judged(phrases(), pairs, NAMES, 0.75).groups == ["wearing, wears"]


def test_alike_or_together_alone_makes_no_synonyms():
    assert judged(phrases(), counts(on_near=50, wearing_on=50), NAMES, 0.75).groups == []
    assert judged(phrases(), counts(), NAMES, -1.0).groups == []  # one predicate a pair
    assert len(judged(phrases(), counts(on_near=50, wearing_wears=50), NAMES, -1.0).groups) == 2


def test_by_chance_each_predicate_keeps_how_often_it_has_company():
    pairs = counts(above_on=3, below_on=2, wearing_wears=4, on_near=1)
    found = together(pairs)
    company = [sum(int(pairs[p, q]) for q in range(7) if q != p) for p in range(7)]
    for p in range(7):
        assert found.found[p, p] == 0
        for q in range(7):
            assert found.by_chance[p, q].item() == pytest.approx(company[p] * company[q] / sum(company))
            often = p != q and pairs[p, q] >= 2 and pairs[p, q] > found.by_chance[p, q]
            assert found.often()[p, q].item() == often


def test_the_shipped_list_names_predicates_of_vg150_and_leaves_out_what_a_data_set_lacks():
    found = listed("vg150", VG150)
    assert {name for _, names in read_list(LISTS["vg150"]) for name in names} <= set(VG150)
    index = {name: i for i, name in enumerate(VG150, 1)}
    assert found.mask[index["wearing"], index["wears"]] and found.mask[index["of"], index["belonging to"]]
    for one, other in (("above", "under"), ("covered in", "covering"), ("on", "sitting on"), ("in front of", "behind"),
                       ("part of", "belonging to")):  # fmt: skip
        assert not found.mask[index[one], index[other]]
    assert torch.equal(found.mask, found.mask.t()) and not found.mask.diagonal().any() and not found.mask[0].any()
    assert listed("vg150", NAMES).groups == ["wearing, wears"]


def test_a_list_of_ones_own(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# my list\n\nWears , wearing  # both\non,near\nnear, above\n", encoding="utf-8")
    found = listed(str(path), NAMES)
    assert found.groups == ["wears, wearing", "on, near", "near, above"]
    linked = {tuple(sorted((NAMES[p - 1], NAMES[q - 1]))) for p, q in found.mask.nonzero().tolist()}
    assert linked == {("wearing", "wears"), ("near", "on"), ("above", "near")}


@pytest.mark.parametrize(
    "text, message",
    [
        ("on, near\nwering, wears\n", r"line 2: the data set has no predicate 'wering'; .* 'wearing'\."),
        ("on\n", "line 1: found 'on', expected two or more"),
        ("on, , near", "line 1: found 'on, , near'"),
        ("on, near, On", "line 1: found"),
    ],
)
def test_what_is_wrong_in_a_list_gets_one_sentence(tmp_path, text, message):
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LanguageError, match=message) as error:
        listed(str(path), NAMES)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(LanguageError, match="cannot be read"):
        listed(str(tmp_path / "none.txt"), NAMES)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00on")
    with pytest.raises(LanguageError, match="cannot be read"):
        listed(str(tmp_path / "binary"), NAMES)
