#!/usr/bin/env python3
"""Get the files of the published experiments: Visual Genome, word vectors, a detector, CLIP.

    python tools/get_data.py --list                        # what there is, and what is here already
    python tools/get_data.py vg vg-images glove clip       # or: all
    python tools/get_data.py detector --source model_final.pth=path/to/model_final.pth

configs/data.yaml says where each file comes from and where it goes. A download that broke off goes on where it stopped
when the command is given again; what is there is not fetched again. docs/datasets.md describes the data sets.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrcnn_benchmark.data.acquisition.counts import describe, relation_images
from maskrcnn_benchmark.data.acquisition.fetch import Record, fetch, is_there
from maskrcnn_benchmark.data.acquisition.manifest import ALL, DEFAULT, File, Item, Places, choose, read_manifest
from maskrcnn_benchmark.data.acquisition.release import build_release
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.download import in_words
from maskrcnn_benchmark.utils.errors import InputError


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to get (--list shows the names), or {ALL}")
    parser.add_argument("--list", action="store_true", help="show everything, and what is there already")
    parser.add_argument(
        "--data-dir", default="datasets", metavar="DIR", help="root of the data sets (DATASETS.DATA_DIR)"
    )
    parser.add_argument("--manifest", default=DEFAULT, metavar="FILE", help="where files come from, such as a mirror")
    parser.add_argument(
        "--source", action="append", default=[], metavar="FILE=PATH_OR_ADDRESS", help="take a file from here instead"
    )
    parser.add_argument("--keep-archives", action="store_true", help="keep archives after they are unpacked")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if not args.names and not args.list:
        raise InputError("nothing to get: give names, or --list to see them")
    manifest = read_manifest(args.manifest)
    places = Places(Path(args.data_dir))
    record = Record(places)
    if args.list:
        for item in choose(manifest, args.names or manifest):
            _show(item, places, record)
        return 0
    items = choose(manifest, args.names)
    own = _own_sources(args.source, items)
    faults = [fault for item in items for fault in _get(item, places, record, own, args.keep_archives)]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _get(item: Item, places: Places, record: Record, own: dict[str, str], keep_archives: bool) -> list[str]:
    """Get what is missing of an item; what went wrong, a sentence per file."""
    print(f"{item.name}: {item.about}")
    faults = []
    for file in item.files:
        try:
            if is_there(file, places, record):
                print(f"  {file.name}: is there, {places.of(file.to)}")
            else:
                fetch(file, places, record, own, keep_archives)
        except InputError as error:
            faults.append(str(error))
    if item.release:
        try:
            print(f"  {_convert(item, places)}")
        except InputError as error:
            faults.append(str(error))
    if not faults:
        for h5, expected in item.counts.items():
            found = relation_images(places.of(h5), expected["val"])
            if found == expected:
                print(f"  {h5}: {describe(found, expected)}")
            else:
                faults.append(f"{places.of(h5)}: {describe(found, expected)}")
        if item.then:
            print(f"  tell training: {item.then.format(data_dir=places.data_dir)}")
    return faults


def _convert(item: Item, places: Places) -> str:
    target = places.of("vg")
    if target.exists():
        return f"{target} is there already"
    return build_release(item.release, places.data_dir, item.roughly)


def _show(item: Item, places: Places, record: Record) -> None:
    print(f"{item.name}: {item.about}")
    if item.release:
        state = "is there" if places.of("vg").exists() else "missing"
        print(f"  {item.release} (about {in_words(item.roughly)}): {state}\n    to {places.of('vg')}")
    for file in item.files:
        try:
            state = "is there" if is_there(file, places, record) else "missing"
        except InputError as error:
            state = str(error)
        size = in_words(file.size) if file.size else "size not known"
        about = "" if file.expected.bytes is not None or not file.size else "about "
        print(f"  {file.name} ({about}{size}, SHA-256 {_digest(file, record)}): {state}")
        print(f"    to {places.of(file.to)}")
        for source in (*file.sources, *(f"{page} (by hand)" for page in file.pages)):
            print(f"    from {source}")


def _digest(file: File, record: Record) -> str:
    entry = record.of(file)
    return file.expected.sha256 or (f"{entry['sha256']} as found" if entry else "not known")


def _own_sources(given: Sequence[str], items: Sequence[Item]) -> dict[str, str]:
    """{name of a file: its source} of FILE=SOURCE."""
    names = {file.name for item in items for file in item.files}
    found = {}
    for one in given:
        name, _, source = one.partition("=")
        if name not in names or not source:
            raise InputError(f"--source {one}: give FILE=PATH_OR_ADDRESS with one of {', '.join(sorted(names))}")
        found[name] = source
    return found


if __name__ == "__main__":
    run(main)
