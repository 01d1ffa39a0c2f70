"""Run the main job from end to end on drawn data: data, small CLIP, detector, distant labels, relation models, report.

    python tools/run_demo.py                      # into output/demo, 7 to 11 minutes on two cores
    python tools/run_demo.py --seed 1 --output output/demo-1
    python tools/run_demo.py --full               # into output/demo-full: all models, five seeds; hours

Steps that are done are not done again, and a training that was stopped goes on where it was. Two steps run side by
side, each on one thread. Everything is run by the command-line tools that users have. docs/demo.md
"""

import argparse
import signal
import time
from pathlib import Path

import checkout  # noqa: F401

from demo.experiments import SHORT, SHORT_IMAGES, adapter_step, relation_step, world_steps, write_tags
from demo.full import REFERENCES, run_full
from demo.pipeline import claimed, run_steps
from maskrcnn_benchmark.report import Table, markdown, read_run, write_report
from maskrcnn_benchmark.utils.cli import run


def run_short(output: Path, seed: int, inherited: int) -> list[Table]:
    """One seed, Motifs and RelCLIP."""
    steps = [*world_steps(output, seed, SHORT_IMAGES), adapter_step(output, seed, "full", "geometry")]
    run_steps([*steps, *(relation_step(output, seed, experiment) for experiment in SHORT)], inherited)
    folders = [write_tags(output, seed, experiment) for experiment in SHORT]
    runs = [read_run(folder) for folder in folders]
    return write_report(runs, output, title="RelCLIP's demo", references=REFERENCES, baseline="Motifs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", help="folder of everything that the demo makes (default: output/demo[-full])")
    parser.add_argument("--seed", type=int, default=0, help="of the data, the small CLIP and all trainings")
    parser.add_argument("--full", action="store_true", help="all models, over five seeds from --seed on")
    args = parser.parse_args()
    output = Path(args.output or ("output/demo-full" if args.full else "output/demo")).resolve()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the steps too, as Ctrl-C does
    with claimed(output, {"seed": args.seed, "full": args.full}) as inherited:
        if args.full:
            tables = run_full(output, args.seed, inherited)
        else:
            tables = run_short(output, args.seed, inherited)
    minutes = (time.monotonic() - started) / 60
    print(f"\n{markdown(tables)}\n\n{output / 'report.html'}, {minutes:.1f} minutes")


if __name__ == "__main__":
    run(main)
