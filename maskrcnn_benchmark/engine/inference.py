"""Runs a model over a data set and passes each prediction on as it comes, from however many processes."""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
import torch.distributed as dist
from tqdm import tqdm

from maskrcnn_benchmark.data.datasets.evaluation import evaluate
from maskrcnn_benchmark.data.scored_predicates import Renumbering, scored_predicates
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.comm import (
    all_gather,
    anywhere,
    gather_numbers,
    get_world_size,
    is_main_process,
    synchronize,
)
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.miscellaneous import save_config
from maskrcnn_benchmark.utils.preemption import Preempted, requested
from maskrcnn_benchmark.utils.timer import Timer, get_time_str

from .prediction_cache import PredictionCache

# Batches between two gatherings where TEST.RELATION.SYNC_GATHER does not ask for one after every batch.
GATHER_PERIOD = 16
_PREDICTOR = "roi_heads.relation.predictor."


def autocast(device: torch.device | str, dtype: str) -> torch.autocast:
    """Mixed precision as DTYPE asks for it; does nothing for float32."""
    return torch.autocast(torch.device(device).type, getattr(torch, dtype), enabled=dtype != "float32")


def compute_on_dataset(
    model: torch.nn.Module,
    data_loader,
    device: torch.device | str,
    synchronize_gather: bool = True,
    timer: Timer | None = None,
    dtype: str = "float32",
) -> Iterator[tuple[int, BoxList]]:
    """Predict every image of a data loader.

    Every process must exhaust this iterator, and all have as many batches; only the main process gets anything. An
    image that several processes have (`samplers.PartOfBatch`) comes once.

    Args:
        data_loader: gives (images, targets, indices); every process its share.
        synchronize_gather: gather after every batch, not after every `GATHER_PERIOD`-th.
        timer: gets the time that the model takes.
        dtype: float32, float16 or bfloat16.

    Yields:
        (index in the data set, prediction on the CPU), in the order of the batches.

    Raises:
        Preempted: SIGTERM or SIGUSR1 came to a process of a training (`preemption.listening`).
    """
    model.eval()
    device = torch.device(device)
    batches = iter(tqdm(data_loader, desc="predicting", unit="batch", disable=not is_main_process()))
    seen: set[int] = set()
    finished = False
    while not finished:
        predicted: list[list[tuple[int, BoxList]]] = []  # by batch
        for _ in range(1 if synchronize_gather else GATHER_PERIOD):
            batch = next(batches, None)
            if batch is None:
                finished = True
                break
            images, targets, indices = batch
            if timer is not None:
                timer.tic()
            with torch.no_grad(), autocast(device, dtype):
                output = model(_padded_alike(images.to(device)), _ground_truth(targets, device))
            predicted.append([(index, boxes.to("cpu")) for index, boxes in zip(indices, output, strict=True)])
            if timer is not None:
                timer.toc()
        parts, finished = _gather(predicted, finished)
        if anywhere(requested()):
            raise Preempted("told to end while predicting")
        # batch by batch, as one process would have them
        for index, prediction in (item for batch in zip(*parts, strict=True) for part in batch for item in part):
            if index not in seen:
                seen.add(index)
                yield index, prediction


def _ground_truth(targets: Sequence, device: torch.device) -> list[BoxList] | None:
    """Ground truth on the device; None for images of one's own, which come with SGB's mark in its place."""
    return [target.to(device) for target in targets] if isinstance(targets[0], BoxList) else None


def _padded_alike(images: ImageList) -> ImageList:
    """As large as the largest images that any process has in this batch: predictions depend on it a little."""
    if get_world_size() == 1:
        return images
    sizes = gather_numbers(list(images.tensors.shape[-2:]), images.tensors.device)
    return images.padded(*map(max, zip(*sizes, strict=True)))


def _gather(predicted: list, finished: bool) -> tuple[list[list], bool]:
    """What all processes have, on the main process ([] on others); and whether all have finished."""
    if get_world_size() == 1:
        return [predicted], finished
    parts: list[list] | None = [[]] * get_world_size() if is_main_process() else None
    dist.gather_object(predicted, parts, dst=0)
    return parts or [], all(all_gather(finished))


def inference(
    cfg,
    model: torch.nn.Module,
    data_loader,
    dataset_name: str,
    iou_types: tuple[str, ...] = ("bbox",),
    box_only: bool = False,
    device: torch.device | str = "cuda",
    expected_results=(),
    expected_results_sigma_tol: float = 4,
    output_folder: str | None = None,
    logger: logging.Logger | None = None,
) -> float:
    """Predict a data set and evaluate the predictions as they come.

    Args:
        data_loader: of this process, see `make_data_loader`; `data_loader.dataset` is the data set.
        iou_types: `bbox`, `relations`, or both.
        output_folder: gets the results, see `do_vg_evaluation`, and with TEST.SAVE_PROPOSALS the predictions.
        box_only, expected_results, expected_results_sigma_tol: of SGB's other data sets; no effect here, as there.

    Returns:
        R@100 (or mAP for a detector) on the main process; -1 on others, and for images of one's own
        (TEST.CUSTUM_EVAL), whose predictions are written to DETECTED_SGG_DIR/custom_prediction.json.
    """
    logger = logger or logging.getLogger("maskrcnn_benchmark.inference")
    dataset, devices, names = data_loader.dataset, get_world_size(), scored_predicates(cfg)
    logger.info("Start evaluation on %s dataset(%d images).", dataset_name, len(dataset))
    total, model_only = Timer(), Timer()
    total.tic()
    cache = PredictionCache(cfg, model, dataset, dataset_name, output_folder)
    cached = cache.usable(logger)
    if cached:
        stream = cache.read() if is_main_process() else iter(())
    else:
        stream = compute_on_dataset(model, data_loader, device, cfg.TEST.RELATION.SYNC_GATHER, model_only, cfg.DTYPE)
        if output_folder and not cfg.TEST.CUSTUM_EVAL:
            # before the predictions are there to be used again, in which case nothing is measured
            cost = os.path.join(output_folder, "cost.json")
            stream = _then(stream, lambda: write_cost(cost, model, model_only, len(dataset), device))
        if names and not cfg.TEST.CUSTUM_EVAL:
            renumber = Renumbering(names, dataset.ind_to_predicates)
            stream = ((index, renumber(prediction)) for index, prediction in stream)
        stream = cache.keep(stream)
    stream = _whole(stream, len(dataset))

    value = -1.0
    if not is_main_process():
        deque(stream, maxlen=0)  # takes its share of the work; the main process gets the predictions
    elif cfg.TEST.CUSTUM_EVAL:
        path = os.path.join(cfg.DETECTED_SGG_DIR, "custom_prediction.json")
        write_custom_predictions(stream, dataset, path, names)
        logger.info("=====> %s SAVED !", path)
    else:
        value = evaluate(
            cfg=cfg,
            dataset=dataset,
            predictions=stream,
            output_folder=output_folder,
            logger=logger,
            iou_types=iou_types,
            dataset_name=dataset_name,
        )
        if output_folder:
            save_config(cfg, os.path.join(output_folder, "config.yml"))
    synchronize()
    total.toc()
    for what, timer in (("Total run time", total), ("Model inference time", model_only)):
        per_image = timer.total_time * devices / len(dataset)
        logger.info(
            "%s: %s (%.5f s / img per device, on %d devices)", what, get_time_str(timer.total_time), per_image, devices
        )
    return value


def _then(stream: Iterator[tuple[int, BoxList]], act: Callable[[], None]) -> Iterator[tuple[int, BoxList]]:
    """Pass a stream on, and act at its end, on the main process."""
    yield from stream
    if is_main_process():
        act()


def write_cost(path: str, model: torch.nn.Module, timer: Timer, images: int, device: torch.device | str) -> None:
    """Write what a model costs.

    The file holds `seconds_per_image` (of one device, the model alone: no reading of images, no evaluation),
    `batches` and `images` (of all processes), `device`, `processes`, and the numbers of `parameters` and of
    `predictor_parameters` (the relation predictor's share).

    Args:
        timer: has timed the batches of this process.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    cost = {
        "seconds_per_image": timer.total_time * get_world_size() / images,
        "batches": timer.calls,
        "images": images,
        "device": str(device),
        "processes": get_world_size(),
        "parameters": sum(sizes.values()),
        "predictor_parameters": sum(size for name, size in sizes.items() if name.startswith(_PREDICTOR)),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(cost, indent=1))


def _whole(stream: Iterable[tuple[int, BoxList]], expected: int) -> Iterator[tuple[int, BoxList]]:
    """Pass a stream on, and on the main process count that every image came."""
    count = 0
    for item in stream:
        count += 1
        yield item
    if is_main_process() and count != expected:
        raise RuntimeError(f"{count} of {expected} images were predicted; the rest is missing from the data loader")


# -- images of one's own ---------------------------------------------------------------------------------------------
def write_custom_predictions(
    stream: Iterable[tuple[int, BoxList]], dataset, path: str, predicates: Sequence[str] = ()
) -> None:
    """Write scene graphs in SGB's format, image by image: {index: see `custom_sgg_post_precessing`}.

    `custom_data_info.json` beside it tells the file of each index and the names of classes and predicates. Boxes are in
    pixels of the network's input, as in SGB.

    Args:
        predicates: names that the model scores, without background; (): those of the data set.
    """
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise InputError(f"DETECTED_SGG_DIR {folder} is no folder")
    info = {
        "idx_to_files": dataset.custom_files,
        "ind_to_classes": dataset.ind_to_classes,
        "ind_to_predicates": ["__background__", *predicates] if predicates else dataset.ind_to_predicates,
    }
    with atomic_write(os.path.join(folder, "custom_data_info.json")) as temporary:
        temporary.write_text(json.dumps(info))
    with atomic_write(path) as temporary, open(temporary, "w") as out:
        out.write("{")
        for position, (index, prediction) in enumerate(stream):
            out.write(", " if position else "")
            out.write(f'"{index}": {json.dumps(custom_sgg_post_precessing([prediction])[0])}')
        out.write("}")


def custom_sgg_post_precessing(predictions: Iterable[BoxList]) -> dict[int, dict[str, list]]:
    """Scene graphs as plain lists, boxes and relations by falling score.

    The pair of an object with itself, which images without other pairs get (`prepare_test_pairs`), is no relation.
    Predictions of a detector have no relations.

    Returns:
        {index: {bbox: xyxy in pixels, bbox_labels, bbox_scores, rel_pairs: places in bbox, rel_labels, rel_scores,
        rel_all_scores: of every predicate}}.
    """
    return {index: _plain(prediction) for index, prediction in enumerate(predictions)}


def _plain(prediction: BoxList) -> dict[str, list]:
    mapping = get_sorted_bbox_mapping(prediction.get_field("pred_scores").tolist())
    order, place = (torch.tensor(indices, dtype=torch.int64) for indices in mapping)
    if not prediction.has_field("rel_pair_idxs"):
        prediction = prediction.copy_with_fields(["pred_labels", "pred_scores"])
        prediction.add_field("rel_pair_idxs", torch.zeros(0, 2, dtype=torch.int64))
        prediction.add_field("pred_rel_scores", torch.zeros(0, 2))
    pairs = prediction.get_field("rel_pair_idxs")
    others = pairs[:, 0] != pairs[:, 1]
    pairs, all_scores = pairs[others], prediction.get_field("pred_rel_scores")[others]
    scores, labels = all_scores[:, 1:].max(1)
    rel_order = torch.tensor(get_sorted_bbox_mapping(scores.tolist())[0], dtype=torch.int64)
    return {
        "bbox": prediction.convert("xyxy").bbox[order].tolist(),
        "bbox_labels": prediction.get_field("pred_labels")[order].tolist(),
        "bbox_scores": prediction.get_field("pred_scores")[order].tolist(),
        "rel_pairs": place[pairs[rel_order]].tolist(),
        "rel_labels": (labels[rel_order] + 1).tolist(),
        "rel_scores": scores[rel_order].tolist(),
        "rel_all_scores": all_scores[rel_order].tolist(),
    }


def get_sorted_bbox_mapping(score_list: list[float]) -> tuple[list[int], list[int]]:
    """Indices by falling score (of equal scores the later first), and the place that each index gets."""
    order = np.argsort(np.asarray(score_list), kind="stable")[::-1]
    return order.tolist(), np.argsort(order).tolist()
