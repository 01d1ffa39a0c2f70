"""Plots show names as they are."""

from html import unescape

import matplotlib
from run_folders import write_run

from maskrcnn_benchmark.report import comparison_tables, read_run
from maskrcnn_benchmark.report.plots import curve_plot, predicate_plot


def test_names_are_drawn_as_they_are(tmp_path):
    predicates = {"holds $5 of $10": 9, "a_b^{2": 4, "100% <in> & 'on'": 2}
    recalls = {f"{name}@{k}": dict.fromkeys(predicates, 0.5) for name in ("mR", "ng-mR") for k in (20, 50, 100)}
    models = ("_mine $x_1$", "{theirs}")
    for model in models:
        more = {"training_frequency": predicates, "recall_by_predicate": recalls}
        write_run(tmp_path / f"run{len(model)}", tags={"model": model}, **more)
    (table,) = comparison_tables([read_run(folder) for folder in sorted(tmp_path.iterdir())])
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as text
        by_predicate, curves = (unescape(plot(table, table.settings)) for plot in (predicate_plot, curve_plot))
    for text in (*predicates, *(f"{model} (mean 50.0)" for model in models)):
        assert f">{text}<" in by_predicate
    for model in models:
        assert f">{model}<" in curves
