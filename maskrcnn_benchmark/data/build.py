"""Data loaders and statistics from a configuration."""

from __future__ import annotations

import bisect
import contextlib
import logging
from collections.abc import Iterator

import torch
import torch.utils.data

from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.utils.comm import get_world_size
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.miscellaneous import save_labels
from maskrcnn_benchmark.utils.preemption import held_back, outlive_signals

from . import datasets as D
from . import samplers
from .collate_batch import BatchCollator
from .resampling import resampled
from .scored_predicates import scored_predicates
from .transforms import build_transforms

_given_statistics: list[dict] = []


@contextlib.contextmanager
def use_statistics(statistics: dict) -> Iterator[None]:
    """Within the block `get_dataset_statistics` returns these instead of reading data files."""
    _given_statistics.append(statistics)
    try:
        yield
    finally:
        _given_statistics.pop()


def get_dataset_statistics(cfg) -> dict:
    """Counts and names of the training data; see `VGDataset.get_statistics`.

    Raises:
        InputError: not exactly one training data set, or class counts that do not fit its dictionary.
    """
    if _given_statistics:
        return _given_statistics[-1]
    if len(cfg.DATASETS.TRAIN) != 1:
        raise InputError(f"DATASETS.TRAIN must name one data set to take statistics from, found {cfg.DATASETS.TRAIN}")
    logging.getLogger("maskrcnn_benchmark").info("counting the relations of %s", cfg.DATASETS.TRAIN[0])
    data = load_catalog(cfg).DatasetCatalog.get(cfg.DATASETS.TRAIN[0], cfg)
    dataset = getattr(D, data["factory"])(**{**data["args"], "custom_eval": False})
    check_class_counts(cfg, dataset)
    return dataset.get_statistics(cfg.DATASETS.STATISTICS_OVERLAP, cfg.MODEL.LANGUAGE.CACHE_DIR)


def check_class_counts(cfg, dataset, predicates: bool = True) -> None:
    """Raise `InputError` where the configuration's class counts are not those of the data set's dictionary.

    Args:
        predicates: whether their number counts.
    """
    counts = {"MODEL.ROI_BOX_HEAD.NUM_CLASSES": (cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES, dataset.ind_to_classes)}
    if cfg.MODEL.RELATION_ON and predicates:
        head = cfg.MODEL.ROI_RELATION_HEAD
        counts["MODEL.ROI_RELATION_HEAD.NUM_CLASSES"] = (head.NUM_CLASSES, dataset.ind_to_predicates)
    for key, (configured, names) in counts.items():
        if configured != len(names):
            raise InputError(
                f"{key} is {configured}, but the data set's dictionary names {len(names)} classes, background included"
            )


def build_dataset(cfg, dataset_list, transforms, dataset_catalog, is_train: bool = True) -> list:
    """The data sets of these names; for training one data set, concatenated, in a list."""
    if not isinstance(dataset_list, (list, tuple)):
        raise RuntimeError(f"dataset_list must be a list of names, found {dataset_list!r}")
    if not dataset_list:
        raise InputError(f"DATASETS.{'TRAIN' if is_train else 'VAL or DATASETS.TEST'} names no data set")
    datasets = []
    for name in dataset_list:
        data = dataset_catalog.get(name, cfg)
        dataset = getattr(D, data["factory"])(**data["args"], transforms=transforms)
        # predicates given by name need not be those of the training set
        check_class_counts(cfg, dataset, predicates=is_train or not scored_predicates(cfg))
        datasets.append(dataset)
    if is_train and len(datasets) > 1:
        return [D.ConcatDataset(datasets)]
    return datasets


def make_data_sampler(dataset, shuffle: bool, distributed: bool):
    """Indices in random order or one after the other; in a distributed job this process's share."""
    if distributed or shuffle:
        replicas, rank = (None, None) if distributed else (1, 0)
        return samplers.DistributedSampler(dataset, replicas, rank, shuffle=shuffle)
    return torch.utils.data.SequentialSampler(dataset)


def _quantize(x, bins) -> list[int]:
    """For each value the number of bins that it reaches."""
    bins = sorted(bins)
    return [bisect.bisect_right(bins, value) for value in x]


def _compute_aspect_ratios(dataset) -> list[float]:
    """Height over width of every image."""
    infos = (dataset.get_img_info(i) for i in range(len(dataset)))
    return [info["height"] / info["width"] for info in infos]


def make_batch_data_sampler(
    dataset, sampler, aspect_grouping, images_per_batch: int, num_iters: int | None = None, start_iter: int = 0
):
    """Batches of indices; upright and lying images apart where `aspect_grouping` gives the limits between groups."""
    if aspect_grouping:
        limits = aspect_grouping if isinstance(aspect_grouping, (list, tuple)) else [aspect_grouping]
        group_ids = _quantize(_compute_aspect_ratios(dataset), limits)
        batch_sampler = samplers.GroupedBatchSampler(sampler, group_ids, images_per_batch, drop_uneven=False)
    else:
        batch_sampler = torch.utils.data.BatchSampler(sampler, images_per_batch, drop_last=False)
    if num_iters is None:
        return batch_sampler
    return samplers.IterationBasedBatchSampler(batch_sampler, num_iters, start_iter)


class DataLoader(torch.utils.data.DataLoader):
    """A loader that raises an `InputError` of a worker as it was, one sentence without the worker's traceback."""

    def __iter__(self):
        # The iterator is made here, not when its first batch is asked for: making it draws a random number, which
        # resuming counts on (engine/trainer.py).
        with held_back():
            batches = super().__iter__()
        return _with_plain_errors(batches)


def _with_plain_errors(batches: Iterator) -> Iterator:
    try:
        yield from batches
    except InputError as error:
        # PyTorch puts the worker's traceback, which ends with "InputError: <message>", in place of the message
        raise InputError(str(error).rpartition(f"{InputError.__name__}: ")[2].rstrip()) from error


def make_data_loader(
    cfg, mode: str = "train", is_distributed: bool = False, start_iter: int = 0, dataset_to_test: str | None = None
):
    """The loader for training, or the list of loaders (one per data set) for validation or test.

    Batches of a training loader depend on `torch.initial_seed()` and the iteration alone, not on the number of workers
    or of processes, nor on `start_iter`. Each of several processes gets its part of every batch
    (`samplers.PartOfBatch`).

    Args:
        mode: `train`, `val` or `test`.
        start_iter: first iteration of a resumed training.
        dataset_to_test: `train`, `val`, `test` or None: which split's data sets to evaluate on in the mode `test`.
    """
    for name, value in (("mode", mode), ("dataset_to_test", dataset_to_test or mode)):
        if value not in ("train", "val", "test"):
            raise ValueError(f"{name} must be train, val or test, found {value!r}")
    is_train = mode == "train"
    images = cfg.SOLVER.IMS_PER_BATCH if is_train else cfg.TEST.IMS_PER_BATCH
    world_size = get_world_size()
    if images % world_size:
        key = "SOLVER.IMS_PER_BATCH" if is_train else "TEST.IMS_PER_BATCH"
        raise InputError(f"{key} is {images}; it must be a multiple of the number of processes, {world_size}")
    names = {"train": cfg.DATASETS.TRAIN, "val": cfg.DATASETS.VAL, "test": cfg.DATASETS.TEST}[dataset_to_test or mode]
    catalog = load_catalog(cfg).DatasetCatalog
    datasets = build_dataset(cfg, names, build_transforms(cfg, is_train), catalog, is_train)
    if is_train:
        save_labels(datasets, cfg.OUTPUT_DIR)
        datasets = [resampled(cfg, dataset, torch.initial_seed()) for dataset in datasets]
    loaders = []
    for dataset in datasets:
        batch_sampler = make_batch_data_sampler(
            dataset,
            make_data_sampler(dataset, shuffle=is_train, distributed=False),
            [1] if cfg.DATALOADER.ASPECT_RATIO_GROUPING else [],
            images,
            cfg.SOLVER.MAX_ITER if is_train else None,
            start_iter if is_train else 0,
        )
        if is_train:
            dataset = samplers.SeededDataset(dataset)
            batch_sampler = samplers.SeededBatchSampler(batch_sampler, start_iter)
        if is_distributed:
            batch_sampler = samplers.PartOfBatch(batch_sampler)
        loaders.append(
            DataLoader(
                dataset,
                num_workers=cfg.DATALOADER.NUM_WORKERS,
                batch_sampler=batch_sampler,
                collate_fn=BatchCollator(cfg.DATALOADER.SIZE_DIVISIBILITY),
                worker_init_fn=outlive_signals,
            )
        )
    return loaders[0] if is_train else loaders
