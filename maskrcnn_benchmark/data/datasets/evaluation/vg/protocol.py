"""How numbers are counted: the protocol card that stands beside every metric.

Each field moves recalls by one to nineteen points; two numbers can be compared where all fields are equal.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from maskrcnn_benchmark.utils.errors import InputError

CHOICES = {
    "constraint": ("graph", "none"),
    "ground_truth": ("all", "distinct"),
    "average": ("images", "relations"),
    "matching": ("any", "once"),
    "unpredicted": ("skipped", "missed"),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(map(str, value))
    return "unknown" if value is None else str(value)


@dataclass(frozen=True)
class Protocol:
    """One way of counting.

    Attributes:
        name: of the card, for people.
        constraint: `graph`: the metrics without a prefix take one predicate per ordered pair; `none`: they take any
            number, as the metrics with the prefix ng- always do.
        ground_truth: `all`: a triplet counts as often as it is annotated; `distinct`: (subject, object, predicate)
            counts once.
        average: `images`: recall of each image, then the mean over images; `relations`: over all relations together.
        matching: `any`: a prediction finds every annotated relation that it matches; `once`: it finds one, that of the
            largest overlap among those that are still free, best prediction first (Lu et al., ECCV 2016).
        unpredicted: images with annotated relations and without any predicted pair are `skipped`, or all their
            relations are `missed`.
        relation_nms: threshold of the relation NMS before counting, see `relation_nms.rel_nms`; None: off. It concerns
            PredCls and SGCls only, and there the metrics without a prefix.
        iou_threshold: an IoU that both boxes of a match must reach.
        inclusive_boxes: a box from x1 to x2 is x2 - x1 + 1 wide; else x2 - x1.
        k: at how many predictions recalls are taken, ascending.
    """

    name: str
    constraint: str = "graph"
    ground_truth: str = "all"
    average: str = "images"
    matching: str = "any"
    unpredicted: str = "skipped"
    relation_nms: float | None = None
    iou_threshold: float = 0.5
    inclusive_boxes: bool = True
    k: tuple[int, ...] = (20, 50, 100)

    def __post_init__(self):
        for field, choices in CHOICES.items():
            if (value := getattr(self, field)) not in choices:
                raise InputError(f"the protocol's {field} is {value!r}; it must be one of {', '.join(choices)}")
        for field in ("iou_threshold", "relation_nms"):
            value = getattr(self, field)
            if value is not None and not (_is_number(value) and 0 < value <= 1):
                raise InputError(f"the protocol's {field} is {value!r}; it must be a number above 0, at most 1")
        if not isinstance(self.inclusive_boxes, bool):
            raise InputError(f"the protocol's inclusive_boxes is {self.inclusive_boxes!r}; it must be True or False")
        ks = self.k
        if not ks or any(type(k) is not int or k < 1 for k in ks) or list(ks) != sorted(set(ks)):
            raise InputError(f"the protocol's k is {ks!r}; it must be ascending whole numbers from 1 on")

    @property
    def max_k(self) -> int:
        return self.k[-1]

    def with_fields(self, **fields) -> Protocol:
        """The card with some fields set beside it; its name says which.

        >>> PROTOCOLS["sgb"].with_fields(average="relations", iou_threshold=0.5).name
        'sgb with average=relations'
        """
        changed = {name: value for name, value in fields.items() if getattr(self, name) != value}
        if not changed:
            return self
        said = ", ".join(f"{name}={'off' if value is None else _text(value)}" for name, value in changed.items())
        return dataclasses.replace(self, name=f"{self.name} with {said}", **changed)

    def of_task(self, task: str) -> Protocol:
        """The card as it works out for `predcls`, `sgcls` or `sgdet`: in SGDet there is no relation NMS."""
        return self if task != "sgdet" or self.relation_nms is None else dataclasses.replace(self, relation_nms=None)

    def fields(self) -> dict[str, Any]:
        """All fields as json holds them; `relation_nms` is "off" or its threshold."""
        found = dataclasses.asdict(self)
        found["relation_nms"] = self.relation_nms or "off"
        found["k"] = list(self.k)
        return found


PROTOCOLS = {
    card.name: card
    for card in (
        Protocol("sgb"),
        Protocol("visualds", ground_truth="distinct"),
        Protocol("vrd", average="relations", matching="once", unpredicted="missed"),
        Protocol("penet", relation_nms=0.6),
    )
}
# Fields of the card by their key below TEST.RELATION; None there stands for what the named card has.
KEYS = {
    "CONSTRAINT": "constraint",
    "GROUND_TRUTH": "ground_truth",
    "AVERAGE": "average",
    "MATCHING": "matching",
    "UNPREDICTED": "unpredicted",
    "RELATION_NMS": "relation_nms",
    "INCLUSIVE_BOXES": "inclusive_boxes",
    "TOP_K": "k",
}


def named_protocol(name: str, what: str = "the protocol") -> Protocol:
    """A card by its name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in PROTOCOLS:
        raise InputError(f"{what} is {name}; it must be one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_of(cfg) -> Protocol:
    """The card that TEST.RELATION.PROTOCOL names, with the fields that are set beside it.

    Raises:
        InputError: an unknown name, or a value that a field cannot have.
    """
    relation = cfg.TEST.RELATION
    card = named_protocol(relation.PROTOCOL, "TEST.RELATION.PROTOCOL")
    fields = {field: relation[key] for key, field in KEYS.items() if relation[key] is not None}
    if "relation_nms" in fields:
        fields["relation_nms"] = fields["relation_nms"] or None
    if "k" in fields:
        fields["k"] = tuple(fields["k"]) if isinstance(fields["k"], (list, tuple)) else (fields["k"],)
    return card.with_fields(iou_threshold=relation.IOU_THRESHOLD, **fields)


def card_text(card: dict[str, Any]) -> str:
    """A card as one line of `name=value`, as logs and reports show it.

    >>> card_text({"name": "sgb", "k": [20, 50], "zero_shot": {"triplets": 3}})
    'name=sgb, k=20/50, zero_shot.triplets=3'
    """
    parts = []
    for name, value in card.items():
        if isinstance(value, dict):
            parts += [f"{name}.{key}={_text(one)}" for key, one in value.items()]
        else:
            parts.append(f"{name}={_text(value)}")
    return ", ".join(parts)


def differing_field(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    """The first field in which two cards of `Protocol.fields` count differently; their names do not matter."""
    for field in (f.name for f in dataclasses.fields(Protocol)):
        if field != "name" and one.get(field) != other.get(field):
            return field
    return None
