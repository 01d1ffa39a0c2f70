"""From annotations to a data set, a model and pictures, as on the command line."""

import json
import shutil

import pytest
from PIL import Image
from small_run import NAME, write_config
from support import PARITY


def test_from_json_to_pictures(run_here, tmp_path):
    """Photographs and a json become a data set; a model is trained, predicts, and its json becomes a data set again."""
    photos = tmp_path / "photos"
    photos.mkdir()
    sources = sorted((PARITY / "vg" / "VG_100K").iterdir())[:6]
    graphs = {}
    for number, source in enumerate(sources):
        shutil.copy(source, photos / f"{number}.jpg")
        objects = [{"name": "man", "box": [2, 3, 30, 40]}, {"name": "hat", "box": [10, 3, 20, 12]}]
        graphs[f"{number}.jpg"] = {"objects": objects, "relations": [{"subject": 0, "predicate": "in", "object": 1}]}
    (tmp_path / "graphs.json").write_text(json.dumps(graphs))

    build = ("build_dataset", "json", "--images", photos, "--output", tmp_path / "data")
    status, out, error = run_here(*build, "--all", tmp_path / "graphs.json", "--num-test", 2)
    assert status == 0, error
    assert "6 images (4 train, 2 test), 12 objects, 6 relations" in out and "NUM_CLASSES 3" in out
    check = ("validate_dataset", "--data-dir", tmp_path / "data", "--num-val-im", 0)
    status, out, _ = run_here(*check, "--plot", tmp_path / "report.png")
    assert status == 0 and "no faults" in out and (tmp_path / "report.png").exists()

    config = write_config(
        tmp_path,
        "sgdet",
        DATASETS__DATA_DIR=str(tmp_path / "data"),
        DATASETS__NUM_VAL_IM=0,
        MODEL__ROI_BOX_HEAD__NUM_CLASSES=3,
        MODEL__ROI_RELATION_HEAD__NUM_CLASSES=2,
        SOLVER__MAX_ITER=1,
    )
    assert run_here("relation_train_net", "--config-file", config, "--skip-test")[0] == 0
    shutil.rmtree(tmp_path / "data")  # nothing of it is needed to predict

    weights = tmp_path / "output" / "model_final.pth"
    predict = ("predict", photos, "--config-file", config, "--checkpoint", weights, "--output", tmp_path / "out")
    status, _, error = run_here(*predict, "--top-k", 3, "--draw", 2)
    assert status == 0, error
    predicted = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert list(predicted) == [f"{number}.jpg" for number in range(6)]
    assert all(len(graph["relations"]) <= 3 for graph in predicted.values())
    assert {one["name"] for graph in predicted.values() for one in graph["objects"]} <= {"man", "hat"}
    pictures = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert pictures == sorted(f"{n}.jpg.{kind}.png" for n in range(6) for kind in ("image", "graph"))

    (photos / "broken.png").write_bytes(b"")
    status, _, error = run_here(*predict, "--draw", 0)
    assert status == 1
    assert "broken.png cannot be read" in error and "1 of 7 files could not be read and were skipped" in error
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 6

    status, out, error = run_here(*build, "--all", tmp_path / "out" / "predictions.json", "--num-test", 1)
    assert status == 0 and "6 images (5 train, 1 test)" in out, error


def test_results_of_a_test_set_are_drawn(run_here, tmp_path):
    config = write_config(tmp_path, SOLVER__MAX_ITER=1)
    assert run_here("relation_train_net", "--config-file", config, "--skip-test")[0] == 0
    draw = ("visualize_results", "--config-file", config)
    status, _, error = run_here(*draw, "--indices", 0, 3, "--output", tmp_path / "pictures")
    assert status == 0, error
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    status, _, _ = run_here(*draw, "--count", 1, "--split", "val")
    (picture,) = (tmp_path / "output" / "inference" / f"{NAME}_val" / "pictures").iterdir()
    assert status == 0 and Image.open(picture).width > 600
    for option, message in (("--indices", "are 0 to 26"), ("--count", "has 27 images")):
        status, _, error = run_here(*draw, option, 99)
        assert status == 1 and f"{option} " in error and "99" in error and message in error


def test_sizes_are_corrected(run_here, tmp_path):
    shutil.copytree(PARITY / "vg", tmp_path / "vg")
    infos = json.loads((tmp_path / "vg" / "image_data.json").read_text())
    infos[0]["width"] += 1
    (tmp_path / "vg" / "image_data.json").write_text(json.dumps(infos))
    check = ("validate_dataset", "--data-dir", tmp_path, "--num-val-im", 10)
    status, out, _ = run_here(*check)
    assert status == 1 and "images have another size than listed; --correct-sizes mends the list" in out
    status, out, _ = run_here(*check, "--correct-sizes")
    assert status == 0 and "1 sizes in" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--num-test", 1], "give either --all, or --train"),
        (["--all", "graphs.json", "--train", "graphs.json"], "give either --all, or --train"),
        (["--all", "/nowhere.json"], "/nowhere.json does not exist"),
    ],
)
def test_wrong_arguments_are_one_sentence(run_here, tmp_path, args, message):
    status, _, error = run_here("build_dataset", "json", "--images", tmp_path, "--output", tmp_path / "out", *args)
    assert status == 1 and message in error and error.count("\n") == 1
