"""How fast tools/score_predictions.py reads a large file, and what memory an image more takes.

    OMP_NUM_THREADS=1 python benchmarks/scoring.py --images 100000 [--set constraint=none]

Writes annotations and predictions (json of tools/predict.py) of as many images, and of a tenth of them, below --folder,
and scores both in processes of their own: what the one takes more than the other is told for each image.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TOOL = Path(__file__).resolve().parents[1] / "tools" / "score_predictions.py"
CLASSES, PREDICATES, SIDE = 150, 50, 600
DIFFERENT = 500  # images; more of them repeat these under other names


def make_image(rng: np.random.Generator, objects: int, relations: int) -> tuple[str, str]:
    """An annotated image and its prediction as json; half of the relations are right."""
    corner = rng.uniform(0, 400, (objects, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(20, 200, (objects, 2))), 1)
    every_pair = np.argwhere(~np.eye(objects, dtype=bool))
    names = [f"class {c}" for c in rng.integers(0, CLASSES, objects)]

    def rows(number: int) -> np.ndarray:
        pairs = every_pair[rng.permutation(len(every_pair))[:number]]
        return np.column_stack((pairs, rng.integers(0, PREDICATES, len(pairs))))

    def graph(boxes: np.ndarray, rows: np.ndarray, scored: bool) -> str:
        found = [{"name": n, "box": b} for n, b in zip(names, boxes.round(1).tolist(), strict=True)]
        relations = [{"subject": s, "predicate": f"predicate {p}", "object": o} for s, o, p in rows.tolist()]
        if scored:
            for things in (found, relations):
                for one, score in zip(things, np.sort(rng.random(len(things)))[::-1].round(4).tolist(), strict=True):
                    one["score"] = score
        return json.dumps({"width": SIDE, "height": SIDE, "objects": found, "relations": relations})

    annotated, predicted = rows(relations), rows(relations)
    predicted[: relations // 2] = annotated[: relations // 2]
    moved = boxes + rng.normal(0, 3, boxes.shape)
    return graph(boxes, annotated, False), graph(moved, rng.permutation(predicted), True)


def write_files(folder: Path, images: int, objects: int, relations: int) -> list[Path]:
    """`truth.json` and `predictions.json`."""
    rng, files = np.random.default_rng(0), [folder / "truth.json", folder / "predictions.json"]
    made = [make_image(rng, objects, relations) for _ in range(min(images, DIFFERENT))]
    folder.mkdir(parents=True, exist_ok=True)
    for which, path in enumerate(files):
        with open(path, "w") as out:
            for number in range(images):
                out.write(f'{",{"[number == 0]}\n"{number}.jpg": {made[number % len(made)][which]}')
            out.write("\n}\n")
    return files


def cost(files: list[Path], options: list[str]) -> tuple[float, float]:
    """Processor seconds and the peak of memory in KB of one scoring."""
    arguments = ["--ground-truth", files[0], "--predictions", files[1], "--output", files[0].parent / "out", *options]
    child = subprocess.Popen([sys.executable, TOOL, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"tools/score_predictions.py ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--objects", type=int, default=80)
    parser.add_argument("--relations", type=int, default=100)
    parser.add_argument("--folder", help="for the files, 25 KB an image; default: a temporary one")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="fields of the protocol")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = {}
        for images in (args.images // 10, args.images):
            files = write_files(Path(folder, str(images)), images, args.objects, args.relations)
            found[images] = cost(files, ["--set", *args.set] if args.set else [])
            print(
                f"{images} images: {found[images][0]:.1f} processor seconds, {found[images][1] / 1e3:.0f} MB",
                flush=True,
            )
    (few, (less, low)), (many, (more, high)) = found.items()
    print(
        f"an image more: {1e3 * (more - less) / (many - few):.2f} ms ({(many - few) / (more - less):.0f} a second), "
        f"{1e3 * (high - low) / (many - few):.0f} bytes"
    )


if __name__ == "__main__":
    main()
