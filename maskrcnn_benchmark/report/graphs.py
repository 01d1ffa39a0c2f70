"""Scene graphs of models beside the annotated one, as components that light up what is pointed at."""

from __future__ import annotations

import string
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.datasets.visual_genome import load_image
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import is_named_within
from maskrcnn_benchmark.utils.json_files import read_json
from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps
from maskrcnn_benchmark.viewer import component, image_symbol

from .grouping import Setting, Table

IMAGES = 6
RELATIONS = 10  # of a model, best first
_LONGEST_SIDE = 640  # pixels of an embedded image
_SAME_OBJECT = 0.5  # IoU from which a detected box takes the number and colour of an annotated one


def graph_rows(table: Table, settings: Sequence[Setting], prefix: str) -> tuple[str, str]:
    """Some images, each with the annotated graph and one of every setting.

    The images are evenly spaced among those that the tests kept (`graphs.json`), which are evenly spaced in the test
    set: nobody has looked at a prediction to choose them.

    Args:
        settings: of one table; the runs of the smallest seed that all of them have are shown.
        prefix: starts the names of drawings, which must differ within a page.

    Returns:
        HTML, and a sentence on what is shown, or why nothing is.

    Raises:
        InputError: a damaged `graphs.json`.
    """
    common = set.intersection(*(set(setting.seeds) for setting in settings))
    runs = {seed: [next(run for run in setting.runs if run.seed == seed) for setting in settings] for seed in common}
    comparable = [
        seed for seed, chosen in runs.items() if len({run.evaluation["test_set"] for run in chosen}) == 1
        and all(run.graphs_file.exists() for run in chosen)
    ]  # fmt: skip
    if not comparable:
        return "", "No graphs: these models have no graphs.json of the same seed."
    seed = min(comparable, key=lambda value: (value is None, value))
    kept = [read_graphs(run.graphs_file) for run in runs[seed]]
    images = sorted(set.intersection(*map(set, kept)))
    folders = {run.config["DATASETS.DATA_DIR"] for run in runs[seed] if "DATASETS.DATA_DIR" in run.config}
    paths = {index: Path(kept[0][index]["image"]) for index in images}
    # a run folder may come from anywhere: what it names is embedded only where it is an image of its own data
    there = [index for index, path in paths.items() if path.is_file() and is_named_within(path, folders)]
    if not there:
        places = " or ".join(map(str, sorted(folders))) or "the data folder of a run"
        named = f"No graphs: the images, such as {paths[images[0]]}, are no files below {places} (DATASETS.DATA_DIR)."
        return "", escape(named) if images else ""
    chosen = [there[i] for i in sorted(set(np.linspace(0, len(there) - 1, IMAGES).round().astype(int).tolist()))]
    names = table.legend(settings)
    rows = [_row([graphs[index] for graphs in kept], names, f"{prefix}-{index}") for index in chosen]
    letters = string.ascii_uppercase[: len(settings)]
    note = (
        f"{len(rows)} images, evenly spaced in the test set{'' if seed is None else f', runs of seed {seed}'}. Of each "
        f"model the {RELATIONS} best relations, one predicate per pair, with its score; ✓ marks those "
        f"that are annotated. {' and '.join(letters)} beside an annotated relation say which model found it so."
    )
    return "\n".join(rows), note


def read_graphs(path: Path) -> dict[int, dict]:
    """The graphs of a `graphs.json` by number of the image."""
    graphs = read_json(path, json_schemas.GraphSamples, "graphs")
    for place, graph in enumerate(graphs):
        annotated = len(graph["ground_truth"]["relations"])
        for what in ("ground_truth", "prediction"):
            shown, where = graph[what], f"graphs {path}, number {place}, {what}"
            count = len(shown["boxes"])
            if len(shown["names"]) != count:
                raise InputError(f"{where}: {count} boxes, but {len(shown['names'])} names")
            for relation in shown["relations"]:
                if max(relation["subject"], relation["object"]) >= count:
                    raise InputError(f"{where}: a relation of an object that is not there; there are {count}")
                if what == "prediction" and not all(i < annotated for i in relation.get("matches", [annotated])):
                    raise InputError(f"{where}: matches must be places among the {annotated} annotated relations")
    return {graph["index"]: graph for graph in graphs}


def _row(graphs: Sequence[dict], names: Sequence[str], name: str) -> str:
    """One image: the annotated graph, and that of each model."""
    truth, size = graphs[0]["ground_truth"], (graphs[0]["width"], graphs[0]["height"])
    cards, finders = [], [""] * len(truth["relations"])
    for letter, graph, model in zip(string.ascii_uppercase, graphs, names, strict=False):
        predicted = graph["prediction"] | {"relations": graph["prediction"]["relations"][:RELATIONS]}
        hits = [relation["matches"] for relation in predicted["relations"]]
        for place in {place for matches in hits for place in matches}:
            finders[place] += letter
        title = f"{_badge(letter)}{escape(model)} <small>{sum(map(bool, hits))} of {len(hits)} annotated</small>"
        numbers = match_numbers(predicted["boxes"], truth["boxes"])
        cards.append(_card(title, predicted, numbers, ["✓" if matches else "" for matches in hits], name, size))
    title = f"Ground truth <small>{len(truth['relations'])} relations</small>"
    cards.insert(0, _card(title, truth, range(len(truth["boxes"])), finders, name, size))
    symbol = image_symbol(name, load_image(graphs[0]["image"]), size, _LONGEST_SIDE)
    return f'<div class="graphs" style="--columns: {len(cards)}">{symbol}{"".join(cards)}</div>'


def _card(
    title: str, graph: dict, numbers: Sequence[int], marks: Sequence[str], symbol: str, size: tuple[int, int]
) -> str:
    """A graph with marks behind its relations; equal numbers are equal objects."""
    shown = {
        "width": size[0],
        "height": size[1],
        "objects": [{"name": name, "box": box} for name, box in zip(graph["names"], graph["boxes"], strict=True)],
        "relations": [
            {key: relation[key] for key in ("subject", "predicate", "object", "score") if key in relation}
            | {"mark": mark}
            for relation, mark in zip(graph["relations"], marks, strict=True)
        ],
    }
    return component(shown, symbol, title, len(marks), numbers, compact=True)


def _badge(letter: str) -> str:
    return f'<b class="badge">{letter}</b>'


def match_numbers(boxes: Sequence[Sequence[float]], annotated: Sequence[Sequence[float]]) -> list[int]:
    """Numbers for predicted boxes: that of the annotated box which they overlap most, each taken once, the closest
    pairs first; the others go on counting behind the annotated ones.
    """
    numbers = [-1] * len(boxes)
    if boxes and annotated:
        overlaps = bbox_overlaps(boxes, annotated)
        taken: set[int] = set()
        for place in np.argsort(-overlaps, axis=None, kind="stable").tolist():
            box, number = divmod(place, len(annotated))
            if overlaps[box, number] < _SAME_OBJECT:
                break
            if numbers[box] < 0 and number not in taken:
                numbers[box] = number
                taken.add(number)
    following = len(annotated)
    for box, number in enumerate(numbers):
        if number < 0:
            numbers[box] = following
            following += 1
    return numbers
