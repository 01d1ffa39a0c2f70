"""Embed the phrases of a data set before training, so that no training run waits for it or needs the text encoder.

    python tools/build_phrase_bank.py --config-file configs/relclip/motifs_predcls_full.yaml
    python tools/build_phrase_bank.py --dictionary VG-SGG-dicts-with-attri.json --output bank.npz
    python tools/build_phrase_bank.py --dictionary VG-SGG-dicts-with-attri.json --output random.npz --random 0

Takes the text encoder and the templates from the configuration (MODEL.LANGUAGE), fills the cache that training reads
(CACHE_DIR), and with --output writes the bank as a file for BANK_FILE, to be carried to a machine without text encoder.
docs/method.md describes the file. With --random no text encoder is asked: phrases get independent random vectors, the
control for what a text encoder knows.
"""

from __future__ import annotations

import argparse
import logging
import time

import numpy as np
import torch

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.datasets.visual_genome import load_info
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank, bank_from_config
from maskrcnn_benchmark.modeling.language.phrases import LEVELS
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError


def class_names(cfg, dictionary: str = "") -> tuple[list[str], list[str]]:
    """Object classes and predicates, without background, of a dictionary or of the configured training set.

    Args:
        dictionary: path of a VG-SGG-dicts json; "" for that of DATASETS.TRAIN.
    """
    if not dictionary:
        if not cfg.DATASETS.TRAIN:
            raise InputError("give --dictionary, or a --config-file whose DATASETS.TRAIN names a data set")
        data = load_catalog(cfg).DatasetCatalog.get(cfg.DATASETS.TRAIN[0], cfg)
        dictionary = data["args"]["dict_file"]
    objects, predicates, _ = load_info(dictionary)
    return objects[1:], predicates[1:]


def build(cfg, dictionary: str = "", random: int | None = None) -> PhraseBank:
    """The bank that a configuration asks for, those of RELCLIP.TEST_PREDICATES included.

    Args:
        random: seed of random vectors that take the place of the text encoder's.
    """
    relclip, language = cfg.MODEL.ROI_RELATION_HEAD.RELCLIP, cfg.MODEL.LANGUAGE
    objects, predicates = class_names(cfg, dictionary)
    levels = tuple(dict.fromkeys(("sp", "po", *relclip.LEVELS)))
    further = list(relclip.TEST_PREDICATES)
    if random is not None:
        return PhraseBank.random(objects, list(dict.fromkeys([*predicates, *further])), levels, random)
    device = torch.device(cfg.MODEL.DEVICE)
    bank = bank_from_config(language, objects, predicates, levels, device)
    if not further or language.BANK_FILE:
        return bank
    # two banks, as training embeds them, so that it finds both in the cache
    return joined(bank, bank_from_config(language, objects, further, levels, device))


def joined(bank: PhraseBank, further: PhraseBank) -> PhraseBank:
    """One bank with the predicates of both, about the same objects."""
    new = [i for i, name in enumerate(further.predicates) if name not in bank.predicates]
    arrays = {}
    for level, array in bank.arrays.items():
        axis = LEVELS[level][1].index("predicate")
        arrays[level] = np.concatenate([array, further.arrays[level].take(new, axis)], axis)
    names = bank.predicates + [further.predicates[i] for i in new]
    return PhraseBank(bank.objects, names, bank.templates, arrays)


def bank_parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments that say which bank; shared with list_synonyms.py."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="", metavar="FILE", help="configuration; default: SGB's defaults")
    parser.add_argument(
        "--dictionary", default="", metavar="JSON", help="class names; default: those of DATASETS.TRAIN"
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that win over the configuration")
    return parser


def main() -> None:
    parser = bank_parser(__doc__)
    parser.add_argument("--output", default="", metavar="NPZ", help="also write the bank to this file")
    parser.add_argument("--random", type=int, metavar="SEED", help="random vectors; needs --output")
    args = parser.parse_args()
    if args.random is not None and not args.output:
        raise InputError("--random is not kept in the cache: say with --output where the bank goes")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cfg = load_config(args.config_file, args.opts)
    start = time.time()
    bank = build(cfg, args.dictionary, args.random)
    for level, array in bank.arrays.items():
        print(f"{level}: {' x '.join(map(str, array.shape[:-1]))} phrases, {array.shape[-1]} dimensions")
    print(f"{time.time() - start:.0f} s")
    if args.output:
        bank.save(args.output)
        print(f"written to {args.output}: set MODEL.LANGUAGE.BANK_FILE to it")


if __name__ == "__main__":
    run(main)
