"""What it takes to predict images of one's own: a trained model, its names, and batches of image files."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.datasets.images import image_size, image_suffixes, load_image
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.engine.given_boxes import Given
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.last_checkpoint import LAST_CHECKPOINT

from .pretrained import Names, build_without_data, is_pretrained, load_pretrained, names_of

# What is given beside the image: nothing, boxes, boxes and their classes.
TASKS = {"sgdet": (False, False), "sgcls": (True, False), "predcls": (True, True)}

# Features and crops of a user's pictures are not written to the disk.
NOTHING_KEPT = (
    "MODEL.BACKBONE.FEATURE_CACHE", "", "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.CROP_CACHE", "",
)  # fmt: skip


class Trained(NamedTuple):
    """A trained model and what its numbers mean.

    Attributes:
        model: on its device, in evaluation mode.
        cfg: frozen configuration.
        classes, predicates: names by number, background first; a detector has no predicates.
    """

    model: torch.nn.Module
    cfg: object
    classes: list[str]
    predicates: list[str]


def locate(source: str | os.PathLike, config_file: str | os.PathLike | None = None) -> tuple[Path, Path]:
    """Configuration and weights of a trained model.

    Args:
        source: the folder of a training (`config.yml`, and the checkpoint that `last_checkpoint` names or
            `model_final.pth`), or a checkpoint with `config.yml` beside it.
        config_file: instead of that `config.yml`.

    Raises:
        InputError: a file of them is missing.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"{path} does not exist; it must be the folder of a training, or a checkpoint")
    folder, checkpoint = (path, _checkpoint_of(path)) if path.is_dir() else (path.parent, path)
    config = Path(config_file) if config_file else folder / "config.yml"
    if not config.is_file():
        raise InputError(
            f"{config} does not exist; "
            + ("it must be a file" if config_file else f"name the configuration that {path} was trained with")
        )
    return config, checkpoint


def _checkpoint_of(folder: Path) -> Path:
    if (folder / LAST_CHECKPOINT).is_file():
        named = Path((folder / LAST_CHECKPOINT).read_text().strip())
        # a folder that was moved still says where it was
        found = named if named.is_file() else folder / named.name
    else:
        found = folder / "model_final.pth"
    if not found.is_file():
        raise InputError(f"folder {folder} has neither a {LAST_CHECKPOINT} that names a file of it nor model_final.pth")
    return found


def open_trained(
    source: str | os.PathLike,
    config_file: str | os.PathLike | None = None,
    dict_file: str | os.PathLike | None = None,
    opts: Sequence = (),
) -> Trained:
    """A model for images without annotations: a training's (`locate`), or one that was shared (`load_pretrained`).

    Args:
        source: the folder of a training, a checkpoint, an exported folder, or `owner/name` of the hub.
        config_file, dict_file, opts: see `load_trained`; a shared model has its configuration and names with it.

    Raises:
        InputError: nothing of the kind, no names, or a checkpoint that does not fit the configuration.
    """
    if config_file is None and is_pretrained(source):
        cfg, model, names = load_pretrained(source, [*NOTHING_KEPT, *opts])
        return Trained(model, cfg, *names)
    return load_trained(*locate(source, config_file), dict_file, opts)


def load_trained(
    config_file: str | os.PathLike,
    checkpoint: str | os.PathLike,
    dict_file: str | os.PathLike | None = None,
    opts: Sequence = (),
) -> Trained:
    """The model of a training, for images without annotations.

    Neither word vectors nor counts of a training set are read: what was made from them is in the checkpoint. The class
    counts of the configuration are set to the numbers of names, and features are not cached. (RelCLIP also needs its
    phrases: the text encoder, their cache or MODEL.LANGUAGE.BANK_FILE, as the configuration says.)

    Args:
        config_file: of the training.
        checkpoint: of this project, or of SGB.
        dict_file: the names in a dictionary json, for checkpoints that hold none (those of SGB); wins where both do.
        opts: further configuration keys and values.

    Raises:
        InputError: no names, or a checkpoint that does not fit the configuration.
    """
    cfg = load_config(str(config_file), [*opts, *NOTHING_KEPT])
    names = _names(str(checkpoint), dict_file, cfg.MODEL.RELATION_ON)
    cfg, model = build_without_data(cfg, names)
    checkpointer = DetectronCheckpointer(cfg, model, logger=logging.getLogger("maskrcnn_benchmark"))
    checkpointer.load(str(checkpoint), with_optim=False)
    if not checkpointer.report.complete:
        raise InputError(
            f"{checkpoint} does not fit the model of {config_file} with {len(names.classes)} classes and "
            f"{len(names.predicates)} predicates, background included: {checkpointer.report}"
        )
    return Trained(model, cfg, *names)


def for_task(trained: Trained, task: str) -> torch.nn.Module:
    """The same model, with the same weights in memory, for another task (a key of `TASKS`)."""
    cfg = trained.cfg.clone()
    cfg.defrost()
    cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX, cfg.MODEL.ROI_RELATION_HEAD.USE_GT_OBJECT_LABEL = TASKS[task]
    cfg.freeze()
    _, model = build_without_data(cfg, Names(trained.classes, trained.predicates))
    model.load_state_dict(trained.model.state_dict(), assign=True)
    return model


def scored_names(trained: Trained) -> list[str]:
    """Names of the columns of the model's predicate scores, background first."""
    scored = scored_predicates(trained.cfg) if trained.cfg.MODEL.RELATION_ON else ()
    return [trained.predicates[0], *scored] if scored else trained.predicates


def _names(checkpoint: str, dict_file: str | os.PathLike | None, relations: bool) -> Names:
    if dict_file is not None:
        classes, predicates, _ = load_info(dict_file)
        return Names(classes, predicates)
    found = names_of(checkpoint)
    if found is None or (relations and not found.predicates):
        raise InputError(
            f"{checkpoint} holds no names of classes{' and predicates' if relations else ''} (those of SGB do not): "
            "give the dictionary json of the data set that it was trained on as --dict-file"
        )
    return found


class Prepared(NamedTuple):
    """An image as a model takes it.

    Attributes:
        pixels: [3, H, W], resized and normalised.
        size: (width, height) of the original in pixels.
        target: the given boxes on the resized image; None where there are none.
        given: the boxes themselves.
    """

    pixels: Tensor
    size: tuple[int, int]
    target: BoxList | None
    given: Given | None


def prepare(image: Image.Image, size: tuple[int, int], given: Given | None, transforms) -> Prepared:
    """Resize and normalise an image, which may have been decoded smaller than its `size`, with its boxes."""
    boxes = BoxList(given.boxes if given else torch.zeros(0, 4), size).clip_to_image(remove_empty=False)
    if given:
        labels = torch.zeros(len(boxes), dtype=torch.int64) if given.labels is None else given.labels
        boxes.add_field("labels", labels)
        boxes.add_field("attributes", torch.zeros(len(boxes), 1, dtype=torch.int64))
    pixels, target = transforms(image, boxes.resize(image.size))
    return Prepared(pixels, size, target if given else None, given)


class ImageFiles(Dataset):
    """Image files, prepared; for a file that cannot be read, or whose boxes do not fit, the sentence that says so.

    Args:
        given: boxes of each file, or a function that finds them; None for none.
    """

    def __init__(self, cfg, files: Sequence[str | os.PathLike], given=None):
        self.files, self.given = files, given
        self.transforms, self.max_pixels = build_transforms(cfg, is_train=False), cfg.INPUT.MAX_PIXELS

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[int, Prepared | str]:
        file = self.files[place]
        try:
            size = image_size(file, upright=True)
            image = load_image(file, upright=True, max_pixels=self.max_pixels)
            given = self.given(place, size) if self.given else None
            return place, prepare(image, size, given, self.transforms)
        except InputError as error:
            return place, str(error)


def list_images(inputs: Iterable[str | os.PathLike]) -> dict[str, Path]:
    """The images of files and folders (not of folders within), each once, by the name that it has in the results.

    That is the file's name; where two have the same, their paths as they were given.

    Raises:
        InputError: a path that does not exist, or a folder without images.
    """
    files: dict[Path, None] = {}
    for path in map(Path, inputs):
        if path.is_dir():
            found = sorted(one for one in path.iterdir() if one.suffix.lower() in image_suffixes() and one.is_file())
            if not found:
                raise InputError(f"folder {path} has no image")
            files.update(dict.fromkeys(found))
        elif path.exists():
            files[path] = None
        else:
            raise InputError(f"{path} does not exist")
    count = Counter(path.name for path in files)
    return {path.name if count[path.name] == 1 else str(path): path for path in files}
