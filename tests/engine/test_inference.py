"""The inference loop: every image once, as a stream, and predictions on the disk only while they are true."""

import json
import logging

import numpy as np
import pytest
import torch
from small_run import write_config
from support import boxlist, fill

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.engine.inference import (
    compute_on_dataset,
    custom_sgg_post_precessing,
    get_sorted_bbox_mapping,
    inference,
)
from maskrcnn_benchmark.engine.prediction_cache import PredictionCache
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.errors import InputError


class Oracle(torch.nn.Module):
    """Predicts the annotated boxes, and every pair of them with the same scores; counts the images it sees."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(51))
        self.images = 0

    def forward(self, images, targets):
        self.images += len(targets)
        return [self.predict(target) for target in targets]

    def predict(self, target):
        labels = target.get_field("labels")
        pairs = (~torch.eye(len(target), dtype=torch.bool)).nonzero()
        scores = torch.linspace(0, 1, 51).expand(len(pairs), 51) + self.bias
        out = boxlist(target.bbox, target.size, labels=labels, pred_labels=labels)
        out.add_field("pred_scores", torch.ones(len(target)))
        out.add_field("rel_pair_idxs", pairs)
        out.add_field("pred_rel_scores", scores)
        out.add_field("pred_rel_labels", torch.full((len(pairs),), 50))
        return out


@pytest.fixture
def config(tmp_path):
    return load_config(str(write_config(tmp_path)), ["TEST.SAVE_PROPOSALS", True])


def loader_of(config):
    return make_data_loader(config, mode="test")[0]


def test_every_image_comes_once_even_where_batches_repeat_some(config):
    class Repeating:
        """A loader whose last batch was filled up with images of the first."""

        def __init__(self, loader):
            self.dataset, self.loader = loader.dataset, loader

        def __len__(self):
            return len(self.loader) + 1

        def __iter__(self):
            batches = list(self.loader)
            return iter([*batches, batches[0]])

    model, loader = Oracle(), Repeating(loader_of(config))
    for every_batch in (True, False):
        indices = [index for index, _ in compute_on_dataset(model, loader, "cpu", every_batch)]
        assert sorted(indices) == list(range(len(loader.dataset)))


def test_predictions_come_while_the_data_are_read(config):
    """After the first prediction the loader has given one batch, not all."""
    read = []

    class Counting:
        dataset = None

        def __len__(self):
            return 3

        def __iter__(self):
            for number in range(3):
                read.append(number)
                target = boxlist([[0.0, 0, 5, 5]], (8, 8), labels=torch.tensor([1]))
                yield ImageList(torch.zeros(1, 3, 8, 8), [(8, 8)]), [target], [number]

    stream = compute_on_dataset(Oracle(), Counting(), "cpu")
    next(stream)
    assert read == [0]
    assert [index for index, _ in stream] == [1, 2]


def test_images_that_never_come_are_an_error(config):
    class Short:
        def __init__(self, loader):
            self.dataset, self.loader = loader.dataset, loader

        def __len__(self):
            return 1

        def __iter__(self):
            yield next(iter(self.loader))

    with pytest.raises(RuntimeError, match="4 of 27 images were predicted"):
        inference(config, Oracle(), Short(loader_of(config)), "test", ("bbox",), device="cpu")


def test_predictions_on_the_disk_are_used_only_while_nothing_changed(config, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    model, folder, logger = Oracle(), tmp_path / "results", logging.getLogger("test_inference")
    folder.mkdir()

    def evaluate(cfg=config):
        model.images = 0
        value = inference(
            cfg, model, loader_of(cfg), "test", ("bbox", "relations"),
            device="cpu", output_folder=str(folder), logger=logger,
        )  # fmt: skip
        return value, model.images

    first = evaluate()
    assert first[1] == 27
    assert evaluate() == (first[0], 0)
    other = config.clone()
    other.defrost()
    other.TEST.RELATION.PROTOCOL = "visualds"  # another way to count the same predictions
    assert evaluate(other)[1] == 0 and "protocol=visualds" in caplog.text
    other.TEST.RELATION.REQUIRE_OVERLAP = True  # other predictions
    assert evaluate(other)[1] == 27
    model.bias.data[7] = 5.0  # other weights
    changed = evaluate()
    assert changed[1] == 27 and changed[0] != first[0]
    (folder / "eval_results.key").unlink()  # as SGB leaves it
    assert evaluate() == changed
    assert "not used" in caplog.text
    config_without = load_config(str(tmp_path / "config.yaml"), ["TEST.ALLOW_LOAD_FROM_CACHE", False])
    assert evaluate(config_without) == changed


def test_nothing_but_results_is_written_unless_asked_for(tmp_path):
    config = load_config(str(write_config(tmp_path)))
    (tmp_path / "results").mkdir()
    inference(config, Oracle(), loader_of(config), "test", ("bbox", "relations"), device="cpu",
              output_folder=str(tmp_path / "results"))  # fmt: skip
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert names == [
        "config.yml", "cost.json", "evaluation.json", "graphs.json", "ranks.npz", "result_dict.pytorch",
        "zero_shot_kinds.json", "zero_shot_triplets.json",
    ]  # fmt: skip


def test_predictions_that_can_be_used_again_have_their_cost_beside_them(config, tmp_path, monkeypatch):
    """A kill between the two would lose it: who reads old predictions measures nothing."""
    keep, seen = PredictionCache.keep, []

    def watch(cache, stream):
        yield from keep(cache, stream)
        seen.append((tmp_path / "cost.json").exists())

    monkeypatch.setattr(PredictionCache, "keep", watch)
    inference(config, Oracle(), loader_of(config), "test", ("relations",), device="cpu", output_folder=str(tmp_path))
    assert seen == [True]


def test_cost_is_that_of_the_model_and_not_of_reading_old_predictions(config, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()

    def evaluate():
        inference(config, Oracle(), loader_of(config), "test", ("relations",), device="cpu", output_folder=str(folder))

    evaluate()
    cost = json.loads((folder / "cost.json").read_text())
    assert (cost["images"], cost["device"], cost["processes"], cost["batches"]) == (27, "cpu", 1, 7)
    assert (cost["parameters"], cost["predictor_parameters"]) == (51, 0)
    assert cost["seconds_per_image"] > 0
    (folder / "cost.json").unlink()
    evaluate()
    assert not (folder / "cost.json").exists()


def own_images(tmp_path, task, *options):
    """Configuration, and loader of three images of one's own, for a model of this task."""
    config_file = write_config(tmp_path, task)
    images = sorted((tmp_path / "datasets" / "vg" / "VG_100K").iterdir())[:3]
    (tmp_path / "mine.json").write_text(json.dumps([str(path) for path in images]))
    own = ["TEST.CUSTUM_EVAL", True, "TEST.CUSTUM_PATH", str(tmp_path / "mine.json"), "DETECTED_SGG_DIR", str(tmp_path)]
    return load_config(str(config_file), [*own, *options]), images


def custom_predictions(config, model, tmp_path):
    kinds = ("bbox", "relations")
    assert inference(config, model, loader_of(config), "test", kinds, device="cpu") == -1.0
    return json.loads((tmp_path / "custom_prediction.json").read_text())


def test_images_of_ones_own(tmp_path, parity_statistics):
    config, images = own_images(tmp_path, "sgdet")
    model = fill(build_detection_model(config))
    graphs = custom_predictions(config, model, tmp_path)
    assert sorted(graphs) == ["0", "1", "2"]
    graph = graphs["1"]
    objects = len(graph["bbox_labels"])
    assert objects > 1 and len(graph["rel_pairs"]) == len(graph["rel_labels"]) > 0
    assert max(max(pair) for pair in graph["rel_pairs"]) < objects
    info = json.loads((tmp_path / "custom_data_info.json").read_text())
    assert info["idx_to_files"] == [str(path) for path in images]
    assert info["ind_to_predicates"][0] == "__background__"
    one_by_one, _ = own_images(tmp_path, "sgdet", "TEST.IMS_PER_BATCH", 1)
    for index, alone in custom_predictions(one_by_one, model, tmp_path).items():
        # by pair and loosely: on several threads rounding changes the order, and weights that were never trained
        # make much of it
        one, other = (
            dict(zip(map(tuple, graph["rel_pairs"]), graph["rel_scores"], strict=True))
            for graph in (alone, graphs[index])
        )
        assert one == pytest.approx(other, abs=0.02)


def test_objects_of_a_detector_on_images_of_ones_own(tmp_path):
    config, _ = own_images(tmp_path, "detector")
    graphs = custom_predictions(config, fill(build_detection_model(config)), tmp_path)
    assert any(graph["bbox_labels"] for graph in graphs.values())
    assert all(graph["rel_pairs"] == [] for graph in graphs.values())


@pytest.mark.parametrize("task", ["predcls", "sgcls"])
def test_images_of_ones_own_have_no_boxes_to_give(tmp_path, parity_statistics, task):
    config, _ = own_images(tmp_path, task)
    with pytest.raises(InputError, match="USE_GT_BOX is True, but the images come without boxes"):
        custom_predictions(config, build_detection_model(config), tmp_path)


def test_plain_scene_graphs_are_sorted_by_score():
    prediction = boxlist([[0.0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]], (8, 8), pred_labels=torch.tensor([7, 8, 9]))
    prediction.add_field("pred_scores", torch.tensor([0.5, 0.9, 0.5]))
    prediction.add_field("rel_pair_idxs", torch.tensor([[0, 1], [2, 1]]))
    prediction.add_field("pred_rel_scores", torch.tensor([[0.9, 0.1, 0.25], [0.0, 0.5, 0.25]]))
    graph = custom_sgg_post_precessing([prediction])[0]
    assert graph["bbox_labels"] == [8, 9, 7]  # of equal scores the later first
    assert graph["rel_pairs"] == [[1, 0], [2, 0]]  # places in bbox
    assert graph["rel_labels"] == [1, 2] and graph["rel_scores"] == [0.5, 0.25]
    assert graph["rel_all_scores"][0] == [0.0, 0.5, 0.25]


def test_an_image_without_objects_is_an_empty_graph():
    prediction = boxlist(torch.zeros(0, 4), (8, 8), pred_labels=torch.zeros(0, dtype=torch.int64))
    prediction.add_field("pred_scores", torch.zeros(0))
    prediction.add_field("rel_pair_idxs", torch.zeros(0, 2, dtype=torch.int64))
    prediction.add_field("pred_rel_scores", torch.zeros(0, 51))
    assert set(map(len, custom_sgg_post_precessing([prediction])[0].values())) == {0}


def test_an_object_has_no_relation_with_itself():
    """An image of one object comes with the pair (0, 0), for the sake of recall."""
    prediction = boxlist([[0.0, 0, 1, 1]], (8, 8), pred_labels=torch.tensor([7]), pred_scores=torch.ones(1))
    prediction.add_field("rel_pair_idxs", torch.zeros(1, 2, dtype=torch.int64))
    prediction.add_field("pred_rel_scores", torch.tensor([[0.1, 0.9]]))
    graph = custom_sgg_post_precessing([prediction])[0]
    assert graph["bbox_labels"] == [7]
    assert graph["rel_pairs"] == graph["rel_labels"] == graph["rel_scores"] == graph["rel_all_scores"] == []


@pytest.mark.parametrize("scores", [[], [0.3], [0.1, 0.5, 0.1, 0.9, 0.5]])
def test_mapping_is_that_of_sorting_pairs_backwards(scores):
    order, place = get_sorted_bbox_mapping(scores)
    assert order == [index for _, index in sorted(((s, i) for i, s in enumerate(scores)), reverse=True)]
    assert [order[p] for p in place] == list(range(len(scores)))
    assert np.shape(order) == np.shape(place)
