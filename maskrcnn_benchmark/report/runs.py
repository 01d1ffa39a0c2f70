"""Reads what a training and its test left in an output directory."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import conform, json_lines, read_json
from maskrcnn_benchmark.utils.last_checkpoint import LAST_CHECKPOINT, last_checkpoint_of
from maskrcnn_benchmark.utils.safe_pickle import load_checkpoint
from maskrcnn_benchmark.utils.yaml_files import read_yaml

from .tags import derive_tags, read_tags

# In report.json: in evaluation.json.
METRICS = {
    "R": "R",
    "mR": "mR",
    "zR": "zR",
    "ngR": "ng-R",
    "ngmR": "ng-mR",
    "ngzR": "ng-zR",
    "zR_seen_pair": "zR-seen_pair",
    "zR_new_pair": "zR-new_pair",
    "zR_unseen": "zR-unseen",
    "F": "F",
    "M": "M",
    "PR": "PR",
}
KIND_METRICS = ("zR_seen_pair", "zR_new_pair")
# What may differ between runs of one setting: places, and what changes neither training nor predictions.
PLACES = (
    "OUTPUT_DIR", "DETECTED_SGG_DIR", "GLOVE_DIR", "PATHS_CATALOG", "DATASETS.DATA_DIR", "DATASETS.VAL",
    "DATASETS.TEST", "DATASETS.TO_TEST", "MODEL.DEVICE", "MODEL.WEIGHT", "MODEL.PRETRAINED_DETECTOR_CKPT",
    "MODEL.BACKBONE.FEATURE_CACHE", "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.CROP_CACHE", "MODEL.LANGUAGE.CACHE_DIR",
    "DATALOADER.NUM_WORKERS", "SOLVER.CHECKPOINT_PERIOD", "SOLVER.PRINT_GRAD_FREQ", "SOLVER.PRE_VAL", "AMP_VERBOSE",
    "TEST.IMS_PER_BATCH", "TEST.SAVE_PROPOSALS", "TEST.ALLOW_LOAD_FROM_CACHE", "TEST.CUSTUM_EVAL", "TEST.CUSTUM_PATH",
    "TEST.RELATION.ZERO_SHOT_TRIPLETS", "TEST.RELATION.SYNC_GATHER", "TEST.RELATION.MULTIPLE_PREDS",
)  # fmt: skip
_FOREIGN = {"model": "another program", "supervision": "full", "bias": False, "text": "not known"}
# Training decides these; everything else is as the test had it.
_OF_TRAINING = ("SOLVER.", "DATASETS.TRAIN", "DATASETS.NUM_VAL_IM", "DTYPE")


@dataclass(frozen=True)
class Run:
    """One trained and tested model.

    Attributes:
        folder: its output directory.
        dataset: what it was tested on, by the name in the catalog.
        model, supervision, bias, text: tags, see `tags.py`.
        help, part: tags of a fair table, "" where it is in none; see `json_schemas.HELP`.
        curve: how strongly logits were adjusted in the test, as a tag; None: it is a model and no point of its curve.
        seed: of the training; None where nothing tells.
        config: {dotted key: value} of the test, with the settings of the training.
        evaluation: `evaluation.json`.
        metrics: {name of `METRICS`: {"20": fraction or None, ...}}.
        step_ms: median time of a training iteration, None where no training was recorded.
        inference_ms: time of the model for an image, None where the test read old predictions only.
        params: parameters of the relation predictor.
        curves: {name in metrics.json: [(iteration, value), ...]}.
        differences: {key: (in training, in the test)} of the model's settings that the test changed.
    """

    folder: Path
    dataset: str
    model: str
    supervision: str
    bias: bool
    text: str
    seed: int | None
    config: dict[str, Any]
    evaluation: dict[str, Any]
    metrics: dict[str, dict[str, float | None]]
    step_ms: float | None = None
    inference_ms: float | None = None
    params: int | None = None
    device: str = ""
    help: str = ""
    part: str = ""
    curve: float | None = None
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return self.evaluation["task"]

    @property
    def graphs_file(self) -> Path:
        return self.folder / "inference" / self.dataset / "graphs.json"

    @property
    def ranks_file(self) -> Path:
        return self.folder / "inference" / self.dataset / "ranks.npz"

    def entry(self, report: Path) -> dict[str, Any]:
        """The run as `report.json` holds it, which is in the folder `report`."""
        return {
            "model": self.model,
            "supervision": self.supervision,
            "task": self.task,
            "seed": self.seed,
            "bias": self.bias,
            "text": self.text,
            "help": self.help,
            "part": self.part,
            "curve": self.curve,
            "metrics": self.metrics,
            "step_ms": self.step_ms,
            "params": self.params,
            "inference_ms": self.inference_ms,
            "device": self.device,
            "folder": os.path.relpath(self.folder, report),
            "dataset": self.dataset,
            "protocol": self.evaluation["protocol"],
            "notes": self.evaluation.get("notes", []),
            "test_set": self.evaluation["test_set"],
            "zero_shot": self.evaluation["zero_shot"],
        }


def read_run(folder: str | Path, dataset: str = "") -> Run:
    """Read an output directory of relation_train_net.py or relation_test_net.py.

    Args:
        folder: OUTPUT_DIR. A test alone (without training) is enough; then seed, training time and curves are missing.
        dataset: which of the tested data sets; "" where it is one only.

    Raises:
        InputError: no such folder or no evaluation in it, one of a detector, or a file that is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"output directory {folder} does not exist")
    results = _results_folder(folder, dataset)
    evaluation = read_json(results / "evaluation.json", json_schemas.AnyEvaluation, "results")
    if evaluation.get("task") == "detection":
        raise InputError(f"{results / 'evaluation.json'} is of a detector; relation models can be compared")
    try:
        conform(evaluation, json_schemas.Evaluation, f"results {results / 'evaluation.json'}")
    except InputError as error:
        raise InputError(f"{error}; if an older version wrote it, test the model again") from None
    # predictions of another program come without a configuration
    tested = {} if "predictions" in evaluation else _read_config(results / "config.yml")
    trained = _read_config(folder / "config.yml") if (folder / "config.yml").exists() else tested
    config = tested | {key: value for key, value in trained.items() if key.startswith(_OF_TRAINING)}
    tags_file = folder / "run.json"
    tags = read_tags(tags_file) if tags_file.exists() else {}
    cost_file = results / "cost.json"
    cost = read_json(cost_file, json_schemas.Cost) if cost_file.exists() else {}
    curves = read_curves(folder / "metrics.json")
    times = [1000 * value for _, value in curves.pop("time", [])]
    seconds = cost.get("seconds_per_image")
    return Run(
        folder=folder,
        dataset=results.name,
        config=config,
        evaluation=evaluation,
        metrics=_metrics(evaluation["metrics"], evaluation["protocol"]["k"]),
        step_ms=round(statistics.median(times), 1) if times else None,
        inference_ms=None if seconds is None else round(1000 * seconds, 1),
        params=cost.get("predictor_parameters"),
        device=cost.get("device", ""),
        curves=curves,
        differences={
            key: (trained[key], tested[key])
            for key in sorted(trained.keys() & tested.keys())
            if key.startswith("MODEL.") and key not in PLACES and trained[key] != tested[key]
        },
        **((derive_tags(config) if config else _FOREIGN) | {"seed": _seed(folder)} | tags),
    )


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The lines of a `metrics.json` by name: {name: [(iteration, value), ...]}; nothing where there is no such file.

    A last line that was cut short (the training runs or was killed) does not count.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    if not path.exists():
        return curves
    for number, line in json_lines(path, json_schemas.MetricsLine, "metrics", whole=True):
        conform(line, json_schemas.MetricsValues, f"metrics {path}, line {number}")
        for name, value in line.items():
            if name != "iteration":
                curves.setdefault(name, []).append((line["iteration"], value))
    return curves


def _results_folder(folder: Path, dataset: str) -> Path:
    found = sorted(path.parent for path in folder.glob("inference/*/evaluation.json"))
    names = ", ".join(path.name for path in found)
    if not found:
        raise InputError(f"{folder} has no inference/<data set>/evaluation.json: test the model first")
    if dataset:
        found = [path for path in found if path.name == dataset]
        if not found:
            raise InputError(f"{folder} has no results on {dataset}; it has been tested on {names}")
    if len(found) > 1:
        raise InputError(f"{folder} has been tested on {names}: say which counts with --dataset")
    return found[0]


def _metrics(found: dict[str, float | None], top_k: Sequence[int]) -> dict[str, dict[str, float | None]]:
    """By our names; kinds of zero-shot recall that were not measured are None, as those without anything to count."""
    return {ours: {str(k): found.get(f"{theirs}@{k}") for k in top_k} for ours, theirs in METRICS.items()}


def _seed(folder: Path) -> int | None:
    """The seed that the last checkpoint holds."""
    path = folder / "model_final.pth"
    if not path.exists() and (folder / LAST_CHECKPOINT).exists():
        path = Path(last_checkpoint_of(str(folder)))
    return load_checkpoint(path, mmap=True).get("seed") if path.exists() else None


def _read_config(path: Path) -> dict[str, Any]:
    """A saved configuration as {dotted key: value}; not checked against today's keys, a report shows what was."""
    content = read_yaml(path, "configuration", "an older version wrote the results; test the model again")
    found = dict(_flat(content))
    if "MODEL.ROI_RELATION_HEAD.PREDICTOR" not in found:
        raise InputError(f"configuration {path} names no MODEL.ROI_RELATION_HEAD.PREDICTOR: it is of no relation model")
    return found


def _flat(tree: dict[str, Any], prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
