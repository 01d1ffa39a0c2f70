"""Letters that the usual font lacks come from another one, or are told of once."""

import importlib.metadata
import logging
import warnings
from pathlib import Path

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from maskrcnn_benchmark.utils import fonts
from maskrcnn_benchmark.utils.visualization import image_figure, save_figure

LETTER = "\U0010ff00"  # in the last of Unicode's private areas, where no font of a system has anything


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(fonts, "_told", set())
    known = list(font_manager.fontManager.ttflist)
    with matplotlib.rc_context():
        yield
    font_manager.fontManager.ttflist[:] = known


def write_font(path, letter, width):
    """A font with one letter, a filled square."""
    pen = TTGlyphPen(None)
    for move, point in (("moveTo", (0, 0)), ("lineTo", (0, 900)), ("lineTo", (900, 900)), ("lineTo", (900, 0))):
        getattr(pen, move)(point)
    pen.closePath()
    square, builder = pen.glyph(), FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "square": (width, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "One Letter", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


def test_a_letter_comes_from_a_font_that_has_it(tmp_path, monkeypatch, caplog):
    path = write_font(tmp_path / "one.ttf", LETTER, 950)
    monkeypatch.setattr(fonts, "_packaged", lambda: iter([path]))
    before = list(matplotlib.rcParams["font.family"])
    fonts.cover(["cat", "à côté de", " \n"])
    assert matplotlib.rcParams["font.family"] == before
    fonts.cover(["cat", LETTER])
    fonts.cover([LETTER])
    assert matplotlib.rcParams["font.family"] == [*before, "One Letter"] and not caplog.records
    figure = Figure(figsize=(1, 1), dpi=50)
    figure.text(0.2, 0.2, LETTER, fontsize=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "a.png")
    assert sum(pixel == 0 for pixel in Image.open(tmp_path / "a.png").convert("L").tobytes()) > 200  # the square


def test_letters_that_no_font_has_are_told_of_once(tmp_path, caplog):
    boxes = [[5, 5, 40, 40], [10, 10, 50, 50]]
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "maskrcnn_benchmark"):
        warnings.simplefilter("error")
        for _ in range(2):
            figure = image_figure(Image.new("RGB", (60, 60)), boxes, [LETTER, "cat"], [(0, LETTER, 1)])
            save_figure(figure, tmp_path / "a.png")
    (record,) = caplog.records
    assert LETTER in record.getMessage() and "pip install 'relclip-sgb[fonts]'" in record.getMessage()


def test_fonts_of_the_extra_are_found_where_they_are_installed(monkeypatch, tmp_path):
    class File:
        def __init__(self, name):
            self.name = name

        def locate(self):
            return tmp_path / self.name

    path = write_font(tmp_path / "one.ttf", LETTER, 950)
    installed = {fonts.PACKAGES[1]: [File("one.ttf"), File("LICENSE"), File("gone.otf")], fonts.PACKAGES[2]: None}

    def files(package):
        if package not in installed:
            raise importlib.metadata.PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(importlib.metadata, "files", files)
    assert list(fonts._packaged()) == [path]


def test_the_extra_names_these_packages():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    names = {one.split(">")[0].split("=")[0].lower() for one in project["optional-dependencies"]["fonts"]}
    assert names == set(fonts.PACKAGES)
