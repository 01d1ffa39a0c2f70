"""Run the main job from end to end on drawn data: data, small CLIP, detector, relation models, a table.

    python tools/run_demo.py                      # into output/demo, about ten minutes on two cores
    python tools/run_demo.py --seed 1 --output output/demo-1

Steps that are done are not done again, and a training that was stopped goes on where it was. Two steps run side by
side, each on one thread, wherever neither needs the other. Everything is run by the command-line tools that users have.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.safe_pickle import load_torch

ROOT = Path(__file__).resolve().parents[1]
HEAD = "MODEL.ROI_RELATION_HEAD."
TEST_SET = "VG_stanford_filtered_with_attribute_test"
METRICS = {"R": "R", "mR": "mR", "zR": "zR", "ngR": "ng-R", "ngmR": "ng-mR"}  # in the report: in evaluation.json
TOP_K = (20, 50, 100)
PROGRESS_SECONDS = 15


@dataclass(frozen=True)
class Model:
    """A row of the table: a relation model and how it is trained."""

    name: str
    predictor: str
    task: str = "predcls"
    supervision: str = "full"
    bias: bool = True
    text: str = "small CLIP"
    options: tuple = field(default=())

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.supervision}-{self.task}".lower()


MODELS = (Model("Motifs", "MotifPredictor"), Model("RelCLIP", "RelCLIPPredictor"))
TASKS = {"predcls": (True, True), "sgcls": (True, False), "sgdet": (False, False)}


@dataclass(frozen=True)
class Step:
    """A command, the file that is there once it is done, and the log of what it prints."""

    name: str
    command: tuple[str, ...]
    result: Path
    log: Path


def demo_steps(output: Path, seed: int) -> list[list[Step]]:
    """The steps in rows; those of a row need only earlier rows."""

    def step(name: str, tool: str, result: Path, *args) -> Step:
        command = (sys.executable, str(ROOT / "tools" / tool), *map(str, args))
        return Step(name, command, result, output / "logs" / f"{name.lower().replace(' ', '-')}.txt")

    data, clip = output / "data", output / "clip" / "small.pt"
    detector = output / "detector"
    seeded = ("--seed", seed)
    shared = ("DATASETS.DATA_DIR", data, "MODEL.DEVICE", "cpu")
    rows = [
        [step("data", "make_demo_dataset.py", data / "vg" / "demo.json", "--output", data, *seeded)],
        [
            step("detector", "detector_pretrain_net.py", _evaluation(detector), "--config-file",
                 ROOT / "configs" / "demo" / "detector.yaml", *seeded, *shared, "OUTPUT_DIR", detector),
            step("small CLIP", "train_small_clip.py", clip, "--output", clip, *seeded),
        ],
        [],
    ]  # fmt: skip
    for model in MODELS:
        folder = output / model.folder
        gt_box, gt_label = TASKS[model.task]
        options = (
            *shared, "MODEL.PRETRAINED_DETECTOR_CKPT", detector / "model_final.pth", "OUTPUT_DIR", folder,
            HEAD + "PREDICTOR", model.predictor, HEAD + "USE_GT_BOX", gt_box, HEAD + "USE_GT_OBJECT_LABEL", gt_label,
            HEAD + "PREDICT_USE_BIAS", model.bias, HEAD + "RELCLIP.TEXT_ENCODER.NAME", clip,
            HEAD + "RELCLIP.CACHE_DIR", output / "phrases", *model.options,
        )  # fmt: skip
        config = ROOT / "configs" / "demo" / "relation.yaml"
        rows[-1].append(
            step(f"{model.name} {model.task}", "relation_train_net.py", _evaluation(folder), "--config-file", config,
                 *seeded, *options)
        )  # fmt: skip
    return rows


@contextlib.contextmanager
def claimed(output: Path, seed: int) -> Iterator[int]:
    """Keep other runs out of a folder, and results of different seeds apart.

    Yields:
        A descriptor that the steps inherit: as long as one of them lives, the folder is taken, even where this process
        was killed before it could end them.

    Raises:
        InputError: another run is at work there, or the folder belongs to another seed.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open(output / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run, or a step that it left behind, is at work in {output}") from None
        record = output / "demo.json"
        found = json.loads(record.read_text())["seed"] if record.exists() else seed
        if found != seed:
            raise InputError(f"{output} holds the demo of --seed {found}; give another --output for --seed {seed}")
        with atomic_write(record) as path:
            path.write_text(json.dumps({"seed": seed}))
        yield lock.fileno()


def _evaluation(folder: Path) -> Path:
    return folder / "inference" / TEST_SET / "evaluation.json"


def run_row(steps: Sequence[Step], inherited: int) -> None:
    """Run the steps of a row side by side, and print how far they are.

    Args:
        inherited: a descriptor that the steps hold open, see `claimed`.

    Raises:
        InputError: a step failed; its last lines are printed before.
    """
    running = []
    for step in steps:
        if step.result.exists():
            print(f"{step.name}: done already ({step.result})", flush=True)
            continue
        step.log.parent.mkdir(parents=True, exist_ok=True)
        with open(step.log, "a") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                step.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ROOT,
                pass_fds=(inherited,),
            )
        print(f"{step.name}: started, log in {step.log}", flush=True)
        running.append((step, process, time.monotonic()))
    told = time.monotonic()
    try:
        while running:
            time.sleep(0.5)
            for entry in [entry for entry in running if entry[1].poll() is not None]:
                running.remove(entry)
                _finish(*entry)
            if running and time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                print("  " + "   ".join(f"{step.name}: {_progress(step.log)}" for step, *_ in running), flush=True)
    finally:
        for _, process, _ in running:
            process.terminate()


def _finish(step: Step, process: subprocess.Popen, started: float) -> None:
    if process.returncode != 0 or not step.result.exists():
        print("\n".join(step.log.read_text().splitlines()[-15:]), file=sys.stderr)
        raise InputError(f"the step {step.name} failed (exit status {process.returncode}); its log is {step.log}")
    print(f"{step.name}: done in {time.monotonic() - started:.0f} s", flush=True)


def _progress(log: Path) -> str:
    """The newest of the lines in which a step says how far it is."""
    text = log.read_text(errors="replace")
    found = re.findall(r"iter(?:ation)?:? \d+(?:/\d+)?|step \d+(?:/\d+)?|\d+/\d+ ", text)
    return found[-1].strip() if found else "starting"


def report_run(model: Model, folder: Path, seed: int) -> dict:
    """A run as `report.json` holds it."""
    metrics = json.loads(_evaluation(folder).read_text())["metrics"]
    times = [json.loads(line).get("time") for line in (folder / "metrics.json").read_text().splitlines()]
    weights = load_torch(str(folder / "model_final.pth"))["model"]
    return {
        "model": model.name,
        "supervision": model.supervision,
        "task": model.task,
        "seed": seed,
        "bias": model.bias,
        "text": model.text,
        "metrics": {ours: {str(k): metrics[f"{theirs}@{k}"] for k in TOP_K} for ours, theirs in METRICS.items()},
        "step_ms": round(1000 * statistics.median(t for t in times if t is not None), 1),
        "params": sum(value.numel() for name, value in weights.items() if "roi_heads.relation.predictor" in name),
    }


def table(runs: Sequence[dict]) -> str:
    """The report as a Markdown table, recalls in percent."""
    columns = [f"{metric}@{k}" for metric in ("R", "mR", "zR") for k in TOP_K]
    lines = ["| model | labels | task | " + " | ".join(columns) + " | ms a step |", "|" + " --- |" * (len(columns) + 4)]
    for entry in runs:
        values = [entry["metrics"][c.split("@")[0]][c.split("@")[1]] for c in columns]
        cells = ["-" if value is None else f"{100 * value:.1f}" for value in values]
        start = [entry["model"], entry["supervision"], entry["task"]]
        lines.append("| " + " | ".join([*start, *cells, f"{entry['step_ms']:.0f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="output/demo", help="folder of everything that the demo makes")
    parser.add_argument("--seed", type=int, default=0, help="of the data, the small CLIP and all trainings")
    args = parser.parse_args()
    output = Path(args.output).resolve()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the steps too, as Ctrl-C does
    with claimed(output, args.seed) as inherited:
        for row in demo_steps(output, args.seed):
            run_row(row, inherited)
    runs = [report_run(model, output / model.folder, args.seed) for model in MODELS]
    with atomic_write(output / "report.json") as path:
        path.write_text(json.dumps({"runs": runs}, indent=1))
    print(f"\n{table(runs)}\n\n{output / 'report.json'}, {(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    run(main)
