"""The public API: from images of every kind, with and without boxes, to scene graphs."""

import doctest
import os

import networkx
import numpy as np
import pytest
import torch
from PIL import Image
from small_run import ROOT
from trained_model import CLASSES, OBJECTS, PREDICATES, photo, save_run, save_tiny_clip

from maskrcnn_benchmark import scene_graph
from maskrcnn_benchmark.api import InputError, Relation, SceneGraph, SceneGraphModel, SceneObject

BOXES = [[2, 3, 40, 50], [20.5, 10, 70, 59], [0, 0, 15, 15]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of small models: `motifs`, `predcls`, `detector`, and `relclip` with a CLIP."""
    pytest.importorskip("clip.model")
    root = tmp_path_factory.mktemp("runs")
    save_run(root / "motifs")
    save_run(root / "predcls", task="predcls")
    save_run(root / "relclip", "RelCLIPPredictor", clip=save_tiny_clip(root / "clip.pt"))
    return root


@pytest.fixture(scope="module")
def motifs(runs):
    return SceneGraphModel.from_pretrained(runs / "motifs", device="cpu")


@pytest.fixture
def relclip(runs):
    return SceneGraphModel.from_pretrained(runs / "relclip", device="cpu")


def same(first: SceneGraph, second: SceneGraph, tolerance: float = 2e-3) -> None:
    assert (first.width, first.height, len(first.objects)) == (second.width, second.height, len(second.objects))
    ours, theirs = (
        {(one.subject, one.predicate, one.object): one.score for one in graph.relations} for graph in (first, second)
    )
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(list(ours.values()), [theirs[key] for key in ours], atol=tolerance)


def test_the_documentation_runs(runs, tmp_path, monkeypatch):
    """docs/api.md, on a small SGDet model with RelCLIP."""
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "relclip-sgdet").symlink_to(runs / "relclip")
    for number, name in enumerate(("photo.jpg", "a.jpg", "b.jpg")):
        photo(seed=number).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "api.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert failed == 0 and tried > 15
    assert (tmp_path / "out.html").stat().st_size > 1000 and Image.open("out.png").width > 100


def test_examples_of_scene_graphs():
    assert doctest.testmod(scene_graph).failed == 0


def test_every_kind_of_image_gives_the_same_graph(motifs, tmp_path):
    image = photo()
    image.save(tmp_path / "a.png")
    pixels = np.asarray(image)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    graph = motifs(tmp_path / "a.png")
    assert graph.objects and graph.relations and (graph.width, graph.height) == (80, 60)
    for other in (str(tmp_path / "a.png"), image, pixels, tensor, tensor / 255, pixels / 255):
        assert motifs(other) == graph
        assert motifs(other).pixels().size == (80, 60)


def test_a_list_equals_its_images(motifs):
    images = [photo(seed=seed) for seed in range(5)]  # two batches of four
    together = motifs(images)
    assert len(together) == 5 and motifs([]) == []
    for image, graph in zip(images, together, strict=True):
        same(graph, motifs(image))


def test_given_boxes_keep_their_order(motifs):
    graph = motifs(photo(), boxes=BOXES)
    assert [one.box for one in graph.objects] == [tuple(map(float, box)) for box in BOXES]
    assert {one.name for one in graph.objects} <= set(OBJECTS) and all(0 < one.score < 1 for one in graph.objects)
    assert len(graph.relations) == 6
    arrays = motifs(photo(), boxes=torch.tensor(BOXES))
    assert arrays == graph


def test_given_labels_are_kept_and_scores_count(motifs):
    labels = ["man", "Traffic Light", 4]
    sure = motifs(photo(), boxes=BOXES, labels=labels)
    assert [one.name for one in sure.objects] == ["man", "traffic_light", "horse"]
    assert [one.score for one in sure.objects] == [1, 1, 1]
    unsure = motifs(photo(), boxes=BOXES, labels=labels, scores=[1.0, 0.5, 0.1])
    assert [one.score for one in unsure.objects] == [1.0, 0.5, pytest.approx(0.1)]
    factor = [1.0, 0.5, 0.1]
    before = {(one.subject, one.object): one.score for one in sure.relations}
    for one in unsure.relations:
        expected = before[one.subject, one.object] * factor[one.subject] * factor[one.object]
        assert one.score == pytest.approx(expected, rel=1e-3)
    scores = [one.score for one in unsure.relations]
    assert scores == sorted(scores, reverse=True)


def test_given_boxes_are_those_of_the_model_of_that_task(runs, motifs):
    """SGDet weights in a model that was built for PredCls."""
    predcls = SceneGraphModel.from_pretrained(
        runs / "motifs/model_final.pth", config_file=runs / "predcls/config.yml", device="cpu"
    )
    assert predcls.task == "predcls"
    given = {"boxes": BOXES, "labels": [1, 2, 3]}
    assert predcls(photo(), **given) == motifs(photo(), **given)


def test_images_with_and_without_boxes_together(motifs):
    images = [photo(seed=seed) for seed in range(3)]
    together = motifs(images, boxes=[None, BOXES, []], labels=[None, [1, 2, 3], None])
    same(together[0], motifs(images[0]))
    same(together[1], motifs(images[1], boxes=BOXES, labels=[1, 2, 3]))
    assert together[2].objects == together[2].relations == []


def test_one_box_has_no_relation(motifs):
    graph = motifs(photo(), boxes=BOXES[:1], labels=["man"])
    assert len(graph.objects) == 1 and graph.relations == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"boxes": [[5, 5, 1, 9]]}, r"box 0 is \[5.0, 5.0, 1.0, 9.0\]; expected x1 <= x2"),
        ({"boxes": [[0, 0, 9, 9], [80, 0, 99, 9]]}, "box 1 .* within the image of 80 x 60 pixels"),
        ({"boxes": [[0, 0, 9]]}, r"shape \[1, 3\]; expected \[n, 4\]"),
        ({"boxes": [[0, 0, float("nan"), 1]]}, "boxes must be finite"),
        ({"boxes": BOXES, "labels": ["man"]}, r"3 boxes, but labels of the shape \[1\]"),
        ({"boxes": BOXES, "labels": ["man", "elefant", "man"]}, "'elefant' is no class .* did you mean 'elephant'"),
        ({"boxes": BOXES, "labels": [0, 1, 2]}, "label 0 is none of the model's classes, which are 1 to 7"),
        ({"boxes": BOXES, "labels": [1, 2, 3], "scores": [2, 0, 0]}, "between 0 and 1"),
        ({"boxes": BOXES, "scores": [1, 0, 0]}, "scores are those of labels"),
        ({"labels": [1]}, "there are no boxes"),
    ],
)
def test_wrong_boxes_get_one_sentence(motifs, given, message):
    with pytest.raises(InputError, match=message):
        motifs(photo(), **given)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.jpg", "nowhere.jpg does not exist"),
        (np.zeros((4, 4, 2), np.uint8), r"\[H, W, 3\], found \[4, 4, 2\]"),
        (np.full((4, 4, 3), 7.0), "floats must have values from 0 to 1"),
        (np.zeros((4, 4, 3), np.int64), "of bytes or of floats, found int64"),
        (torch.zeros(4, 4, 3), r"\[3, H, W\], found \[4, 4, 3\]"),
        (7, "found int"),
    ],
)
def test_what_is_no_image_gets_one_sentence(motifs, image, message):
    with pytest.raises(InputError, match=message):
        motifs(image)


def test_a_model_is_not_asked_for_more_than_it_learnt(runs):
    predcls = SceneGraphModel.from_pretrained(runs / "predcls", device="cpu")
    assert predcls(photo(), boxes=BOXES, labels=[1, 2, 3]).relations
    with pytest.raises(InputError, match="trained for predcls: give boxes and labels"):
        predcls(photo())
    with pytest.raises(InputError, match="trained for predcls"):
        predcls(photo(), boxes=BOXES)


def test_where_a_model_is_looked_for(runs, tmp_path, motifs):
    with pytest.raises(InputError, match="nowhere does not exist"):
        SceneGraphModel.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"neither a last_checkpoint .* nor model_final\.pth"):
        SceneGraphModel.from_pretrained(tmp_path)
    (tmp_path / "model_final.pth").symlink_to(runs / "motifs" / "model_final.pth")
    with pytest.raises(InputError, match=r"config\.yml does not exist"):
        SceneGraphModel.from_pretrained(tmp_path)
    config = runs / "motifs" / "config.yml"
    elsewhere = SceneGraphModel.from_pretrained(tmp_path / "model_final.pth", config_file=config, device="cpu")
    assert elsewhere(photo()) == motifs(photo())


def test_a_run_folder_that_was_moved(runs, tmp_path, motifs):
    (tmp_path / "moved").mkdir()
    for name in ("config.yml", "model_final.pth"):
        (tmp_path / "moved" / name).symlink_to(runs / "motifs" / name)
    (tmp_path / "moved" / "last_checkpoint").write_text("/where/it/was/model_final.pth")
    assert SceneGraphModel.from_pretrained(tmp_path / "moved", device="cpu")(photo()) == motifs(photo())


def test_half_precision(runs, motifs):
    half = SceneGraphModel.from_pretrained(runs / "motifs", device="cpu", dtype=torch.bfloat16)
    given = {"boxes": BOXES, "labels": [1, 2, 3]}
    same(half(photo(), **given), motifs(photo(), **given), tolerance=0.25)
    with pytest.raises(InputError, match="float16 needs a GPU"):
        SceneGraphModel.from_pretrained(runs / "motifs", device="cpu", dtype="float16")


def test_nothing_keeps_gradients(motifs):
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
    motifs(photo(), boxes=BOXES)
    assert all(parameter.grad is None for parameter in motifs._trained.model.parameters())
    assert not motifs._trained.model.training


def test_weights_are_shared_among_tasks(motifs):
    motifs(photo(), boxes=BOXES, labels=[1, 2, 3])
    ours, theirs = (motifs._models[task].state_dict() for task in ("sgdet", "predcls"))
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in ours)


def test_files_one_after_the_other(motifs, tmp_path):
    for number in range(5):
        photo(seed=number).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"")
    files = sorted(tmp_path.iterdir())
    results = dict(motifs.predict_files(files, workers=0))
    assert list(results) == list(range(5)) and "2.png cannot be read" in results[2]
    for number in (0, 1, 3, 4):
        same(results[number], motifs(files[number]))
    loaded = dict(motifs.predict_files(files, workers=1))
    assert loaded == results


def test_a_chosen_vocabulary_and_back(relclip):
    before = relclip(photo(), boxes=BOXES, labels=[1, 2, 3])
    names = ["repairing", "riding", "leaning against"]
    assert relclip.set_vocabulary(predicates=names) is relclip and relclip.predicates == names
    chosen = relclip(photo(), boxes=BOXES, labels=[1, 2, 3])
    assert {one.predicate for one in chosen.relations} <= set(names)
    assert {one.predicate for one in relclip(photo()).relations} <= set(names)
    relclip.set_vocabulary()
    assert relclip.predicates == PREDICATES and relclip(photo(), boxes=BOXES, labels=[1, 2, 3]) == before


def test_the_trained_vocabulary_by_name_changes_nothing(relclip):
    before = relclip(photo(), boxes=BOXES, labels=[1, 2, 3])
    shuffled = [PREDICATES[i] for i in (3, 0, 4, 2, 1)]
    relclip.set_vocabulary(predicates=shuffled)
    same(relclip(photo(), boxes=BOXES, labels=[1, 2, 3]), before, tolerance=1e-4)


def test_chosen_object_classes(relclip):
    relclip.set_vocabulary(objects=["dog", "lorry"])
    assert relclip.classes == ["dog", "lorry"]
    for given in ({}, {"boxes": BOXES}):
        graph = relclip(photo(), **given)
        assert graph.objects and {one.name for one in graph.objects} <= {"dog", "lorry"} and graph.relations
    named = relclip(photo(), boxes=BOXES, labels=["lorry", "dog", "dog"])
    assert [one.name for one in named.objects] == ["lorry", "dog", "dog"]
    relclip.set_vocabulary()
    assert relclip.classes == CLASSES[1:]


def test_vocabularies_that_cannot_be(relclip, motifs):
    for names, message in ((["on", "On"], "twice"), ([], "at least one"), ("riding", "list of names")):
        with pytest.raises(InputError, match=message):
            relclip.set_vocabulary(predicates=names)
    with pytest.raises(InputError, match="scores phrases, RelCLIPPredictor; found MotifPredictor"):
        motifs.set_vocabulary(predicates=["riding"])


def test_a_graph_in_other_forms(motifs, tmp_path):
    graph = motifs(photo())
    assert SceneGraph.from_dict(graph.to_dict()) == graph
    network = graph.to_networkx()
    assert isinstance(network, networkx.MultiDiGraph) and network.number_of_nodes() == len(graph.objects)
    assert sorted(data["score"] for *_, data in network.edges(data=True)) == sorted(
        one.score for one in graph.relations
    )
    graph.draw(tmp_path / "out.png", top_k=3)
    assert Image.open(tmp_path / "out.png").size[0] > 100
    subject, predicate, object_, score = graph.triplets()[0]
    first = graph.relations[0]
    assert (subject, object_) == (graph.objects[first.subject].name, graph.objects[first.object].name)
    assert (predicate, score) == (first.predicate, first.score)


def test_the_best_of_a_graph():
    objects = [
        SceneObject("a", (0, 0, 1, 1), 0.9),
        SceneObject("b", (0, 0, 1, 1), 0.2),
        SceneObject("c", (0, 0, 1, 1), 0.5),
    ]
    graph = SceneGraph(9, 9, objects, [Relation(0, "on", 1, 0.5), Relation(2, "on", 0, 0.4), Relation(0, "by", 2, 0.1)])
    best = graph.best(top_k=1, min_score=0.3)
    assert [one.name for one in best.objects] == ["a", "c"] and best.relations == [Relation(1, "on", 0, 0.4)]
    assert graph.best() == graph


def test_what_is_no_graph_gets_one_sentence():
    with pytest.raises(InputError, match="no scene graph"):
        SceneGraph.from_dict({"objects": []})
    with pytest.raises(InputError, match="an object that is not there"):
        SceneGraph.from_dict(
            {"width": 1, "height": 1, "objects": [], "relations": [{"subject": 0, "predicate": "on", "object": 1}]}
        )
    with pytest.raises(InputError, match="does not know its image"):
        SceneGraph(1, 1, [], []).draw(os.devnull)
