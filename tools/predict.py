#!/usr/bin/env python3
"""Predict the scene graphs of images: json, and pictures.

    python tools/predict.py photos/ more/cat.png --checkpoint output/own/model_final.pth \\
        --config-file output/own/config.yml --output output/graphs
    python tools/predict.py photos/ --checkpoint owner/name     # a folder of tools/export_model.py, or one on the hub

Writes OUTPUT/predictions.json, and for each image OUTPUT/pictures/<file name>.image.png (boxes and relations on the
image) and <file name>.graph.png (the graph alone). A file that cannot be read is reported and skipped; the exit status
is 1 at the end. docs/own_data.md describes all of it.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from maskrcnn_benchmark.data.datasets.images import load_image
from maskrcnn_benchmark.engine.scene_predictor import ScenePredictor, best_of, list_images, load_predictor, write_graphs
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.files import flat_names
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.visualization import graph_figure, image_figure, of_scene_graph, save_figure


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="image files, and folders of them")
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE", help="a model trained for SGDet, or one that was shared"
    )
    parser.add_argument("--config-file", metavar="FILE", help="configuration of its training, if it was not shared")
    parser.add_argument("--dict-file", metavar="FILE", help="names of classes, for checkpoints that hold none")
    parser.add_argument("--output", default="output/predictions", metavar="DIR", help="where everything goes")
    parser.add_argument("--top-k", type=int, default=20, metavar="N", help="relations of an image, best first")
    parser.add_argument("--min-score", type=float, default=0.0, metavar="S", help="leave out objects that score less")
    parser.add_argument("--draw", type=int, default=8, metavar="N", help="relations in a picture, 0 for no pictures")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="configuration keys and values")
    return parser.parse_args()


def main() -> int:
    args = parse()
    logger = setup_logger("maskrcnn_benchmark", "", 0)
    images = list_images(args.images)
    # which relations are the first is certain before every pair is scored, but not among the objects of --min-score
    opts = ["TEST.RELATION.FIRST_TRIPLETS", 0 if args.min_score > 0 else args.top_k, *args.opts]
    predictor = load_predictor(args.config_file, args.checkpoint, args.dict_file, opts)
    output = Path(args.output)
    broken: list[str] = []
    write_graphs(_graphs(predictor, images, args, broken), output / "predictions.json")
    logger.info("%d scene graphs in %s", len(images) - len(broken), output / "predictions.json")
    if broken:
        print(f"error: {len(broken)} of {len(images)} files could not be read and were skipped", file=sys.stderr)
    return 1 if broken else 0


def _graphs(
    predictor: ScenePredictor, images: dict[str, Path], args: argparse.Namespace, broken: list[str]
) -> Iterator[tuple[str, dict]]:
    """Names and graphs of the images that can be read; draws them, and adds the names of the others to `broken`."""
    names, files = list(images), list(images.values())
    stems = flat_names(names)
    for place, graph in predictor.graphs(files):
        if isinstance(graph, str):
            print(f"error: {graph}; skipped", file=sys.stderr)
            broken.append(names[place])
            continue
        graph = best_of(graph, args.top_k, args.min_score)
        if args.draw:
            pictures, stem = Path(args.output) / "pictures", stems[place]
            drawn = of_scene_graph(graph, args.draw)
            image = load_image(files[place], upright=True)
            save_figure(image_figure(image, *drawn), pictures / f"{stem}.image.png")
            save_figure(graph_figure(*drawn[1:]), pictures / f"{stem}.graph.png")
        yield names[place], graph


if __name__ == "__main__":
    run(main)
