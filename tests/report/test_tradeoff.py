"""Points held against the curve of recall and mean recall that adjusted logits draw."""

import json
import re
from html import unescape

import matplotlib
import numpy as np
import pytest
from run_folders import METRICS, write_run

from maskrcnn_benchmark.report import comparison_tables, read_run, write_report
from maskrcnn_benchmark.report.plots import tradeoff_plot
from maskrcnn_benchmark.report.tables import all_cells
from maskrcnn_benchmark.report.tradeoff import above_curve
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_schemas import HELP

CURVE = {None: (0.6, 0.2), 0.5: (0.5, 0.4), 1.0: (0.3, 0.5)}


def run_at(folder, recall, mean_recall, **tags):
    found = {f"{name}@{k}": recall for name in METRICS for k in (20, 50, 100)}
    found |= {f"mR@{k}": mean_recall for k in (20, 50, 100)}
    seed = tags.pop("seed", 0)
    tags = {name: value for name, value in tags.items() if value is not None}
    return read_run(write_run(folder, seed=seed, tags=tags, metrics=found))


@pytest.fixture
def runs(tmp_path):
    found = [
        run_at(tmp_path / f"Motifs {strength} {seed}", recall + seed / 10, mean, seed=seed, model="Motifs",
               curve=strength)
        for seed in (0, 1)
        for strength, (recall, mean) in CURVE.items()
    ]  # fmt: skip
    points = {("RelCLIP", None): [(0.55, 0.35), (0.65, 0.4)], ("RelCLIP", 1): [(0.3, 0.5), (0.8, 0.4)]}
    points["VCTree", None] = [(0.1, 0.5), (0.2, 0.5)]
    for (model, strength), places in points.items():
        for seed, place in enumerate(places):
            name = tmp_path / f"{model} {strength} {seed}"
            found.append(run_at(name, *place, seed=seed, model=model, curve=strength))
    return found


def test_above_the_curve_against_lines_between_its_points():
    curve = [(0.6, 0.2), (0.3, 0.5), (0.5, 0.4)]
    assert above_curve(0.5, 0.4, curve) == 0
    assert above_curve(0.55, 0.35, curve) == pytest.approx(0.05)
    assert above_curve(0.29, 0.5, curve) is above_curve(0.61, 0.5, curve) is None
    for recall in np.linspace(0.3, 0.6, 13):
        line = 0.5 - (recall - 0.3) * 0.5 if recall <= 0.5 else 0.4 - (recall - 0.5) * 2
        assert above_curve(recall, 0.45, curve) == pytest.approx(0.45 - line)


def test_points_are_held_against_the_curve_of_their_seed(runs):
    (table,) = comparison_tables(runs, baseline="Motifs")
    assert [setting.name for setting in table.settings] == ["Motifs", "RelCLIP", "VCTree"]
    cells = next(cells for cells in all_cells(table) if cells.title.startswith("Mean recall at the same"))
    assert [(row[0], row[3], *row[5:]) for row in cells.rows] == [
        ("Motifs", "–", "65.0 ± 7.1", "20.0 ± 0.0", "–", "–"),
        ("Motifs", "0.5", "55.0 ± 7.1", "40.0 ± 0.0", "–", "–"),
        ("Motifs", "1", "35.0 ± 7.1", "50.0 ± 0.0", "–", "–"),
        ("RelCLIP", "–", "60.0 ± 7.1", "37.5 ± 3.5", "+7.5 ± 3.5", "2 of 2"),
        ("RelCLIP", "1", "55.0 ± 35.4", "45.0 ± 7.1", "+0.0", "1 of 2"),  # the other is beyond the curve
        ("VCTree", "–", "15.0 ± 7.1", "50.0 ± 0.0", "–", "0 of 2"),
    ]
    assert all(len(cells.rows) == 3 for cells in all_cells(table) if "same recall" not in cells.title)


def test_the_plot_is_in_the_page_and_beside_it(runs, tmp_path):
    write_report(runs, tmp_path / "out", baseline="Motifs")
    svg = (tmp_path / "out" / "tradeoff-predcls-full.svg").read_text()
    assert svg.startswith("<?xml") and "mR@50" in svg and "RelCLIP" in svg
    assert "Mean recall over recall, full labels" in (tmp_path / "out" / "report.html").read_text()
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["tables"][0]["rows"]
    assert [row["curve"] for row in rows] == [None, None, None, 0.5, 1.0, 1]


@pytest.mark.filterwarnings("error")  # matplotlib's, of names that leave no room for the points
def test_rows_with_different_help_are_in_panels_and_every_model_has_one_name(tmp_path):
    models = ["Motifs", *(f"a model with a long name, number {number}, text-free control" for number in range(20))]
    found = [
        run_at(tmp_path / f"{model} {kind} {strength}", 0.5, 0.4, model=model, help=kind, curve=strength)
        for model in models
        for kind in HELP
        for strength in ((None, 0.5) if model == "Motifs" else (None,))
    ]
    (table,) = comparison_tables(found)
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as text
        svg = unescape(tradeoff_plot(table, table.settings))
    assert [svg.count(f">{name}</text>") for name in models] == [1] * len(models)
    assert [svg.count(f">help: {kind}</text>") for kind in HELP] == [1] * len(HELP)
    looks = re.findall(r'<use xlink:href="(#\w+)" x="[\d.]+" y="[\d.]+" style="(fill: #\w+; stroke: #\w+)', svg)
    assert len(set(looks)) >= len(models)  # no two look alike


def test_a_curve_without_its_model_is_one_sentence(runs):
    with pytest.raises(InputError, match="all predcls runs have the tag curve"):
        comparison_tables([run for run in runs if run.curve])
