"""Json lines that outlive a kill, and boxes from files."""

import json

import pytest

from maskrcnn_benchmark.api import InputError, read_scene_graphs
from maskrcnn_benchmark.engine.graph_lines import GraphLines

GRAPH = {"width": 4, "height": 3, "objects": [], "relations": []}


def test_what_is_written_is_done(tmp_path):
    with GraphLines(tmp_path, {"top_k": 3}) as lines:
        lines.write("a.jpg", GRAPH)
        lines.write("broken.jpg", "it cannot be read")
    with GraphLines(tmp_path, {"top_k": 3}) as lines:
        assert lines.done == {"a.jpg", "broken.jpg"} and lines.broken == 1
        lines.write("b.jpg", GRAPH)
    assert list(read_scene_graphs(tmp_path)) == [("a.jpg", GRAPH), ("b.jpg", GRAPH)]
    assert list(read_scene_graphs(tmp_path / "predictions.jsonl")) == list(read_scene_graphs(tmp_path))


@pytest.mark.parametrize("rest", ['{"image": "b.j', "x" * 200_000])
def test_a_line_that_was_cut_short_is_written_again(tmp_path, rest):
    with GraphLines(tmp_path, {}) as lines:
        lines.write("a.jpg", GRAPH)
    with open(tmp_path / "predictions.jsonl", "a") as file:
        file.write(rest)
    with GraphLines(tmp_path, {}) as lines:
        assert lines.done == {"a.jpg"}
        lines.write("b.jpg", GRAPH)
    assert [name for name, _ in read_scene_graphs(tmp_path)] == ["a.jpg", "b.jpg"]


def test_processes_have_files_of_their_own_and_know_of_each_other(tmp_path):
    for rank, name in enumerate("ab"):
        with GraphLines(tmp_path, {}, rank, 2) as lines:
            lines.write(name, GRAPH)
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["predictions.0.jsonl", "predictions.1.jsonl"]
    with GraphLines(tmp_path, {}) as lines:  # goes on alone
        assert lines.done == {"a", "b"}
        lines.write("c", GRAPH)
    assert {name for name, _ in read_scene_graphs(tmp_path)} == {"a", "b", "c"}


def test_predictions_of_other_settings_are_not_mixed(tmp_path):
    GraphLines(tmp_path, {"top_k": 3}).close()
    with pytest.raises(InputError, match="holds predictions with top_k 3, not 4"):
        GraphLines(tmp_path, {"top_k": 4})


def test_graphs_of_older_files_are_read(tmp_path):
    (tmp_path / "graphs.json").write_text(json.dumps({"a.jpg": GRAPH}))
    assert list(read_scene_graphs(tmp_path / "graphs.json")) == [("a.jpg", GRAPH)]
    for content, message in (("[1]", "expected an object, got a list"), ("{", "no json")):
        (tmp_path / "graphs.json").write_text(content)
        with pytest.raises(InputError, match=message):
            list(read_scene_graphs(tmp_path / "graphs.json"))
    with pytest.raises(InputError, match="has no predictions"):
        list(read_scene_graphs(tmp_path))
    (tmp_path / "lines.jsonl").write_text('{"objects": []}\n')
    with pytest.raises(InputError, match="line 1: object missing required field image"):
        list(read_scene_graphs(tmp_path / "lines.jsonl"))
