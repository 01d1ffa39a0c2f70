"""The files that a configuration needs, looked at without reading much: every training begins with this."""

from __future__ import annotations

import logging
import os
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.acquisition.manifest import DEFAULT, Places, read_manifest
from maskrcnn_benchmark.data.build import check_class_counts
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.engine.pretrained import Names
from maskrcnn_benchmark.utils.checkpoint import address_of
from maskrcnn_benchmark.utils.download import in_words
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.hub import SCHEME
from maskrcnn_benchmark.utils.last_checkpoint import LAST_CHECKPOINT, last_checkpoint_of
from maskrcnn_benchmark.utils.model_zoo import cached_path
from maskrcnn_benchmark.utils.run_identity import other_run, run_differences

from .finding import FAILS, NOTE, OK, WRONG, Finding
from .language import text_encoder

RUN_FOLDER = "run folder"
# Predictors that are known to embed the names of objects.
_WITH_WORDS = tuple(f"{name}Predictor" for name in ("Motif", "VCTree", "Transformer", "CausalAnalysis", "RelCLIP"))


def check_start(cfg, with_test: bool = True, start_anew: bool = False) -> None:
    """What a training looks at before anything else; what would be silently wrong is logged.

    Args:
        with_test: the test sets are needed, too.
        start_anew: the run that OUTPUT_DIR holds will be set aside.

    Raises:
        InputError: the training would fail; the first reason, with what mends it.
    """
    findings = [found for found in inputs(cfg, with_test) if not (start_anew and found.what == RUN_FOLDER)]
    fatal = [finding for finding in findings if finding.state == FAILS]
    if fatal:
        first, more = fatal[0], len(fatal) - 1
        remedy = f"; {first.remedy}" if first.remedy else ""
        others = f" ({more} more: tools/doctor.py with the same configuration lists all)" if more else ""
        raise InputError(f"{first.found}{remedy}{others}")
    for finding in findings:
        if finding.state == WRONG:
            logging.getLogger("maskrcnn_benchmark").warning("%s: %s; %s", finding.what, finding.found, finding.remedy)


def inputs(cfg, with_test: bool = True, can_reach: Callable[[str], bool] = lambda address: True) -> Iterator[Finding]:
    """Findings about all files that a configuration names, and the output folder; arguments as those of its parts."""
    yield from data_files(cfg, with_test)
    yield from other_files(cfg, can_reach)


def other_files(cfg, can_reach: Callable[[str], bool]) -> Iterator[Finding]:
    """Findings about word vectors, text encoder, run folder and the weights to start from.

    Args:
        can_reach: whether an address can be downloaded from.
    """
    if cfg.MODEL.RELATION_ON:
        yield from _word_vectors(cfg)
        yield from text_encoder(cfg, training_names(cfg), can_reach)
        yield from _zero_shot(cfg)
    yield from _run(cfg, can_reach)


def command_for(path: str | os.PathLike, data_dir: str) -> str:
    """The command that gets a file; "" where the manifest does not know it."""
    if not DEFAULT.is_file():
        return ""
    places, path = Places(Path(data_dir)), Path(path).absolute()
    for item in read_manifest().values():
        for file in item.files:
            target = places.of(file.to).absolute()
            if path == target or (file.archive and path in [target / member for member in file.members]):
                where = "" if data_dir == "datasets" else f" --data-dir {data_dir}"
                by_hand = "" if file.sources else f" --source {file.name}=FILE_OR_ADDRESS   # {', '.join(file.pages)}"
                return f"python tools/get_data.py {item.name}{where}{by_hand}"
    return ""


# -- data sets -------------------------------------------------------------------------------------------------------
def named_data_sets(cfg, with_test: bool = True) -> list[str]:
    """Names of the data sets that a training opens, each once."""
    validates = cfg.SOLVER.TO_VAL or cfg.SOLVER.PRE_VAL
    names = (*cfg.DATASETS.TRAIN, *(cfg.DATASETS.VAL if validates else ()), *(cfg.DATASETS.TEST if with_test else ()))
    return list(dict.fromkeys(names))


def training_names(cfg) -> Names | None:
    """Names of classes and predicates of the training data; None where its dictionary cannot be read."""
    try:
        files = load_catalog(cfg).DatasetCatalog.get(cfg.DATASETS.TRAIN[0], cfg)["args"]
        return Names(*load_info(files["dict_file"])[:2])
    except (InputError, IndexError):
        return None


def data_files(cfg, with_test: bool = True) -> Iterator[Finding]:
    """Findings about the files of the data sets, those of the test among them only where there is one."""
    catalog = load_catalog(cfg).DatasetCatalog
    seen: set[str] = set()
    for name in named_data_sets(cfg, with_test):
        try:
            args = catalog.get(name, cfg)["args"]
        except InputError as error:
            yield Finding("data set", FAILS, str(error))
            continue
        for key, look in (("roidb_file", _h5), ("dict_file", _names), ("image_file", _file), ("img_dir", _images)):
            path = args.get(key)
            if path and path not in seen:
                seen.add(path)
                yield look(cfg, path, f"{name}'s")


def _file(cfg, path: str, whose: str) -> Finding:
    what = os.path.basename(path)
    if not os.path.isfile(path):
        return Finding(what, FAILS, f"data file {path} does not exist", _get(path, cfg, "see docs/datasets.md"))
    return Finding(what, OK, f"{path}, {in_words(os.path.getsize(path))}")


def _h5(cfg, path: str, whose: str) -> Finding:
    finding = _file(cfg, path, whose)
    if finding.state == OK:
        try:
            h5py.File(path, "r").close()
        except OSError as error:
            return Finding(finding.what, FAILS, f"data file {path} is cut short or no h5 file: {error}",
                           _get(path, cfg, "get it again", again=True))  # fmt: skip
    return finding


def _names(cfg, path: str, whose: str) -> Finding:
    finding = _file(cfg, path, whose)
    if finding.state != OK:
        return finding
    try:
        classes, predicates, _ = load_info(path)
        names = types.SimpleNamespace(ind_to_classes=classes, ind_to_predicates=predicates)
        check_class_counts(cfg, names, predicates=not scored_predicates(cfg))
    except InputError as error:
        return Finding(finding.what, FAILS, str(error), "set the class numbers to those of the data")
    counts = f"{len(classes)} classes and {len(predicates)} predicates, background included"
    return Finding(finding.what, OK, f"{finding.found}, {counts}")


def _images(cfg, path: str, whose: str) -> Finding:
    what = "images"
    if not os.path.isdir(path):
        return Finding(what, FAILS, f"image folder {path} does not exist", _get(path, cfg, "see docs/datasets.md"))
    if not any(os.scandir(path)):
        return Finding(what, FAILS, f"image folder {path} is empty", _get(path, cfg, "see docs/datasets.md"))
    return Finding(what, OK, path)


def _get(path: str, cfg, otherwise: str, again: bool = False) -> str:
    command = command_for(path, cfg.DATASETS.DATA_DIR)
    if command and again:
        return f"rm {path}; {command}"
    return command or otherwise


# -- word vectors ----------------------------------------------------------------------------------------------------
def _word_vectors(cfg) -> Iterator[Finding]:
    head = cfg.MODEL.ROI_RELATION_HEAD
    if head.WORD_EMBEDDING != "glove" or head.PREDICTOR == "IMPPredictor":
        return
    stem = f"glove.6B.{head.EMBED_DIM}d"
    found = [Path(cfg.GLOVE_DIR, stem + suffix) for suffix in (".pt", ".txt")]
    there = next((path for path in found if path.is_file()), None)
    if there:
        yield Finding("word vectors", OK, f"{there}, {in_words(there.stat().st_size)}")
        return
    place = Path(cfg.DATASETS.DATA_DIR, "glove")
    command = command_for(place / f"{stem}.txt", cfg.DATASETS.DATA_DIR)
    remedy = f"add GLOVE_DIR {place}"
    if command and not (place / f"{stem}.txt").is_file():
        remedy = command if Path(cfg.GLOVE_DIR) == place else f"{command}, then {remedy}"
    state = FAILS if head.PREDICTOR in _WITH_WORDS else NOTE
    found = f"GLOVE_DIR {os.path.abspath(cfg.GLOVE_DIR)} holds neither {stem}.txt nor {stem}.pt"
    otherwise = (
        "unpack https://nlp.stanford.edu/data/glove.6B.zip there, or set MODEL.ROI_RELATION_HEAD.WORD_EMBEDDING to "
        "clip or random"
    )
    yield Finding("word vectors", state, found, remedy if command else otherwise)


def _zero_shot(cfg) -> Iterator[Finding]:
    path = cfg.TEST.RELATION.ZERO_SHOT_TRIPLETS
    if path and not os.path.isfile(path):
        yield Finding("zero-shot triplets", FAILS, f"TEST.RELATION.ZERO_SHOT_TRIPLETS {path} does not exist",
                      _get(path, cfg, "leave the key out to take those that training never shows"))  # fmt: skip


# -- weights to start from, and the run folder -----------------------------------------------------------------------
def _run(cfg, can_reach) -> Iterator[Finding]:
    folder = cfg.OUTPUT_DIR
    if not folder or not os.path.lexists(os.path.join(folder, LAST_CHECKPOINT)):
        yield Finding(RUN_FOLDER, OK, f"OUTPUT_DIR {folder} holds no run: a new one starts")
        yield _weights(cfg, can_reach)
        return
    try:
        file = last_checkpoint_of(folder)
        differences = run_differences(cfg, file)
    except InputError as error:
        yield Finding(RUN_FOLDER, FAILS, str(error))
        return
    if not differences:
        yield Finding(RUN_FOLDER, OK, f"the run goes on from {file}")
        return
    yield Finding(RUN_FOLDER, FAILS, other_run(file, differences))


def _weights(cfg, can_reach) -> Finding:
    name = "PRETRAINED_DETECTOR_CKPT" if cfg.MODEL.RELATION_ON else "WEIGHT"
    key, path = f"MODEL.{name}", cfg.MODEL[name]
    what = "detector" if cfg.MODEL.RELATION_ON else "backbone"
    if not path:
        return Finding(what, WRONG, f"{key} is empty: it starts from random weights", f"add {key} path/to/weights.pth")
    address = address_of(path, cfg)
    if address.startswith(("http://", "https://")):
        cached = cached_path(address)
        if cached.is_file():
            return Finding(what, OK, f"{path}, cached in {cached}")
        if not can_reach(address):
            return Finding(what, FAILS, f"{path} cannot be downloaded", f"get {address} and put it at {cached}")
        return Finding(what, NOTE, f"{path} is downloaded from {address} on first use")
    if address.startswith(SCHEME):
        return Finding(what, NOTE, f"{path} is downloaded on first use, unless it is cached")
    if os.path.isdir(path):
        try:
            return Finding(what, OK, last_checkpoint_of(path))
        except InputError as error:
            return Finding(what, FAILS, str(error), f"set {key} to a file")
    if not os.path.isfile(path):
        remedy = _get(path, cfg, f"set {key} to the file")
        return Finding(what, FAILS, f"weights file {path} ({key}) does not exist", remedy)
    return Finding(what, OK, f"{path}, {in_words(os.path.getsize(path))}")
