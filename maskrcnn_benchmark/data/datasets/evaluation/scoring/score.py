"""Scores predictions of anybody under a named protocol: no model, no image files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps

from ..vg.graph_evaluator import GraphEvaluator
from ..vg.image_ranks import AnnotatedGraph, PredictedGraph
from ..vg.predicates import novel_predicates
from ..vg.protocol import Protocol
from ..vg.summary import relation_summary, write_evaluation, write_json, write_relation_files
from ..vg.zero_shot import ZeroShot, load_zero_shot, read_kinds
from .annotated_set import AnnotatedSet
from .formats import INPUT_SIZE, Reader, open_predictions
from .habits import Habits
from .notes import Notes
from .saved_boxlists import SUFFIXES, EvalResults
from .sgbench_format import SGBenchWriter

_GIVEN = 0.9  # IoU from which a box of PredCls or SGCls is the annotated one


@dataclasses.dataclass(frozen=True)
class Score:
    """What `score_predictions` found.

    Attributes:
        graphs: the evaluator, after `compute`.
        annotated: the test set.
        predicted: how many of its images have a prediction.
        notes: what was unusual in the file and what was done about it, a sentence each.
    """

    graphs: GraphEvaluator
    annotated: AnnotatedSet
    predicted: int
    notes: Sequence[str]

    def text(self) -> str:
        """Protocol, metrics and notes."""
        notes = "".join(f"note: {line}\n" for line in self.notes)
        return f"{self.predicted} of {len(self.annotated)} images predicted\n{self.graphs.text()}{notes}"

    def save(self, output: str | os.PathLike, model: str, predictions: str) -> None:
        """Write what a test writes, so that tools/compare.py shows it beside others: `inference/<data set>/`
        `evaluation.json` (with `notes` and the `predictions` file), `ranks.npz` and the zero-shot triplets, and
        `run.json`."""
        folder = os.path.join(output, "inference", self.annotated.name)
        os.makedirs(folder, exist_ok=True)
        write_relation_files(self.graphs, folder)
        summary = relation_summary(self.graphs) | {"notes": list(self.notes), "predictions": predictions}
        write_evaluation(folder, self.annotated.name, self.annotated, self.predicted, self.graphs.found, summary)
        tags = {"model": model, "supervision": "full", "bias": False, "text": "not known"}
        write_json(os.path.join(output, "run.json"), tags, indent=1)


def score_predictions(
    annotated: AnnotatedSet,
    path: str | os.PathLike,
    protocol: Protocol,
    task: str = "",
    zero_shot: ZeroShot | None = None,
    novel: Sequence[str] = (),
    info: str | None = None,
    input_size: tuple[int, int] = INPUT_SIZE,
    only_predicted: bool = False,
    export: str | os.PathLike | None = None,
    progress: bool = False,
) -> Score:
    """Score a file of predictions, one image at a time.

    Args:
        annotated: the ground truth.
        path: json of tools/predict.py, of SGB or of sgbench, or SGB's `eval_results.pytorch`.
        task: `predcls`, `sgcls` or `sgdet`; "": as SGB's file shows, and `sgdet` for json.
        zero_shot: None for none.
        novel: novel predicates, or `ovsgtr`; () for none.
        info, input_size: see `formats.CustomPredictions`.
        only_predicted: the test set is cut to the images that the file has. Otherwise all relations of the others are
            missed.
        export: a folder that gets the test set and the predictions in sgbench's formats.
        progress: show it.

    Raises:
        InputError: a file that cannot be read as described, or that the protocol cannot count.
    """
    notes = Notes()
    notes.say(*annotated.notes)
    if only_predicted:
        seen = sorted(index for index, _ in _predictions(path, annotated, Notes(), info, input_size)[0])
        notes.say(f"the test set was cut to the {len(seen):,} of {len(annotated):,} images that were predicted")
        annotated = annotated.subset(seen)
    novel = novel_predicates(novel, annotated.ind_to_predicates, "the list of novel predicates")
    zero_shot = zero_shot or ZeroShot(np.zeros((0, 3), dtype=np.int64), None, source="none")
    predictions, reader = _predictions(path, annotated, notes, info, input_size)
    if not task:
        task = reader.task() if isinstance(reader, EvalResults) else "sgdet"
        notes.say(f"the task is {task}" + (", as boxes and classes show" if isinstance(reader, EvalResults) else ""))
    graphs = GraphEvaluator(protocol, task, annotated, zero_shot, novel, per_image=False)
    with SGBenchWriter(export, annotated, graphs.protocol.max_k) if export else nullcontext() as writer:
        seen_images = _score_images(
            path,
            tqdm(predictions, desc="scoring", unit="image", disable=not progress),
            graphs,
            annotated,
            notes,
            writer,
        )
    if isinstance(reader, Reader):
        reader.close()
    missing = np.flatnonzero(~seen_images).tolist()
    for index in missing:
        graphs.miss(index, annotated.graph(index))
    if missing:
        notes.say(
            f"{len(missing):,} of {len(annotated):,} images have no prediction, such as "
            f"{annotated.filenames[missing[0]]}; all their relations count as missed"
        )
    graphs.compute()
    return Score(graphs, annotated, int(seen_images.sum()), notes.lines())


def _score_images(
    path: str | os.PathLike,
    predictions: Iterable[tuple[int, PredictedGraph]],
    graphs: GraphEvaluator,
    annotated: AnnotatedSet,
    notes: Notes,
    writer: SGBenchWriter | None,
) -> np.ndarray:
    """Give every prediction to the evaluator (and to the writer); which images have one, bool."""
    habits, protocol, task = Habits(), graphs.protocol, graphs.task
    seen_images = np.zeros(len(annotated), dtype=bool)
    for index, graph in predictions:
        image = str(annotated.filenames[index])
        if seen_images[index]:
            raise InputError(f"{path} has the image {image} twice; every image counts once")
        seen_images[index] = True
        if graph.rel_scores is None and protocol.relation_nms is not None:
            raise InputError(
                f"protocol {protocol.name} has a relation NMS at {protocol.relation_nms}, which needs the "
                f"scores of every predicate, but {path} has relations only; take another protocol, or set "
                "relation_nms=off"
            )
        truth = annotated.graph(index)
        if task != "sgdet":
            graph = in_order_of_annotation(truth, graph, task, image, notes)
        habits.look_at(truth, graph)
        try:
            graphs.update(index, truth, graph)
        except InputError as error:
            raise InputError(f"{path}, image {image}: {error}") from error
        if writer:
            writer.add(index, graph)
    if not seen_images.any():
        raise InputError(f"{path} has no prediction for an image of the test set {annotated.name}")
    notes.say(*habits.notes())
    return seen_images


def _predictions(
    path: str | os.PathLike, annotated: AnnotatedSet, notes: Notes, info: str | None, input_size: tuple[int, int]
) -> tuple[Iterable[tuple[int, PredictedGraph]], Reader | EvalResults]:
    if str(path).endswith(SUFFIXES):
        results = EvalResults(path, annotated, notes)
        return results, results
    reader = open_predictions(path, annotated, notes, info, input_size)
    return ((image.index, image.graph) for image in reader), reader


def zero_shot_of(annotated: AnnotatedSet, path: str = "") -> ZeroShot | None:
    """The zero-shot triplets of a file, or those that the configuration of the test set gives; None without either."""
    if annotated.cfg is not None:
        cfg = annotated.cfg.clone()
        cfg.defrost()
        cfg.TEST.RELATION.ZERO_SHOT_TRIPLETS = path or cfg.TEST.RELATION.ZERO_SHOT_TRIPLETS
        return load_zero_shot(cfg, annotated)
    if not path:
        return None
    kinds = read_kinds(path, annotated.ind_to_classes, annotated.ind_to_predicates)
    triplets = np.concatenate(list(kinds.values()))
    return ZeroShot(triplets, None, None if "" in kinds else kinds, os.path.basename(path))


def in_order_of_annotation(
    truth: AnnotatedGraph, graph: PredictedGraph, task: str, image: str, notes: Notes
) -> PredictedGraph:
    """A prediction of PredCls or SGCls with its objects in the order of the annotated ones, which the task gives.

    Where the boxes are not those that are annotated, it stays as it is; they are then matched by overlap.
    """
    count = len(truth.boxes)
    if len(graph.boxes) != count or not count:
        return graph
    overlaps = bbox_overlaps(graph.boxes, truth.boxes)
    fits = overlaps >= _GIVEN
    if task == "predcls":
        fits &= graph.classes[:, None] == truth.classes[None]
    if fits.diagonal().all():
        return graph
    rows, places = linear_sum_assignment(-overlaps - fits)
    if not fits[rows, places].all():
        notes.count(f"objects that are not the annotated ones, in the task {task}", (~fits[rows, places]).sum(), image)
        # Fewer or more boxes than annotated is what tells the evaluator that boxes are the model's own.
        return graph._replace(
            boxes=np.concatenate((graph.boxes, np.zeros((1, 4), dtype=graph.boxes.dtype))),
            classes=np.append(graph.classes, 0),
            scores=np.append(graph.scores, 0.0),
        )
    notes.count("objects that were put in the order of the annotation", (rows != places).sum(), image)
    order = np.argsort(places)

    def moved(relations: np.ndarray | None) -> np.ndarray | None:
        if relations is None:
            return None
        return np.column_stack((places[relations[:, :2]], relations[:, 2:]))

    return graph._replace(
        boxes=graph.boxes[order], classes=graph.classes[order], scores=graph.scores[order],
        relations=moved(graph.relations), free=moved(graph.free),
    )  # fmt: skip


def parse_fields(settings: Sequence[str]) -> dict[str, Any]:
    """`name=value` of single protocol fields, as a command line has them.

    >>> parse_fields(["average=relations", "k=20,50", "relation_nms=off"])
    {'average': 'relations', 'k': (20, 50), 'relation_nms': None}

    Raises:
        InputError: an unknown field, or no such setting.
    """
    names = [field.name for field in dataclasses.fields(Protocol) if field.name != "name"]
    fields: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in names:
            raise InputError(f"--set {setting}: it must be FIELD=VALUE, with a field of {', '.join(names)}")
        if value == "off":
            fields[name] = None
            continue
        try:
            parsed = json.loads(f"[{value.lower()}]")
        except json.JSONDecodeError:
            parsed = [value]
        fields[name] = tuple(parsed) if name == "k" else parsed[0]
    return fields
