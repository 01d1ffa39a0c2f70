"""What the caption parser finds, what it leaves out, and the files that it reads."""

import json

import pytest
from support import PARITY

from maskrcnn_benchmark.distant.captions import (
    CaptionParser,
    inflections,
    plurals,
    read_captions,
    read_synonyms,
    read_triplets,
)
from maskrcnn_benchmark.utils.errors import InputError

NAMES = json.loads((PARITY.parent / "vg150_names.json").read_text())


@pytest.fixture(scope="module")
def parser():
    return CaptionParser(NAMES["objects"], NAMES["predicates"])


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A man riding a horse.", ["man riding horse"]),
        ("Two MEN are riding big brown horses", ["men riding horse"]),
        ("the cat lies on the couch", []),  # no couch in VG-150
        ("a cat lies on the bed", ["cat lying on bed"]),
        ("a boy that rode a bicycle", ["boy riding bike"]),
        ("a horse ridden by a man", ["man riding horse"]),
        ("a plate beneath two bananas", ["plate under banana"]),
        ("a cup on top of the table next to a phone", ["cup on table", "table near phone"]),
        ("a woman in a red shirt and jeans holding a cup", ["woman in shirt", "shirt and jean", "woman holding cup"]),
        ("a woman in a coat on a bed", ["woman in coat", "coat on bed"]),
        ("a man and a woman sitting on a bench", ["man and woman", "woman sitting on bench", "man sitting on bench"]),
        ("a man holding a cup and a book", ["man holding cup", "man holding book", "cup and book"]),
        ("a glass table with orange fruit", ["table with fruit"]),  # the last of adjacent nouns is meant
        ("a dog. On a bed", []),  # nothing across sentences
        ("a man riding while a dog sleeps", []),
        ("a man on", []),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(sentence, expected, parser):
    assert [" ".join(triplet) for triplet in parser.triplets(sentence)] == expected


def test_names_win_over_forms_of_other_names(parser):
    assert parser.lookup("men", "object") == "men" and parser.lookup("women", "object") == "woman"
    assert parser.lookup("people", "object") == "people" and parser.lookup("persons", "object") == "person"
    assert parser.lookup("wears", "predicate") == "wears" and parser.lookup("wore", "predicate") == "wearing"
    assert parser.lookup("stands", "object") == "stand" and parser.lookup("stands on", "predicate") == "standing on"
    assert parser.lookup("trousers", "object") == "pant" and parser.lookup("man", "predicate") is None


def test_synonyms_of_ones_own_come_first():
    parser = CaptionParser(["man", "bike", "motorcycle"], ["riding"], {"motorcycle": ["cycle"]})
    assert parser.triplets("a gentleman rides a cycle") == [("man", "riding", "motorcycle")]


def test_forms():
    assert plurals("wolf") == ["wolfs", "wolves"] and plurals("baby") == ["babies"] and plurals("toy") == ["toys"]
    assert {form for form, kind in inflections("carrying") if kind == "predicate"} >= {"carry", "carries", "carried"}
    assert ("sat on", "predicate") in inflections("sitting on") and ("eaten by", "passive") in inflections("eating")
    assert inflections("on") == inflections("part of") == []


def test_captions_and_triplets_are_read_line_by_line(tmp_path):
    path = tmp_path / "captions.jsonl"
    path.write_text('"a man"\n\n{"caption": "a dog", "image_id": 3}\n')
    assert list(read_captions(path)) == ["a man", "a dog"]
    path.write_text('["man", "riding", "horse"]\n{"subject": "dog", "predicate": "on", "object": "bed"}\n')
    expected = [("man", "riding", "horse"), ("dog", "on", "bed")]
    assert list(read_triplets(path)) == expected
    (tmp_path / "triplets.json").write_text(json.dumps(expected))
    assert list(read_triplets(tmp_path / "triplets.json")) == expected


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_captions, '{"text": "a man"}', 'line 1: expected a text or an object with a text in "caption"'),
        (read_captions, "a man", "line 1 is cut short or no json"),
        (read_triplets, '["man", "riding"]', "line 1: expected a list of length 3, got 2"),
        (read_synonyms, '{"man": "gentleman"}', r"\['man'\]: expected a list, found 'gentleman'"),
    ],
)
def test_malformed_files_are_named(read, content, message, tmp_path):
    path = tmp_path / "file.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=f"file.jsonl.*{message}"):
        list(read(path))
    with pytest.raises(InputError, match=r"nowhere\.jsonl does not exist"):
        list(read(tmp_path / "nowhere.jsonl"))
