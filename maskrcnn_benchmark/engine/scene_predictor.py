"""Scene graphs of images of one's own: no data set is needed, class names come with the checkpoint."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.datasets.images import image_suffixes, load_image
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write

from .inference import autocast
from .pretrained import Names, build_without_data, is_pretrained, load_pretrained, names_of


@dataclass
class ScenePredictor:
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

    def graphs(self, files: Sequence[str | os.PathLike], progress: bool = True) -> Iterator[tuple[int, dict | str]]:
        """Predict image files in batches of TEST.IMS_PER_BATCH.

        Images are turned as their EXIF data say, and boxes are those of the turned image.

        Yields:
            (place in `files`, scene graph as `scene_graph` gives it), in the order of the files; for a file that
            cannot be read, what is wrong with it takes the place of the graph.
        """
        device = torch.device(self.cfg.MODEL.DEVICE)
        loader = DataLoader(
            _Files(files, build_transforms(self.cfg, is_train=False)),
            batch_size=self.cfg.TEST.IMS_PER_BATCH,
            num_workers=self.cfg.DATALOADER.NUM_WORKERS,
            collate_fn=list,
        )
        for batch in tqdm(loader, desc="predicting", unit="batch", disable=not progress):
            read = [(place, image, size) for place, image, size in batch if size is not None]
            graphs: dict[int, dict | str] = {place: image for place, image, size in batch if size is None}
            if read:
                images = to_image_list([image for _, image, _ in read], self.cfg.DATALOADER.SIZE_DIVISIBILITY)
                with torch.no_grad(), autocast(device, self.cfg.DTYPE):
                    predictions = self.model(images.to(device))
                for (place, _, size), prediction in zip(read, predictions, strict=True):
                    prediction = prediction.to("cpu").resize(size)
                    graphs[place] = scene_graph(prediction, self.classes, self.predicates)
            yield from sorted(graphs.items())


def load_predictor(
    config_file: str | os.PathLike | None,
    checkpoint: str | os.PathLike,
    dict_file: str | os.PathLike | None = None,
    opts: Sequence = (),
) -> ScenePredictor:
    """A model for images without annotations.

    Neither word vectors nor counts of a training set are read: what was made from them is in the checkpoint. The class
    counts of the configuration are set to the numbers of names. (RelCLIP also needs its phrases: the text encoder,
    their cache or MODEL.LANGUAGE.BANK_FILE, as the configuration says; a shared model has them with it.)

    Args:
        config_file: of the training; relation models must be those of SGDet, for there are no boxes to start from. None
            for a shared model.
        checkpoint: of this project, or of SGB; or a shared model, as `load_pretrained` takes it.
        dict_file: the names in a dictionary json, for checkpoints that hold none (those of SGB); wins where both do.
        opts: further configuration keys and values.

    Raises:
        InputError: another task than SGDet, no names, or a checkpoint that does not fit the configuration.
    """
    if config_file is None:
        if not is_pretrained(checkpoint):
            raise InputError(f"{checkpoint} is no shared model, so it needs the configuration of its training")
        cfg, model, (classes, predicates) = load_pretrained(checkpoint, opts)
        _check_task(cfg)
    else:
        cfg = load_config(str(config_file), list(opts))
        _check_task(cfg)
        classes, predicates = _names(str(checkpoint), dict_file, cfg.MODEL.RELATION_ON)
        cfg, model = build_without_data(cfg, Names(classes, predicates))
        checkpointer = DetectronCheckpointer(cfg, model, logger=logging.getLogger("maskrcnn_benchmark"))
        checkpointer.load(str(checkpoint), with_optim=False)
        if not checkpointer.report.complete:
            raise InputError(
                f"{checkpoint} does not fit the model of {config_file} with {len(classes)} classes and "
                f"{len(predicates)} predicates, background included: {checkpointer.report}"
            )
    scored = scored_predicates(cfg) if cfg.MODEL.RELATION_ON else ()
    return ScenePredictor(model, cfg, classes, [predicates[0], *scored] if scored else predicates)


def _check_task(cfg) -> None:
    head = cfg.MODEL.ROI_RELATION_HEAD
    if cfg.MODEL.RELATION_ON and (head.USE_GT_BOX or head.USE_GT_OBJECT_LABEL):
        raise InputError(
            "MODEL.ROI_RELATION_HEAD.USE_GT_BOX or USE_GT_OBJECT_LABEL is True, but images of one's own have no boxes "
            "and labels to start from: take a model that was trained for SGDet (both False)"
        )


def _names(checkpoint: str, dict_file: str | os.PathLike | None, relations: bool) -> Names:
    if dict_file is not None:
        return Names(*load_info(dict_file)[:2])
    names = names_of(checkpoint)
    if names is None or (relations and not names.predicates):
        raise InputError(
            f"{checkpoint} holds no names of classes{' and predicates' if relations else ''} (those of SGB do not): "
            "give the dictionary json of the data set that it was trained on as --dict-file"
        )
    return names


class _Files(Dataset):
    """(place, tensor, size in pixels), or (place, what is wrong, None) of a file that cannot be read."""

    def __init__(self, files: Sequence[str | os.PathLike], transforms):
        self.files = files
        self.transforms = transforms

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int):
        try:
            image = load_image(self.files[place], upright=True)
        except InputError as error:
            return place, str(error), None
        tensor, _ = self.transforms(image, BoxList([[0, 0, *image.size]], image.size))
        return place, tensor, image.size


def scene_graph(prediction: BoxList, classes: Sequence[str], predicates: Sequence[str]) -> dict:
    """A prediction in words.

    Args:
        prediction: of a relation model or a detector, in pixels of the original image.
        classes, predicates: names by number, background first.

    Returns:
        `width` and `height` of the image; `objects`, best first, with `name`, `box` (xyxy in pixels, 0-based, both
        corners included) and `score`; `relations`, best first, with `subject`, `predicate`, `object` (subject and
        object are places in `objects`) and `score`, the product of the scores of subject, predicate and object.
    """
    width, height = prediction.size
    prediction = prediction.convert("xyxy").clip_to_image(remove_empty=False)
    scores = prediction.get_field("pred_scores")
    order = scores.argsort(descending=True, stable=True)
    objects = [
        {"name": classes[label], "box": [round(x, 1) for x in box], "score": float(f"{score:.4g}")}
        for label, box, score in zip(
            prediction.get_field("pred_labels")[order].tolist(),
            prediction.bbox[order].tolist(),
            scores[order].tolist(),
            strict=True,
        )
    ]
    graph = {"width": width, "height": height, "objects": objects, "relations": []}
    if prediction.has_field("rel_pair_idxs"):
        pairs, labels = prediction.get_field("rel_pair_idxs"), prediction.get_field("pred_rel_labels")
        own = (
            prediction.get_field("pred_rel_scores").gather(1, labels[:, None])[:, 0] if len(labels) else labels.float()
        )
        total = own * scores[pairs].prod(1) if len(labels) else own
        place = order.argsort()
        graph["relations"] = [
            {"subject": subject, "predicate": predicates[label], "object": object_, "score": float(f"{score:.4g}")}
            for (subject, object_), label, score in zip(
                place[pairs].tolist(), labels.tolist(), total.tolist(), strict=True
            )
        ]
    return graph


def best_of(graph: dict, top_k: int, min_score: float = 0.0) -> dict:
    """A scene graph without objects below `min_score` and their relations, and with the first `top_k` relations."""
    kept = [i for i, one in enumerate(graph["objects"]) if one["score"] >= min_score]
    place = {old: new for new, old in enumerate(kept)}
    relations = [
        {**one, "subject": place[one["subject"]], "object": place[one["object"]]}
        for one in graph["relations"]
        if one["subject"] in place and one["object"] in place
    ]
    return {**graph, "objects": [graph["objects"][i] for i in kept], "relations": relations[:top_k]}


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
    names = [path.name for path in files]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in files}


def write_graphs(graphs: Iterable[tuple[str, dict]], path: str | os.PathLike) -> None:
    """Write {name: scene graph} as json, one image after the other as they come."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.write("{")
        for position, (name, graph) in enumerate(graphs):
            out.write(",\n" if position else "\n")
            out.write(f"{json.dumps(name)}: {json.dumps(graph)}")
        out.write("\n}\n")
