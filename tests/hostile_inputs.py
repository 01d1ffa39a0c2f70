"""Inputs that nobody should trust: what each is, how it is made, which tool reads it, and what the tool must say.

Readers of json are crossed with damages that any such file can have; what a format alone can have follows by kind.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from annotation_files import COCO, GRAPHS, REL, VRD
from PIL import Image
from run_folders import DATASET, write_image, write_run
from support import PARITY

from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank

DICTIONARY, IMAGES, H5 = "VG-SGG-dicts-with-attri.json", "image_data.json", "VG-SGG-with-attri.h5"
PSG = {
    "thing_classes": ["man"], "stuff_classes": ["sky"], "predicate_classes": ["under"],
    "data": [{"image_id": 1, "file_name": "a.jpg", "width": 40, "height": 30, "relations": [[0, 1, 0]],
              "annotations": [{"bbox": [0, 0, 9, 9], "category_id": 0}, {"bbox": [0, 0, 30, 20], "category_id": 1}]}],
}  # fmt: skip
KNOWLEDGE = {"man_horse": {"riding": 3, "on": 1}}
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


# -- json: readers times damages ---------------------------------------------------------------------------------------
def _validate(name: str) -> Callable:
    def command(place: Place, write: Callable[[Path], None]) -> list:
        write(place.data() / name)
        return ["validate_dataset", "--data-dir", place.own / "data", "--skip-images", "--num-val-im", 10]

    return command


def _convert(style: str, *more: str, **files) -> Callable:
    def command(place: Place, write: Callable[[Path], None]) -> list:
        for name, content in files.items():
            (place.own / f"{name}.json").write_text(json.dumps(content))
        write(place.own / "in.json")
        named = [place.own / word[1:] if word.startswith("@") else word for word in more]
        options = ["--train" if word == "TRAIN" else word for word in named]
        return ["build_dataset", style, *options, "--images", place.images(), "--output", place.own / "out"]

    return command


def _label(place: Place, write: Callable[[Path], None]) -> list:
    write(place.own / "in.json")
    return ["distant_label", "--h5", PARITY / "vg" / H5, "--dictionary", PARITY / "vg" / DICTIONARY, "--knowledge-base", place.own / "in.json",
            "--output", place.own / "out.h5"]  # fmt: skip


def _knowledge(option: str, suffix: str = "json") -> Callable:
    def command(place: Place, write: Callable[[Path], None]) -> list:
        write(place.own / f"in.{suffix}")
        (place.own / "triplets.json").write_text(json.dumps([["man", "riding", "horse"]]))
        more = [] if option in ("--captions", "--triplets") else ["--triplets", place.own / "triplets.json"]
        return ["build_knowledge_base", "--dictionary", place.names(), option, place.own / f"in.{suffix}",
                *more, "--least", 1, "--output", place.own / "out.json"]  # fmt: skip

    return command


def _compare(name: str) -> Callable:
    def command(place: Place, write: Callable[[Path], None]) -> list:
        path = place.run() / name
        write(path)
        if path.name == "metrics.json" and path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes() + b"\n")  # else the line counts as one that is just being written
        return ["compare", place.run(), "--output", place.own / "report"]

    return command


def _boxes(place: Place, write: Callable[[Path], None]) -> list:
    write(place.own / "in.json")
    return _predict(place, place.images() / "a.jpg", "--boxes", place.own / "in.json")


def _predict(place: Place, image: Path, *more, run: Path | None = None) -> list:
    return ["predict", image, "--checkpoint", run or place.whole / "predictor", "--output", place.own / "out",
            "--device", "cpu", *more]  # fmt: skip


def _test(place: Place, *options) -> list:
    return ["relation_test_net", "--config-file", place.whole / "config.yaml", "OUTPUT_DIR", place.own / "out",
            "MODEL.WEIGHT", place.whole / "whole.pth", *options]  # fmt: skip


def _zero_shot(place: Place, write: Callable[[Path], None]) -> list:
    write(place.own / "in.json")
    return _test(place, "TEST.RELATION.ZERO_SHOT_TRIPLETS", place.own / "in.json")


RESULTS = f"inference/{DATASET}/"
READERS: dict[str, tuple[Callable, object]] = {  # command, and a content that is whole
    "dictionary": (_validate(DICTIONARY), None),
    "image list": (_validate(IMAGES), None),
    "vrd": (_convert("vrd", "TRAIN", "@in.json", "--objects", "@objects.json", "--predicates", "@predicates.json",
                     objects=["man", "horse"], predicates=["rides", "under"]), VRD),
    "vrd names": (_convert("vrd", "TRAIN", "@vrd.json", "--objects", "@in.json", "--predicates", "@predicates.json",
                           vrd=VRD, predicates=["rides", "under"]), ["man", "horse"]),
    "coco": (_convert("coco", "TRAIN", "@in.json"), COCO),
    "reltr": (_convert("coco", "TRAIN", "@coco.json", "--relations", "@in.json", coco=COCO), REL),
    "psg": (_convert("psg", "TRAIN", "@in.json"), PSG),
    "graphs": (_convert("json", "TRAIN", "@in.json"), GRAPHS),
    "knowledge base": (_label, KNOWLEDGE),
    "synonyms": (_knowledge("--synonyms"), {"man": ["gentleman"]}),
    "triplets": (_knowledge("--triplets"), [["man", "riding", "horse"]]),
    "captions": (_knowledge("--captions", "jsonl"), "a man riding a horse"),
    "other knowledge base": (_knowledge("--compare"), KNOWLEDGE),
    "zero-shot": (_zero_shot, [["man", "horse", "riding"]]),
    "evaluation": (_compare(RESULTS + "evaluation.json"), None),
    "run file": (_compare("run.json"), {"model": "Mine"}),
    "cost": (_compare(RESULTS + "cost.json"), {"device": "cpu"}),
    "metrics": (_compare("metrics.json"), {"iteration": 1, "loss": 2.0}),
    "kept graphs": (_compare(RESULTS + "graphs.json"), None),
    "boxes": (_boxes, {"a.jpg": {"boxes": [[1, 1, 20, 20], [5, 5, 30, 25]], "labels": ["man", "horse"]}}),
}  # fmt: skip
LINES = ("captions", "metrics")  # one json each line


def _bytes(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    return write


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (_bytes(b'{"a": [1, 2'), "is cut short or no json"),
    "not utf-8": (_bytes(b'{"\xff\xfe": 1}'), "is cut short or no json"),
    "binary": (_bytes(bytes(range(256))), "is cut short or no json"),
    "100,000 levels": (_bytes(b"[" * 100_000), "nested too deeply"),
    "100,000 levels that close": (_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deeply"),
    "5,000 digits": (_bytes(b'{"a": %s}' % (b"1" * 5000)), "a number of 5000 digits"),
    "NaN": (_bytes(b'{"a": NaN}'), "it has NaN, which is no number"),
    "a number": (_bytes(b"5"), "expected"),
    "null": (_bytes(b"null"), "expected"),
    "a key twice": (_bytes(b'{"a": 1, "a": 2}'), "the key 'a' twice"),
    "a list of lists": (_bytes(b"[[[]]]"), "expected|of a detector"),
    "a pipe": (_pipe, "is a named pipe"),
    "a device": (_device, "is a device"),
    "a folder": (_folder, "is a folder|is no file|has no predictions|IsADirectory"),
}


def _json_rows() -> Iterator[Row]:
    for reader, (command, _) in READERS.items():
        for damage, (write, says) in DAMAGES.items():
            yield Row(f"json: {reader}", damage, lambda place, c=command, w=write: c(place, w), says)


def _changed(reader: str, name: str, says: str, *path, value=..., why: str = "") -> Row:
    """A row whose json is whole but for one value; without a value the entry is missing."""
    command, whole = READERS[reader]

    def write(target: Path) -> None:
        content = copy.deepcopy(json.loads(target.read_text()) if whole is None else whole)
        inner = content
        for step in path[:-1]:
            inner = inner[step]
        if value is ...:
            del inner[path[-1]]
        elif path:
            inner[path[-1]] = value
        else:
            content = value
        target.write_text(json.dumps(content))

    return Row(f"json: {reader}", name, lambda place: command(place, write), says, why)


SCRIPT = "<script>alert(1)</script>"
_ESCAPED = "names may have any visible letters; the report escapes them"


def _changed_rows() -> Iterator[Row]:
    yield _changed("dictionary", "name with a line end", "label_to_idx.*a name", "label_to_idx", "a\nb", value=1)
    yield _changed("dictionary", "numbers as text", "expected a whole number", "label_to_idx", "man", value="1")
    yield _changed("dictionary", "number 10^30", "expected a whole number", "predicate_to_idx", "on", value=10**30)
    yield _changed("dictionary", "attributes a number", "expected an object", "attribute_to_idx", value=5)
    yield _changed("dictionary", "mark that turns the line", "a name", "label_to_idx", "a\u202eb", value=1)
    yield _changed("image list", "width text", "width: expected a number", 0, "width", value="5")
    yield _changed("image list", "width 0", "width: expected a number >= 1", 0, "width", value=0)
    yield _changed("image list", "height 10^300", "height: expected a number <= ", 0, "height", value=1e300)
    yield _changed("image list", "id with a folder", "image_id", 0, "image_id", value="../../1000")
    yield _changed("image list", "no id", "missing required field image_id", 0, "image_id")
    for reader, path in (("graphs", ("a.jpg", "objects", 0, "box")), ("coco", ("annotations", 1, "bbox"))):
        yield _changed(reader, "box 1e308", "expected a number <= ", *path, 0, value=1e308)
        yield _changed(reader, "box 10^39", "expected a number <= |out of range", *path, 1, value=10**39)
        yield _changed(reader, "box of three", "a list of length 4", *path, value=[1, 2, 3])
        yield _changed(reader, "box of text", "expected a number", *path, value=["1", "2", "3", "4"])
        yield _changed(reader, "box of bool", "expected a number", *path, 0, value=True)
    graph = ("a.jpg", "relations", 0)
    yield _changed("graphs", "name of the background", "is the background", "a.jpg", "objects", 0, "name",
                   value="__background__")  # fmt: skip
    yield _changed("graphs", "name with a line end", "a name", "a.jpg", "objects", 0, "name", value="a\n" + SCRIPT)
    yield _changed("graphs", "relation to nobody", "must be a number from 0 to 1", *graph, "object", value=999)
    yield _changed("graphs", "relation to -1", "expected a whole number >= 0", *graph, "object", value=-1)
    yield _changed("graphs", "relation with itself", "", *graph, "object", value=0, why="left out, and counted aloud")
    yield _changed("graphs", "box reversed", "contributed no relations: their subject or object was left out",
                   "a.jpg", "objects", 0, "box", value=[12, 9, 2, 0])  # fmt: skip
    yield _changed("graphs", "traversal", "must be the name of a file in one of", value={"../a.jpg": GRAPHS["a.jpg"]})
    yield _changed("graphs", "absolute", "is in none of", value={"/etc/passwd": GRAPHS["a.jpg"]})
    yield _changed("graphs", "name of 5,000 letters", "expected", value={"a" * 5000: GRAPHS["a.jpg"]})
    yield _changed("coco", "file name with traversal", "must be the name", "images", 0, "file_name", value="../a.jpg")
    yield _changed("coco", "image id twice", "comes twice", "images", 1, "id", value=7)
    yield _changed("coco", "image id twice, once as text", "comes twice", "images", 1, "id", value="7")
    yield _changed("coco", "category ids twice", "comes twice", "categories", 1, "id", value=3)
    yield _changed("coco", "names twice", "comes twice", "categories", 1, "name", value="man")
    yield _changed("coco", "id a list", "expected", "annotations", 1, "id", value=[1])
    yield _changed("coco", "subject unknown", "is in no annotation", "relations", 0, "subject_id", value=999)
    yield _changed("coco", "width negative", "expected a number >= 1", "images", 0, "width", value=-40)
    yield _changed("reltr", "predicate 10^6", "must be a number from 0", "train", "7", 0, value=[0, 1, 10**6])
    yield _changed("reltr", "rows of text", "expected", "train", "7", 0, value="abc")
    yield _changed("reltr", "no split", "it is missing", "train")
    yield _changed(
        "psg", "category 7", "must be a number from 0 to 1", "data", 0, "annotations", 0, "category_id", value=7
    )
    yield _changed("psg", "mode 4", "bbox_mode", "data", 0, "annotations", 0, "bbox_mode", value=4)
    yield _changed("vrd", "category -1", "expected a whole number >= 0", "a.jpg", 0, "subject", "category", value=-1)
    yield _changed("vrd", "category missing", "missing required field category", "a.jpg", 0, "subject", "category")
    yield _changed("vrd names", "empty", "expected a list of length >= 1", value=[])
    yield _changed("knowledge base", "count -1", "expected a number >= 0", "man_horse", "riding", value=-1)
    yield _changed("knowledge base", "count 1e400", "expected|is no number", "man_horse", "riding", value=float("inf"))
    yield _changed("knowledge base", "key of 10^5 _", "expected a text of length <= 400", "_" * 10**5, value=["on"])
    yield _changed("knowledge base", "invisible marks", "a name", "man\u200b_horse", value=["on"])
    yield _changed("knowledge base", "NUL", "a name", "man\0_horse", value=["on"])
    yield _changed("zero-shot", "empty", "lists no triplet", value=[])
    yield _changed("zero-shot", "rows of two", "length 3", 0, value=["man", "horse"])
    yield _changed("zero-shot", "class 10^6", "has the class 1000000", 0, 0, value=10**6)
    yield _changed("evaluation", "task a script", "Invalid enum value|invalid enum value", "task", value=SCRIPT)
    yield _changed("evaluation", "metric text", "expected float", "metrics", "R@20", value="high")
    yield _changed("evaluation", "metric negative", "expected.*>= 0", "metrics", "R@20", value=-1)
    yield _changed("evaluation", "protocol text", "expected an object", "protocol", value=SCRIPT)
    yield _changed("evaluation", "no k", "expected a list of length >= 1", "protocol", "k", value=[])
    for entry in ("metrics", "test_set", "recall_by_predicate"):
        yield _changed("evaluation", f"no {entry}", f"missing required field {entry}", entry)
    yield _changed(
        "evaluation", "predicate a script", "", "recall_by_predicate", "mR@20", SCRIPT, value=0.5, why=_ESCAPED
    )
    yield _changed("run file", "model a script", "", "model", value=SCRIPT, why=_ESCAPED)
    yield _changed("run file", "supervision a script", "", "supervision", value=SCRIPT, why=_ESCAPED)
    yield _changed("run file", "seed huge", "expected a whole number", "seed", value=10**30)
    yield _changed("run file", "seed text", "seed: expected a whole number", "seed", value="1")
    yield _changed("cost", "parameters -1", "expected.*>= 0", "predictor_parameters", value=-1)
    yield _changed("metrics", "value text", "expected", "loss", value="low")
    yield _changed("metrics", "no iteration", "missing required field iteration", "iteration")
    yield _changed("kept graphs", "width text", "expected a number", 0, "width", value="60")
    yield _changed("kept graphs", "subject 999", "a relation of an object that is not there", 0, "prediction", "relations",
                   0, "subject", value=999)  # fmt: skip
    yield _changed(
        "kept graphs", "match 999", "must be places among", 0, "prediction", "relations", 0, "matches", value=[999]
    )
    yield _changed("kept graphs", "names too few", "boxes, but", 0, "prediction", "names", value=["man"])
    yield _changed("kept graphs", "no prediction", "missing required field prediction", 0, "prediction")
    yield _changed("kept graphs", "predicate a script", "", 0, "prediction", "relations", 0, "predicate", value=SCRIPT,
                   why=_ESCAPED)  # fmt: skip
    yield _changed(
        "kept graphs", "image /dev/zero", "", 0, "image", value="/dev/zero", why="said in the report, not shown"
    )
    yield _changed("kept graphs", "image elsewhere", "", 0, "image", value=str(PARITY / "vg/VG_100K/1000.jpg"),
                   why="said in the report, not shown")  # fmt: skip
    yield _changed("boxes", "box 10^30", "expected a number <= ", "a.jpg", "boxes", 0, 0, value=1e30)
    yield _changed("boxes", "scores text", "expected a number", "a.jpg", "scores", value=["a", "b"])
    yield _changed("boxes", "labels a number", "expected", "a.jpg", "labels", value=5)


# -- h5 ----------------------------------------------------------------------------------------------------------------
def _h5(name: str, says: str, change: Callable[[h5py.File], None], tool: str = "validate") -> Row:
    def command(place: Place) -> list:
        with h5py.File(place.data() / H5, "r+") as file:
            change(file)
        return _h5_tool(place, tool)

    return Row(f"h5 ({tool})", name, command, says)


def _h5_tool(place: Place, tool: str) -> list:
    if tool == "validate":
        return ["validate_dataset", "--data-dir", place.own / "data", "--skip-images", "--num-val-im", 10]
    return ["relation_train_net", "--config-file", place.whole / "config.yaml", "--skip-test", "DATASETS.DATA_DIR",
            place.own / "data", "OUTPUT_DIR", place.own / "out"]  # fmt: skip


def _replaced(name: str, make: Callable[[np.ndarray], object]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        made = make(file[name][:])
        del file[name]
        file[name] = made

    return change


def _linked(file: h5py.File) -> None:
    del file["labels"]
    file["labels"] = h5py.ExternalLink("/etc/passwd", "/labels")


def _grouped(file: h5py.File) -> None:
    del file["labels"]
    file.create_group("labels")


def _huge(file: h5py.File) -> None:
    del file["labels"]
    file.create_dataset("labels", shape=(10**12, 1), dtype="i8", chunks=(1024, 1), compression="gzip")


def _cell(value) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.reshape(-1)[3] = value
        return array

    return change


def _h5_rows() -> Iterator[Row]:
    boxes = "boxes_1024"
    changes: dict[str, tuple[str, Callable]] = {
        "boxes are text": ("boxes_1024 holds", _replaced(boxes, lambda a: a.astype("S4"))),
        "boxes bool": ("boxes_1024 holds bool", _replaced(boxes, lambda a: a.astype(bool))),
        "boxes complex": ("boxes_1024 holds complex128", _replaced(boxes, lambda a: a.astype(complex))),
        "boxes int32 max": ("boxes_1024 has 1 values out of", _replaced(boxes, _cell(2**31 - 1))),
        "boxes uint64 max": (
            "boxes_1024 has 1 values out of",
            _replaced(boxes, lambda a: _cell(2**64 - 1)(a.astype(np.uint64))),
        ),
        "boxes nan": ("boxes_1024 has 1 values out of", _replaced(boxes, lambda a: _cell(np.nan)(a.astype(float)))),
        "boxes far outside": ("boxes_1024 has 1 values out of", _replaced(boxes, _cell(90_000))),
        "boxes of 3 columns": ("has the shape", _replaced(boxes, lambda a: a[:, :3])),
        "labels real": ("labels holds float64, expected whole", _replaced("labels", lambda a: a.astype(float))),
        "labels a scalar": ("labels is no array with rows", _replaced("labels", lambda a: 3)),
        "labels a group": ("labels is no array with rows", _grouped),
        "labels in another file": ("labels is a link to another place", _linked),
        "labels of 10^12 rows": ("for which the file is too small", _huge),
        "labels -3": ("labels has", _replaced("labels", _cell(-3))),
        "attributes -3": ("attributes has 1 values out of", _replaced("attributes", _cell(-3))),
        "attributes 10^6": ("attributes has 1 values out of", _replaced("attributes", _cell(10**6))),
        "predicate_weights all 0": (
            "predicate_weights are all 0",
            lambda f: f.create_dataset("predicate_weights", data=np.zeros(len(f["predicates"]))),
        ),
        "predicate_weights nan": (
            "predicate_weights has",
            lambda f: f.create_dataset("predicate_weights", data=np.full(len(f["predicates"]), np.nan)),
        ),
        "split 7": ("split has 1 values out of", _replaced("split", _cell(7))),
        "relations to nobody": ("point to boxes of another image", _replaced("relationships", _cell(10**6))),
        "no predicates": ("has no predicates", lambda f: f.__delitem__("predicates")),
    }
    for name, (says, change) in changes.items():
        for tool in ("validate", "train"):
            yield _h5(name, says, change, tool)
    for seed in range(6):

        def scratched(place: Place, seed: int = seed) -> list:
            path = place.data() / H5
            content, generator = bytearray(path.read_bytes()), np.random.default_rng(seed)
            for at in generator.integers(0, 2048, 30):
                content[at] = generator.integers(256)
            path.write_bytes(content)
            return _h5_tool(place, "validate")

        yield Row("h5 (validate)", f"30 random bytes of the head changed, seed {seed}", scratched, "h5")
    for name, (write, says) in DAMAGES.items():
        if name in ("cut", "a pipe", "a device", "a folder"):

            def damaged(place: Place, write: Callable = write) -> list:
                write(place.data() / H5)
                return _h5_tool(place, "validate")

            yield Row("h5 (validate)", name, damaged, says.replace("no json", "no h5"))


# -- weights -----------------------------------------------------------------------------------------------------------
class Call:
    """Calls a function when an ordinary reader unpickles it."""

    def __init__(self, function: Callable, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _weights(name: str, says: str, change: Callable[[dict, Place], object], why: str = "", **how) -> Iterator[Row]:
    """A checkpoint, tested and given to a detector's place in training."""

    def command(place: Place) -> list:
        content = torch.load(place.whole / "whole.pth", weights_only=True)
        torch.save(change(content, place), place.own / "in.pth", **how)
        return _test(place, "MODEL.WEIGHT", place.own / "in.pth")

    yield Row("weights (test)", name, command, says, why)


def _resumed(name: str, says: str, change: Callable[[dict, Place], object]) -> Row:
    def command(place: Place) -> list:
        content = torch.load(place.whole / "output" / "model_0000002.pth", weights_only=True)
        (place.own / "out").mkdir()
        torch.save(change(content, place), place.own / "out" / "model_0000002.pth")
        (place.own / "out" / "last_checkpoint").write_text(str(place.own / "out" / "model_0000002.pth"))
        return ["relation_train_net", "--config-file", place.whole / "config.yaml", "--skip-test", "OUTPUT_DIR",
                place.own / "out"]  # fmt: skip

    return Row("weights (resume)", name, command, says)


def _started(name: str, says: str, part: str, *options, why: str = "") -> Row:
    """A training on a detector of which a part has other shapes."""

    def command(place: Place) -> list:
        content = torch.load(place.whole / "whole.pth", weights_only=True)
        model = {key: value[:1] if key.startswith(part) else value for key, value in content["model"].items()}
        torch.save({"model": model}, place.own / "in.pth")
        return ["relation_train_net", "--config-file", place.whole / "config.yaml", "--skip-test", "OUTPUT_DIR",
                place.own / "out", "SOLVER.MAX_ITER", 1, "MODEL.PRETRAINED_DETECTOR_CKPT", place.own / "in.pth",
                *options]  # fmt: skip

    return Row("weights (start)", name, command, says, why)


_TENSOR = "roi_heads.relation.predictor.post_cat.weight"


def _with(value: Callable[[torch.Tensor], object]) -> Callable:
    def change(content: dict, _: Place) -> dict:
        content["model"][_TENSOR] = value(content["model"][_TENSOR])
        return content

    return change


def _entry(key: str, value) -> Callable:
    return lambda content, _: {**content, key: value}


def _renamed(content: dict, _: Place) -> dict:
    names = content["model"]
    half = set(list(names)[::2])
    return {**content, "model": {f"module.{k}" if k in half else k: v for k, v in names.items()}}


def _weight_rows() -> Iterator[Row]:
    attacks = {
        "os.system": lambda place: Call(os.system, f"touch {place.own / MARKER}"),
        "exec": lambda place: Call(exec, f"open({str(place.own / MARKER)!r}, 'w')"),
        "os.mkdir": lambda place: Call(os.mkdir, str(place.own / MARKER)),
        "open": lambda place: Call(open, str(place.own / MARKER), "w"),
    }
    for name, attack in attacks.items():
        for zipped in (True, False):

            def attacked(content: dict, place: Place, attack: Callable = attack) -> dict:
                return {**content, "further": attack(place)}

            kind = "zip" if zipped else "legacy"
            yield from _weights(f"code {name} {kind}", "would call", attacked, _use_new_zipfile_serialization=zipped)
        yield _resumed(f"code {name}", "would call", lambda content, place, a=attack: {**content, "further": a(place)})
    tensors: dict[str, tuple[str, Callable]] = {
        "int64": ("expected real numbers", lambda t: t.long()),
        "bool": ("expected real numbers", lambda t: t.bool()),
        "complex64": ("expected real numbers", lambda t: t.to(torch.complex64)),
        "NaN": ("nan or infinite", lambda t: t * float("nan")),
        "infinite": ("nan or infinite", lambda t: t / 0),
        "another shape": ("does not fit the model", lambda t: t[:1]),
        "10^12 by stride 0": ("too few bytes", lambda t: torch.zeros(1).expand(10**6, 10**6)),
        "sparse": ("refused|cut short", lambda t: t.to_sparse()),
        "a dict": ("expected a tensor by name", lambda t: {"a": t}),
        "a text": ("expected a tensor by name", lambda t: "weights"),
        "none": ("expected a tensor by name", lambda t: None),
        "quantized": (
            "refused|another kind|expected real",
            lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        ),
    }
    for name, (says, value) in tensors.items():
        yield from _weights(name, says, _with(value))
        if name in ("int64", "NaN", "10^12 by stride 0", "a text"):
            yield _resumed(name, says, _with(value))
    tops: dict[str, object] = {
        "list": [1], "tensor": torch.zeros(3), "int": 5, "None": None, "str": "abc", "int keys": {1: torch.zeros(2)},
        "tuple keys": {("a", 1): torch.zeros(2)}, "model list": {"model": [1]}, "model None": {"model": None},
        "model of ints": {"model": {"a": 1}}, "empty": {}, "model empty": {"model": {}},
        "model tensor": {"model": torch.zeros(2)}, "nested dict": {"model": {"a": {"b": torch.zeros(2)}}},
    }  # fmt: skip
    for name, top in tops.items():
        yield from _weights(f"top: {name}", "in.pth", lambda content, _, top=top: top)
        yield _resumed(f"top: {name}", "model_0000002.pth", lambda content, _, top=top: top)
    deep: list = []
    for _ in range(300):
        deep = [deep]
    entries: dict[str, tuple[str, object]] = {
        "iteration -5": ("iteration", -5), "iteration None": ("iteration", None), "iteration text": ("iteration", "5"),
        "seed text": ("seed", "one"), "seed 10^40": ("seed", 10**40), "scaler text": ("scaler", "x"),
        "random_states text": ("random_states", "x"), "obj_classes text": ("obj_classes", "x"),
        "obj_classes a number": ("obj_classes", 5), "optimizer text": ("optimizer", "x"),
        "scheduler text": ("scheduler", "x"), "further nested 300 deep": ("further", deep),
    }  # fmt: skip
    for name, (key, value) in entries.items():
        says = "nested too deeply" if "deep" in name else key
        yield _resumed(name, says, _entry(key, value))
        yield from _weights(name, says, _entry(key, value))
    yield _resumed("random_states short", "random states", _entry("random_states", [{"python": 1}]))
    yield _resumed("scheduler overrides a method", "the schedule in", _entry("scheduler", {"get_lr": 5}))
    yield _resumed("scheduler last_epoch text", "the schedule in", _entry("scheduler", {"last_epoch": "x"}))
    yield _resumed("optimizer of nothing", "optimizer state", _entry("optimizer", {"state": 5, "param_groups": 7}))
    yield from _weights("names of other classes", "is of other data", lambda c, _: {**c, "obj_classes": ["a", "b"]})
    yield from _weights(
        "classes in another order",
        "is of other data",
        lambda c, _: {**c, "obj_classes": [c["obj_classes"][0], *c["obj_classes"][:0:-1]]},
    )
    sgcls, classifier = ("MODEL.ROI_RELATION_HEAD.USE_GT_OBJECT_LABEL", False), "roi_heads.box.predictor"
    yield _started(
        "a classifier of other classes, SGCls", "in.pth does not fit the model.*box.predictor", classifier, *sgcls
    )
    yield _started(
        "a classifier of other classes, PredCls", "", classifier, why="classes are given, none are predicted"
    )
    yield _started(
        "another box head, PredCls", "in.pth does not fit the model|no tensor of", "roi_heads.box.feature_extractor"
    )
    yield _started("another backbone, PredCls", "in.pth does not fit the model|no tensor of", "backbone.fpn")
    yield from _weights("half of the names prefixed", "does not fit the model", _renamed)
    yield from _weights(
        "another predictor's",
        "does not fit the model",
        lambda c, _: {**c, "model": {k: v for k, v in c["model"].items() if "relation.predictor.context" not in k}},
    )

    def bytes_row(name: str, says: str, damage: Callable[[bytes], bytes]) -> Row:
        def command(place: Place) -> list:
            (place.own / "in.pth").write_bytes(damage((place.whole / "whole.pth").read_bytes()))
            return _test(place, "MODEL.WEIGHT", place.own / "in.pth")

        return Row("weights (test)", name, command, says)

    middle = lambda b: len(b) // 2  # noqa: E731
    yield bytes_row("64 bytes of a tensor flipped", "changed after it was written",
                    lambda b: b[: middle(b)] + bytes(255 - x for x in b[middle(b) : middle(b) + 64]) + b[middle(b) + 64 :])  # fmt: skip
    for tenths in (0, 1, 5, 9):
        yield bytes_row(f"cut {tenths}/10", "cut short", lambda b, t=tenths: b[: len(b) * t // 10])
    yield bytes_row("no weights", "cut short", lambda b: b"no weights\n" * 50)
    yield bytes_row("compressed", "compressed", _zip_bomb)
    for name, (write, says) in DAMAGES.items():
        if name in ("a pipe", "a device", "a folder"):

            def special(place: Place, write: Callable = write) -> list:
                write(place.own / "in.pth")
                return _test(place, "MODEL.WEIGHT", place.own / "in.pth")

            yield Row("weights (test)", name, special, f"{says}|has no last_checkpoint")

    def elsewhere(place: Place) -> list:
        (place.own / "out").mkdir()
        (place.own / "out" / "last_checkpoint").write_text(str(place.whole / "whole.pth"))
        return ["relation_test_net", "--config-file", place.whole / "config.yaml", "OUTPUT_DIR", place.own / "out"]

    yield Row("weights (test)", "last_checkpoint leads elsewhere", elsewhere, "does not exist in its folder")


def _zip_bomb(_: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(50_000_000))
    return stream.getvalue()


def _caffe2(name: str, says: str, content: Callable[[Place], object]) -> Row:
    def command(place: Place) -> list:
        (place.own / "in.pkl").write_bytes(pickle.dumps(content(place), 2))
        return ["detector_pretrain_net", "--config-file", place.whole / "detector" / "config.yaml", "OUTPUT_DIR",
                place.own / "out", "MODEL.WEIGHT", place.own / "in.pkl", "MODEL.BACKBONE.CONV_BODY", "R-50-FPN"]  # fmt: skip

    return Row("caffe2", name, command, says)


def _caffe2_rows() -> Iterator[Row]:
    def array(values) -> Callable:
        return lambda _: {"blobs": {"conv1_w": values}}

    yield _caffe2("code", "would call", lambda p: {"blobs": {"conv1_w": Call(os.mkdir, str(p.own / MARKER))}})
    yield _caffe2("blobs a list", "no blobs", lambda _: {"blobs": [1]})
    yield _caffe2("int keys", "no blobs", lambda _: {"blobs": {1: np.zeros(3)}})
    yield _caffe2("text array", "expected real numbers", array(np.array(["a"])))
    yield _caffe2("uint16", "expected real numbers", array(np.zeros((64, 3, 7, 7), np.uint16)))
    yield _caffe2("complex", "expected real numbers", array(np.zeros((64, 3, 7, 7), complex)))
    yield _caffe2("NaN", "nan or infinite", array(np.full((64, 3, 7, 7), np.nan, np.float32)))
    yield _caffe2("a number", "no blobs", lambda _: 5)

    def shared(_: Place) -> object:
        level: list = []
        for _ in range(300):
            level = [level, level]
        return {"blobs": level}

    yield _caffe2("300 levels of shared lists", "nested too deeply|cut short", shared)


# -- configurations, images, phrase banks ------------------------------------------------------------------------------
def _config(name: str, says: str, text: str, why: str = "") -> Row:
    def command(place: Place) -> list:
        (place.own / "in.yaml").write_text(
            text.replace("MARKER", str(place.own / MARKER)).replace("OWN", str(place.own))
        )
        (place.own / "catalog.py").write_text(f"open({str(place.own / MARKER)!r}, 'w')\n")
        return ["relation_test_net", "--config-file", place.own / "in.yaml", "MODEL.WEIGHT", place.whole / "whole.pth",
                "OUTPUT_DIR", place.own / "out"]  # fmt: skip

    return Row("configuration", name, command, says, why)


def _config_rows() -> Iterator[Row]:
    yield _config("deep", "nested too deeply", "A: " + "[" * 5000 + "]" * 5000)
    yield _config("a key twice", "the key 'BASE_LR' comes twice", "SOLVER:\n  BASE_LR: 0.1\n  BASE_LR: 0.2\n")
    bomb = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else '1, 1'}]" for i in range(9))
    yield _config("aliases that unfold", "unfold to more than", bomb)
    yield _config("an alias in itself", "within the value that it stands for", "a: &a [*a]")
    yield _config("python object", "not valid YAML", "a: !!python/object/apply:os.system ['touch MARKER']")
    yield _config("a list", "must hold keys and values", "[1, 2]")
    yield _config("numbers as keys", "must hold keys and values", "1: 2")
    yield _config("5,000 digits", "digits", "SOLVER:\n  MAX_ITER: " + "1" * 5000)
    yield _config("binary", "not valid YAML", "a: \x00\x01")
    yield _config("a tab", "not valid YAML", "a:\n\t- 1")
    yield _config("a date that there is not", "not valid YAML", "a: 2020-99-99")
    yield _config("a catalog", "PATHS_CATALOG names the Python file", "PATHS_CATALOG: OWN/catalog.py")
    for key, value in (
        ("SOLVER.BASE_LR", "-1.0"), ("SOLVER.BASE_LR", ".nan"), ("SOLVER.BASE_LR", ".inf"), ("SOLVER.MAX_ITER", "-1"),
        ("SOLVER.MAX_ITER", "0"), ("SOLVER.IMS_PER_BATCH", "-2"), ("SOLVER.IMS_PER_BATCH", "0"),
        ("SOLVER.STEPS", "[a]"), ("SOLVER.STEPS", "text"), ("SOLVER.MOMENTUM", "7.0"), ("SOLVER.WARMUP_ITERS", "-1"),
        ("SOLVER.CHECKPOINT_PERIOD", "0"), ("TEST.IMS_PER_BATCH", "0"), ("DATALOADER.NUM_WORKERS", "-1"),
        ("DATALOADER.NUM_WORKERS", "1000000"), ("INPUT.PIXEL_STD", "[0.0, 1.0, 1.0]"), ("INPUT.MIN_SIZE_TEST", "0"),
        ("INPUT.MAX_SIZE_TEST", "1000000000"), ("MODEL.ROI_BOX_HEAD.NUM_CLASSES", "1000000000"),
        ("MODEL.ROI_RELATION_HEAD.NUM_CLASSES", "0"), ("MODEL.ROI_RELATION_HEAD.CONTEXT_HIDDEN_DIM", "0"),
        ("MODEL.ROI_RELATION_HEAD.CONTEXT_DROPOUT_RATE", "1.5"), ("MODEL.ROI_HEADS.NMS", "-0.5"),
        ("MODEL.RPN.ANCHOR_SIZES", "[0]"), ("MODEL.RPN.ANCHOR_STRIDE", "[-4]"), ("OUTPUT_DIR", '"a\\0b"'),
    ):  # fmt: skip
        *groups, name = key.split(".")
        lines = [f"{'  ' * depth}{group}:" for depth, group in enumerate(groups)]
        text = "\n".join([*lines, f"{'  ' * len(groups)}{name}: {value}"])
        if key == "OUTPUT_DIR":  # the command line would win over the file
            key, text = "GLOVE_DIR", text.replace("OUTPUT_DIR", "GLOVE_DIR")
        yield _config(f"{key} {value}", key, text)
    for name, (write, says) in DAMAGES.items():
        if name in ("a pipe", "a device", "a folder"):

            def special(place: Place, write: Callable = write) -> list:
                write(place.own / "in.yaml")
                return ["relation_test_net", "--config-file", place.own / "in.yaml"]

            yield Row("configuration", name, special, says)


def _image(name: str, says: str, write: Callable[[Path], None], suffix: str = "png") -> Row:
    def command(place: Place) -> list:
        write(place.own / f"in.{suffix}")
        return _predict(place, place.own / f"in.{suffix}")

    return Row("image", name, command, says)


def _image_rows() -> Iterator[Row]:
    def nan_tiff(path: Path) -> None:
        Image.fromarray(np.full((30, 40), np.nan, np.float32)).save(path)

    def bomb(path: Path) -> None:
        path.write_bytes(b"P6 60000 60000 255\n" + bytes(99))

    def cut(path: Path) -> None:
        Image.effect_noise((300, 200), 90).save(path)
        path.write_bytes(path.read_bytes()[:2000])

    yield _image("float tiff NaN", "nan or infinite", nan_tiff, "tiff")
    yield _image("cut", "cannot be read", cut)
    yield _image("text", "cannot be read", _bytes(b"no image"))
    yield _image("empty", "cannot be read", _bytes(b""))
    yield _image("a bomb", "cannot be read|pixels", bomb, "ppm")
    for name, (write, says) in DAMAGES.items():
        if name in ("a pipe", "a device"):
            yield _image(name, f"{says}|neither|no image|does not exist|cannot be read", write)

    def link(place: Place) -> list:
        folder = place.images()
        (folder / "c.png").symlink_to(write_image(place.own))
        (place.own / "in.json").write_text(json.dumps({"c.png": GRAPHS["a.jpg"]}))
        return ["build_dataset", "json", "--train", place.own / "in.json", "--images", folder,
                "--output", place.own / "out"]  # fmt: skip

    yield Row("image", "a link out of the folder", link, "leads out of the image folders")

    def listed(name: str) -> Callable[[Place], list]:
        def command(place: Place) -> list:
            (place.own / "list").mkdir()
            (place.own / "list" / "in.json").write_text(json.dumps([name]))
            return _test(place, "TEST.CUSTUM_EVAL", True, "TEST.CUSTUM_PATH", place.own / "list" / "in.json")

        return command

    for name in ("../../secret.png", "/etc/passwd", "/dev/zero"):
        yield Row("image", f"a list with {name}", listed(name), "lies neither below the folder of the list")


def _bank(name: str, says: str, change: Callable[[dict], object]) -> Row:
    def command(place: Place) -> list:
        made = PhraseBank.random(["man", "horse"], ["on", "under", "near"], ("sp", "po"), 0, 8)
        made.save(str(place.own / "whole.npz"))
        changed = change(dict(np.load(place.own / "whole.npz")))
        if isinstance(changed, bytes):
            (place.own / "in.npz").write_bytes(changed)
        else:
            np.savez(place.own / "in.npz", **changed)
        return [
            "build_phrase_bank",
            "--dictionary",
            place.names(),
            "--output",
            place.own / "out.npz",
            "MODEL.LANGUAGE.BANK_FILE",
            place.own / "in.npz",
        ]

    return Row("phrase bank", name, command, says)


def _bank_rows() -> Iterator[Row]:
    sp = "subject_predicate"
    changes: dict[str, tuple[str, Callable[[dict], object]]] = {
        "NaN": ("nan or infinite", lambda a: {**a, sp: a[sp] * np.nan}),
        "zeros": ("zero", lambda a: {**a, sp: a[sp] * 0}),
        "width 0": ("has vectors that are zero or have no width", lambda a: {**a, sp: a[sp][..., :0]}),
        "widths differ": ("one width", lambda a: {**a, sp: a[sp][..., :4]}),
        "objects": ("numbers or texts are expected", lambda a: {**a, "objects": np.array([None, 1], object)}),
        "names numbers": ("a list of different names", lambda a: {**a, "objects": np.arange(2)}),
        "names twice": ("a list of different names", lambda a: {**a, "objects": np.array(["man", "man"])}),
        "no triplets": ("needs the array", lambda a: {k: v for k, v in a.items() if k != sp}),
        "no archive": ("not an npz file", lambda a: b"no archive" * 9),
        "a bomb": ("would unfold to", lambda a: _npz_bomb()),
        "head of 10^12": ("too few bytes", lambda a: _npz_head()),
    }
    for name, (says, change) in changes.items():
        yield _bank(name, says, change)


def _npz_bomb() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, subject_predicate=np.zeros((10, 10**6), np.float32))
    return stream.getvalue()


def _npz_head() -> bytes:
    part, stream = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(part, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("subject_predicate.npy", part.getvalue())
    return stream.getvalue()


def rows() -> list[Row]:
    return [
        *_json_rows(), *_changed_rows(), *_h5_rows(), *_weight_rows(), *_caffe2_rows(), *_config_rows(),
        *_image_rows(), *_bank_rows(),
    ]  # fmt: skip
