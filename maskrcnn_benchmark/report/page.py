"""The report as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from maskrcnn_benchmark.viewer import scripts, styles

from .cells import TAG_COLUMNS, Cells
from .graphs import graph_rows
from .grouping import Setting, Table, called, check_names
from .plots import curve_plot, predicate_plot, tradeoff_plot
from .tables import all_cells, conditions

PLOTTED = 4  # settings in a plot where nothing says which
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --paper: #fff; --line: #dcdfe4; --group: #8a929e; --soft: #5b6472;
        --accent: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #15181c; --line: #343a42; --group: #6d7682; --soft: #a3acb8; --accent: #4cc79b; }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: var(--ink);
       max-width: 1240px; margin: 0 auto; padding: 28px 24px 60px; background: var(--paper); }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 21px; margin: 44px 0 4px; padding-top: 14px; border-top: 2px solid var(--ink); }
h3 { font-size: 16px; margin: 30px 0 6px; }
p { margin: 4px 0 10px; max-width: 900px; }
.note, nav { color: var(--soft); font-size: 13.5px; }
nav a { margin-right: 16px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 4px 5px; text-align: right; }
th { font-weight: 600; }
thead tr:last-child th { border-bottom: 1.5px solid var(--ink); }
th.group { text-align: center; border-bottom: 1px solid var(--line); }
tbody tr { border-bottom: 1px solid var(--line); }
tbody tr.start { border-top: 2px solid var(--group); }
td.label, th.label { text-align: left; }
td:first-child { white-space: normal; min-width: 150px; }
td.first, th.first { padding-left: 12px; }
td.best { font-weight: 700; color: var(--accent); }
.finding { border-left: 3px solid var(--accent); padding-left: 10px; margin-top: 10px; }
.plot { display: block; max-width: 100%; margin: 4px 0 10px; background: #fff; border-radius: 4px; }
.origin { max-height: 4.5em; overflow-y: auto; }
.graphs { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: 18px;
          margin: 14px 0 34px; }
@media (prefers-color-scheme: dark) {
  .graphs .sg { --text: var(--ink); --soft: #a3acb8; --line: #343a42; --back: var(--paper); --panel: #1e2227;
                --accent: #4cc79b; }
}
.graphs .sg h2 { margin: 0 0 6px; padding: 0; border: 0; font-size: 14px; }
.graphs small { font-weight: 400; color: var(--soft); margin-left: 4px; }
.badge { display: inline-block; background: var(--accent); color: var(--paper); border-radius: 3px; padding: 0 5px;
         font-size: 11px; line-height: 1.5; margin-right: 4px; }
@media (max-width: 800px) { .graphs { grid-template-columns: 1fr; } }
"""


def page(tables: Sequence[Table], show: Sequence[str], title: str, origin: str = "") -> str:
    """The whole page.

    Args:
        show: names of models for plots and pictures, in this order; empty: the first `PLOTTED` of each supervision in
            plots, and of these the first two in pictures, or the first and the table's first reference. Of those named,
            the first two stand in the pictures.
        origin: a line below the title, of where the numbers come from.

    Raises:
        InputError: a name that no table has.
    """
    check_names(tables, show)
    sections = "\n".join(_section(table, show) for table in tables)
    links = "".join(f'<a href="#{table.task}">{escape(table.title)}</a>' for table in tables)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{styles()}</head>\n"
        f'<body><h1>{escape(title)}</h1><p class="note origin">{escape(origin)}</p><nav>{links}</nav>'
        f"\n{sections}\n{scripts()}</body></html>\n"
    )


def _section(table: Table, show: Sequence[str]) -> str:
    parts = [f'<h2 id="{table.task}">{escape(table.title)}</h2><p class="note">{escape(conditions(table))}</p>']
    parts.extend(_table(cells) for cells in all_cells(table))
    for run in (run for setting in table.settings for run in setting.runs if run.differences):
        changes = ", ".join(f"{key} {was!r} became {now!r}" for key, (was, now) in run.differences.items())
        parts.append(
            f'<p class="note">{escape(str(run.folder))} was not tested as it was trained: {escape(changes)}.</p>'
        )
    pictured: list[Setting] = []
    for supervision in dict.fromkeys(setting.supervision for setting in table.settings):
        chosen = _chosen([setting for setting in table.settings if setting.supervision == supervision], show)
        if not chosen:
            continue
        if len(chosen) > len(pictured) and len(pictured) < 2:
            pictured = _pictured(chosen, "" if show else next(iter(table.references), ""))
        every = [setting for setting in table.settings if setting.supervision == supervision]
        for heading, plot in (
            (f"Mean recall over recall, {supervision} labels", tradeoff_plot(table, every)),
            (f"Recall@{table.main_k} of each predicate, {supervision} labels", predicate_plot(table, chosen)),
            (f"Learning curves, {supervision} labels", curve_plot(table, chosen)),
        ):
            if plot:
                parts.append(f"<h3>{escape(heading)}</h3>{_embedded(plot, heading)}")
    if pictured:
        rows, note = graph_rows(table, pictured, table.task)
        if note:
            parts.append(f'<h3>Scene graphs</h3><p class="note">{note}</p>{rows}')
    return "\n".join(parts)


def _chosen(settings: Sequence[Setting], show: Sequence[str]) -> list[Setting]:
    if not show:
        return list(settings[:PLOTTED])
    return [setting for name in show for setting in called(settings, name)]


def _pictured(settings: Sequence[Setting], reference: str) -> list[Setting]:
    """The first setting, and the reference where it is among them, else the second."""
    second = called(settings[1:], reference) or settings[1:]
    return [settings[0], *second[:1]]


def _embedded(svg: str, description: str) -> str:
    """As an image, so that names within several drawings cannot meet."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img class="plot" alt="{escape(description)}" src="data:image/svg+xml;base64,{data}">'


def _table(cells: Cells) -> str:
    starts, place = {len(TAG_COLUMNS)}, len(TAG_COLUMNS)
    groups = [f'<th colspan="{len(TAG_COLUMNS)}"></th>']
    for name, width in cells.groups:
        starts.add(place)
        place += width
        groups.append(f'<th class="group" colspan="{width}">{escape(name)}</th>')

    def style(column: int, *more: str) -> str:
        names = [*more]
        if column < len(TAG_COLUMNS) - 1:
            names.append("label")
        if column in starts:
            names.append("first")
        return f' class="{" ".join(names)}"' if names else ""

    heading = "".join(f"<th{style(i)}>{escape(name)}</th>" for i, name in enumerate(cells.columns))
    body, before = [], None
    for row, best in zip(cells.rows, cells.best, strict=True):
        line = "".join(
            f"<td{style(i, *(['best'] if mark else []))}>{escape(cell)}</td>"
            for i, (cell, mark) in enumerate(zip(row, best, strict=True))
        )
        start = ' class="start"' if before not in (None, row[1]) else ""
        before = row[1]
        body.append(f"<tr{start}>{line}</tr>")
    return (
        f"<h3>{escape(cells.title)}</h3><div class='scroll'><table><thead><tr>{''.join(groups)}</tr>"
        f"<tr>{heading}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        + "".join(f'<p class="finding">{escape(sentence)}</p>' for sentence in cells.findings)
        + f'<p class="note">{escape(cells.note)}</p>'
    )
