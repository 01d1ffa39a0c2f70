"""CLIP's image side adapted to relations by RCL: equation 9 of docs/method.md.

Shapes: N pairs, d width of CLIP's embeddings, g numbers that describe two boxes, O object classes and R predicates,
background included.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.phrase_index import phrase_components
from maskrcnn_benchmark.modeling.language.similarity import alignment, group_similarity

from .loss import accuracy

GEOMETRY = 17
NOTES = 100  # that a training makes


class SeenPairs(NamedTuple):
    """Pairs of boxes with what CLIP sees of them."""

    embedding: Tensor  # [N, d], unit vectors of the pairs' crops
    geometry: Tensor  # [N, g]
    triplets: Tensor  # int64 [N, 3], classes of subject and object, and the predicate
    weight: Tensor  # [N], how likely each is drawn, relative to the others


class ClipAdapter(nn.Module):
    """v = normalize(c + MLP(geometry)) for each level, of one hidden layer; at first v is c.

    Args:
        width: d.
        hidden: width of the hidden layer.
        levels: sp, po.
        picture: False: it sees the geometry alone, with a constant unit vector in place of c.
    """

    constant: Optional[Tensor]

    def __init__(self, width: int, hidden: int, levels: Sequence[str], picture: bool = True) -> None:
        super().__init__()
        self.register_buffer("constant", None if picture else torch.full((width,), width**-0.5))
        self.residual = nn.ModuleDict({level: _residual(hidden, width) for level in levels})

    def forward(self, geometry: Tensor) -> Dict[str, Tensor]:
        """What each level adds to c, [N, d]."""
        return {level: residual(geometry) for level, residual in self.residual.items()}

    def start(self, embedding: Tensor) -> Tensor:
        """c: CLIP's embeddings, or without the picture the same unit vector for all pairs, [N, d]."""
        return embedding if self.constant is None else self.constant.to(embedding).expand_as(embedding)

    def embed(self, embedding: Tensor, geometry: Tensor) -> Dict[str, Tensor]:
        """v of each level, unit vectors [N, d]."""
        start = self.start(embedding)
        return {level: F.normalize(start + r, dim=-1) for level, r in self(geometry).items()}

    def similarity(
        self,
        embedding: Tensor,
        geometry: Tensor,
        tables: Mapping[str, Tensor],
        labels: Tensor,
        share: Mapping[str, Tensor],
    ) -> Tensor:
        """Cosine [N, R] of each pair with the phrases of its own classes and each predicate, the mean over levels.

        A phrase t is compared with normalize(c + share(t) MLP): what training shows seldom is left to CLIP as it is.

        Args:
            tables: phrases [O, R, d] of each level.
            labels: int64 [N, 2], classes of subject and object.
            share: of each level, [O, R] in 0 to 1.
        """
        found, start = [], self.start(embedding)
        for level, residual in self(geometry).items():
            group = labels[:, 0 if level == "sp" else 1]
            part = share[level].to(residual)[group]  # [N, R]
            along = group_similarity(start, tables[level], group)
            further = group_similarity(residual, tables[level], group)
            square = 1 + 2 * part * (start * residual).sum(dim=1, keepdim=True)
            square = square + part**2 * residual.square().sum(dim=1, keepdim=True)
            found.append((along + part * further) / square.clamp(min=1e-12).sqrt())
        return torch.stack(found).mean(dim=0)


def _residual(hidden: int, width: int) -> nn.Sequential:
    last = nn.Linear(hidden, width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(GEOMETRY, hidden), nn.ReLU(), last)


def pair_geometry(subjects: Tensor, objects: Tensor, size: Tuple[float, float]) -> Tensor:
    """Numbers that describe two boxes, whatever the size of the image: [N, 17].

    Args:
        subjects, objects: x1, y1, x2, y2 in pixels, [N, 4].
        size: width and height of the image.

    Returns:
        both boxes and the centre of the object as seen from the subject, in shares of the image and of the subject's
        sides; logarithms of the ratios of sides; both areas; overlap as a share of the union, the subject and the
        object
    """
    scale = subjects.new_tensor([size[0], size[1], size[0], size[1]])
    first, second = subjects / scale, objects / scale
    sides = [(box[:, 2:] - box[:, :2]).clamp(min=1e-3) for box in (first, second)]
    areas = [side.prod(dim=1, keepdim=True) for side in sides]
    offset = (second[:, :2] + second[:, 2:] - first[:, :2] - first[:, 2:]) / 2
    common = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    overlap = common.prod(dim=1, keepdim=True)
    union = areas[0] + areas[1] - overlap
    return torch.cat(
        [
            first,
            second,
            (offset / sides[0]).clamp(-5, 5),
            (sides[1] / sides[0]).log(),
            *areas,
            *(overlap / area.clamp(min=1e-6) for area in (union, *areas)),
        ],
        dim=1,
    )


def fit_adapter(
    adapter: ClipAdapter,
    targets: nn.Module,
    losses: Any,
    pairs: SeenPairs,
    scale: float,
    steps: int,
    batch: int,
    rate: float,
    log: Optional[Callable[[int, Dict[str, float]], None]] = None,
) -> float:
    """Train an adapter by RCL alone.

    Args:
        adapter, targets: what learns; text has nothing to learn.
        losses: RCL by level, see `loss.level_losses`.
        pairs: foreground pairs of the training set.
        scale: tau, that of CLIP.
        steps, batch, rate: of AdamW, whose rate falls to zero along half a cosine.
        log: called some `NOTES` times with the number of steps done and what the last one said, by the names that these
            numbers have in a relation model's training.

    Returns:
        the mean loss over the last tenth of the steps.
    """
    parameters = [*adapter.parameters(), *targets.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    tau = pairs.embedding.new_tensor(scale)
    last = []
    for step in range(steps):
        rows = torch.multinomial(pairs.weight, batch, replacement=True)
        v = adapter.embed(pairs.embedding[rows], pairs.geometry[rows])
        tables = targets()
        triplets = pairs.triplets[rows]
        parts = {
            level: rcl(v[level], tau, tables[level], phrase_components(level, triplets))["loss"]
            for level, rcl in losses.items()
        }
        loss = torch.stack(list(parts.values())).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step >= steps - max(1, steps // 10):
            last.append(float(loss.detach()))
        if log is not None and (step + 1) % max(1, steps // NOTES) == 0:
            with torch.no_grad():
                similarity = alignment(v, tables, triplets[:, :2], next(iter(losses.values())).num_objects)
                noted = {f"loss_rcl_{level}": part / len(parts) for level, part in parts.items()}
                noted.update(loss=loss, tau=tau, alignment_accuracy=accuracy(similarity, triplets))
                log(step + 1, {name: float(value) for name, value in noted.items()})
    return sum(last) / len(last)
