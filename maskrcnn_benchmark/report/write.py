"""Writes a comparison: `report.json`, `report.md` and `report.html`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.utils.files import atomic_write

from .cells import Cells
from .grouping import Statistic, Table, comparison_tables
from .page import page
from .plots import tradeoff_plot
from .provenance import provenance
from .runs import METRICS, Run
from .tables import all_cells, conditions


def write_report(
    runs: Sequence[Run],
    output: str | Path,
    data_per_seed: bool = False,
    show: Sequence[str] = (),
    title: str = "Comparison of relation models",
    references: Sequence[str] = (),
    baseline: str = "",
) -> list[Table]:
    """Compare runs and write `report.json`, `report.md` and `report.html` into a folder, with date and command; and
    `tradeoff-<task>-<supervision>.svg` where rows have curves.

    Args:
        data_per_seed: see `compare`.
        show: names of models in plots and pictures, see `page`.
        references, baseline: see `compare`.

    Returns:
        the tables, which `markdown` makes into text.

    Raises:
        InputError: see `compare` and `page`; nothing is written then.
    """
    output = Path(output)
    tables = comparison_tables(runs, data_per_seed, references, baseline)
    made = provenance()
    origin = "Made on {date} from revision {revision} by: {command}".format(**made)
    contents = {
        "report.json": json.dumps({"made": made, **report(runs, tables, output)}, indent=1),
        "report.md": f"# {title}\n\n{origin}\n\n{markdown(tables)}\n",
        "report.html": page(tables, show, title, origin),
    }
    for table in tables:
        for supervision in dict.fromkeys(setting.supervision for setting in table.settings):
            rows = [setting for setting in table.settings if setting.supervision == supervision]
            if plot := tradeoff_plot(table, rows):
                contents[f"tradeoff-{table.task}-{supervision}.svg"] = plot
    for name, content in contents.items():
        with atomic_write(output / name) as path:
            path.write_text(content, encoding="utf-8")
    return tables


def report(runs: Sequence[Run], tables: Sequence[Table], output: Path) -> dict[str, Any]:
    """What `report.json` holds: every run, and the tables with mean and sample standard deviation over seeds.

    Args:
        output: the report's folder, from which the runs' folders are told.
    """
    return {
        "runs": [run.entry(output) for run in runs],
        "tables": [
            {
                "task": table.task,
                "protocol": table.protocol,
                "datasets": table.datasets,
                "test_sets": table.test_sets,
                "rows": [
                    {
                        "model": setting.model,
                        "variant": setting.variant,
                        "supervision": setting.supervision,
                        "bias": setting.bias,
                        "text": setting.text,
                        "help": setting.help,
                        "part": setting.part,
                        "curve": setting.curve,
                        "seeds": setting.seeds,
                        "metrics": {
                            name: {str(k): _plain(table.metric(setting, name, k)) for k in table.k} for name in METRICS
                        },
                        "step_ms": _plain(setting.over_runs(lambda run: run.step_ms)),
                        "inference_ms": _plain(setting.over_runs(lambda run: run.inference_ms)),
                        "params": _plain(setting.over_runs(lambda run: run.params)),
                    }
                    for setting in (*table.settings, *table.curve_points)
                ],
            }
            for table in tables
        ],
    }


def _plain(value: Statistic | None) -> dict[str, float | None] | None:
    return None if value is None else {"mean": value.mean, "std": value.std}


def markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown, the best of each column and supervision in bold."""
    parts = []
    for table in tables:
        parts.append(f"## {table.title}\n\n{conditions(table)}")
        for cells in all_cells(table):
            findings = "".join(f"**{sentence}**\n\n" for sentence in cells.findings)
            parts.append(f"### {cells.title}\n\n{_markdown(cells)}\n\n{findings}{cells.note}")
    return "\n\n".join(parts)


def _markdown(cells: Cells) -> str:
    headings = list(cells.columns)
    place = len(headings) - sum(width for _, width in cells.groups)
    for name, width in cells.groups:
        for column in range(place, place + width):
            if headings[column].startswith("@"):
                headings[column] = name + headings[column]
            elif cells.columns.count(headings[column]) > 1:
                headings[column] = f"{name} {headings[column]}"
        place += width
    lines = [headings, ["---"] * len(headings)]
    for row, best in zip(cells.rows, cells.best, strict=True):
        lines.append([f"**{cell}**" if mark else cell for cell, mark in zip(row, best, strict=True)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
