"""Recall against mean recall: what a model has above the curve that adjusting another's logits draws.

Adjusting logits after the training trades recall for mean recall at no cost, so that a model is worth something where
it lies above that curve, not where it has moved along it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cells import NOTHING, Cells, plain_cells
from .grouping import Setting, Table, called, statistic
from .runs import Run

_TAGS = ("model", "help", "labels", "strength", "seeds")


def above_curve(recall: float, mean_recall: float, curve: Sequence[tuple[float, float]]) -> float | None:
    """How much more mean recall a point has than a curve at the same recall, linearly between its points.

    Args:
        curve: (recall, mean recall) of its points, in any order.

    Returns:
        None beyond the curve's ends.

    >>> above_curve(0.5, 0.5, [(0.4, 0.6), (0.6, 0.2)])
    0.1
    """
    recalls, means = np.array(sorted(curve)).T
    if not recalls[0] <= recall <= recalls[-1]:
        return None
    return round(float(mean_recall - np.interp(recall, recalls, means)), 12)


def curve_of(table: Table, setting: Setting) -> list[Setting]:
    """A row and the points of its curve, by rising strength; of rows with the same tags the first has it."""
    same = _same_model(setting)
    if next(other for other in table.settings if _same_model(other) == same) is not setting:
        return [setting]
    return [setting, *(point for point in table.curve_points if _same_model(point) == same)]


def baseline_of(table: Table, setting: Setting) -> Setting | None:
    """The row whose curve another one is held against: the baseline's (or else the first that has a curve) of the same
    supervision and help; None where there is none."""
    fair = [s for s in table.settings if (s.supervision, s.help) == (setting.supervision, setting.help)]
    candidates = called(fair, table.baseline) if table.baseline else fair
    return next((other for other in candidates if len(curve_of(table, other)) > 1), None)


def tradeoff_cells(table: Table) -> Cells | None:
    """Every row and every point of a curve with what it has above the baseline's; None where no row has a curve."""
    if not table.curve_points:
        return None
    k, rows = table.main_k, []
    for setting in table.settings:
        base = baseline_of(table, setting)
        for point in curve_of(table, setting):
            above = [] if base is None or base is setting else _above(point, curve_of(table, base), k)
            inside = [value for value in above if value is not None]
            mean = statistic(inside)
            numbers = [table.metric(point, name, k) for name in ("R", "mR")]
            rows.append((
                setting.label, setting.help or NOTHING, setting.supervision,
                NOTHING if point.curve is None else f"{point.curve:g}", str(len(point.runs)),
                *(NOTHING if number is None else number.text() for number in numbers),
                NOTHING if mean is None else mean.text(sign="+"),
                f"{len(inside)} of {len(above)}" if above else NOTHING,
            ))  # fmt: skip
    return plain_cells(
        title=f"Mean recall at the same recall, at {k}",
        note="In %. Strength: of the adjustment of logits in the test, which trades recall for mean recall. Above: how "
        "much more mean recall a row has than the curve of "
        f"{table.baseline or 'the first model that has one'} with the same help at the same recall, linearly between "
        "its points, in points; over those seeds in which the curve reaches that recall.",
        groups=((f"R@{k}", 1), (f"mR@{k}", 1), (f"mR@{k} above the curve", 2)),
        columns=(*_TAGS, f"R@{k}", f"mR@{k}", "above", "of seeds"),
        rows=rows,
    )


def _above(point: Setting, curve: Sequence[Setting], k: int) -> list[float | None]:
    """What each seed's point has above the curve of that seed; None beyond its ends."""
    found = []
    for run in point.runs:
        same = [other for setting in curve for other in setting.runs if other.seed == run.seed]
        places = [place for place in (_place(other, k) for other in same) if place is not None]
        here = _place(run, k)
        found.append(above_curve(*here, places) if here is not None and len(places) == len(curve) else None)
    return found


def _place(run: Run, k: int) -> tuple[float, float] | None:
    recall, mean_recall = run.metrics["R"][str(k)], run.metrics["mR"][str(k)]
    return None if recall is None or mean_recall is None else (recall, mean_recall)


def _same_model(setting: Setting) -> tuple:
    return setting.model, setting.supervision, setting.help, setting.part, setting.text, setting.bias
