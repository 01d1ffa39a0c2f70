"""CLIP's image side adapted by RCL, as it is kept in a file and joined in evaluation (RELCLIP.VISION clip).

    logit'[p] = logit[p] + gamma * tau_CLIP (v_sp . T_sp[s, p] + v_po . T_po[p, o]) / 2 + const                (9)

Shapes: m pairs, O object classes and R predicates with background, d width of CLIP's embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.language.phrase_index import phrase_counts
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.json_files import conform
from maskrcnn_benchmark.utils.safe_pickle import load_torch, state_dict_of

from .relclip.class_vectors import ClassVectors, LearntTargets, moved_tables
from .relclip.clip_adapter import ClipAdapter
from .relclip.defaults import KEY

FILE = "clip_adapter.pth"
LEVELS = ("sp", "po")
_MOVES = "moves."  # what the names of vectors that move phrases begin with
_NONE = "no adapter that tools/adapt_clip.py wrote"


def joins_adapter(cfg) -> bool:
    """Whether a configuration joins an adapter to its predictor in evaluation."""
    head = cfg.MODEL.ROI_RELATION_HEAD
    node = head.RELCLIP
    joined = node.VISION == "clip" and node.USE_ALIGNMENT and node.ALIGNMENT_WEIGHT > 0
    return head.PREDICTOR == "RelCLIPPredictor" and joined


def adapter_file(cfg) -> Path:
    """Where the adapter of a configuration is."""
    return Path(cfg.MODEL.ROI_RELATION_HEAD.RELCLIP.ADAPTER or Path(cfg.OUTPUT_DIR) / FILE)


def save_adapter(
    path: Path,
    adapter: ClipAdapter,
    targets: nn.Module,
    counts: Tensor,
    objects: Sequence[str],
    predicates: Sequence[str],
    facts: dict,
) -> None:
    """Write what `load_adapter` reads.

    Args:
        targets: what pairs were aligned with; of it what was learnt is kept, text is not.
        counts: of the training set [O, O, R].
        objects, predicates: names without background.
        facts: for the record.
    """
    first = next(iter(adapter.residual.values()))
    content = {
        "adapter": adapter.state_dict(),
        "targets": targets.state_dict(),  # without tables of text
        "width": first[2].out_features,
        "hidden": first[0].out_features,
        "shown": {level: phrase_counts(level, counts).long() for level in LEVELS},
        "objects": list(objects),
        "predicates": list(predicates),
        "facts": facts,
    }
    with atomic_write(path) as temporary:
        torch.save(content, temporary)


def _read(path: Path) -> dict[str, Any]:
    """What `save_adapter` wrote: entries of their types, tensors that are finite.

    Raises:
        InputError: something else.
    """
    content = load_torch(str(path))
    try:
        conform(content, json_schemas.Adapter, "the entries")
        parts = ("adapter", "shown", *["targets"] * bool(content["targets"]))
        tensors = {part: state_dict_of(path, content[part], f"'{part}'") for part in parts}
        if set(content["shown"]) != set(LEVELS):
            raise InputError(f"counts of {', '.join(content['shown'])}")
    except InputError as error:
        raise InputError(f"{path} is {_NONE} ({error})") from error
    # as they are computed with, whatever the file has
    return content | {part: {k: v.float() for k, v in found.items()} for part, found in tensors.items()}


class AdaptedClip:
    """What the adapted image side says of the predicates of pairs; see `second_opinion.Opinion`.

    The file is read when the first pair is there, since a training that tests at its end writes it in between.

    Args:
        cfg: RELCLIP.ADAPTER, ALIGNMENT_WEIGHT (gamma) and SHRINKAGE are read.
        tables: phrases [O, R, d] of the levels sp and po, which the adapter may move; that of the text-free control has
            vectors of its own.
        predicates: names of those that are scored, without background.
        scale: tau.
        device: of the tower.
    """

    def __init__(self, cfg, tables: dict[str, Tensor], predicates: Sequence[str], scale: float, device: torch.device):
        node = cfg.MODEL.ROI_RELATION_HEAD.RELCLIP
        self.path, self.weight, self.shrinkage = adapter_file(cfg), node.ALIGNMENT_WEIGHT, node.SHRINKAGE
        if not 0 <= self.shrinkage < math.inf:
            raise InputError(f"{KEY}.SHRINKAGE is {self.shrinkage}; it must be 0 or more and finite")
        self.predicates, self.scale, self.device = list(predicates), scale, device
        self.adapter: ClipAdapter | None = None
        self.set_tables(tables)

    def set_tables(self, tables: dict[str, Tensor]) -> None:
        self.phrases = {level: table.to(self.device) for level, table in tables.items()}
        if self.adapter is not None:
            self.tables = self._compared()

    def __call__(self, seen: Tensor, geometry: Tensor, labels: Tensor) -> Tensor:
        adapter = self._load()
        return self.weight * self.scale * adapter.similarity(seen, geometry, self.tables, labels, self.share)

    def prediction_inputs(self) -> dict[str, object]:
        tensors = {f"adapter {name}": value for name, value in self._load().state_dict().items()}
        tensors |= {f"phrases {level}": table for level, table in self.tables.items()}
        return tensors | {f"share {level}": share for level, share in self.share.items()}

    def _load(self) -> ClipAdapter:
        if self.adapter is None:
            if not self.path.is_file():
                raise InputError(
                    f"{self.path} is not there, CLIP's image side as {KEY}.VISION clip adapts it at the end of a "
                    f"training; make it with tools/adapt_clip.py, or name one as {KEY}.ADAPTER"
                )
            content = _read(self.path)
            shown, names, width = content["shown"], list(content["predicates"]), content["width"]
            objects, vectors = len(content["objects"]) + 1, dict(content["targets"])
            moves = {name[len(_MOVES) :]: v for name, v in vectors.items() if name.startswith(_MOVES)}
            try:
                # without memory of their own, so that sizes cost nothing that the file's tensors do not have
                with torch.device("meta"):
                    adapter = ClipAdapter(width, content["hidden"], LEVELS, "constant" not in content["adapter"])
                    kind = ClassVectors if moves else LearntTargets
                    self.vectors = kind(LEVELS, objects, len(names) + 1, width) if vectors else None
                adapter.load_state_dict(content["adapter"], assign=True)
                if self.vectors is not None:
                    self.vectors.load_state_dict(moves or vectors, assign=True)
                    self.vectors.to(self.device).requires_grad_(False)
            except RuntimeError as error:
                raise InputError(f"{self.path} is {_NONE} ({' '.join(str(error).split())})") from error
            if any(count.shape != (objects, len(names) + 1) for count in shown.values()):
                raise InputError(f"{self.path} is {_NONE} (counts of {objects - 1} classes, {len(names)} predicates)")
            if isinstance(self.vectors, LearntTargets) and self.predicates != names:
                raise InputError(f"{self.path} has vectors that were learnt for other predicates than these")
            found = tuple(self.phrases["sp"].shape)
            if not isinstance(self.vectors, LearntTargets) and (found[0], found[2]) != (objects, width):
                raise InputError(
                    f"{self.path} adapts embeddings of {width} numbers for {objects - 1} object classes; found "
                    f"{found[2]} numbers and {found[0] - 1} classes: it belongs to another CLIP or data set"
                )
            place = {name: number for number, name in enumerate(names, start=1)}
            self.columns = torch.tensor([0, *(place.get(name, 0) for name in self.predicates)], device=self.device)
            self.share = {level: self._share(count.to(self.device)) for level, count in shown.items()}
            self.tables = self._compared()
            self.adapter = adapter.to(self.device).eval().requires_grad_(False)
        return self.adapter

    def _share(self, shown: Tensor) -> Tensor:
        """How much of what is learnt each scored phrase gets, n / (n + SHRINKAGE), 1 where that is 0: [O, R]."""
        none = torch.zeros(1, dtype=torch.int64, device=self.device)
        count = shown.clamp(min=0).index_fill(1, none, 0)[:, self.columns]
        return count / (count + self.shrinkage) if self.shrinkage > 0 else torch.ones_like(count)

    def _compared(self) -> dict[str, Tensor]:
        """What pairs are compared with, [O, R, d] of each level.

        A predicate that the adapter does not know is moved by its classes alone.
        """
        if self.vectors is None:
            return self.phrases
        if isinstance(self.vectors, LearntTargets):
            return self.vectors()
        sums = self.vectors.sums()
        return moved_tables(self.phrases, {x: self.share[x][..., None] * sums[x][:, self.columns] for x in LEVELS})
