"""Knowledge bases: what a file may say, what is looked up, and what is refused."""

import numpy as np
import pytest
from noisy_scenes import CLASS_NAMES, PREDICATE_NAMES, random_base

from maskrcnn_benchmark.distant.knowledge_base import count_triplets, read_knowledge_base, write_knowledge_base
from maskrcnn_benchmark.utils.errors import InputError


def read(path, **kwargs):
    return read_knowledge_base(path, CLASS_NAMES, PREDICATE_NAMES, **kwargs)


def content(base):
    """{(subject, object): {predicate: count}} of a base."""
    ends = np.cumsum(base.num_candidates)
    return {
        tuple(pair): dict(zip(base.predicates[a:b].tolist(), base.counts[a:b].tolist(), strict=True))
        for pair, a, b in zip(base.pairs.tolist(), ends - base.num_candidates, ends, strict=True)
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"man_horse": ["riding", "on"]}, {(1, 2): {1: 1, 2: 1}}),
        ({"man_horse": ["riding", "on", "riding"]}, {(1, 2): {2: 2, 1: 1}}),
        ({"man_horse": {"on": 3, "riding": 12, "near": 0}}, {(1, 2): {2: 12, 1: 3}}),
        ({"1_2": [2, 1], "2_1": {"3": 0.25}}, {(1, 2): {1: 1, 2: 1}, (2, 1): {3: 0.25}}),
        ({"Traffic light_hot_dog": ["Looking_at"]}, {(3, 6): {5: 1}}),
        ({"man_horse": {"riding": 1}, "1_2": {"riding": 2}}, {(1, 2): {2: 3}}),
    ],
)
def test_names_indices_lists_and_counts(given, expected, write_json):
    base = read(write_json(given))
    assert content(base) == expected
    for counts in content(base).values():  # most frequent first
        assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_lookups_equal_a_dictionary(write_json):
    base = read(write_json(random_base()))
    known = content(base)
    subjects, objects = np.meshgrid(np.arange(1, 7), np.arange(1, 7))
    subjects, objects = subjects.ravel(), objects.ravel()
    counts, places = base.candidates(subjects, objects)
    parts = np.split(places, np.cumsum(counts)[:-1])
    for subject, object_, part in zip(subjects, objects, parts, strict=True):
        found = dict(zip(base.predicates[part].tolist(), base.counts[part].tolist(), strict=True))
        assert found == known.get((subject, object_), {})
    assert base.candidates(subjects[:0], objects[:0])[1].shape == (0,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "cut short or no json"),
        (["man_horse"], "expected an object, got a list"),
        ({"man": ["on"]}, "the key 'man' must be \"subject_object\""),
        ({"man_horse": "riding"}, r"\['man_horse'\]: expected .*, found 'riding'"),
        ({"man_horse": [["on"]]}, r"\['man_horse'\]\[0\]: expected .*, got a list"),
        ({"man_horse": {"on": "often"}}, r"\['man_horse'\]\['on'\]: expected a number, found 'often'"),
        ({"man_horse": {"on": -1}}, "expected a number >= 0.0, found -1"),
        ({"man_horse": {"on": True}}, "expected a number, found True"),
        ({"mann_horse": ["on"]}, r"1 names.*'mann_horse': 'mann' \(nearest: man\)"),
        ({"man_horse": ["ridding"]}, r"the predicate 'ridding' \(nearest: riding\)"),
        ({"man_horse": [8]}, r"the predicate 8 \(indices are 1 to 7\)"),
        ({"0_9": [1]}, r"'0' \(indices are 1 to 6\): '9'"),
        ({"man_horse": []}, "no predicate for any pair"),
        ({"man_horse": {"on": 0}}, "no predicate for any pair"),
        ({}, "no predicate for any pair"),
    ],
)
def test_wrong_bases_get_one_sentence(given, message, write_json):
    with pytest.raises(InputError, match=message):
        read(write_json(given))


def test_a_missing_base_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json does not exist"):
        read(tmp_path / "nowhere.json")


def test_keys_that_may_be_read_in_two_ways_are_refused(write_json):
    with pytest.raises(InputError, match="may mean 'a' and 'b_c' or 'a_b' and 'c'"):
        read_knowledge_base(write_json({"a_b_c": ["on"]}), ["", "a", "a b", "b c", "c"], PREDICATE_NAMES)


def test_many_unknown_names_are_cut_and_may_be_left_out(write_json):
    path = write_json({"man_horse": ["riding", *(f"verb{i}" for i in range(30))]})
    with pytest.raises(InputError, match=r"30 names.*and 10 more; .*--skip-unknown"):
        read(path)
    assert content(read(path, skip_unknown=True)) == {(1, 2): {2: 1}}


def test_counted_triplets_make_a_base_that_reads_back(tmp_path):
    said = [("man", "riding", "horse")] * 3 + [("man", "on", "horse")] * 5 + [("dog", "on", "bed")]
    assert count_triplets(said) == {"man_horse": {"on": 5, "riding": 3}}
    assert list(count_triplets(said)["man_horse"]) == ["on", "riding"]
    write_knowledge_base(tmp_path / "base.json", count_triplets(said, least=1))
    assert content(read(tmp_path / "base.json")) == {(1, 2): {1: 5, 2: 3}, (4, 5): {1: 1}}
