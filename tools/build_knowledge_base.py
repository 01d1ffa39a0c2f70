"""Make a knowledge base for distant supervision out of captions, or of triplets.

    python tools/build_knowledge_base.py --dictionary datasets/vg/VG-SGG-dicts-with-attri.json \
        --captions captions.jsonl --output knowledge_base.json

Captions are json lines, each a text or an object with a text in --field; a light parser finds the triplets of the
dictionary's own names in them, in their inflections and synonyms. Triplets are a json list or json lines of [subject,
predicate, object]. docs/distant.md
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.distant.captions import CaptionParser, read_captions, read_synonyms, read_triplets
from maskrcnn_benchmark.distant.knowledge_base import (
    KnowledgeBase,
    count_triplets,
    read_knowledge_base,
    write_knowledge_base,
)
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError

Triplet = tuple[str, str, str]


def triplets_of_captions(parser: CaptionParser, paths: list[Path], field: str) -> Iterator[Triplet]:
    """Triplets of all captions; says in the end how many captions gave some."""
    number = with_triplets = 0
    for path in paths:
        for text in tqdm(read_captions(path, field), desc=str(path), unit="caption", mininterval=1.0):
            found = parser.triplets(text)
            number, with_triplets = number + 1, with_triplets + bool(found)
            yield from found
    if number:
        print(f"{number} captions, {with_triplets} of them with a triplet ({100 * with_triplets / number:.1f}%)")


def triplets_of_lists(parser: CaptionParser, paths: list[Path]) -> Iterator[Triplet]:
    """Listed triplets by the dictionary's names; says in the end what it does not know."""
    unknown: Counter[str] = Counter()
    number = 0
    for path in paths:
        for triplet in read_triplets(path):
            number += 1
            kinds = ("object", "predicate", "object")
            names = [parser.lookup(word, kind) for word, kind in zip(triplet, kinds, strict=True)]
            if None in names:
                unknown.update(word for word, name in zip(triplet, names, strict=True) if name is None)
            else:
                yield names[0], names[1], names[2]  # type: ignore[misc]
    if number:
        shown = ", ".join(f"{word} ({count})" for word, count in unknown.most_common(10))
        print(f"{number} triplets listed; words that the dictionary lacks: {shown or 'none'}")


def shared_triplets(ours: KnowledgeBase, other: KnowledgeBase) -> str:
    """How many (subject, predicate, object) two bases share, in a sentence."""
    both = [
        set(map(tuple, np.column_stack((np.repeat(b.pairs, b.num_candidates, axis=0), b.predicates)).tolist()))
        for b in (ours, other)
    ]
    common = len(both[0] & both[1])
    return (
        f"{common} of the {len(both[0])} triplets are in the other base ({100 * common / len(both[0]):.1f}%), "
        f"which has {len(both[1])} ({100 * common / len(both[1]):.1f}%)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dictionary", required=True, type=Path, metavar="JSON", help="names to look for")
    parser.add_argument("--captions", nargs="+", type=Path, default=[], metavar="JSONL", help="files of sentences")
    parser.add_argument("--field", default="caption", help="key of the text in objects (default: %(default)s)")
    parser.add_argument("--triplets", nargs="+", type=Path, default=[], metavar="JSON", help="files of triplets")
    parser.add_argument("--synonyms", type=Path, metavar="JSON", help='more of them: {"man": ["gentleman"]}')
    parser.add_argument("--least", type=int, default=2, help="leave out what is said less often (default: %(default)s)")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="another knowledge base, to compare with")
    parser.add_argument("--output", required=True, type=Path, metavar="JSON", help="the knowledge base to write")
    args = parser.parse_args()
    if not args.captions and not args.triplets:
        raise InputError("give --captions or --triplets")
    if args.least < 1:
        raise InputError(f"--least is {args.least}; it must be 1 or more")

    classes, predicates, _ = load_info(args.dictionary)
    synonyms = read_synonyms(args.synonyms) if args.synonyms else None
    caption_parser = CaptionParser(classes[1:], predicates[1:], synonyms)
    found = [
        *triplets_of_captions(caption_parser, args.captions, args.field),
        *triplets_of_lists(caption_parser, args.triplets),
    ]
    base = count_triplets(found, args.least)
    if not base:
        raise InputError(
            f"{len(found)} triplets of the dictionary's names were found, none of them {args.least} times (--least): "
            "the knowledge base would be empty"
        )
    write_knowledge_base(args.output, base)
    kept = [count for counts in base.values() for count in counts.values()]
    print(
        f"{len(found)} triplets found, {len(kept)} different ones {args.least} times or more, of {len(base)} class "
        f"pairs, written to {args.output}"
    )
    if args.compare:
        both = [read_knowledge_base(path, classes, predicates) for path in (args.output, args.compare)]
        print(shared_triplets(*both))


if __name__ == "__main__":
    run(main)
