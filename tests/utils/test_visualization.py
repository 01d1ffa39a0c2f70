"""Pictures of scene graphs: their sizes, and that nothing in them overlaps or is cut."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from maskrcnn_benchmark.utils import visualization
from maskrcnn_benchmark.utils.visualization import (
    HIT,
    MISS,
    Side,
    graph_figure,
    image_figure,
    number_names,
    of_scene_graph,
    save_figure,
    side_by_side_figure,
)

BOXES = np.array([[10, 10, 120, 180], [15, 12, 118, 60], [0, 100, 199, 199], [150, 0, 199, 30], [12, 11, 119, 170]])
NAMES = ["man", "hat", "street", "sky", "man"]
RELATIONS = [(0, "wearing", 1), (0, "on", 2), (0, "standing on", 2), (2, "under", 0), (3, "above", 2), (4, "near", 0)]


def text_rectangles(figure):
    """The extents of all texts of a figure, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [*figure.texts, *(text for axis in figure.axes for text in axis.texts)]
    return {(place, text.get_text()): text.get_window_extent(renderer) for place, text in enumerate(texts)}


def check_texts(figure):
    """No text overlaps another or is cut at the edge."""
    rectangles = text_rectangles(figure)
    for (one, first), (other, second) in itertools.combinations(rectangles.items(), 2):
        assert not first.shrunk(0.98, 0.9).overlaps(second), (one, other)
    width, height = figure.bbox.width, figure.bbox.height
    for name, box in rectangles.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, name
    return [text for _, text in rectangles]


@pytest.mark.parametrize("size", [(200, 200), (1600, 900), (300, 900)])
def test_boxes_and_relations_on_an_image(tmp_path, size):
    scale = np.tile(size, 2) / 200
    figure = image_figure(Image.new("RGB", size), BOXES * scale, NAMES, RELATIONS)
    assert sorted(check_texts(figure)) == sorted(
        ["man 1", "hat", "street", "sky", "man 2", "wearing", "on, standing on", "under", "above", "near"]
    )
    save_figure(figure, tmp_path / "new" / "out.png")
    with Image.open(tmp_path / "new" / "out.png") as picture:
        assert max(picture.size) == 1000
        assert abs(picture.width / picture.height - size[0] / size[1]) < 0.01


def test_a_narrow_image_has_room_for_names(tmp_path):
    figure = image_figure(Image.new("L", (4, 400)).convert("RGB"), [[0, 0, 3, 399]], ["a very long name"], [])
    save_figure(figure, tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").size == (120, 1000)


def test_the_graph_alone():
    figure = graph_figure(NAMES, RELATIONS)
    assert check_texts(figure) == [
        "man 1", "hat", "street", "sky", "man 2", "wearing", "on, standing on", "under", "above", "near",
    ]  # fmt: skip


@pytest.mark.parametrize(("names", "relations", "texts"), [([], [], ["no objects"]), (["a$b$ _^"], [], ["a$b$ _^"])])
def test_graphs_of_nothing_and_of_signs(tmp_path, names, relations, texts):
    figure = graph_figure(names, relations)
    assert check_texts(figure) == texts
    save_figure(figure, tmp_path / "out.png")
    boxes = np.zeros((len(names), 4)) + [0, 0, 9, 9]
    save_figure(image_figure(Image.new("RGB", (20, 20)), boxes, names, relations), tmp_path / "image.png")


def test_ground_truth_and_prediction_side_by_side(tmp_path):
    truth = Side("ground truth", BOXES, NAMES, RELATIONS, [True] * 4 + [False], [True] * 3 + [False] * 3, ["(1)"] * 6)
    long = "of a name that is so long that it has to be cut off at the end of its line " * 2
    many = [(0, f"{i} {long}", 1) for i in range(9)]
    prediction = Side("prediction", BOXES, NAMES, many, [False] * 5, [False] * 9)
    image = Image.new("RGB", (200, 200))
    figure = side_by_side_figure(image, [truth, prediction], max_drawn=4, max_listed=6)
    lines = {text.get_text(): text.get_color() for text in figure.texts}
    assert lines["man 1  wearing  hat   (1)"] == HIT and lines["street  under  man 1   (1)"] == MISS
    assert "and 3 more" in lines and sum(line.endswith("…") for line in lines) == 6
    rectangles = text_rectangles(figure)
    assert all(box.y0 >= 0 and box.x1 <= figure.bbox.width + 1 for box in rectangles.values())
    save_figure(figure, tmp_path / "out.png")
    empty = Side("nothing", np.zeros((0, 4)), [], [], [], [])
    assert [text.get_text() for text in side_by_side_figure(image, [empty]).texts] == ["nothing", "no relations"]


def test_names_that_come_twice_are_numbered():
    assert number_names(["a", "b", "a"]) == ["a 1", "b", "a 2"]
    assert number_names([]) == []


def test_objects_without_drawn_relations_are_left_out():
    objects = [{"name": name, "box": [i, 0, i + 5, 5]} for i, name in enumerate("abcd")]
    relations = [{"subject": s, "predicate": "on", "object": o} for s, o in ((3, 1), (0, 2))]
    boxes, names, kept = of_scene_graph({"objects": objects, "relations": relations}, top_k=1)
    assert (boxes[:, 0].tolist(), names, kept) == ([1, 3], ["b", "d"], [(1, "on", 0)])
    boxes, names, kept = of_scene_graph({"objects": objects, "relations": []}, top_k=3)
    assert names == ["a", "b", "c"] and kept == []
    assert of_scene_graph({"objects": [], "relations": []})[0].shape == (0, 4)


def test_text_is_readable_on_every_colour():
    """At least the contrast of 4.5 that WCAG asks for."""

    def luminance(colour):
        channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in visualization.to_rgb(colour)]
        return np.dot(channels, [0.2126, 0.7152, 0.0722])

    for colour in visualization.COLOURS:
        light, dark = sorted((luminance(colour), luminance(visualization._readable_on(colour))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, colour
