"""The trees of VCTree (Tang et al., CVPR 2019): grown from pair scores, made binary, cut into levels of equal depth.

Shapes: B images, n objects of all images together, n_i of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.transfer import to_device, to_host

IM_SCALE = 1024.0


class ArbitraryTree:
    """An object in a tree where each may have any number of children.

    Attributes:
        index: of the object in its image.
        score: mean of its pair scores as a parent.
        label: its class.
        box: its box, [4].
        parent, children: its neighbours, children in the order in which they joined.
    """

    def __init__(self, idx: int, score: float, label: int = -1, box: Tensor | None = None, is_root: bool = False):
        self.index = int(idx)
        self.is_root = is_root
        self.score = float(score)
        self.label = label
        self.box = box
        self.parent: ArbitraryTree | None = None
        self.children: list[ArbitraryTree] = []

    def add_child(self, child: ArbitraryTree) -> None:
        child.parent = self
        self.children.append(child)

    def generate_bi_tree(self) -> BiTree:
        """A node of a binary tree for the same object, without neighbours."""
        return BiTree(self.index, self.score, self.label, self.box, self.is_root)


class BasicBiTree:
    """A node of a binary tree; `index` is that of its object in the image."""

    def __init__(self, idx: int, is_root: bool = False):
        self.index = int(idx)
        self.is_root = is_root
        self.parent: BasicBiTree | None = None
        self.left_child: BasicBiTree | None = None
        self.right_child: BasicBiTree | None = None

    def add_left_child(self, child: BasicBiTree) -> None:
        if self.left_child is not None:
            raise ValueError(f"node {self.index} has a left child already, node {self.left_child.index}.")
        child.parent = self
        self.left_child = child

    def add_right_child(self, child: BasicBiTree) -> None:
        if self.right_child is not None:
            raise ValueError(f"node {self.index} has a right child already, node {self.right_child.index}.")
        child.parent = self
        self.right_child = child


class BiTree(BasicBiTree):
    """An object in a binary tree: the left child is its first child, the right child its next sibling.

    Attributes as in `ArbitraryTree`, its score is called `node_score`.
    """

    def __init__(self, idx: int, node_score: float, label: int, box: Tensor | None, is_root: bool = False):
        super().__init__(idx, is_root)
        self.node_score = float(node_score)
        self.label = label
        self.box = box


@dataclass(frozen=True)
class Levels:
    """Binary trees as arrays, for computations over all nodes of equal depth.

    Attributes:
        order: the objects level by level, roots first, int64 [n]; indices into those of all images.
        inverse: where each object stands in `order`, int64 [n].
        image: the image of each object, int64 [n].
        counts: how many objects each image has.
        sizes: number of nodes of each level.
        parent: for each level where in the level above each node's parent stands, int64 [k]; 0 for the roots.
        left, right: for each level where in the level below each node's child stands, int64 [k]; that level's length
            where there is none.
    """

    order: Tensor
    inverse: Tensor
    image: Tensor
    counts: list[int]
    sizes: list[int]
    parent: tuple[Tensor, ...]
    left: tuple[Tensor, ...]
    right: tuple[Tensor, ...]


class BiForest(list):
    """The binary trees of a batch, one per image; None for an image without objects."""

    def __init__(self, trees: Sequence[BiTree | None]):
        super().__init__(trees)
        self._levels: dict[torch.device, Levels] = {}  # several LSTMs read the same trees

    def levels(self, device: torch.device) -> Levels:
        """The levels of all trees, objects numbered through from image to image."""
        if device not in self._levels:
            self._levels[device] = cut_into_levels(self, device)
        return self._levels[device]


def cut_into_levels(trees: Sequence[BiTree | None], device: torch.device) -> Levels:
    """The nodes of binary trees by their depth; one empty level where there is no node."""
    level = [(image, tree) for image, tree in enumerate(trees) if tree is not None]
    nodes: list[tuple[int, BiTree]] = []
    sizes: list[int] = []
    parent = [0] * len(level)
    left: list[int] = []
    right: list[int] = []
    while level or not sizes:
        below = []
        absent = sum((node.left_child is not None) + (node.right_child is not None) for _, node in level)
        for position, (image, node) in enumerate(level):
            for places, child in ((left, node.left_child), (right, node.right_child)):
                places.append(absent if child is None else len(below))
                if child is not None:
                    below.append((image, child))
                    parent.append(position)
        nodes += level
        sizes.append(len(level))
        level = below

    image = np.array([image for image, _ in nodes], dtype=np.int64)
    counts = np.bincount(image, minlength=len(trees))
    order = np.array([node.index for _, node in nodes], dtype=np.int64) + (np.cumsum(counts) - counts)[image]
    rows = np.array([order, np.argsort(order), np.sort(image), parent, left, right], dtype=np.int64)
    order, inverse, image, *places = to_device(torch.from_numpy(rows), device)  # one transfer
    return Levels(order, inverse, image, counts.tolist(), sizes, *(p.split(sizes) for p in places))


def generate_forest(
    pair_scores: Sequence[Tensor], proposals: Sequence[BoxList], mode: str
) -> list[ArbitraryTree | None]:
    """A tree over the objects of each image, from how likely they are related.

    The root is the object with the highest mean score. SGB's order of growth decides the rest, see `grow_trees`; it is
    no spanning tree of an undirected graph, since the scores of a pair differ with who is the parent.

    Args:
        pair_scores: of each image, [n_i, n_i], rows the objects that may be parents.
        proposals: with the field `labels` in PredCls, else with `predict_logits`.
        mode: `predcls`, `sgcls` or `sgdet`.

    Returns:
        the root of each image's tree, None for an image without objects
    """
    sizes = [len(scores) for scores in pair_scores]
    scores = [scores.detach().float() for scores in pair_scores]
    if mode == "predcls":
        labels = [p.get_field("labels") for p in proposals]
    else:
        labels = [p.get_field("predict_logits").argmax(dim=1) for p in proposals]
    # means where the scores are, since sums elsewhere round otherwise; then one transfer for all
    parts = [part for image_scores in scores for part in (image_scores.mean(dim=1), image_scores.flatten())]
    labels, parts = to_host([torch.cat(labels), torch.cat(parts)])
    labels, parts = labels.tolist(), parts.split([length for n in sizes for length in (n, n * n)])

    batch, most = len(sizes), max(sizes, default=0)
    padded = np.full((batch, most, most), -np.inf, dtype=np.float32)
    roots = np.zeros(batch, dtype=np.int64)
    for i, n in enumerate(sizes):
        if n > 0:
            roots[i] = parts[2 * i].numpy().argmax()
            padded[i, :n, :n] = parts[2 * i + 1].view(n, n).numpy()
    forest: list[ArbitraryTree | None] = []
    for i, joined in enumerate(grow_trees(padded, np.array(sizes), roots)):
        start = sum(sizes[:i])
        nodes = [
            ArbitraryTree(k, score, labels[start + k], box, is_root=k == roots[i])
            for k, (score, box) in enumerate(zip(parts[2 * i].tolist(), proposals[i].bbox, strict=True))
        ]
        for node, parent in joined[1 : sizes[i]].tolist():
            nodes[parent].add_child(nodes[node])
        forest.append(nodes[roots[i]] if nodes else None)
    return forest


def grow_trees(scores: np.ndarray, sizes: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """The tree of each image, grown from its root by the best pair again and again.

    In each step the pair (node of the tree, node outside) with the highest score is joined; of equal ones that with the
    node that joined the tree first, then with the lowest node outside. As Prim's algorithm does, each node outside
    remembers the best node of the tree, so a step looks at nodes and not at pairs, and takes all images at once.

    Args:
        scores: of (node of the tree, node outside), [B, N, N], N the largest number of nodes.
        sizes: number of nodes of each image, [B].
        roots: [B].

    Returns:
        the nodes in the order in which they join and their parents, int64 [B, N, 2], -1 as the root's parent and where
        an image has fewer nodes
    """
    scores = np.nan_to_num(scores, nan=np.inf, posinf=np.inf, neginf=-np.inf)  # as torch.max orders NaN
    batch, most, _ = scores.shape
    image = np.arange(batch)
    joined = np.full((batch, most, 2), -1, dtype=np.int64)
    if most == 0:
        return joined
    joined[:, 0, 0] = roots
    outside = np.arange(most) < sizes[:, None]  # [B, N]
    outside[image, roots] = False
    best = scores[image, roots]  # [B, N], score of the best node of the tree for each node outside
    parent = np.repeat(roots[:, None], most, axis=1)  # [B, N], that node
    rank = np.zeros((batch, most), dtype=np.int64)  # [B, N], when that node joined
    for step in range(1, most):
        active = outside.any(axis=1)
        masked = np.where(outside, best, -np.inf)
        ties = outside & (masked == masked.max(axis=1, keepdims=True))
        node = np.where(ties, rank, most).argmin(axis=1)  # the lowest node of the earliest rank
        joined[active, step, 0] = node[active]
        joined[active, step, 1] = parent[image, node][active]
        outside[image[active], node[active]] = False
        new = scores[image, node]
        better = (new > best) & active[:, None]
        best = np.where(better, new, best)
        parent = np.where(better, node[:, None], parent)
        rank = np.where(better, step, rank)
    return joined


def arbForest_to_biForest(forest: Sequence[ArbitraryTree | None]) -> BiForest:
    """The binary tree of each tree: a node's first child on its left, its next sibling on its right."""
    return BiForest([None if tree is None else arTree_to_biTree(tree) for tree in forest])


def arTree_to_biTree(arTree: ArbitraryTree) -> BiTree:
    """The root of the binary tree."""
    root = arTree.generate_bi_tree()
    todo = [(arTree, root)]
    while todo:
        node, binary = todo.pop()
        add = binary.add_left_child
        for child in node.children:
            binary_child = child.generate_bi_tree()
            add(binary_child)
            todo.append((child, binary_child))
            add = binary_child.add_right_child
    return root


def bbox_intersection(box_a: Tensor, box_b: Tensor) -> Tensor:
    """Intersection areas of inclusive boxes [A, 4] and [B, 4]: [A, B]."""
    low = torch.maximum(box_a[:, None, :2], box_b[None, :, :2])
    high = torch.minimum(box_a[:, None, 2:], box_b[None, :, 2:])
    return (high - low + 1.0).clamp(min=0).prod(dim=2)


def bbox_overlap(box_a: Tensor, box_b: Tensor) -> Tensor:
    """IoU of inclusive boxes [A, 4] and [B, 4]: [A, B]."""
    intersection = bbox_intersection(box_a, box_b)
    area_a = (box_a[:, 2:] - box_a[:, :2] + 1.0).prod(dim=1)
    area_b = (box_b[:, 2:] - box_b[:, :2] + 1.0).prod(dim=1)
    return intersection / (area_a[:, None] + area_b - intersection + 1e-9)


def bbox_area(bbox: Tensor) -> Tensor:
    """Areas [n, 1], here without the last pixel, as in SGB."""
    return (bbox[:, 2:] - bbox[:, :2]).prod(dim=1, keepdim=True)


def get_overlap_info(proposals: Sequence[BoxList]) -> Tensor:
    """How each object overlaps those of its image: number, summed area and IoU, their means, its own area; [n, 6]."""
    rows = []
    for proposal in proposals:
        boxes = proposal.convert("xyxy").bbox
        intersection = bbox_intersection(boxes, boxes)
        count = (intersection > 0).float().sum(1, keepdim=True)
        shared = intersection.sum(1, keepdim=True) / IM_SCALE**2
        overlap = bbox_overlap(boxes, boxes).sum(1, keepdim=True)
        area = bbox_area(boxes) / IM_SCALE**2
        rows.append(torch.cat((count, shared, overlap, shared / (count + 1e-9), overlap / (count + 1e-9), area), dim=1))
    return torch.cat(rows)
