"""A table of a report as rows of text, which Markdown and HTML lay out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from .grouping import Setting, Statistic, Table

NOTHING = "–"
NAMES = {"R": "R", "mR": "mR", "zR": "zR", "ngR": "ng-R", "ngmR": "ng-mR", "ngzR": "ng-zR",
         "zR_seen_pair": "zR seen pair", "zR_new_pair": "zR new pair", "zR_unseen": "zR unseen", "F": "F", "M": "M",
         "PR": "PR"}  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """A table of text.

    Attributes:
        title, note: above and below it.
        groups: (heading, number of columns) over the columns of numbers.
        columns: headings of the tags, then of the numbers.
        rows: tags, then numbers.
        best: for each row, which of its cells are the best of their kind.
        findings: sentences of what the numbers say.
    """

    title: str
    note: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: tuple[tuple[bool, ...], ...]
    findings: tuple[str, ...] = ()


TAG_COLUMNS = ("model", "labels", "bias", "text", "seeds")


def tags_of(setting: Setting) -> tuple[str, ...]:
    return (
        setting.name, setting.supervision, "yes" if setting.bias else "no", setting.text, str(len(setting.runs))
    )  # fmt: skip


def plain_cells(
    title: str,
    note: str,
    groups: tuple[tuple[str, int], ...],
    columns: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
) -> Cells:
    """A table in which nothing is best."""
    return Cells(title, note, groups, columns, tuple(rows), tuple((False,) * len(row) for row in rows))


def percentages(
    table: Table,
    settings: Sequence[Setting],
    title: str,
    note: str,
    groups: tuple[tuple[str, int], ...],
    columns: Sequence[str],
    values: Sequence[Sequence[Statistic | None]],
    tags: Callable[[Setting], tuple[str, ...]] = tags_of,
    tag_columns: tuple[str, ...] = TAG_COLUMNS,
    kind: Callable[[Setting], Hashable] = lambda setting: setting.supervision,
) -> Cells:
    """Percentages of some rows, the best mean of each kind (supervision) marked where not all are alike.

    Where every seed has a test set of its own, rows that lack a seed are means over others and not compared.
    """
    comparable = [len(table.test_sets) == 1 or len(setting.runs) == table.most_seeds for setting in settings]
    best = [[False] * len(columns) for _ in values]
    for same in {kind(setting) for setting in settings}:
        places = [i for i, setting in enumerate(settings) if kind(setting) == same and comparable[i]]
        for column in range(len(columns)):
            # as printed: what looks equal is equally good
            shown = {i: round(100 * v.mean, 1) for i in places if (v := values[i][column]) is not None}
            for i in shown:
                best[i][column] = shown[i] == max(shown.values()) != min(shown.values())
    return Cells(
        title=title,
        note=note,
        groups=groups,
        columns=(*tag_columns, *columns),
        rows=tuple(
            (*tags(setting), *(NOTHING if value is None else value.text() for value in row))
            for setting, row in zip(settings, values, strict=True)
        ),
        best=tuple((*(False,) * len(tag_columns), *row) for row in best),
    )


def interval_text(ends: Sequence[float] | None, sign: str = "") -> str:
    return NOTHING if ends is None else " to ".join(f"{100 * end:{sign}.1f}" for end in ends)
