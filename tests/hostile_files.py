"""Hostile h5 files, configurations, images, lists of images and phrase banks."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from annotation_files import GRAPHS
from hostile_common import DAMAGES, H5, MARKER, Place, Row, damaged_bytes, predict_tool, test_tool
from PIL import Image
from run_folders import write_image

from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank


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


def h5_rows() -> Iterator[Row]:
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


def config_rows() -> Iterator[Row]:
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
        return predict_tool(place, place.own / f"in.{suffix}")

    return Row("image", name, command, says)


def image_rows() -> Iterator[Row]:
    def nan_tiff(path: Path) -> None:
        Image.fromarray(np.full((30, 40), np.nan, np.float32)).save(path)

    def bomb(path: Path) -> None:
        path.write_bytes(b"P6 60000 60000 255\n" + bytes(99))

    def cut(path: Path) -> None:
        Image.effect_noise((300, 200), 90).save(path)
        path.write_bytes(path.read_bytes()[:2000])

    yield _image("float tiff NaN", "nan or infinite", nan_tiff, "tiff")
    yield _image("cut", "cannot be read", cut)
    yield _image("text", "cannot be read", damaged_bytes(b"no image"))
    yield _image("empty", "cannot be read", damaged_bytes(b""))
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
            return test_tool(place, "TEST.CUSTUM_EVAL", True, "TEST.CUSTUM_PATH", place.own / "list" / "in.json")

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


def bank_rows() -> Iterator[Row]:
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
