#!/usr/bin/env python3
"""Predict the scene graphs of images: json lines, pictures, and a page to look at.

    python tools/predict.py photos/ more/cat.png --checkpoint output/relclip-sgdet --output output/graphs --page
    python tools/predict.py photos/ --checkpoint output/relclip-sgdet --boxes detections.json
    torchrun --nproc_per_node=4 tools/predict.py photos/ --checkpoint output/relclip-sgdet

Writes OUTPUT/predictions.jsonl, one line for each image as soon as it is done; the same command goes on where it was
stopped. With --page also OUTPUT/page.html, with --draw OUTPUT/pictures. An image that cannot be read costs its line,
and the exit status is 1 at the end. docs/own_data.md describes all of it, docs/api.md the same from Python.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from tqdm import tqdm

from maskrcnn_benchmark.api import SceneGraph, SceneGraphModel, read_scene_graphs
from maskrcnn_benchmark.engine.boxes_file import BoxesFile
from maskrcnn_benchmark.engine.graph_lines import GraphLines
from maskrcnn_benchmark.engine.scene_predictor import list_images
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.files import flat_names
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.visualization import graph_figure, image_figure, of_scene_graph, save_figure
from maskrcnn_benchmark.viewer import page


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="image files, and folders of them")
    parser.add_argument("--checkpoint", required=True, metavar="RUN", help="folder of a training, or a checkpoint")
    parser.add_argument("--config-file", metavar="FILE", help="of the training, where it is not beside the checkpoint")
    parser.add_argument("--dict-file", metavar="FILE", help="names of classes, for checkpoints that hold none")
    parser.add_argument("--output", default="output/predictions", metavar="DIR", help="where everything goes")
    parser.add_argument("--boxes", metavar="FILE", help="boxes of another detector: json, or COCO results")
    parser.add_argument("--coco-annotations", metavar="FILE", help="what the numbers in COCO results mean")
    parser.add_argument("--boxes-only", action="store_true", help="take no classes from --boxes: the model finds them")
    parser.add_argument("--predicates", metavar="NAMES", help="those to score instead of the trained, with commas")
    parser.add_argument("--objects", metavar="NAMES", help="object classes instead of the trained, with commas")
    parser.add_argument("--top-k", type=int, default=20, metavar="N", help="relations of an image, best first")
    parser.add_argument("--min-score", type=float, default=0.0, metavar="S", help="leave out objects that score less")
    parser.add_argument(
        "--page", nargs="?", type=int, const=200, metavar="N", help="a page of the first N images (200)"
    )
    parser.add_argument("--draw", type=int, default=0, metavar="N", help="pictures with N relations each")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that load images")
    parser.add_argument("--device", help="such as cpu or cuda; a GPU where there is one")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the model's computations")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="configuration keys and values")
    return parser.parse_args()


def main() -> int:
    args = parse()
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    logger = setup_logger("maskrcnn_benchmark", "", rank)
    images = list_images(args.images)
    device = args.device
    if device is None and world_size > 1 and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    # which relations are the first is certain before every pair is scored, but not among the objects of --min-score
    opts = ["TEST.RELATION.FIRST_TRIPLETS", 0 if args.min_score > 0 else args.top_k, *args.opts]
    model = SceneGraphModel.from_pretrained(
        args.checkpoint, config_file=args.config_file, dict_file=args.dict_file,
        device=device, dtype=args.dtype, opts=opts,
    )  # fmt: skip
    model.set_vocabulary(predicates=_split(args.predicates), objects=_split(args.objects))
    boxes = None
    if args.boxes:
        boxes = BoxesFile(args.boxes, model.classes, args.coco_annotations, use_labels=not args.boxes_only)
        if boxes.left_out:
            logger.info("%d boxes of %s are of classes that the model lacks", boxes.left_out, args.boxes)
    keys = ("boxes", "boxes_only", "predicates", "objects", "top_k", "min_score", "dtype", "opts")
    settings = {"checkpoint": str(Path(args.checkpoint).resolve()), **{key: vars(args)[key] for key in keys}}
    with GraphLines(args.output, settings, rank, world_size) as lines:
        todo = {name: file for name, file in islice(images.items(), rank, None, world_size) if name not in lines.done}
        if lines.done:
            logger.info("%d images are done already", len(lines.done))
        _predict(model, todo, dict(zip(images, flat_names(list(images)), strict=True)), boxes, lines, args)
        broken, path = lines.broken, lines.path
    if args.page and rank == 0:
        found = islice(_found(args.output, images), args.page)
        page(found, "Scene graphs", Path(args.output) / "page.html")
        logger.info("page in %s", Path(args.output) / "page.html")
    logger.info("scene graphs in %s", path)
    if broken:
        print(f"error: {broken} of {len(images)} files could not be read and were skipped", file=sys.stderr)
    return 1 if broken else 0


def _predict(
    model: SceneGraphModel,
    images: dict[str, Path],
    stems: dict[str, str],
    boxes: BoxesFile | None,
    lines: GraphLines,
    args: argparse.Namespace,
) -> None:
    names, files = list(images), list(images.values())
    find_boxes = None if boxes is None else lambda place, size: boxes.of(files[place], size)
    start = time.monotonic()
    progress = tqdm(total=len(files), desc="predicting", unit="image")
    for place, graph in model.predict_files(files, find_boxes, args.workers):
        progress.update()
        if isinstance(graph, str):
            print(f"error: {graph}; skipped", file=sys.stderr)
            lines.write(names[place], graph)
            continue
        graph = graph.best(args.top_k, args.min_score)
        if args.draw:
            _draw(graph, Path(args.output) / "pictures" / stems[names[place]], args.draw)
        lines.write(names[place], graph.to_dict())
    progress.close()
    if files:
        seconds = time.monotonic() - start
        print(f"{len(files)} images in {seconds:.1f} s, {len(files) / seconds:.1f} images per second")


def _draw(graph: SceneGraph, stem: Path, relations: int) -> None:
    drawn = of_scene_graph(graph.to_dict(), relations)
    save_figure(image_figure(graph.pixels(), *drawn), stem.with_name(f"{stem.name}.image.png"))
    save_figure(graph_figure(*drawn[1:]), stem.with_name(f"{stem.name}.graph.png"))


def _found(output: str, images: dict[str, Path]) -> Iterator[tuple[str, SceneGraph]]:
    """Names and graphs that are written, of the images that were asked for."""
    for name, graph in read_scene_graphs(output):
        if name in images:
            yield name, SceneGraph.from_dict(graph, images[name])


def _split(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",")]


if __name__ == "__main__":
    run(main)
