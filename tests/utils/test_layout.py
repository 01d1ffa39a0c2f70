"""Labels and nodes stay clear of each other."""

import itertools

import numpy as np
import pytest

from maskrcnn_benchmark.utils.layout import graph_layout, overlap_area, place_label, spread


def overlapping(centres, sizes):
    """Pairs of rectangles that overlap, by a plain loop."""
    pairs = itertools.combinations(range(len(centres)), 2)
    half = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in itertools.combinations(sizes, 2)]
    return [
        (i, j)
        for (i, j), (x, y) in zip(pairs, half, strict=True)
        if abs(centres[i][0] - centres[j][0]) < x and abs(centres[i][1] - centres[j][1]) < y
    ]


def test_overlap_of_rectangles():
    others = np.array([[0, 0, 4, 4], [2, 2, 3, 3], [5, 0, 9, 9], [2, 3, 9, 9]])
    assert overlap_area((1, 1, 5, 5), others).tolist() == [9, 1, 0, 6]


def test_a_label_takes_the_first_free_place():
    places = [(0, 0), (20, 0), (40, 0)]
    assert place_label((10, 5), places, [], (100, 50)) == (0, 0, 10, 5)
    assert place_label((10, 5), places, [(5, 2, 25, 3)], (100, 50)) == (40, 0, 50, 5)
    # none is free: the least covered one
    assert place_label((10, 5), places, [(0, 0, 60, 1), (0, 0, 30, 5)], (100, 50)) == (40, 0, 50, 5)


def test_a_label_stays_inside_of_the_picture():
    assert place_label((10, 5), [(95, -3)], [], (100, 50)) == (90, 0, 100, 5)
    assert place_label((200, 5), [(30, 60)], [], (100, 50)) == (0, 45, 200, 50)  # wider than the picture
    with pytest.raises(ValueError, match="at least one place"):
        place_label((10, 5), [], [], (100, 50))


@pytest.mark.parametrize("seed", range(4))
def test_rectangles_are_pushed_apart(seed):
    rng = np.random.default_rng(seed)
    centres, sizes = rng.uniform(0, 60, (12, 2)), rng.uniform(10, 40, (12, 2))
    assert overlapping(centres, sizes)
    assert not overlapping(spread(centres, sizes, gap=2), sizes)
    same = spread(np.zeros((3, 2)), np.full((3, 2), 10.0), gap=1)
    assert not overlapping(same, np.full((3, 2), 10.0))


@pytest.mark.parametrize(
    ("edges", "count"),
    [
        ([], 0),
        ([], 1),
        ([], 3),
        ([(0, 0)], 1),
        ([(0, 1)], 2),
        ([(0, i) for i in range(1, 9)], 9),
        ([(i, (i + 1) % 6) for i in range(6)], 6),
        ([(0, 1), (1, 2), (3, 4), (5, 6), (6, 7), (7, 5)], 9),
    ],
)
def test_nodes_of_a_graph_do_not_overlap(edges, count):
    sizes = [(60 + 5 * (i % 4), 20) for i in range(count)]
    centres = graph_layout(edges, sizes, length=80, gap=10)
    assert centres.shape == (count, 2) and np.isfinite(centres).all()
    assert not overlapping(centres, sizes)
    if count:
        assert (centres - np.array(sizes) / 2).min() >= -1e-6
    np.testing.assert_array_equal(centres, graph_layout(edges, sizes, length=80, gap=10))


def test_neighbours_are_nearer_than_others():
    chain = graph_layout([(0, 1), (1, 2), (2, 3)], [(10, 10)] * 4, length=50, gap=5)
    apart = np.linalg.norm(chain[:, None] - chain[None], axis=2)
    np.testing.assert_allclose([apart[0, 1], apart[0, 2], apart[0, 3]], [50, 100, 150], rtol=0.05)
