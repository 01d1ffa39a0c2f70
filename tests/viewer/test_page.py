"""Pages of scene graphs in a headless browser: what is pointed at lights up everywhere, sliders, keys, touch, names."""

import pytest
from chromium import browser_page
from trained_model import photo

from maskrcnn_benchmark.api import Relation, SceneGraph, SceneObject
from maskrcnn_benchmark.viewer import page as graph_page

NASTY = "</script><img src=x onerror=\"document.title='hacked'\"> & 'quotes' $x_1$ {brace}"


def graph(image=None, name="man"):
    objects = [
        SceneObject(name, (10.0, 10.0, 60.0, 90.0), 0.9),
        SceneObject("horse", (20.0, 50.0, 110.0, 118.0), 0.8),
        SceneObject("street", (0.0, 100.0, 159.0, 119.0), 0.7),
        SceneObject("bird", (140.0, 2.0, 150.0, 10.0), 0.6),
    ]
    relations = [Relation(0, "riding", 1, 0.64), Relation(1, "on", 2, 0.36), Relation(1, "under", 0, 0.04)]
    return SceneGraph(160, 120, objects, relations, image or photo((160, 120)))


@pytest.fixture
def opened(tmp_path):
    """A browser with a page of the graph, by file alone: any other request fails the test."""
    graph().html(tmp_path / "graph.html", "A photo")
    with browser_page(viewport={"width": 1300, "height": 800}, has_touch=True) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto((tmp_path / "graph.html").as_uri())
        page.wait_for_selector(".sg-node")
        yield page
        assert [url for url in requests if not url.startswith("data:")] == [(tmp_path / "graph.html").as_uri()]


def lit(page) -> dict[str, list[str]]:
    """What is lit up: objects in the picture and in the graph, relations in the graph and in the list."""
    script = """selector => [...document.querySelectorAll(selector + ".sg-on")]
        .map(e => e.dataset.object ?? e.dataset.relation)"""
    return {kind: sorted(page.evaluate(script, kind)) for kind in (".sg-box", ".sg-node", ".sg-edge", ".sg-list li")}


FIRST = {".sg-box": ["0", "1"], ".sg-node": ["0", "1"], ".sg-edge": ["0"], ".sg-list li": ["0"]}
HORSE = {
    ".sg-box": ["0", "1", "2"],
    ".sg-node": ["0", "1", "2"],
    ".sg-edge": ["0", "1", "2"],
    ".sg-list li": ["0", "1", "2"],
}
NOTHING = {kind: [] for kind in FIRST}


def test_pointing_lights_up_the_same_everywhere(opened):
    assert opened.locator(".sg-list li").count() == 3 and opened.locator(".sg-box").count() == 3  # no bird
    opened.hover(".sg-list li >> nth=0")
    assert lit(opened) == FIRST
    opened.hover('.sg-edge[data-relation="0"] text')
    assert lit(opened) == FIRST
    opened.hover('.sg-node[data-object="1"]')
    assert lit(opened) == HORSE
    opened.hover('.sg-box[data-object="1"] .sg-frame', position={"x": 150, "y": 100})  # where no other box is
    assert lit(opened) == HORSE
    opened.hover("h2")
    assert lit(opened) == NOTHING and not opened.locator(".sg-picking").count()


def test_a_click_and_a_touch_hold_on(opened):
    opened.click('.sg-node[data-object="1"]')
    opened.hover(".sg-list li >> nth=0")
    assert lit(opened) == HORSE
    opened.keyboard.press("Escape")
    assert lit(opened) == NOTHING
    opened.tap(".sg-list li >> nth=0")
    assert lit(opened) == FIRST
    opened.tap(".sg-list li >> nth=0")
    assert lit(opened)[".sg-edge"] == []


def test_sliders(opened):
    set_to = "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', { bubbles: true })); }"
    opened.locator(".sg-count").evaluate(set_to, "1")
    assert opened.locator(".sg-list li").count() == opened.locator(".sg-edge").count() == 1
    assert opened.locator(".sg-node").count() == opened.locator(".sg-box").count() == 2
    opened.locator(".sg-count").evaluate(set_to, "3")
    opened.locator(".sg-least").evaluate(set_to, "50")  # a quarter of the highest score
    assert opened.locator(".sg-list li .sg-score").all_text_contents() == ["0.64", "0.36"]
    assert opened.locator(".sg-controls output").all_text_contents() == ["2 of 3", "0.16"]


def test_the_keyboard_reaches_everything(opened):
    opened.focus(".sg-list li >> nth=0")
    assert lit(opened) == FIRST
    opened.keyboard.press("ArrowDown")
    assert lit(opened)[".sg-list li"] == ["1"]
    opened.keyboard.press("Enter")
    opened.hover('.sg-node[data-object="0"]')
    assert lit(opened)[".sg-list li"] == ["1"]
    opened.keyboard.press("Escape")
    opened.focus('.sg-node[data-object="1"]')
    assert lit(opened) == HORSE


def test_names_are_text(tmp_path):
    graph_page([(NASTY, graph(name=NASTY))], NASTY, tmp_path / "nasty.html")
    with browser_page() as page:
        page.goto((tmp_path / "nasty.html").as_uri())
        page.wait_for_selector(".sg-node")
        assert page.title() == NASTY and page.inner_text("h2") == NASTY
        assert page.locator("img").count() == 0
        assert NASTY in page.locator(".sg-list .sg-chip").first.inner_text()


def test_many_graphs_and_none(tmp_path):
    empty = SceneGraph(160, 120, [], [], photo((160, 120)))
    graphs = [("first", graph()), ("without anything", empty), *((f"{i}", graph()) for i in range(6))]
    assert graph_page(iter(graphs), "All", tmp_path / "all.html") == ""
    with browser_page(viewport={"width": 500, "height": 700}) as page:  # a narrow window
        page.goto((tmp_path / "all.html").as_uri())
        page.wait_for_selector(".sg-node")
        page.locator("section >> nth=1").scroll_into_view_if_needed()
        page.wait_for_selector(".sg-none")
        assert "no objects" in page.locator("section >> nth=1").inner_text()
        page.locator("section >> nth=7").scroll_into_view_if_needed()
        page.wait_for_selector("section:nth-of-type(8) .sg-node")
        assert page.evaluate("document.documentElement.scrollWidth") <= 500


def test_dark_and_light(tmp_path):
    graph().html(tmp_path / "graph.html")
    backgrounds = []
    for scheme in ("light", "dark"):
        with browser_page(color_scheme=scheme) as page:
            page.goto((tmp_path / "graph.html").as_uri())
            page.wait_for_selector(".sg-node")
            backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(21, 24, 28)"]


def test_nodes_do_not_cover_each_other(tmp_path):
    """Twelve objects in one place."""
    objects = [SceneObject(f"object number {i}", (50.0, 50.0, 60.0, 60.0), 0.5) for i in range(12)]
    relations = [Relation(i, "near", (i + 1) % 12, 0.5) for i in range(12)]
    SceneGraph(160, 120, objects, relations, photo((160, 120))).html(tmp_path / "graph.html")
    with browser_page() as page:
        page.goto((tmp_path / "graph.html").as_uri())
        page.wait_for_selector(".sg-node")
        overlapping = page.evaluate(
            """() => {
              const boxes = [...document.querySelectorAll('.sg-node rect')].map(e => e.getBoundingClientRect());
              return boxes.some((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
                                                         && a.top < b.bottom - 1 && b.top < a.bottom - 1)); }"""
        )
        assert not overlapping
