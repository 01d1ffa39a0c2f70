"""What hostile inputs share: where they lie, what is damaged about any file, and the tools that read many of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from run_folders import write_image, write_run
from support import PARITY

DICTIONARY, IMAGES, H5 = "VG-SGG-dicts-with-attri.json", "image_data.json", "VG-SGG-with-attri.h5"
SCRIPT = "<script>alert(1)</script>"
MARKER = "ran"  # what code in an input would make, in the folder of the row


class Place(NamedTuple):
    """Where a row finds what is whole: a data set, a trained run, and its own empty folder."""

    whole: Path
    own: Path

    def data(self) -> Path:
        """A copy of the data set whose files may be changed; its images are shared."""
        folder = self.own / "data" / "vg"
        if not folder.exists():
            folder.mkdir(parents=True)
            for name in (DICTIONARY, IMAGES, H5):
                shutil.copy(PARITY / "vg" / name, folder)
            (folder / "VG_100K").symlink_to(PARITY / "vg" / "VG_100K")
        return folder

    def names(self) -> Path:
        """A dictionary of two classes and four predicates."""
        numbers = {"label_to_idx": ("man", "horse"), "predicate_to_idx": ("riding", "on", "under", "near")}
        content = {key: {name: i for i, name in enumerate(names, 1)} for key, names in numbers.items()}
        (self.own / "names.json").write_text(json.dumps(content))
        return self.own / "names.json"

    def images(self) -> Path:
        folder = self.own / "images"
        folder.mkdir(exist_ok=True)
        for name in ("a.jpg", "b.png"):
            Image.new("RGB", (40, 30), "grey").save(folder / name)
        return folder

    def run(self) -> Path:
        if not (self.own / "run").exists():
            write_run(self.own / "run", image=write_image(self.own), options={"DATASETS.DATA_DIR": str(self.own)})
        return self.own / "run"


class Row(NamedTuple):
    """An input.

    Attributes:
        kind, name: of the input.
        command: makes the input in a place, and gives the tool and its arguments.
        says: what the sentence has, as a regular expression; "" where the input is accepted.
        why: why it is accepted.
    """

    kind: str
    name: str
    command: Callable[[Place], list]
    says: str
    why: str = ""


def predict_tool(place: Place, image: Path, *more, run: Path | None = None) -> list:
    return ["predict", image, "--checkpoint", run or place.whole / "predictor", "--output", place.own / "out",
            "--device", "cpu", *more]  # fmt: skip


def test_tool(place: Place, *options) -> list:
    return ["relation_test_net", "--config-file", place.whole / "config.yaml", "OUTPUT_DIR", place.own / "out",
            "MODEL.WEIGHT", place.whole / "whole.pth", *options]  # fmt: skip


def damaged_bytes(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    return write


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (damaged_bytes(b'{"a": [1, 2'), "is cut short or no json"),
    "not utf-8": (damaged_bytes(b'{"\xff\xfe": 1}'), "is cut short or no json"),
    "binary": (damaged_bytes(bytes(range(256))), "is cut short or no json"),
    "100,000 levels": (damaged_bytes(b"[" * 100_000), "nested too deeply"),
    "100,000 levels that close": (damaged_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deeply"),
    "5,000 digits": (damaged_bytes(b'{"a": %s}' % (b"1" * 5000)), "a number of 5000 digits"),
    "NaN": (damaged_bytes(b'{"a": NaN}'), "it has NaN, which is no number"),
    "a number": (damaged_bytes(b"5"), "expected"),
    "null": (damaged_bytes(b"null"), "expected"),
    "a key twice": (damaged_bytes(b'{"a": 1, "a": 2}'), "the key 'a' twice"),
    "a list of lists": (damaged_bytes(b"[[[]]]"), "expected|of a detector"),
    "a pipe": (pipe, "is a named pipe"),
    "a device": (device, "is a device"),
    "a folder": (folder, "is a folder|is no file|has no predictions|IsADirectory"),
}
