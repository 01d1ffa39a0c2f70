"""Where things go in a picture: labels beside each other, and the nodes of a graph on the plane.

Rectangles are (left, top, right, bottom); all lengths are in pixels of the picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, shortest_path

_STARTS = 12


def overlap_area(rectangle: Sequence[float], others: np.ndarray) -> np.ndarray:
    """How much of each of `others` [n, 4] a rectangle covers."""
    low = np.maximum(others[:, :2], rectangle[:2])
    high = np.minimum(others[:, 2:], rectangle[2:])
    return (high - low).clip(0).prod(1)


def place_label(
    size: tuple[float, float],
    corners: Iterable[tuple[float, float]],
    taken: Sequence[Sequence[float]],
    bounds: tuple[float, float],
) -> tuple[float, float, float, float]:
    """A rectangle for a label, inside the picture.

    Args:
        size: width and height of the label.
        corners: where its upper left corner may be, the best first; shifted into the picture where it sticks out.
        taken: rectangles to keep clear of.
        bounds: width and height of the picture.

    Returns:
        the first that overlaps nothing, or else the one that overlaps least.
    """
    rectangles = np.asarray(taken, dtype=float).reshape(-1, 4)
    best, least = None, np.inf
    for corner in corners:
        left, top = (
            min(max(x, 0.0), max(limit - side, 0.0)) for x, side, limit in zip(corner, size, bounds, strict=True)
        )
        candidate = (left, top, left + size[0], top + size[1])
        covered = overlap_area(candidate, rectangles).sum()
        if covered < least:
            best, least = candidate, covered
        if least == 0:
            break
    if best is None:
        raise ValueError("a label needs at least one place")
    return best


def graph_layout(
    edges: Sequence[tuple[int, int]], sizes: Sequence[tuple[float, float]], length: float, gap: float
) -> np.ndarray:
    """Centres of the nodes of a graph, such that neighbours are near each other and no two nodes overlap.

    Every connected part is laid out so that distances on the plane are those along its edges (stress minimisation,
    Kamada and Kawai 1989, with weights 1 / distance^2); the parts stand beside each other. Equal input gives an equal
    layout.

    Args:
        edges: pairs of nodes.
        sizes: width and height of each node.
        length: of an edge.
        gap: least space between two nodes.

    Returns:
        float [n, 2], from (0, 0) on: with its half size every node lies at positive coordinates.
    """
    sizes = np.asarray(sizes, dtype=float).reshape(-1, 2)
    count = len(sizes)
    if count == 0:
        return np.zeros((0, 2))
    ends = np.asarray(edges, dtype=int).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    parts, part = connected_components(links, directed=False)
    steps = shortest_path(links, directed=False, unweighted=True)
    centres = np.zeros((count, 2))
    right, bottom, row_height = 0.0, 0.0, 0.0
    limit = length * 2 * np.sqrt(count)  # a new row of parts begins beyond
    for number in range(parts):
        nodes = np.flatnonzero(part == number)
        own = spread(_stress_layout(steps[np.ix_(nodes, nodes)]) * length, sizes[nodes], gap)
        low, high = (own - sizes[nodes] / 2).min(0), (own + sizes[nodes] / 2).max(0)
        if right and right + (high - low)[0] > limit:
            right, bottom, row_height = 0.0, bottom + row_height + 2 * gap, 0.0
        centres[nodes] = own - low + [right, bottom]
        right += (high - low)[0] + 2 * gap
        row_height = max(row_height, (high - low)[1])
    return centres


def predicate_layout(
    count: int, pairs: Sequence[tuple[int, int]], sizes: Sequence[tuple[float, float]], length: float, gap: float
) -> np.ndarray:
    """Centres of objects and, between them, of the predicates of distinct ordered pairs; see `graph_layout`.

    The predicates there and back of two objects are laid out as one and then put side by side, across their line.

    Args:
        count: of objects.
        sizes: of the objects, then of the predicates.

    Returns:
        float [count + len(pairs), 2].
    """
    sizes = np.asarray(sizes, dtype=float).reshape(-1, 2)
    couples: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, (subject, object_) in enumerate(pairs, count):
        couples[min(subject, object_), max(subject, object_)].append(place)
    edges, room = [], list(sizes[:count])
    for node, (ends, places) in enumerate(couples.items(), count):
        edges += [(end, node) for end in ends]
        room.append(np.array([sizes[places, 0].max(), sizes[places, 1].sum() + gap * (len(places) - 1)]))
    centres = np.zeros((len(sizes), 2))
    laid_out = graph_layout(edges, room, length, gap)
    centres[:count] = laid_out[:count]
    for middle, (ends, places) in zip(laid_out[count:], couples.items(), strict=True):
        centres[places] = middle
        if len(places) == 2:
            line = centres[ends[1]] - centres[ends[0]]
            across = np.array([line[1], -line[0]]) / max(np.hypot(*line), 1e-6)
            shift = across * (sizes[places].mean(0) @ np.abs(across) + gap) / 2
            centres[places] += [shift, -shift]
    centres = spread(centres, sizes, gap)
    return centres - (centres - sizes / 2).min(0) if len(sizes) else centres


def _stress_layout(distances: np.ndarray) -> np.ndarray:
    """Points [n, 2] whose distances are near the given ones [n, n], wider than high."""
    count = len(distances)
    if count == 1:
        return np.zeros((1, 2))
    first, second = np.triu_indices(count, 1)
    wanted = distances[first, second]

    def stress(flat: np.ndarray) -> tuple[float, np.ndarray]:
        points = flat.reshape(-1, 2)
        apart = points[first] - points[second]
        found = np.sqrt((apart**2).sum(1) + 1e-9)
        difference = (found - wanted) / wanted
        pull = (2 * difference / wanted / found)[:, None] * apart
        gradient = np.zeros_like(points)
        np.add.at(gradient, first, pull)
        np.add.at(gradient, second, -pull)
        return float((difference**2).sum()), gradient.ravel()

    # the best of several starts, on a circle in different orders: one alone often ends with things on each other
    angle = 2 * np.pi * np.arange(count) / count
    circle = np.column_stack((np.cos(angle), np.sin(angle))) * distances.max() / 2
    orders = np.random.default_rng(0)
    starts = [circle, *(circle[orders.permutation(count)] for _ in range(_STARTS - 1))]
    found = [minimize(stress, start.ravel(), jac=True, method="L-BFGS-B") for start in starts]
    points = min(found, key=lambda one: one.fun).x.reshape(-1, 2)
    points -= points.mean(0)
    # the longest extent lies along the page
    _, axes = np.linalg.eigh(np.cov(points.T))
    return points @ axes[:, ::-1]


def spread(centres: np.ndarray, sizes: np.ndarray, gap: float, rounds: int = 500) -> np.ndarray:
    """Centres [n, 2] pushed apart until rectangles of these sizes [n, 2] have a space of `gap` between them."""
    centres = centres.copy()
    first, second = np.triu_indices(len(centres), 1)
    least = (sizes[first] + sizes[second]) / 2 + gap
    for _ in range(rounds):
        apart = centres[second] - centres[first]
        lacking = least - np.abs(apart)
        clash = (lacking > 1e-6).all(1)
        if not clash.any():
            break
        for pair in np.flatnonzero(clash):
            i, j = first[pair], second[pair]
            apart = centres[j] - centres[i]
            lacking = least[pair] - np.abs(apart)
            axis = int(lacking.argmin())
            if lacking[axis] <= 0:
                continue  # an earlier push has parted them
            push = (lacking[axis] / 2 + 1e-3) * (1 if apart[axis] >= 0 else -1)
            centres[i, axis] -= push
            centres[j, axis] += push
    return centres
