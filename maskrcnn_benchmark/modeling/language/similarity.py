"""How similar pairs are to the phrases of their own classes: the last terms of equations 3 and 8 of docs/method.md.

Shapes: N pairs, d width of the embeddings, G groups of phrases, R predicates, background included.
"""

from __future__ import annotations

from typing import Mapping

import torch
from torch import Tensor

ROWS = 64  # of one group that are multiplied together on a GPU


def alignment(v: Mapping[str, Tensor], tables: Mapping[str, Tensor], labels: Tensor, num_objects: int) -> Tensor:
    """Cosine [N, R] of each pair with the phrases of its own classes and each predicate, the mean over levels.

    Args:
        v: unit vectors [N, d] of each level.
        tables: phrases [G, R, d] of each level.
        labels: int64 [N, 2], classes of subject and object.
        num_objects: O, background included.
    """
    subjects, objects = labels.unbind(dim=1)
    groups = {"sp": subjects, "po": objects, "spo": subjects * num_objects + objects}
    if labels.is_cuda and "spo" not in v:
        return _levels_as_one(v, tables, groups)
    return torch.stack([group_similarity(v[level], tables[level], groups[level]) for level in v]).mean(dim=0)


def _levels_as_one(v: Mapping[str, Tensor], tables: Mapping[str, Tensor], groups: Mapping[str, Tensor]) -> Tensor:
    """As `alignment`, with one table of all levels: on a GPU half as many launches."""
    num_objects, rows = len(next(iter(tables.values()))), len(next(iter(v.values())))
    group = torch.cat([groups[level] + k * num_objects for k, level in enumerate(v)])
    similarity = group_similarity(torch.cat(list(v.values())), torch.cat([tables[level] for level in v]), group)
    return similarity.view(len(v), rows, similarity.shape[1]).mean(dim=0)


def group_similarity(v: Tensor, table: Tensor, groups: Tensor) -> Tensor:
    """Cosine of each vector with all phrases of its group, without gathering [N, R, d].

    Args:
        v: unit vectors [N, d].
        table: unit vectors [G, R, d].
        groups: int64 [N], below G.

    Returns:
        [N, R]
    """
    if len(v) == 0:
        return v @ table[0].to(v.dtype).t()
    with torch.autocast(v.device.type, enabled=False):
        if v.is_cuda and len(table) <= len(v):
            return _by_blocks(v, table, groups)
        return _by_groups(v, table, groups)


def _by_groups(v: Tensor, table: Tensor, groups: Tensor) -> Tensor:
    """One product for each group that occurs: the fewest operations, and best where a launch costs nothing."""
    order = groups.argsort()
    present, sizes = torch.unique_consecutive(groups[order], return_counts=True)
    parts = v[order].split(sizes.tolist())
    # einsum, since apex in its mode O1 casts matrix products to half precision, autocast or not
    products = [
        torch.einsum("nd,rd->nr", part, table[group].to(v.dtype)) for part, group in zip(parts, present.tolist())
    ]
    return torch.cat(products)[order.argsort()]


def _by_blocks(v: Tensor, table: Tensor, groups: Tensor) -> Tensor:
    """Groups filled up to whole blocks of rows, all blocks in one product: a GPU never waits for sizes to be read."""
    num_groups = len(table)
    sizes = torch.zeros_like(groups[:1]).expand(num_groups).scatter_add(0, groups, torch.ones_like(groups))
    blocks = torch.div(sizes + ROWS - 1, ROWS, rounding_mode="floor")  # of each group
    ends = blocks.cumsum(0)
    order = groups.argsort()
    place = torch.arange(len(v), device=v.device) - (sizes.cumsum(0) - sizes)[groups[order]]  # within its group
    slot = (ends - blocks)[groups] * ROWS + torch.empty_like(place).scatter(0, order, place)
    count = len(v) // ROWS + num_groups  # as many blocks as there can be
    group_of_block = torch.searchsorted(ends, torch.arange(count, device=v.device), right=True)
    rows = v.new_zeros(count * ROWS, v.shape[1]).index_copy(0, slot, v)
    phrases = table[group_of_block.clamp(max=num_groups - 1)].to(v.dtype)  # [count, R, d]
    products = torch.einsum("bkd,brd->bkr", rows.view(count, ROWS, -1), phrases)
    return products.flatten(0, 1).index_select(0, slot)
