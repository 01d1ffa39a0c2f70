"""Trained models from their files alone, image files of every kind, and predictions in words."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from support import HEAD, PARITY, boxlist
from trained_model import CLASSES, RELATIONS, photo, save_run

from maskrcnn_benchmark.api import SceneGraphModel
from maskrcnn_benchmark.data.datasets.images import load_image
from maskrcnn_benchmark.engine.scene_predictor import list_images, load_trained
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank
from maskrcnn_benchmark.scene_graph import scene_graph
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run folder of a model, and the model itself."""
    folder = tmp_path_factory.mktemp("trained")
    model = save_run(folder)
    content = torch.load(folder / "model_final.pth", weights_only=True)
    torch.save({"model": content["model"]}, folder / "nameless.pth")
    return folder, model


@pytest.fixture(scope="module")
def predictor(trained):
    return SceneGraphModel.from_pretrained(trained[0], device="cpu")


def test_everything_comes_from_the_checkpoint(trained):
    # glove is asked for, but nothing is read: the embeddings are in the checkpoint
    folder, model = trained
    opts = [HEAD + "WORD_EMBEDDING", "glove", "GLOVE_DIR", "/no"]
    loaded = load_trained(folder / "config.yml", folder / "model_final.pth", opts=opts)
    for name, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], msg=name)
    assert loaded.classes == CLASSES and loaded.predicates == RELATIONS and not loaded.model.training


def test_relclip_scores_predicates_that_are_given_by_name(tmp_path):
    """One that training had and one that it did not, from a bank that knows both."""
    names = [*RELATIONS[1:], "levitating above"]
    rng = np.random.default_rng(0)
    arrays = {"sp": rng.normal(size=(7, 6, 8)), "po": rng.normal(size=(6, 7, 8))}
    PhraseBank(CLASSES[1:], names, {}, arrays).save(str(tmp_path / "bank.npz"))
    node = (HEAD + "RELCLIP.").replace(".", "__")
    options = {"MODEL__LANGUAGE__BANK_FILE": str(tmp_path / "bank.npz"), node + "USE_BASE": False}
    save_run(tmp_path, "RelCLIPPredictor", **options)
    wanted = ("riding", "levitating above")
    opts = [HEAD + "RELCLIP.TEST_PREDICATES", str(wanted)]
    model = SceneGraphModel.from_pretrained(tmp_path, device="cpu", opts=opts)
    graph = model(photo())
    assert graph.relations and {relation.predicate for relation in graph.relations} <= set(wanted)


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
    results = list(predictor.predict_files([tmp_path / name for name in names]))
    assert [place for place, _ in results] == list(range(len(names)))
    for name, (_, graph) in zip(names, results, strict=True):
        if name in ("empty.jpg", "cut.jpg"):
            assert f"{name} cannot be read" in graph
            continue
        with Image.open(tmp_path / name) as image:
            assert (graph.width, graph.height) == image.size
        for one in graph.objects:
            x1, y1, x2, y2 = one.box
            assert 0 <= x1 <= x2 <= graph.width - 1 and 0 <= y1 <= y2 <= graph.height - 1
        scores = [one.score for one in graph.relations]
        assert scores == sorted(scores, reverse=True)
    assert results[0][1].objects and results[0][1].relations


def test_exif_rotation_is_respected(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8  # turned counterclockwise for viewing
    photo().save(tmp_path / "stored.png", exif=exif)
    photo().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "upright.png")
    stored, upright = predictor([tmp_path / "stored.png", tmp_path / "upright.png"])
    assert stored == upright and (stored.width, stored.height) == (60, 80)
    assert stored.pixels().size == (60, 80)


def test_large_images_are_reduced_or_refused_before_they_are_decoded(trained, tmp_path):
    photo((400, 300)).save(tmp_path / "large.jpg", quality=95)
    photo((400, 300)).save(tmp_path / "large.png")
    model = SceneGraphModel.from_pretrained(trained[0], device="cpu", opts=["INPUT.MAX_PIXELS", 8000])
    assert load_image(tmp_path / "large.jpg", max_pixels=8000).size == (100, 75)
    graph = model(tmp_path / "large.jpg", boxes=[[200, 150, 399, 299]], labels=["man"])
    assert (graph.width, graph.height) == (400, 300) and graph.objects[0].box == (200, 150, 399, 299)
    with pytest.raises(InputError, match=r"large\.png cannot be read: it has 120,000 pixels, and INPUT\.MAX_PIXELS"):
        model(tmp_path / "large.png")
    with pytest.raises(InputError, match="120,000 pixels"):  # an eighth of it is still too large
        load_image(tmp_path / "large.jpg", max_pixels=1000)


def test_names_of_a_dictionary_serve_where_the_checkpoint_has_none(trained, tmp_path):
    folder, _ = trained
    with pytest.raises(InputError, match=r"nameless\.pth holds no names of classes and predicates .*--dict-file"):
        SceneGraphModel.from_pretrained(folder / "nameless.pth")
    with pytest.raises(InputError, match="fit"):
        dictionary = PARITY / "vg" / "VG-SGG-dicts-with-attri.json"
        SceneGraphModel.from_pretrained(folder / "nameless.pth", dict_file=dictionary)
    names = {"label_to_idx": {name: i for i, name in enumerate(CLASSES) if i}}
    names["predicate_to_idx"] = {name: i for i, name in enumerate(RELATIONS) if i}
    (tmp_path / "names.json").write_text(json.dumps(names))
    named = SceneGraphModel.from_pretrained(folder / "nameless.pth", dict_file=tmp_path / "names.json", device="cpu")
    assert named.classes == CLASSES[1:] and named.predicates == RELATIONS[1:]


def test_a_detector_gives_objects_without_relations(trained, tmp_path):
    folder, model = trained
    weights = {name: value for name, value in model.state_dict().items() if "relation" not in name}
    torch.save({"model": weights, "obj_classes": CLASSES}, tmp_path / "detector.pth")
    detector = SceneGraphModel.from_pretrained(
        tmp_path / "detector.pth", config_file=folder / "config.yml", opts=["MODEL.RELATION_ON", False]
    )
    graph = detector(photo())
    assert detector.task == "detection" and graph.objects and graph.relations == []
    with pytest.raises(InputError, match="trained for detection and takes no boxes"):
        detector(photo(), boxes=[[0, 0, 5, 5]])


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
    assert graph.to_dict() == {
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
    given = scene_graph(prediction(), ["", "cat", "mat"], ["", "on", "near"], given_order=True)
    assert [one.name for one in given.objects] == ["cat", "mat", "cat"]
    assert sorted(given.triplets()) == sorted(graph.triplets())


def test_an_image_without_objects_or_pairs():
    nothing = prediction()[torch.zeros(0, dtype=torch.int64)].copy()
    for name, shape in (("pred_labels", 0), ("pred_scores", 0), ("pred_rel_labels", 0)):
        nothing.add_field(name, torch.zeros(shape, dtype=torch.float32 if name == "pred_scores" else torch.int64))
    nothing.add_field("rel_pair_idxs", torch.zeros((0, 2), dtype=torch.int64))
    nothing.add_field("pred_rel_scores", torch.zeros((0, 3)))
    graph = scene_graph(nothing, ["", "cat"], ["", "on"])
    assert graph.objects == graph.relations == []
    alone = prediction()
    alone.add_field("rel_pair_idxs", torch.tensor([[0, 0], [1, 2]]))  # an object and itself
    assert [
        (one.subject, one.object) for one in scene_graph(alone, ["", "cat", "mat"], ["", "on", "near"]).relations
    ] == [(0, 2)]


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
