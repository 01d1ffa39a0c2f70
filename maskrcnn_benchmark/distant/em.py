"""Expectation maximisation of distant labels: a trained model weights them anew, and another is trained on that.

OUTPUT_DIR/
  em_settings.json          what decides the result; a run with other settings is refused
  em.json                   the rounds so far: labels, agreement with human ones, metrics
  round_0/data/...          DATASETS.DATA_DIR of the round: its own h5, links to everything else
  round_0/model/...         OUTPUT_DIR of its training
  round_1/...
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.datasets.vg_format import load_image_filenames, load_info
from maskrcnn_benchmark.engine.evaluate import load_trained_model, run_test
from maskrcnn_benchmark.engine.recipes import relation_recipe, train
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.comm import all_gather, is_main_process, synchronize
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.json_files import read_json
from maskrcnn_benchmark.utils.miscellaneous import save_config

from .clip_scores import ClipScorer
from .expectation import Expectation
from .labels import (
    Labels,
    link_siblings,
    read_arrays,
    read_human_labels,
    read_labels,
    training_images,
    write_labels,
)
from .predictions import prediction_rows, training_predictions
from .quality import agreement

# What may differ between a run and its continuation.
_FREE = {"MODEL": ("DEVICE",), "DATALOADER": ("NUM_WORKERS",), "TEST": ("IMS_PER_BATCH",), "OUTPUT_DIR": ()}
_LEAST = 1e-12  # probabilities below count as this


@dataclass(frozen=True)
class EMSettings:
    """How the rounds go.

    Attributes:
        rounds: E-steps by a trained model, each followed by a training; one training comes before them.
        expectation: how scores become weights.
        scorer: CLIP for the first E-step; None: the labels' own weights are taken.
        skip_test: do not test the model of each round.
    """

    rounds: int
    expectation: Expectation
    scorer: ClipScorer | None
    skip_test: bool = False


class ExpectationMaximisation:
    """The rounds of one run; every process of a distributed job makes one.

    Each E-step weights the candidates of the data set of DATASETS.TRAIN, all of them again: what a round dropped may
    come back. The weights after the first E-step are the prior of the later ones.

    Args:
        cfg: of a relation model; DATASETS.DATA_DIR has the data set that tools/distant_label.py wrote.
        human: the h5 with human labels; they are only compared with.

    Raises:
        InputError: a data set without labels to weight, or a folder that holds a run with other settings.
    """

    def __init__(
        self,
        cfg,
        settings: EMSettings,
        seed: int,
        distributed: bool,
        logger: logging.Logger,
        human: str | os.PathLike | None = None,
    ):
        self.cfg, self.settings, self.seed, self.distributed, self.logger = cfg, settings, seed, distributed, logger
        if settings.rounds < 0:
            raise InputError(f"--rounds is {settings.rounds}; it must be 0 or more")
        if len(cfg.DATASETS.TRAIN) != 1:
            raise InputError(f"DATASETS.TRAIN must name the one data set to weight, found {cfg.DATASETS.TRAIN}")
        relation_recipe(cfg)  # tells a detector's configuration apart
        settings.expectation.check()
        self.files = load_catalog(cfg).DatasetCatalog.get(cfg.DATASETS.TRAIN[0], cfg)["args"]
        self.source = Path(self.files["roidb_file"])
        try:
            self.place = self.source.relative_to(cfg.DATASETS.DATA_DIR)
        except ValueError as error:
            raise InputError(f"{self.source} is not below DATASETS.DATA_DIR {cfg.DATASETS.DATA_DIR}") from error
        self.arrays = read_arrays(self.source)
        self.images = training_images(self.arrays, cfg.DATASETS.NUM_VAL_IM)
        self.candidates = read_labels(self.arrays, self.images)
        if not len(self.candidates):
            raise InputError(f"{self.source} has no label of a training image to weight")
        self.human = None if human is None else read_human_labels(human, self.arrays, self.images)
        self.output = Path(cfg.OUTPUT_DIR)

    def run(self) -> list[dict]:
        """Do what is not done yet; the report of all rounds, as `em.json` holds it."""
        self._claim()
        for number in range(self.settings.rounds + 1):
            if not self._done(self._h5(number)):
                self.logger.info("round %d: E-step", number)
                self._expect(number)
            config = self._config(number)
            if not self._done(Path(config.OUTPUT_DIR) / "model_final.pth"):
                self.logger.info("round %d: M-step", number)
                self._maximise(config)
            results = [_evaluation(config, name) for name in config.DATASETS.TEST]
            if not self.settings.skip_test and not all(self._done(path) for path in results):
                self.logger.info("round %d: test", number)
                run_test(config, load_trained_model(config, [], self.logger), self.distributed, self.logger, "test")
            self._report(number)
        return self._report(self.settings.rounds)

    # -- steps ---------------------------------------------------------------------------------------------------
    def _expect(self, number: int) -> None:
        if number == 0:
            labels = self.candidates
            if self.settings.scorer is not None and is_main_process():
                labels = self.settings.expectation.apply(labels, self._clip_logits(self.settings.scorer))
        else:
            prior = self._first_weights()
            scores = self._model_scores(number - 1, prior)
            labels = self.settings.expectation.apply(prior, scores) if is_main_process() else prior
        if is_main_process():
            path = self._h5(number)
            root = Path(self.cfg.DATASETS.DATA_DIR)
            for above in (*self.place.parents, self.place):
                if above.name:
                    link_siblings(root / above, self._data(number) / above)
            write_labels(self.source, path, self.images, labels)
        synchronize()

    def _clip_logits(self, scorer: ClipScorer) -> np.ndarray:
        filenames, info = load_image_filenames(self.files["img_dir"], self.files["image_file"])
        sizes = np.array([(image["width"], image["height"]) for image in info])
        classes, predicates, _ = load_info(self.files["dict_file"])
        return scorer.logits(self.candidates, self.arrays, filenames, sizes, classes, predicates)

    def _first_weights(self) -> Labels:
        """All candidates; what the first E-step dropped has the weight 0."""
        first = read_labels(read_arrays(self._h5(0)), self.images)
        codes = [
            np.column_stack((labels.pairs, labels.predicates)).astype(np.int64) for labels in (self.candidates, first)
        ]
        _, place = np.unique(np.concatenate(codes), axis=0, return_inverse=True)
        weights = np.zeros(place.max() + 1)
        place = place.reshape(-1)
        weights[place[len(self.candidates) :]] = first.weights
        return self.candidates.take(slice(None), weights[place[: len(self.candidates)]])

    def _model_scores(self, number: int, labels: Labels) -> np.ndarray:
        """Logarithms of the probabilities that the model of a round gives labels, float64 [M]; 0 where it gives none
        (boxes outside of their image), and on other processes than the main one."""
        # boxes are given, whatever the task: the candidates are those of annotated boxes
        config = self._config(number, "MODEL.ROI_RELATION_HEAD.USE_GT_BOX", True)
        first_box = self.arrays["img_to_first_box"].astype(np.int64)
        scores = np.zeros(len(labels))
        for image, kept, prediction in training_predictions(config, self.distributed, self.logger):
            rows = slice(*np.searchsorted(labels.image, [image, image + 1]))
            scores[rows] = candidate_scores(
                labels.pairs[rows] - first_box[image],
                labels.predicates[rows],
                kept,
                prediction.get_field("rel_pair_idxs").numpy(),
                prediction.get_field("pred_rel_scores").numpy(),
            )
        return scores

    def _maximise(self, config) -> None:
        if is_main_process():
            os.makedirs(config.OUTPUT_DIR, exist_ok=True)
        synchronize()
        train(config, relation_recipe(config), self.seed, self.distributed, self.logger)
        synchronize()

    # -- places and records --------------------------------------------------------------------------------------
    def _data(self, number: int) -> Path:
        return self.output / f"round_{number}" / "data"

    def _h5(self, number: int) -> Path:
        return self._data(number) / self.place

    def _config(self, number: int, *options):
        """The configuration of a round."""
        config = self.cfg.clone()
        config.defrost()
        places = ("DATASETS.DATA_DIR", str(self._data(number)), "OUTPUT_DIR", str(self._data(number).parent / "model"))
        config.merge_from_list([*places, *options])
        config.freeze()
        return config

    @staticmethod
    def _done(path: Path) -> bool:
        """Whether a file is there, as the main process sees it."""
        return all_gather(path.exists())[0]

    def _claim(self) -> None:
        """Note what decides the result, or see that it is what an earlier run noted."""
        settings = self.settings
        scorer = settings.scorer
        config = json.loads(json.dumps(self.cfg))
        for group, names in _FREE.items():
            for name in names:
                del config[group][name]
            if not names:
                del config[group]
        now = {
            "labels": hashlib.sha256(self.source.read_bytes()).hexdigest(),
            "seed": self.seed,
            "expectation": asdict(settings.expectation),
            "clip": None if scorer is None else [scorer.spec.identity(), list(scorer.templates), asdict(scorer.rule)],
            "config": config,
        }
        path = self.output / "em_settings.json"
        if self._done(path):
            before = read_json(path, json_schemas.Settings)
            if before != now:
                names = ", ".join(_differences(before, now))
                raise InputError(f"{self.output} holds a run with other settings ({names}); give another OUTPUT_DIR")
        elif is_main_process():
            save_config(self.cfg, os.path.join(self.output, "config.yml"))
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(now, indent=1))
        synchronize()

    def _report(self, last: int) -> list[dict]:
        """Write and log what the rounds up to the last one gave; [] on other processes than the main one."""
        if not is_main_process():
            return []
        rounds, before = [], None
        for number in range(last + 1):
            labels = read_labels(read_arrays(self._h5(number)), self.images)
            best = _best_predicates(labels)
            entry = {
                "round": number,
                "weights": f"model of round {number - 1}" if number else ("CLIP" if self.settings.scorer else "given"),
                "labels": len(labels),
                "pairs": len(labels.first_of_pair()),
                "changed": None if before is None else _changed(before, best),
                "agreement": None if self.human is None else agreement(labels, self.human).as_json(),
                "metrics": self._metrics(number),
            }
            rounds.append(entry)
            before = best
        with atomic_write(self.output / "em.json") as temporary:
            temporary.write_text(json.dumps({"rounds": rounds}, indent=1))
        self.logger.info("rounds so far:\n%s", "\n".join(_table(rounds)))
        return rounds

    def _metrics(self, number: int) -> dict:
        """Metrics of a round's model by data set, as far as it was tested."""
        config = self._config(number)
        paths = {name: _evaluation(config, name) for name in config.DATASETS.TEST}
        there = {name: path for name, path in paths.items() if path.exists()}
        return {name: read_json(path, json_schemas.SeenMetrics)["metrics"] for name, path in there.items()}


def candidate_scores(
    pairs: np.ndarray, predicates: np.ndarray, kept: np.ndarray, predicted_pairs: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Logarithms of the probabilities of the labels of one image.

    Args:
        pairs, predicates: of m labels, int [m, 2] and [m]; pairs count all boxes of the image.
        kept: the boxes that the prediction has, ascending, int [n].
        predicted_pairs: int [k, 2]; they count the kept boxes.
        probabilities: of every predicate, float [k, R].

    Returns:
        float64 [m], 0 for pairs that were not predicted.
    """
    rows = prediction_rows(pairs, kept, predicted_pairs)
    scores = np.zeros(len(pairs))
    there = rows >= 0
    found = probabilities[rows[there], predicates[there]].astype(np.float64)
    scores[there] = np.log(np.maximum(found, _LEAST))
    return scores


def _best_predicates(labels: Labels) -> dict[tuple[int, int], int]:
    """The likeliest predicate of each pair."""
    order = np.lexsort((-labels.weights, labels.pair_index()))
    first = order[labels.first_of_pair()]
    return dict(zip(map(tuple, labels.pairs[first].tolist()), labels.predicates[first].tolist(), strict=True))


def _changed(before: dict, now: dict) -> float:
    """Share of the pairs whose likeliest predicate is another."""
    return sum(before.get(pair) != predicate for pair, predicate in now.items()) / len(now)


def _evaluation(config, name: str) -> Path:
    return Path(config.OUTPUT_DIR) / "inference" / name / "evaluation.json"


def _differences(before, now, key: str = "") -> Iterator[str]:
    """Names of the settings that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif before != now:
        yield key.removeprefix("config.")


def _table(rounds: list[dict]) -> list[str]:
    """The report as a Markdown table."""
    metrics = ("R@50", "mR@50")
    lines = [
        "| round | weights by | labels | changed | drawn right | likeliest right | " + " | ".join(metrics) + " |",
        "|" + " --- |" * (6 + len(metrics)),
    ]
    for entry in rounds:
        agreement = entry["agreement"] or {}
        results = next(iter(entry["metrics"].values()), {})
        shares = [entry["changed"], agreement.get("drawn"), agreement.get("best"), *(results.get(k) for k in metrics)]
        cells = ["-" if share is None else f"{100 * share:.1f}" for share in shares]
        start = [entry["round"], entry["weights"], entry["labels"]]
        lines.append("| " + " | ".join(map(str, [*start, *cells])) + " |")
    return lines
