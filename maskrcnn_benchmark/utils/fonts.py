"""Letters of every script in pictures and plots: fonts that have what the usual one lacks."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib
from matplotlib import font_manager

# What the extra `fonts` installs: Chinese, Japanese and Korean, and scripts of South and Southeast Asia.
PACKAGES = (
    "cvttf-notosanscjk-regular",
    "fontpkg-hind-siliguri",
    "fontpkg-noto-sans-devanagari",
    "fontpkg-noto-sans-khmer",
    "fontpkg-noto-sans-tamil",
    "fontpkg-noto-sans-telugu",
    "fontpkg-noto-sans-thai",
)
_SUFFIXES = (".ttf", ".otf", ".ttc")
_NO_LETTERS = "LastResort"  # matplotlib's font of boxes, one for each script
_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")  # Unicode's categories of controls and spaces
_told: set[str] = set()


def cover(texts: Iterable[str]) -> None:
    """Let matplotlib draw all letters of some texts.

    Fonts that have the letters which `font.family` lacks, of the extra `fonts` or of the system, are added behind it:
    matplotlib takes letter by letter from the first font that has it. Where there is none, the log says so, once.
    """
    letters = {letter for text in texts for letter in text if unicodedata.category(letter) not in _UNSEEN}
    missing = letters.difference(*map(_letters_of, _families()))
    if not missing:
        return
    for path in (*_packaged(), *_of_the_system()):
        if missing & _letters_of(path):
            font_manager.fontManager.addfont(path)
            name = font_manager.FontProperties(fname=path).get_name()
            matplotlib.rcParams["font.family"] = [*matplotlib.rcParams["font.family"], name]
            missing -= _letters_of(path)
        if not missing:
            return
    if not _told:
        logging.getLogger("maskrcnn_benchmark").warning(
            "no font here has the letters %s: they are drawn as boxes; `pip install 'relclip-sgb[fonts]'` brings fonts "
            "for Chinese, Japanese, Korean and others, and fonts of the system are found, too",
            " ".join(sorted(missing)[:20]),
        )
    _told.update(missing)


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """Within the block matplotlib does not warn of each missing letter, of which `cover` has told already."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


def _families() -> list[str]:
    """Files of the fonts that matplotlib takes letters from now."""
    families = matplotlib.rcParams["font.family"]
    return [font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families]


@functools.cache
def _letters_of(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError):  # a font of the system that is damaged or of a kind that FreeType does not read
        return frozenset()


def _packaged() -> Iterator[str]:
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            for file in importlib.metadata.files(package) or ():
                path = Path(str(file.locate()))
                if path.suffix.lower() in _SUFFIXES and path.is_file():
                    yield str(path)


def _of_the_system() -> Iterator[str]:
    """Upright fonts of usual weight."""
    for entry in font_manager.fontManager.ttflist:
        if entry.style == "normal" and entry.weight in (400, "normal", "regular") and _NO_LETTERS not in entry.fname:
            yield entry.fname
