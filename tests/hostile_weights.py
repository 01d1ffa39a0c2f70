"""Hostile checkpoints and weights of Caffe2: code, tensors that cannot be, entries of other types, other models."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import torch
from hostile_common import DAMAGES, MARKER, Place, Row, test_tool


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
        return test_tool(place, "MODEL.WEIGHT", place.own / "in.pth")

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


def weight_rows() -> Iterator[Row]:
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
            return test_tool(place, "MODEL.WEIGHT", place.own / "in.pth")

        return Row("weights (test)", name, command, says)

    yield bytes_row("64 bytes of a tensor flipped", "changed after it was written", _flipped)
    for tenths in (0, 1, 5, 9):
        yield bytes_row(f"cut {tenths}/10", "cut short", lambda b, t=tenths: b[: len(b) * t // 10])
    yield bytes_row("no weights", "cut short", lambda b: b"no weights\n" * 50)
    yield bytes_row("compressed", "compressed", _zip_bomb)
    for name, (write, says) in DAMAGES.items():
        if name in ("a pipe", "a device", "a folder"):

            def special(place: Place, write: Callable = write) -> list:
                write(place.own / "in.pth")
                return test_tool(place, "MODEL.WEIGHT", place.own / "in.pth")

            yield Row("weights (test)", name, special, f"{says}|has no last_checkpoint")

    def elsewhere(place: Place) -> list:
        (place.own / "out").mkdir()
        (place.own / "out" / "last_checkpoint").write_text(str(place.whole / "whole.pth"))
        return ["relation_test_net", "--config-file", place.whole / "config.yaml", "OUTPUT_DIR", place.own / "out"]

    yield Row("weights (test)", "last_checkpoint leads elsewhere", elsewhere, "does not exist in its folder")


def _flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes(255 - byte for byte in content[at : at + 64]) + content[at + 64 :]


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
                place.own / "out", "MODEL.WEIGHT", place.own / "in.pkl", "MODEL.BACKBONE.CONV_BODY",
                "R-50-FPN"]  # fmt: skip

    return Row("caffe2", name, command, says)


def caffe2_rows() -> Iterator[Row]:
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
