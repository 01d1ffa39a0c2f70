"""Scene graphs of image files of every kind, from a checkpoint alone."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import write_config
from support import HEAD, PARITY, boxlist

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data import use_statistics
from maskrcnn_benchmark.engine.scene_predictor import best_of, list_images, load_predictor, scene_graph, write_graphs
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank
from maskrcnn_benchmark.utils.errors import InputError

CLASSES = ["__background__", *(f"thing {i}" for i in range(1, 151))]
PREDICATES = ["__background__", *(f"does {i}" for i in range(1, 51))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A configuration without data, and a checkpoint of an untrained model."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_config(folder, "sgdet", DATASETS__DATA_DIR="/nowhere")
    statistics = {"pred_dist": torch.randn(151, 151, 51), "fg_matrix": torch.ones(151, 151, 51)}
    torch.manual_seed(0)
    with use_statistics({**statistics, "obj_classes": CLASSES, "rel_classes": PREDICATES, "att_classes": []}):
        model = build_detection_model(load_config(str(config)))
    checkpoint = {"model": model.state_dict(), "obj_classes": CLASSES, "rel_classes": PREDICATES}
    torch.save(checkpoint, folder / "model.pth")
    torch.save({"model": checkpoint["model"]}, folder / "nameless.pth")
    return folder, config, model


@pytest.fixture(scope="module")
def predictor(trained):
    # glove is asked for, but nothing is read: the embeddings are in the checkpoint
    folder, config, _ = trained
    return load_predictor(config, folder / "model.pth", opts=[HEAD + "WORD_EMBEDDING", "glove", "GLOVE_DIR", "/no"])


def photo(size=(80, 60), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


def test_everything_comes_from_the_checkpoint(trained, predictor):
    _, _, model = trained
    for name, value in predictor.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], msg=name)
    assert predictor.classes == CLASSES and predictor.predicates == PREDICATES and not predictor.model.training


def test_relclip_scores_predicates_that_are_given_by_name(tmp_path):
    """One that training had and one that it did not, from a bank that knows both."""
    names = [*PREDICATES[1:], "levitating above"]
    rng = np.random.default_rng(0)
    arrays = {"sp": rng.normal(size=(150, 51, 8)), "po": rng.normal(size=(51, 150, 8))}
    PhraseBank(CLASSES[1:], names, {}, arrays).save(str(tmp_path / "bank.npz"))
    node = HEAD + "RELCLIP."
    options = [
        "MODEL.LANGUAGE.BANK_FILE",
        str(tmp_path / "bank.npz"),
        node + "USE_BASE",
        False,
        HEAD + "PREDICT_USE_BIAS",
        False,
    ]
    config = write_config(tmp_path, "sgdet", "RelCLIPPredictor", DATASETS__DATA_DIR="/nowhere")
    torch.manual_seed(0)
    statistics = {"fg_matrix": torch.ones(151, 151, 51), "obj_classes": CLASSES, "rel_classes": PREDICATES}
    with use_statistics(statistics):
        model = build_detection_model(load_config(str(config), options))
    content = {"model": model.state_dict(), "obj_classes": CLASSES, "rel_classes": PREDICATES}
    torch.save(content, tmp_path / "model.pth")
    wanted = ("does 7", "levitating above")
    predictor = load_predictor(config, tmp_path / "model.pth", opts=[*options, node + "TEST_PREDICATES", str(wanted)])
    photo().save(tmp_path / "a.png")
    ((_, graph),) = predictor.graphs([tmp_path / "a.png"])
    assert graph["relations"] and {relation["predicate"] for relation in graph["relations"]} <= set(wanted)


def test_files_of_every_kind(predictor, tmp_path):
    """Batches of four with broken files among them: every file has its own result, in order."""
    photo().save(tmp_path / "a.png")
    photo().convert("L").save(tmp_path / "grey.png")
    photo().convert("P").save(tmp_path / "palette.gif")
    Image.fromarray(np.full((50, 70), 40000, np.uint16)).save(tmp_path / "deep.tif")
    photo().convert("CMYK").save(tmp_path / "print.jpg")
    photo().convert("RGBA").save(tmp_path / "clear.webp")
    photo((300, 5)).save(tmp_path / "flat.bmp")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "print.jpg").read_bytes()[:300])
    names = [
        "a.png",
        "empty.jpg",
        "grey.png",
        "palette.gif",
        "deep.tif",
        "cut.jpg",
        "print.jpg",
        "clear.webp",
        "flat.bmp",
    ]
    results = list(predictor.graphs([tmp_path / name for name in names], progress=False))
    assert [place for place, _ in results] == list(range(len(names)))
    for name, (_, graph) in zip(names, results, strict=True):
        if name in ("empty.jpg", "cut.jpg"):
            assert f"{name} cannot be read" in graph
            continue
        with Image.open(tmp_path / name) as image:
            assert (graph["width"], graph["height"]) == image.size
        for one in graph["objects"]:
            x1, y1, x2, y2 = one["box"]
            assert 0 <= x1 <= x2 <= graph["width"] - 1 and 0 <= y1 <= y2 <= graph["height"] - 1
        scores = [one["score"] for one in graph["relations"]]
        assert scores == sorted(scores, reverse=True)
    assert results[0][1]["objects"] and results[0][1]["relations"]


def test_a_batch_equals_its_images(predictor, tmp_path):
    for number in range(3):
        photo(seed=number).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.iterdir())
    together = [graph for _, graph in predictor.graphs(files, progress=False)]
    for file, graph in zip(files, together, strict=True):
        ((_, alone),) = predictor.graphs([file], progress=False)
        assert len(alone["objects"]) == len(graph["objects"])
        np.testing.assert_allclose(
            [one["score"] for one in alone["objects"]], [one["score"] for one in graph["objects"]], atol=2e-4
        )


def test_exif_rotation_is_respected(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8  # turned counterclockwise for viewing
    photo().save(tmp_path / "stored.png", exif=exif)
    photo().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "upright.png")
    files = [tmp_path / "stored.png", tmp_path / "upright.png"]
    (_, stored), (_, upright) = predictor.graphs(files, progress=False)
    assert stored == upright and (stored["width"], stored["height"]) == (60, 80)


def test_names_of_a_dictionary_serve_where_the_checkpoint_has_none(trained):
    folder, config, _ = trained
    with pytest.raises(InputError, match=r"nameless\.pth holds no names of classes and predicates .*--dict-file"):
        load_predictor(config, folder / "nameless.pth")
    dictionary = PARITY / "vg" / "VG-SGG-dicts-with-attri.json"
    named = load_predictor(config, folder / "nameless.pth", dictionary)
    assert named.classes[1] in json.loads(dictionary.read_text())["label_to_idx"] and len(named.predicates) == 51
    few = folder / "few.json"
    few.write_text(json.dumps({"label_to_idx": {"cat": 1}, "predicate_to_idx": {"on": 1}}))
    with pytest.raises(InputError, match="fit"):
        load_predictor(config, folder / "nameless.pth", few)


def test_other_tasks_are_refused(trained):
    folder, config, _ = trained
    with pytest.raises(InputError, match=r"USE_GT_BOX or USE_GT_OBJECT_LABEL is True.*SGDet"):
        load_predictor(config, folder / "model.pth", opts=[HEAD + "USE_GT_BOX", True])


def test_a_detector_gives_objects_without_relations(trained, tmp_path):
    folder, config, model = trained
    weights = {name: value for name, value in model.state_dict().items() if "relation" not in name}
    torch.save({"model": weights, "obj_classes": CLASSES}, tmp_path / "detector.pth")
    detector = load_predictor(config, tmp_path / "detector.pth", opts=["MODEL.RELATION_ON", False])
    photo().save(tmp_path / "a.png")
    ((_, graph),) = detector.graphs([tmp_path / "a.png"], progress=False)
    assert graph["objects"] and graph["relations"] == []
    assert folder.exists()


def prediction():
    boxes = boxlist([[0.0, 0, 9, 9], [5, 5, 30, 50], [1, 1, 4, 4]], (20, 40))
    boxes.add_field("pred_labels", torch.tensor([1, 2, 1]))
    boxes.add_field("pred_scores", torch.tensor([0.5, 0.75, 0.25]))
    boxes.add_field("rel_pair_idxs", torch.tensor([[1, 0], [0, 2]]))
    boxes.add_field("pred_rel_scores", torch.tensor([[0.2, 0.8, 0.0], [0.4, 0.1, 0.5]]))
    boxes.add_field("pred_rel_labels", torch.tensor([1, 2]))
    return boxes


def test_a_prediction_in_words():
    graph = scene_graph(prediction(), ["", "cat", "mat"], ["", "on", "near"])
    assert graph == {
        "width": 20,
        "height": 40,
        "objects": [
            {"name": "mat", "box": [5.0, 5.0, 19.0, 39.0], "score": 0.75},
            {"name": "cat", "box": [0.0, 0.0, 9.0, 9.0], "score": 0.5},
            {"name": "cat", "box": [1.0, 1.0, 4.0, 4.0], "score": 0.25},
        ],
        "relations": [
            {"subject": 0, "predicate": "on", "object": 1, "score": 0.3},
            {"subject": 1, "predicate": "near", "object": 2, "score": 0.0625},
        ],
    }
    assert best_of(graph, top_k=1)["relations"] == graph["relations"][:1]
    without = best_of(graph, top_k=9, min_score=0.4)
    assert len(without["objects"]) == 2 and without["relations"] == graph["relations"][:1]
    assert best_of(graph, 9, 0.9) == {"width": 20, "height": 40, "objects": [], "relations": []}


def test_an_image_without_objects():
    nothing = prediction()[torch.zeros(0, dtype=torch.int64)].copy()
    for name, shape in (("pred_labels", 0), ("pred_scores", 0), ("pred_rel_labels", 0)):
        nothing.add_field(name, torch.zeros(shape, dtype=torch.float32 if name == "pred_scores" else torch.int64))
    nothing.add_field("rel_pair_idxs", torch.zeros((0, 2), dtype=torch.int64))
    nothing.add_field("pred_rel_scores", torch.zeros((0, 3)))
    graph = scene_graph(nothing, ["", "cat"], ["", "on"])
    assert graph["objects"] == graph["relations"] == []


def test_images_of_files_and_folders(tmp_path):
    for folder in ("one", "two", "none"):
        (tmp_path / folder).mkdir()
    for name in ("one/b.JPG", "one/a.png", "two/a.png"):
        photo().save(tmp_path / name, format="PNG")
    (tmp_path / "one" / "notes.txt").write_text("no image")
    (tmp_path / "one" / "data.h5").write_text("no image")
    one, two = tmp_path / "one", tmp_path / "two"
    assert list_images([one]) == {"a.png": one / "a.png", "b.JPG": one / "b.JPG"}
    both = list_images([one, two / "a.png", one / "a.png"])
    assert list(both) == [str(one / "a.png"), "b.JPG", str(two / "a.png")]
    with pytest.raises(InputError, match="none has no image"):
        list_images([tmp_path / "none"])
    with pytest.raises(InputError, match="nowhere does not exist"):
        list_images([tmp_path / "nowhere"])


def test_graphs_are_written_as_json(tmp_path):
    write_graphs([], tmp_path / "empty.json")
    assert json.loads((tmp_path / "empty.json").read_text()) == {}
    write_graphs(iter([("a", {"objects": []}), ("b\n", {"objects": [1]})]), tmp_path / "two.json")
    assert json.loads((tmp_path / "two.json").read_text()) == {"a": {"objects": []}, "b\n": {"objects": [1]}}
