"""From annotations to a data set, a model and pictures, as on the command line."""

import json
import shutil

import pytest
from PIL import Image
from small_run import NAME, write_config
from support import PARITY

from maskrcnn_benchmark.api import read_scene_graphs


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
    status, out, error = run_here(*predict, "--top-k", 3, "--draw", 2, "--page")
    assert status == 0 and "images per second" in out, error
    assert (tmp_path / "out" / "page.html").read_text().count("<section") == 6
    predicted = dict(read_scene_graphs(tmp_path / "out"))
    assert list(predicted) == [f"{number}.jpg" for number in range(6)]
    assert all(len(graph["relations"]) <= 3 for graph in predicted.values())
    assert {one["name"] for graph in predicted.values() for one in graph["objects"]} <= {"man", "hat"}
    pictures = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert pictures == sorted(f"{n}.jpg.{kind}.png" for n in range(6) for kind in ("image", "graph"))

    (photos / "broken.png").write_bytes(b"")
    status, out, error = run_here(*predict, "--top-k", 3)
    assert status == 1 and "\n1 images in" in out  # the others are done
    assert "broken.png cannot be read" in error and "1 of 7 files could not be read and were skipped" in error
    assert len(list(read_scene_graphs(tmp_path / "out"))) == 6
    status, _, error = run_here(*predict, "--top-k", 4)
    assert status == 1 and "holds predictions with top_k 3, not 4" in error

    status, out, error = run_here(*build, "--all", tmp_path / "out" / "predictions.jsonl", "--num-test", 1)
    assert status == 0 and "6 images (5 train, 1 test)" in out, error


def test_what_was_left_out_is_told_and_a_file_that_gave_nothing_is_an_error(run_here, tmp_path):
    """Keys of RelTR's rel.json that are the id of no image, some of them and all."""
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    annotations = [{"id": i, "image_id": 7, "category_id": 1, "bbox": [i, 2, 9, 9]} for i in (1, 2)]
    images = [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}]
    content = {"images": images, "categories": [{"id": 1, "name": "man"}], "annotations": annotations}
    (tmp_path / "train.json").write_text(json.dumps(content))
    build = ("build_dataset", "coco", "--train", tmp_path / "train.json", "--images", tmp_path)
    build += ("--relations", tmp_path / "rel.json", "--output")
    for relations, expected in (({"7": [[0, 1, 0]], "8": [[0, 1, 0]]}, 0), ({"007": [[0, 1, 0]]}, 1), ({}, 1)):
        (tmp_path / "rel.json").write_text(json.dumps({"train": relations, "rel_categories": ["near"]}))
        output = tmp_path / f"out{len(relations)}"
        status, out, error = run_here(*build, output)
        assert status == expected and (output / "vg").exists() == (expected == 0)
        assert [*map(int, out.splitlines()[4].split()[1:])] == [
            len(relations),
            1 - expected,
            len(relations) + expected - 1,
        ]
        if expected:
            assert "train.json contributed no relations: " in error and "no data set was written" in error
        if relations:
            assert "is the id of no image: 1, the first: '" in out


@pytest.mark.parametrize(
    ("form", "name", "content", "options"),
    [
        (
            "psg",
            "psg.json",
            json.dumps(
                {
                    "thing_classes": ["man"],
                    "stuff_classes": ["grass"],
                    "predicate_classes": ["on"],
                    "data": [
                        {
                            "file_name": "a.jpg",
                            "image_id": "1",
                            "width": 40,
                            "height": 30,
                            "annotations": [{"bbox": [1, 1, 9, 9], "category_id": i} for i in (0, 1)],
                            "relations": [[0, 1, 0]],
                        }
                    ],
                }
            ),
            (),
        ),
        (
            "openimages",
            "vrd.csv",
            "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel\n"
            "a,/m/1,/m/2,0.1,0.5,0.1,0.5,0.2,0.6,0.2,0.6,on\n",
            ("--classes", "names.csv"),
        ),
    ],
)
def test_other_formats_become_data_sets(run_here, tmp_path, monkeypatch, form, name, content, options):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    (tmp_path / name).write_text(content)
    (tmp_path / "names.csv").write_text("/m/1,man\n/m/2,grass\n")
    build = ("build_dataset", form, "--train", name, "--test", name, "--images", ".", "--output", "out")
    status, out, error = run_here(*build, *options)
    assert status == 0, error
    assert "2 images (1 train, 1 test), 4 objects, 2 relations" in out
    status, out, error = run_here("validate_dataset", "--data-dir", "out", "--num-val-im", 0)
    assert status == 0 and "no faults" in out, error


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
