"""Writes the drawn world as a data set in the VG-SGG format, so that every tool reads it as it reads Visual Genome."""

import hashlib
import inspect
import json
import os
import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from demo import actions, captions, drawing, placements, scenes, shapes, things, vocabulary, world
from demo.actions import PREDICATES
from demo.scenes import Scene, SceneSettings
from demo.things import Thing
from demo.vocabulary import ATTRIBUTE_NAMES, COLOURS, OBJECT_NAMES
from demo.world import World, WorldSettings
from maskrcnn_benchmark.distant.knowledge_base import count_triplets
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_folder

BOX_SCALE = 1024  # the longer side of every image in the units of boxes_1024
SPLIT_CODES = {"train": 0, "val": 1, "test": 2}
ATTRIBUTE_COLUMNS = 10
FIRST_IMAGE_ID = 100_000  # beyond the four broken images of Visual Genome that SGB leaves out by name
RECORD = "demo.json"

_POSE_ATTRIBUTES = {"sit": "sitting", "walk": "walking", "lie": "laying", "ride": "riding", "stand": "standing"}


@dataclass(frozen=True)
class DatasetSettings:
    """What a drawn data set is made from; equal settings make equal files.

    Attributes:
        seed: of the world, of its pictures, and of the captions behind the knowledge base.
        train, val, test: images in each split.
        captions: sentences behind the knowledge base.
    """

    seed: int = 0
    train: int = 1200
    val: int = 200
    test: int = 800
    captions: int = 12_000
    world: WorldSettings = field(default_factory=WorldSettings)
    scene: SceneSettings = field(default_factory=SceneSettings)

    def make_world(self) -> World:
        return World(self.seed, self.world)


@dataclass
class _Rows:
    """The arrays of the h5 file while they grow."""

    labels: list[int] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)
    attributes: list[list[int]] = field(default_factory=list)
    relationships: list[tuple[int, int]] = field(default_factory=list)
    predicates: list[int] = field(default_factory=list)
    spans: dict[str, list[int]] = field(
        default_factory=lambda: {f"img_to_{end}_{what}": [] for what in ("box", "rel") for end in ("first", "last")}
    )
    split: list[int] = field(default_factory=list)

    def add(self, scene: Scene, split: str) -> None:
        """Append one image."""
        things = list(scene.things)
        first_box, first_rel = len(self.labels), len(self.relationships)
        order = {id(thing): first_box + i for i, thing in enumerate(things)}
        for thing in things:
            self.labels.append(OBJECT_NAMES.index(thing.name) + 1)
            self.boxes.append(_scaled_box(thing, scene.width, scene.height))
            self.attributes.append(_attributes(thing))
        for relation in scene.relations:
            self.relationships.append((order[id(relation.subject)], order[id(relation.object)]))
            self.predicates.append(PREDICATES.index(relation.predicate) + 1)
        for what, first, end in (
            ("box", first_box, len(self.labels)),
            ("rel", first_rel, len(self.relationships)),
        ):
            self.spans[f"img_to_first_{what}"].append(first if end > first else -1)
            self.spans[f"img_to_last_{what}"].append(end - 1 if end > first else -1)
        self.split.append(SPLIT_CODES[split])

    def write(self, path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["labels"] = np.array(self.labels, np.int64)[:, None]
            file["boxes_1024"] = np.array(self.boxes, np.int32)
            file["attributes"] = np.array(self.attributes, np.int64)
            file["relationships"] = np.array(self.relationships, np.int32)
            file["predicates"] = np.array(self.predicates, np.int64)[:, None]
            file["split"] = np.array(self.split, np.int32)
            for name, values in self.spans.items():
                file[name] = np.array(values, np.int32)


def _scaled_box(thing: Thing, width: int, height: int) -> tuple[int, int, int, int]:
    """Centre x, centre y, width, height, where the longer image side is `BOX_SCALE`, all inside the image."""
    scale = BOX_SCALE / max(width, height)
    sides = []
    for low, high, limit in ((thing.x, thing.right, width), (thing.y, thing.bottom, height)):
        low, high = max(0.0, low) * scale, min(limit, high) * scale
        size = max(2, 2 * int((high - low) / 2))  # even, so that the corners are whole numbers
        centre = min(max(round((low + high) / 2), size // 2), int(limit * scale) - size // 2)
        sides.append((centre, size))
    (cx, w), (cy, h) = sides
    return cx, cy, w, h


def _attributes(thing: Thing) -> list[int]:
    """The nearest colour name, the pose of persons and animals, and whether it is painted; zeros fill the row."""
    names = [min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(COLOURS[name], thing.colour, strict=True)))]
    if thing.kind.group in ("person", "animal"):
        names.append(_POSE_ATTRIBUTES[thing.pose])
    if thing.painted:
        names.append("painted")
    row = [ATTRIBUTE_NAMES.index(name) + 1 for name in names]
    return row + [0] * (ATTRIBUTE_COLUMNS - len(row))


def _dictionary(rows: _Rows) -> dict:
    """The dictionary file: names and numbers both ways, numbers from 1, and counts over the whole data set."""
    found: dict = {}
    columns = (
        ("label", "object", OBJECT_NAMES, rows.labels),
        ("predicate", "predicate", PREDICATES, rows.predicates),
        ("attribute", "attribute", ATTRIBUTE_NAMES, [i for row in rows.attributes for i in row if i]),
    )
    for key, counted, names, values in columns:
        counts = Counter(values)
        found[f"{key}_to_idx"] = {name: i for i, name in enumerate(names, 1)}
        found[f"idx_to_{key}"] = {str(i): name for i, name in enumerate(names, 1)}
        found[f"{counted}_count"] = {name: counts[i] for i, name in enumerate(names, 1)}
    return found


def zero_shot_triplets(rows: _Rows) -> dict[str, list[list[int]]]:
    """Triplets (subject class, object class, predicate) of validation and test that training never shows, by kind.

    Returns:
        "seen_pair": the class pair has other relations in training; "new_pair": it has none.
    """
    training: set[tuple[int, int, int]] = set()
    others: set[tuple[int, int, int]] = set()
    first, last = rows.spans["img_to_first_rel"], rows.spans["img_to_last_rel"]
    for split, start, end in zip(rows.split, first, last, strict=True):
        for row in range(start, end + 1) if start >= 0 else ():
            subject, object_ = rows.relationships[row]
            triplets = training if split == SPLIT_CODES["train"] else others
            triplets.add((rows.labels[subject], rows.labels[object_], rows.predicates[row]))
    pairs = {triplet[:2] for triplet in training}
    new = sorted(others - training)
    return {
        "seen_pair": [list(triplet) for triplet in new if triplet[:2] in pairs],
        "new_pair": [list(triplet) for triplet in new if triplet[:2] not in pairs],
    }


def _record(settings: DatasetSettings) -> dict:
    """What decides the files: the settings, and the code that draws."""
    code = hashlib.sha256()
    for module in (vocabulary, actions, world, shapes, things, placements, scenes, drawing, captions):
        code.update(inspect.getsource(module).encode())
    code.update(Path(__file__).read_bytes())
    return {"settings": json.loads(json.dumps(asdict(settings))), "code": code.hexdigest()}


def is_made(out: str | os.PathLike, settings: DatasetSettings) -> bool:
    """Whether `out`/vg holds the data set that these settings make.

    Raises:
        InputError: `out`/vg holds something else.
    """
    folder = Path(out) / "vg"
    if not folder.exists():
        return False
    record = folder / RECORD
    if not record.is_file():
        raise InputError(f"{folder} exists and was not made by this tool; give another --output or remove it")
    if json.loads(record.read_text()) != _record(settings):
        raise InputError(f"{folder} was drawn with other settings or an older generator; remove it or use --overwrite")
    return True


def make_dataset(out: str | os.PathLike, settings: DatasetSettings, overwrite: bool = False) -> Path:
    """Draw a data set into `out`/vg, which appears only when it is complete.

    Files, as for Visual Genome: VG_100K/*.jpg, VG-SGG-with-attri.h5, VG-SGG-dicts-with-attri.json, image_data.json.
    Beside them: zeroshot_triplets.json (a list as TEST.RELATION.ZERO_SHOT_TRIPLETS takes it), zeroshot_kinds.json
    (the same by kind), captions.jsonl, knowledge_base.json, demo.json (the settings).

    Args:
        overwrite: replace a drawn data set of other settings; a folder that this tool did not make is never replaced.

    Returns:
        `out`/vg.

    Raises:
        InputError: see `is_made`.
    """
    final = Path(out) / "vg"
    replace = overwrite and (final / RECORD).is_file()
    if not replace and is_made(out, settings):
        return final
    with atomic_folder(final, replace) as partial:
        _write_all(partial, settings)
    return final


def _write_all(folder: Path, settings: DatasetSettings) -> None:
    the_world = settings.make_world()
    (folder / "VG_100K").mkdir()
    rows = _Rows()
    info: list[dict] = []
    plan = [(split, i) for split in SPLIT_CODES for i in range(getattr(settings, split))]
    for split, index in tqdm(plan, desc="drawing", unit="image", mininterval=1.0):
        rng = random.Random(f"{split} {settings.seed} {index}")
        scene = scenes.make_scene(the_world, rng, settings.scene, training=split == "train")
        image_id = FIRST_IMAGE_ID + len(info)
        drawing.draw_scene(scene, rng).save(folder / "VG_100K" / f"{image_id}.jpg", quality=92)
        rows.add(scene, split)
        size = {"width": scene.width, "height": scene.height}
        info.append({"image_id": image_id, **size, "url": "", "coco_id": None, "flickr_id": None})
    rows.write(folder / "VG-SGG-with-attri.h5")
    said = captions.web_captions(the_world, settings.seed, settings.captions)
    kinds = zero_shot_triplets(rows)
    for name, content in {
        "VG-SGG-dicts-with-attri.json": _dictionary(rows),
        "image_data.json": info,
        "zeroshot_kinds.json": kinds,
        "zeroshot_triplets.json": sorted(kinds["seen_pair"] + kinds["new_pair"]),
        "knowledge_base.json": count_triplets(triplet for triplet, _ in said),
        RECORD: _record(settings),
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")
    lines = (json.dumps({"caption": sentence}) for _, sentence in said)
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
