"""How much of the annotations was read and kept, and what was left out for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

KINDS = ("images", "objects", "relations")


@dataclass
class Tally:
    """What became of the images, objects and relations of one file of annotations.

    Attributes:
        file: name of the file.
        read, kept: how many of each of `KINDS`.
        left_out: (kind, reason) -> [how many, which was the first].
        notes: sentences on how the file was understood.
        needs_relations: whether a file was given for its relations alone, so that none is nothing.
    """

    file: str = ""
    read: Counter = field(default_factory=Counter)
    kept: Counter = field(default_factory=Counter)
    left_out: dict[tuple[str, str], list] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    needs_relations: bool = False

    def leave_out(self, kind: str, reason: str, example: str) -> None:
        """Count one of `KINDS` as left out; of each reason the first example is kept."""
        self.left_out.setdefault((kind, reason), [0, example])[0] += 1

    def contributed_nothing(self) -> str:
        """Of what the file contributed nothing, with the reasons, as a sentence; "" where it contributed something.

        A file must give images and objects, and relations where it lists any.
        """
        for kind in KINDS:
            if self.kept[kind] or (kind == "relations" and not self.read[kind] and not self.needs_relations):
                continue
            reasons = [
                f"{reason} ({count}, the first: {first})"
                for (what, reason), (count, first) in self.left_out.items()
                if what == kind
            ]
            return f"{self.file} contributed no {kind}: " + ("; ".join(reasons) or f"it has no {kind}")
        return ""

    def __str__(self) -> str:
        lines = [f"{'':9}" + "".join(f"{head:>10}" for head in ("read", "kept", "left out"))]
        for kind in KINDS:
            numbers = (self.read[kind], self.kept[kind], self.read[kind] - self.kept[kind])
            lines.append(f"{kind:9}" + "".join(f"{number:>10}" for number in numbers))
        for (kind, reason), (count, first) in self.left_out.items():
            lines.append(f"{kind} left out, {reason}: {count}, the first: {first}")
        return "\n".join(lines + self.notes)


def add_up(tallies: Iterable[Tally]) -> Tally:
    """The sum of several tallies; each object counts once, the name is that of the first."""
    total = Tally()
    for tally in {id(one): one for one in tallies}.values():
        total.file = total.file or tally.file
        total.read.update(tally.read)
        total.kept.update(tally.kept)
        for reason, (count, first) in tally.left_out.items():
            total.left_out.setdefault(reason, [0, first])[0] += count
        total.needs_relations |= tally.needs_relations
        total.notes += [note for note in tally.notes if note not in total.notes]
    return total
