"""The plots of a report, as SVG text that needs no other file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from maskrcnn_benchmark.utils.fonts import cover, told_once
from maskrcnn_benchmark.utils.json_schemas import HELP
from maskrcnn_benchmark.utils.visualization import COLOURS

from .grouping import Setting, Table
from .tables import recall_by_predicate, training_frequency
from .tradeoff import curve_of

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "svg.hashsalt": "report",  # the same plot gives the same file
}
_MARKERS = "osD^vPX*"
# Losses that models have in common; the total also holds those of one model only.
_SHARED_LOSS, _TOTAL_LOSS = "loss_rel", "loss"


def predicate_plot(table: Table, settings: Sequence[Setting]) -> str:
    """Recall of every predicate, from the most to the least frequent in training, above its number of labels.

    Returns:
        SVG; "" where an evaluation does not tell the frequencies.
    """
    frequency = training_frequency(table, settings[0].supervision)
    if not frequency:
        return ""
    names = sorted(frequency, key=lambda name: (-frequency[name], name))
    place = np.arange(len(names))
    cover([*names, *table.legend(settings)])
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(max(8, 0.24 * len(names) + 1.5), 5.2), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        recalls = [recall_by_predicate(setting, table.main_k) for setting in settings]
        rows = np.array([[100 * found.get(name, np.nan) for name in names] for found in recalls])
        upper.vlines(place, rows.min(0), rows.max(0), color="#c8c8c8", linewidth=1.5, zorder=1)
        drawn = {}
        for number, (label, row) in enumerate(zip(table.legend(settings), rows, strict=True)):
            style = {"color": COLOURS[number % len(COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
            (line,) = upper.plot(place, row, linestyle="none", markersize=5, **style)
            drawn[line] = f"{label} (mean {np.nanmean(row):.1f})"
        upper.set_ylabel(f"recall@{table.main_k} (%)")
        upper.set_ylim(-2, 102)
        _legend(upper, drawn, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        lower.bar(place, [frequency[name] for name in names], color="#9aa5b1", width=0.7)
        lower.set_yscale("log")
        lower.set_ylabel("training labels")
        lower.set_xticks(place, names, rotation=90, parse_math=False)
        lower.set_xlim(-0.7, len(names) - 0.3)
        for axis in (upper, lower):
            axis.grid(False, axis="x")
        return _svg(figure)


def tradeoff_plot(table: Table, settings: Sequence[Setting]) -> str:
    """Mean recall over recall: every row a point, the mean over seeds, and where its logits were adjusted a curve.

    Rows that got different help are in panels of their own, with the same axes.

    Returns:
        SVG; "" where none of them has a curve.
    """
    if all(len(curve_of(table, setting)) < 2 for setting in settings):
        return ""
    helps = sorted({setting.help for setting in settings}, key=("", *HELP).index)
    panels = {kind: [setting for setting in settings if setting.help == kind] for kind in helps}
    # the panel says the help, so that a model has one name in all of them
    labels = {kind: table.legend([replace(setting, help="") for setting in rows]) for kind, rows in panels.items()}
    names = list(dict.fromkeys(label for every in labels.values() for label in every))
    cover(names)
    columns = min(2, len(helps))
    rows_of_panels, rows_of_names = (math.ceil(len(each) / columns) for each in (helps, names))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.0 * columns, 3.4 * rows_of_panels + 0.2 * rows_of_names), layout="constrained")
        axes = figure.subplots(rows_of_panels, columns, sharex=True, sharey=True, squeeze=False).ravel()
        drawn = {}
        for axis, (kind, rows) in zip(axes, panels.items(), strict=False):
            for label, setting in zip(labels[kind], rows, strict=True):
                places = [
                    [table.metric(point, name, table.main_k) for name in ("R", "mR")]
                    for point in curve_of(table, setting)
                ]
                if any(None in place for place in places):
                    continue
                recalls, means = (np.array([100 * place[side].mean for place in places]) for side in (0, 1))
                turn, number = divmod(names.index(label), len(COLOURS))
                style = {"color": COLOURS[number], "marker": _MARKERS[(number + turn) % len(_MARKERS)]}
                if turn % 2:
                    style["markerfacecolor"] = "white"
                axis.plot(recalls, means, color=COLOURS[number], linewidth=1.4, marker=".", markersize=4)
                (drawn[label],) = axis.plot(recalls[:1], means[:1], linestyle="none", markersize=7, **style)
            axis.set_title(f"help: {kind}" if kind else "", fontsize=9, loc="left")
            axis.set_xlabel(f"R@{table.main_k} (%)")
            axis.set_ylabel(f"mR@{table.main_k} (%)")
            axis.tick_params(labelbottom=True, labelleft=True)
        for axis in axes[len(helps) :]:
            axis.set_axis_off()
        _legend(figure, {line: label for label, line in drawn.items()}, loc="outside lower center", ncols=columns)
        return _svg(figure)


def curve_plot(table: Table, settings: Sequence[Setting]) -> str:
    """Training loss and validation over iterations, each the mean over seeds.

    Returns:
        SVG; "" where no training was recorded.
    """
    curves = [_mean_curves(setting) for setting in settings]
    shared = all(_SHARED_LOSS in each for each in curves if _TOTAL_LOSS in each)
    loss = _SHARED_LOSS if shared else _TOTAL_LOSS
    panels = [(loss, "loss of the predicates" if shared else "sum of all losses", 1.0)]
    panels.append(("validation", "validation R@100 (%)", 100.0))
    panels = [panel for panel in panels if any(panel[0] in each for each in curves)]
    if not panels:
        return ""
    cover(table.legend(settings))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.2 * len(panels), 3.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels)))
        drawn = {}
        for axis, (name, title, scale) in zip(axes, panels, strict=True):
            for number, (label, each) in enumerate(zip(table.legend(settings), curves, strict=True)):
                if name not in each:
                    continue
                iterations, values = each[name]
                marker = _MARKERS[number % len(_MARKERS)] if len(values) <= 30 else ""
                colour = COLOURS[number % len(COLOURS)]
                (line,) = axis.plot(iterations, scale * smooth(values), color=colour, marker=marker, markersize=4)
                if axis is axes[0]:
                    drawn[line] = label
            if name == loss:
                # the first iterations, many times as high, would press the rest to the ground
                later = [
                    scale * smooth(each[name][1])[len(each[name][1]) // 5 :].max() for each in curves if name in each
                ]
                axis.set_ylim(0, 1.1 * max(later))
            axis.set_xlabel("iteration")
            axis.set_title(title, fontsize=9, loc="left")
        _legend(axes[0], drawn)
        return _svg(figure)


def smooth(values: np.ndarray, points: int = 60) -> np.ndarray:
    """Running mean over about a `points`-th of the values; nothing is smoothed where there are no more than that."""
    width = len(values) // points
    if width <= 1:
        return values
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - width, 0)
    return (total[end] - total[start]) / (end - start)


def _mean_curves(setting: Setting) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{name: (iterations, mean over those runs that have the curve, where all of them have a value)}."""
    found = {}
    for name in (_SHARED_LOSS, _TOTAL_LOSS, "validation"):
        curves = [dict(run.curves[name]) for run in setting.runs if name in run.curves]
        common = sorted(set.intersection(*map(set, curves))) if curves else []
        if common:
            found[name] = np.array(common), np.array([np.mean([curve[i] for curve in curves]) for i in common])
    return found


def _legend(place: Axes | Figure, labels: dict[Line2D, str], **options) -> None:
    """A legend with the labels as they are: matplotlib would leave out some and read mathematics in others."""
    legend = place.legend(list(labels), ["label"] * len(labels), frameon=False, **options)
    for text, label in zip(legend.get_texts(), labels.values(), strict=True):
        text.set_parse_math(False)
        text.set_text(label)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with told_once():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
