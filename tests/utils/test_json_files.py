"""How deep a json text is nested, told before it is parsed."""

import json
import random

import pytest

from maskrcnn_benchmark.utils import json_files

PLAIN = [1, -2.5, None, "", "]", "[{", "é["]
ESCAPED = [*PLAIN, '"', '\\"', "\\", "\\\\[", 'a"{"']


def random_value(rng, levels, leaves):
    """Lists and objects inside each other, with brackets in their texts."""
    if levels == 0 or rng.random() < 0.2:
        return rng.choice(leaves)
    values = [random_value(rng, levels - 1, leaves) for _ in range(rng.randint(0, 3))]
    return values if rng.random() < 0.5 else {f"{i}{rng.choice(leaves)}": value for i, value in enumerate(values)}


def depth_of(value):
    if not isinstance(value, (list, dict)):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


@pytest.mark.parametrize("at_once", [3, 1 << 20])
@pytest.mark.parametrize("leaves", [PLAIN, ESCAPED])
def test_the_depth_of_a_text_is_that_of_its_value(monkeypatch, at_once, leaves):
    monkeypatch.setattr(json_files, "_AT_ONCE", at_once)
    rng, depths = random.Random(0), set()
    for _ in range(200):
        value = random_value(rng, rng.randint(0, 9), leaves)
        text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 1]))
        assert json_files._depth(text.encode()) == depth_of(value), text
        depths.add(depth_of(value))
    assert len(depths) > 5


@pytest.mark.parametrize("text", ["", "1", '"[[', "]]]", '[1, "]"'])
def test_what_is_no_json_is_left_to_the_parser(text):
    assert json_files._depth(text.encode()) <= 2
