#!/usr/bin/env python3
"""Export the model of a training as a folder that anybody can use, and push it to the Hugging Face hub.

    python tools/export_model.py output/relclip-sgdet --output exported/relclip-sgdet
    python tools/export_model.py output/relclip-sgdet --output exported/relclip-sgdet --push owner/relclip-sgdet
    python tools/predict.py photos/ --checkpoint exported/relclip-sgdet       # or --checkpoint owner/relclip-sgdet

docs/sharing.md says what is in the folder.
"""

import argparse

from maskrcnn_benchmark.engine.export import export_run
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.hub import Repository, client, push_folder
from maskrcnn_benchmark.utils.logger import setup_logger


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN_FOLDER", help="OUTPUT_DIR of a training")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the model goes; must not exist yet")
    parser.add_argument("--push", metavar="NAME", help="also upload it to the hub as owner/name")
    parser.add_argument("--checkpoint", metavar="FILE", help="another checkpoint than the newest of the run")
    parser.add_argument("--dict-file", metavar="FILE", help="names of classes, for checkpoints that hold none")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="configuration keys and values")
    return parser.parse_args()


def main() -> None:
    args = parse()
    logger = setup_logger("maskrcnn_benchmark", "", 0)
    if args.push:
        client()  # before the work, not after
        if (repository := Repository.parse(args.push)) is None or repository.kind != "model" or repository.revision:
            raise InputError(f"--push {args.push}: a model of the hub is named owner/name")
    folder = export_run(args.run, args.output, args.checkpoint, args.dict_file, args.opts, args.push or "")
    logger.info("the model is in %s: %s", folder, ", ".join(sorted(file.name for file in folder.iterdir())))
    if args.push:
        logger.info("pushed to %s", push_folder(folder, repository.name))


if __name__ == "__main__":
    run(main)
