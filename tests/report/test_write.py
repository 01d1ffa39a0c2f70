"""The files of a report: numbers, marks, and a page that needs nothing else."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from chromium import browser_page
from run_folders import PREDICATES, write_image, write_run

from maskrcnn_benchmark.report import comparison_tables, markdown, read_run, write_report
from maskrcnn_benchmark.report.graphs import graph_rows, match_numbers, read_graphs
from maskrcnn_benchmark.report.page import page
from maskrcnn_benchmark.report.plots import smooth
from maskrcnn_benchmark.report.tables import all_cells, training_frequency
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Motifs and RelCLIP with two seeds each, and Motifs with distant labels."""
    tmp_path = tmp_path_factory.mktemp("runs")
    image = write_image(tmp_path)
    folders = [
        write_run(tmp_path / f"{model}{seed}", recall=start + 0.1 * seed, seed=seed, image=image, predictor=predictor,
                  tags={"model": model})
        for model, predictor, start in (("Motifs", "MotifPredictor", 0.2), ("RelCLIP", "RelCLIPPredictor", 0.3))
        for seed in (0, 1)
    ]  # fmt: skip
    folders.append(write_run(tmp_path / "distant", image=image, tags={"supervision": "distant"}))
    return [read_run(folder) for folder in folders]


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    """The folder of their report."""
    folder = tmp_path_factory.mktemp("out")
    write_report(runs, folder, title="Two <models>")
    return folder


class Page(HTMLParser):
    """Names, references and addresses of a page."""

    void = {"meta", "img", "link", "br", "image", "use", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in self.void:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value)

    def handle_startendtag(self, tag, attrs):
        self.void = self.void | {tag}
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_json_has_every_run_and_the_rows_with_spread(written):
    report = json.loads((written / "report.json").read_text())
    assert [entry["model"] for entry in report["runs"]] == ["Motifs", "Motifs", "RelCLIP", "RelCLIP", "Motifs"]
    assert report["runs"][1]["metrics"]["R"]["20"] == pytest.approx(0.3)
    (table,) = report["tables"]
    row = table["rows"][0]
    assert (row["model"], row["seeds"]) == ("Motifs", [0, 1])
    assert row["metrics"]["zR"]["50"] == {"mean": pytest.approx(0.35), "std": pytest.approx(0.5**0.5 / 10)}
    assert table["rows"][2]["metrics"]["zR"]["50"]["std"] is None


def test_every_file_says_where_it_comes_from(written, runs):
    report = json.loads((written / "report.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", report["made"]["date"])
    assert report["made"]["command"].startswith("python ") and re.fullmatch(
        r"[0-9a-f]{12}\+?|unknown", report["made"]["revision"]
    )
    for entry, run in zip(report["runs"], runs, strict=True):
        assert (written / entry["folder"]).resolve() == run.folder.resolve()
    for name in ("report.md", "report.html"):
        text = (written / name).read_text()
        assert f"Made on {report['made']['date']} from revision {report['made']['revision']} by: python " in text


def test_a_reference_is_compared_seed_by_seed(tmp_path):
    """RelCLIP is above by 0.3 and 0.1; under distant labels there is no reference."""
    starts = {("Motifs", 0): 0.2, ("Motifs", 1): 0.5, ("RelCLIP", 0): 0.5, ("RelCLIP", 1): 0.6}
    folders = [
        write_run(tmp_path / f"{model}{seed}", recall=recall, seed=seed, tags={"model": model})
        for (model, seed), recall in starts.items()
    ]
    folders.append(write_run(tmp_path / "distant", tags={"model": "Motifs", "supervision": "distant"}))
    runs = [read_run(folder) for folder in folders]
    tables = comparison_tables(runs, references=["RelCLIP"])
    (cells,) = (cells for cells in all_cells(tables[0]) if cells.title == "What RelCLIP has more")
    assert [row[0] for row in cells.rows] == ["Motifs"]
    assert cells.rows[0][5:] == ("+20.0 ± 14.1", "2 of 2") * 4
    assert "| R@50 difference | R@50 above | mR@50 difference |" in markdown(tables)
    assert "| +20.0 ± 14.1 | 2 of 2 |" in markdown(tables) and "has more" not in markdown(comparison_tables(runs))
    with pytest.raises(InputError, match="no model 'RelClip'"):
        comparison_tables(runs, references=["RelClip"])


def test_the_reference_is_the_model_and_none_of_its_ablations(tmp_path):
    """Wherever they are given: of three rows of RelCLIP, the one whose name says no setting."""
    changes = {"Motifs": {}, "no_rcl": {"USE_RCL": False}, "wide": {"SCALE_INIT": 5.0}, "RelCLIP": {}}
    folders = [
        write_run(
            tmp_path / name,
            tags={"model": "Motifs" if name == "Motifs" else "RelCLIP"},
            options={"MODEL.ROI_RELATION_HEAD.RELCLIP." + key: value for key, value in options.items()},
        )
        for name, options in changes.items()
    ]
    (table,) = comparison_tables([read_run(folder) for folder in folders], references=["RelCLIP"])
    (cells,) = (cells for cells in all_cells(table) if cells.title == "What RelCLIP has more")
    assert [row[0] for row in cells.rows] == ["Motifs", "RelCLIP (USE_RCL False)", "RelCLIP (SCALE_INIT 5.0)"]


def test_markdown_marks_the_best_of_each_supervision(runs, written):
    text = (written / "report.md").read_text()
    assert markdown(comparison_tables(runs)) in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert lines[0] == "| model | labels | bias | text | seeds | R@50 | mR@50 | zR@50 | F@50 |"
    lines = lines[5:]
    assert lines[0].startswith("| model | labels | bias | text | seeds | R@20 | R@50 | R@100 | mR@20")
    assert lines[2].startswith("| Motifs | full | yes | glove | 2 | 25.0 ± 7.1 | 35.0 ± 7.1 |")
    assert lines[3].startswith("| RelCLIP | full | yes | ViT-B/32 | 2 | **35.0 ± 7.1** | **45.0 ± 7.1** |")
    assert lines[4].startswith("| Motifs | distant | yes | glove | 1 | 50.0 | 60.0 |")  # alone, so not the best


def test_equal_as_printed_is_equally_good(tmp_path):
    runs = [
        read_run(write_run(tmp_path / name, recall=recall, tags={"model": name}))
        for name, recall in (("a", 0.50001), ("b", 0.5), ("c", 0.4))
    ]
    best = [all_cells(comparison_tables(chosen)[0])[0].best for chosen in (runs, runs[:2])]
    assert [row[-1] for row in best[0]] == [True, True, False]
    assert [row[-1] for row in best[1]] == [False, False]  # none is better


def test_what_was_not_measured_is_a_dash(tmp_path):
    metrics = {f"{name}@{k}": None for name in ("R", "mR", "zR", "ng-R", "ng-mR") for k in (20, 50, 100)}
    run = read_run(write_run(tmp_path / "a", seed=None, metrics=metrics, training_frequency=None))
    tables = all_cells(comparison_tables([run])[0])
    assert [cells.title for cells in tables][-1] == "Cost" and len(tables) == 6
    assert set(tables[0].rows[0][5:]) == {"–"}
    assert tables[-1].rows[0][5:] == ("1.00 M", "–", "–", "250")


def test_predicates_by_frequency(runs):
    (table,) = comparison_tables(runs)
    assert training_frequency(table) == PREDICATES
    cells = next(cells for cells in all_cells(table) if cells.title.startswith("mR@50 by"))
    # recall / (place + 1) of two places each, mean over the recalls 0.2 and 0.3
    assert cells.rows[0][-3:] == tuple(
        f"{100 * 0.25 * share:.1f} ± {100 * 0.5**0.5 / 10 * share:.1f}" for share in (3 / 4, 7 / 24, 11 / 60)
    )


def test_the_page_needs_nothing_else(written):
    text = (written / "report.html").read_text()
    parsed = Page(text)
    assert not parsed.open
    assert len(parsed.ids) == len(set(parsed.ids))
    for address in parsed.addresses:
        assert address.startswith("data:image/") or address[1:] in parsed.ids
    assert not re.search(r"url\(|@import|<script[^>]* src|https?://(?!www\.w3\.org)", text)
    assert "Two &lt;models&gt;" in text and "&lt;grass&gt;" in text
    plots = [a for a in parsed.addresses if a.startswith("data:image/svg+xml")]
    assert len(plots) == 4  # predicates and curves, for each supervision
    svg = base64.b64decode(plots[0].split(",", 1)[1]).decode()
    assert "RelCLIP" in svg and "riding" in svg


def test_pictures_show_two_models_beside_the_annotation(written):
    text = (written / "report.html").read_text()
    texts = [text.strip() for text in Page(text).texts]
    assert texts.count("2 of 3 annotated") == 6  # three images, two models
    assert texts.count("3 relations") == texts.count("A") == texts.count("B") == 3
    graphs = [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', text)]
    assert len(graphs) == 9
    marks = [relation["mark"] for graph in graphs for relation in graph["relations"]]
    assert marks.count("✓") == 12  # two hits of each model
    assert marks.count("AB") == 6  # the two relations that both found


def test_pictures_light_up_what_is_pointed_at(written):
    with browser_page(viewport={"width": 1300, "height": 900}) as shown:
        shown.goto((written / "report.html").as_uri())
        section = shown.locator("section.sg >> nth=1")
        section.scroll_into_view_if_needed()
        section.locator(".sg-list li >> nth=0").hover()
        assert section.locator(".sg-node.sg-on").count() == section.locator(".sg-box.sg-on").count() == 2
        assert shown.locator("section.sg >> nth=0").locator(".sg-on").count() == 0


@pytest.mark.parametrize(
    "references, show, expected",
    [
        ([], (), ["Motifs", "VCTree"]),
        (["RelCLIP", "VCTree"], (), ["Motifs", "RelCLIP"]),
        (["Motifs"], (), ["Motifs", "VCTree"]),
        (["RelCLIP"], ("VCTree", "Motifs"), ["VCTree", "Motifs"]),
    ],
)
def test_the_reference_stands_in_the_pictures_where_nothing_else_is_asked_for(tmp_path, references, show, expected):
    image = write_image(tmp_path)
    models = ("Motifs", "VCTree", "RelCLIP")
    folders = [write_run(tmp_path / model, image=image, tags={"model": model}) for model in models]
    text = page(comparison_tables([read_run(folder) for folder in folders], references=references), show, "Three")
    assert re.findall(r'<b class="badge">[AB]</b>(\w+)', text)[:2] == expected


def test_models_to_show_can_be_chosen(runs):
    text = page(comparison_tables(runs[2:]), ["RelCLIP"], "One")
    shown = Page(text)
    assert [each.strip() for each in shown.texts].count("2 of 3 annotated") == 3
    assert sum(address.startswith("data:image/svg+xml") for address in shown.addresses) == 2


def test_nothing_is_written_where_a_model_to_show_does_not_exist(runs, tmp_path):
    with pytest.raises(InputError, match="no model 'Motif' to show; there are Motifs, RelCLIP"):
        write_report(runs, tmp_path / "out", show=["Motif"])
    assert not (tmp_path / "out").exists()


def test_images_that_are_gone_are_said_to_be(tmp_path):
    run = read_run(write_run(tmp_path / "a"))
    (table,) = comparison_tables([run])
    assert graph_rows(table, table.settings, "x") == (
        "",
        "No graphs: the images, such as /nowhere.png, are no files below datasets (DATASETS.DATA_DIR).",
    )
    run.graphs_file.unlink()
    assert "no graphs.json" in graph_rows(table, table.settings, "x")[1]


def test_a_damaged_file_of_graphs(tmp_path):
    path = tmp_path / "graphs.json"
    for content in ("{", "[1]", '[{"image": "x"}]'):
        path.write_text(content)
        with pytest.raises(InputError, match=r"graphs \S*graphs.json"):
            read_graphs(path)


def test_detected_boxes_take_the_numbers_of_annotated_ones():
    annotated = [[0, 0, 9, 9], [20, 20, 39, 39]]
    detected = [[21, 20, 39, 39], [0, 0, 4, 4], [0, 0, 9, 8], [20, 20, 39, 39]]
    assert match_numbers(detected, annotated) == [2, 3, 0, 1]
    assert match_numbers([], annotated) == [] and match_numbers(detected, []) == [0, 1, 2, 3]
    assert match_numbers(annotated, annotated) == [0, 1]


def test_running_mean_against_brute_force():
    values = np.random.default_rng(0).random(200)
    width = 200 // 60
    expected = [values[max(0, i - width + 1) : i + 1].mean() for i in range(200)]
    np.testing.assert_allclose(smooth(values), expected)
    np.testing.assert_array_equal(smooth(values[:60]), values[:60])
