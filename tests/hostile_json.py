"""Hostile json: every reader times the damages that any such file can have, and what each format alone can have."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from annotation_files import COCO, GRAPHS, REL, VRD
from hostile_common import (
    DAMAGES,
    DICTIONARY,
    H5,
    IMAGES,
    SCRIPT,
    Place,
    Row,
    predict_tool,
    test_tool,
)
from run_folders import DATASET
from support import PARITY

PSG = {
    "thing_classes": ["man"], "stuff_classes": ["sky"], "predicate_classes": ["under"],
    "data": [{"image_id": 1, "file_name": "a.jpg", "width": 40, "height": 30, "relations": [[0, 1, 0]],
              "annotations": [{"bbox": [0, 0, 9, 9], "category_id": 0}, {"bbox": [0, 0, 30, 20], "category_id": 1}]}],
}  # fmt: skip
KNOWLEDGE = {"man_horse": {"riding": 3, "on": 1}}


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
    whole = ["--h5", PARITY / "vg" / H5, "--dictionary", PARITY / "vg" / DICTIONARY]
    return ["distant_label", *whole, "--knowledge-base", place.own / "in.json",
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
    return predict_tool(place, place.images() / "a.jpg", "--boxes", place.own / "in.json")


def _zero_shot(place: Place, write: Callable[[Path], None]) -> list:
    write(place.own / "in.json")
    return test_tool(place, "TEST.RELATION.ZERO_SHOT_TRIPLETS", place.own / "in.json")


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


def json_rows() -> Iterator[Row]:
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


_ESCAPED = "names may have any visible letters; the report escapes them"


def changed_rows() -> Iterator[Row]:
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
    yield _changed("evaluation", "metric text", "expected a number or null", "metrics", "R@20", value="high")
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
    yield _changed("kept graphs", "subject 999", "a relation of an object that is not there", 0, "prediction",
                   "relations", 0, "subject", value=999)  # fmt: skip
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
