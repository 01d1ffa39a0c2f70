"""tools/predict.py: several processes, boxes of other detectors, runs that go on, and memory."""

import json
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from trained_model import photo, save_run

from maskrcnn_benchmark.api import SceneGraphModel, read_scene_graphs


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model in `run` and five photos in `photos`."""
    folder = tmp_path_factory.mktemp("predict")
    save_run(folder / "run")
    (folder / "photos").mkdir()
    for number in range(5):
        photo(seed=number).save(folder / "photos" / f"{number}.png")
    return folder


def arguments(place, output, *more):
    return ("predict", place / "photos", "--checkpoint", place / "run", "--output", output, "--device", "cpu", *more)


def test_processes_share_the_images_and_a_later_run_does_the_rest(place, tmp_path, run_here, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in (0, 2):
        monkeypatch.setenv("RANK", str(rank))
        assert run_here(*arguments(place, tmp_path))[0] == 0
    assert sorted(name for name, _ in read_scene_graphs(tmp_path)) == ["0.png", "2.png", "3.png"]
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")
    status, out, _ = run_here(*arguments(place, tmp_path))
    assert status == 0 and "\n2 images in" in "\n" + out
    found = dict(read_scene_graphs(tmp_path))
    assert len(found) == 5
    status, _, _ = run_here(*arguments(place, tmp_path / "alone"))
    assert dict(read_scene_graphs(tmp_path / "alone")).keys() == found.keys()


def test_torchrun_splits_the_images(place, tmp_path):
    tool = Path(__file__).parents[2] / "tools" / "predict.py"
    options = [place / "photos", "--checkpoint", place / "run", "--output", tmp_path, "--device", "cpu", "--workers", 0]
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, tool, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(re.findall(r"^(\d) images in", done.stdout, re.MULTILINE)) == ["2", "3"]
    lines = [path.read_text().splitlines() for path in sorted(tmp_path.glob("predictions*.jsonl"))]
    assert [len(some) for some in lines] == [3, 2]
    assert sorted(json.loads(line)["image"] for some in lines for line in some) == [f"{n}.png" for n in range(5)]


def test_boxes_in_all_tasks(place, tmp_path, run_here):
    boxes = {f"{n}.png": {"boxes": [[2, 3, 40, 50], [20, 10, 70, 59]], "labels": ["man", "horse"]} for n in range(4)}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    given = ("--boxes", tmp_path / "boxes.json")
    status, _, error = run_here(*arguments(place, tmp_path / "predcls", *given))
    assert status == 1 and "boxes.json has no boxes of 4.png; skipped" in error
    found = dict(read_scene_graphs(tmp_path / "predcls"))
    assert len(found) == 4
    for graph in found.values():
        assert [one["name"] for one in graph["objects"]] == ["man", "horse"] and len(graph["relations"]) == 2
    run_here(*arguments(place, tmp_path / "sgcls", *given, "--boxes-only"))
    guessed = dict(read_scene_graphs(tmp_path / "sgcls"))
    for graph in guessed.values():
        assert [one["box"] for one in graph["objects"]] == [[2, 3, 40, 50], [20, 10, 70, 59]]
    assert any(one["score"] < 1 for graph in guessed.values() for one in graph["objects"])


def test_predictions_are_not_kept(place):
    """Of a long list, no more graphs are in memory than a batch has."""
    model = SceneGraphModel.from_pretrained(place / "run", device="cpu")
    files = sorted((place / "photos").iterdir()) * 4
    seen, alive = [], []
    for _, graph in model.predict_files(files, workers=0):
        seen.append(weakref.ref(graph))
        del graph
        alive.append(sum(reference() is not None for reference in seen))
    assert len(seen) == 20 and max(alive) <= model.cfg.TEST.IMS_PER_BATCH
