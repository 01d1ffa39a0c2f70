"""What each wrapper against bias trades: recall against mean recall, as a curve over its strength, on the demo's data.

    python tools/run_demo.py                                    # once: data, detector and small CLIP in output/demo
    python benchmarks/debiasing.py --demo output/demo --output output/debiasing
    python benchmarks/debiasing.py --demo output/demo --output output/debiasing --models RelCLIP --strongest
    python benchmarks/debiasing.py --demo output/demo --output output/debiasing --draw   # what is done so far

PredCls. Trains each model without a wrapper, then with each of `WRAPPERS` at each of its strengths; what is done is not
done again. Adjusting logits in the test alone costs no training, so its curve is what the others are held against: the
last column says how much more mean recall a point has than that curve at the same recall, linearly between its points.
Writes curves.json, curves.svg and the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from maskrcnn_benchmark.report.tradeoff import above_curve
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "demo" / "relation.yaml"
HEAD = "MODEL.ROI_RELATION_HEAD."
H5 = Path("vg") / "VG-SGG-with-attri.h5"
EVALUATION = Path("inference") / "VG_stanford_filtered_with_attribute_test" / "evaluation.json"
MODELS = {"Motifs": ("MotifPredictor", "o"), "RelCLIP": ("RelCLIPPredictor", "s")}
REFERENCE = "logit adjustment, test"


def _node(key: str, *more) -> tuple:
    return (f"{HEAD}DEBIASING.{key}", None, *more)


def _resampling(*more) -> tuple:
    param = f"{HEAD}DATA_RESAMPLING_PARAM."
    return (f"{HEAD}DATA_RESAMPLING", True, param + "INSTANCE_DROP_RATE", 0.9, param + "REPEAT_FACTOR", None, *more)


# name -> (options, None standing for the strength; strengths from weak to strong)
WRAPPERS: dict[str, tuple[tuple, tuple[float, ...]]] = {
    REFERENCE: (_node("LOGIT_ADJUSTMENT_TEST"), (0.25, 0.5, 0.75, 1.0, 1.5)),
    "logit adjustment, training": (_node("LOGIT_ADJUSTMENT_TRAIN"), (0.5, 1.0)),
    "inverse frequency": (_node("INVERSE_FREQUENCY"), (0.5, 1.0)),
    "class-balanced": (_node("CLASS_BALANCED"), (0.99, 0.999)),
    "group collaborative": (_node("GROUP_RATIO", f"{HEAD}DEBIASING.GROUP_LEAST", 10.0), (2.0, 4.0)),
    "bi-level resampling": (_resampling(), (0.02, 0.1)),
    "IETrans, internal": ((), (0.3, 0.7)),
    "IETrans, internal and external": ((), (0.3, 0.7)),
}
HEAD_PREDICATES = 12  # of 40, as 15 of VG's 50
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "debiasing"}  # the same numbers give the same, small file


@dataclass(frozen=True)
class Plan:
    """One training or test: the folder of its results, and the commands that fill it."""

    folder: Path
    commands: tuple[tuple[str, ...], ...]


class Runner:
    """Makes plans for one model.

    Args:
        demo: the demo's output.
        output: gets a folder for each run.
    """

    def __init__(self, demo: Path, output: Path, model: str, iterations: int, seed: int):
        self.demo, self.output, self.model, self.iterations, self.seed = demo, output, model, iterations, seed

    def folder(self, wrapper: str, strength: float) -> Path:
        name = wrapper.replace(", ", "_").replace(" ", "_")
        return self.output / f"{self.model}-{name}-{strength}".lower()

    @property
    def base(self) -> Path:
        return self.output / f"{self.model}-base".lower()

    def plan(self, wrapper: str, strength: float) -> Plan:
        """`wrapper` "" is the model without any."""
        if not wrapper:
            return Plan(self.base, (self._command("relation_train_net.py", self.base, self.demo / "data"),))
        folder = self.folder(wrapper, strength)
        options = [strength if option is None else option for option in WRAPPERS[wrapper][0]]
        if wrapper == REFERENCE:
            options += ["MODEL.WEIGHT", self.base / "model_final.pth"]
            return Plan(folder, (self._command("relation_test_net.py", folder, self.demo / "data", *options),))
        data, first = self.demo / "data", ()
        if wrapper.startswith("IETrans"):
            data = folder / "data"
            external = float("external" in wrapper)
            first = (
                (
                    *(sys.executable, str(ROOT / "tools" / "ietrans_transfer.py")),
                    *("--config-file", str(self.base / "config.yml"), "--output", str(data / H5), "--link"),
                    *("--internal", str(strength), "--external", str(external), "--head", str(HEAD_PREDICATES)),
                    *("OUTPUT_DIR", str(self.base)),
                ),
            )
        return Plan(folder, (*first, self._command("relation_train_net.py", folder, data, *options)))

    def _command(self, tool: str, folder: Path, data: Path, *options) -> tuple[str, ...]:
        steps = f"({round(0.65 * self.iterations)}, {round(0.875 * self.iterations)})"
        settings = {
            "DATASETS.DATA_DIR": data,
            "DATASETS.TO_TEST": "test",
            "MODEL.DEVICE": "cpu",
            "MODEL.PRETRAINED_DETECTOR_CKPT": self.demo / "detector" / "model_final.pth",
            "MODEL.BACKBONE.FEATURE_CACHE": self.demo / "features",
            "TEST.RELATION.ZERO_SHOT_TRIPLETS": self.demo / "data" / "vg" / "zeroshot_kinds.json",
            "MODEL.LANGUAGE.CACHE_DIR": self.demo / "cache",
            "MODEL.LANGUAGE.NAME": self.demo / "clip" / "pretrained.pt",
            HEAD + "PREDICTOR": MODELS[self.model][0],
            "SOLVER.MAX_ITER": self.iterations,
            "SOLVER.STEPS": steps,
            "SOLVER.CHECKPOINT_PERIOD": 10 * self.iterations,
            "OUTPUT_DIR": folder,
        }
        words = [word for item in settings.items() for word in item]
        start = (sys.executable, ROOT / "tools" / tool, "--config-file", CONFIG, "--seed", self.seed)
        return tuple(map(str, (*start, *words, *options)))


def carry_out(plan: Plan) -> None:
    """Run what is not done yet.

    Raises:
        InputError: a command failed.
    """
    if not (plan.folder / EVALUATION).exists():
        plan.folder.mkdir(parents=True, exist_ok=True)
        for command in plan.commands:
            with open(plan.folder / "output.txt", "a") as log:
                done = subprocess.run(
                    command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
                )
            if done.returncode:
                raise InputError(f"{Path(command[1]).name} failed; {plan.folder / 'output.txt'} says why")


def read_point(folder: Path) -> dict[str, float] | None:
    """R@k, mR@k, F@k (k = 20, 50, 100) and zR@50 of a run in percent; None where it is not done."""
    path = folder / EVALUATION
    if not path.exists():
        return None
    metrics = json.loads(path.read_text())["metrics"]
    found = {}
    for k in (20, 50, 100):
        recall, mean = (100 * metrics[f"{name}@{k}"] for name in ("R", "mR"))
        harmonic = 2 * recall * mean / max(recall + mean, 1e-12)
        found.update({f"R@{k}": recall, f"mR@{k}": mean, f"F@{k}": harmonic})
    found["zR@50"] = 100 * metrics["zR@50"]
    return {name: round(value, 2) for name, value in found.items()}


def table(points: dict[str, dict]) -> str:
    """Markdown. points: {model: {"": {"": point}, wrapper: {strength: point}}}"""
    lines = ["| model | wrapper | strength | R@50 | mR@50 | F@50 | zR@50 | mR@50 at equal R@50 |", "|" + " --- |" * 8]
    for model, wrappers in points.items():
        points_of_reference = [wrappers[""][""], *wrappers.get(REFERENCE, {}).values()]
        reference = [(point["R@50"], point["mR@50"]) for point in points_of_reference]
        for wrapper, curve in wrappers.items():
            for strength, point in curve.items():
                numbers = " | ".join(f"{point[name]:.1f}" for name in ("R@50", "mR@50", "F@50", "zR@50"))
                gain = None if wrapper in ("", REFERENCE) else above_curve(point["R@50"], point["mR@50"], reference)
                last = "" if gain is None else f"{gain:+.1f}"
                lines.append(f"| {model} | {wrapper or 'none'} | {strength} | {numbers} | {last} |")
    return "\n".join(lines)


def plot(points: dict[str, dict], path: Path) -> None:
    """R@50 against mR@50, a line for each model and wrapper from no wrapper to its greatest strength."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    colours = {wrapper: f"C{i}" for i, wrapper in enumerate(WRAPPERS)}
    for model, wrappers in points.items():
        start = wrappers[""][""]
        for wrapper, curve in wrappers.items():
            if wrapper:
                places = np.array([(p["R@50"], p["mR@50"]) for p in (start, *curve.values())])
                style = "-" if wrapper == REFERENCE else ":"
                label = f"{model}: {wrapper}"
                axes.plot(*places.T, style, marker=MODELS[model][1], color=colours[wrapper], label=label)
        axes.plot(start["R@50"], start["mR@50"], MODELS[model][1], color="black", markersize=9, label=f"{model}: none")
    axes.set(xlabel="R@50", ylabel="mR@50", title="Wrappers against bias, PredCls on the demo")
    axes.grid(color="#e4e4e4")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    with atomic_write(path) as temporary, matplotlib.rc_context(_STYLE):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="output of tools/run_demo.py")
    parser.add_argument("--output", type=Path, required=True, help="folder for the runs and the curves")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--only", nargs="+", choices=list(WRAPPERS), default=list(WRAPPERS), metavar="WRAPPER")
    parser.add_argument("--strongest", action="store_true", help="of each wrapper its last strength alone")
    parser.add_argument("--draw", action="store_true", help="run nothing: draw what is done")
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not (args.demo / "detector" / "model_final.pth").exists():
        raise InputError(f"{args.demo} has no detector: run tools/run_demo.py --output {args.demo} first")
    points: dict[str, dict] = {}
    for model in args.models:
        runner = Runner(args.demo.resolve(), args.output.resolve(), model, args.iterations, args.seed)
        wanted = [("", 0.0)]
        for wrapper in args.only:
            strengths = WRAPPERS[wrapper][1]
            wanted += [(wrapper, x) for x in (strengths[-1:] if args.strongest else strengths)]
        curves: dict[str, dict] = {}
        for wrapper, strength in wanted:
            plan = runner.plan(wrapper, strength)
            if not args.draw:
                carry_out(plan)
            if point := read_point(plan.folder):
                curves.setdefault(wrapper, {})[str(strength) if wrapper else ""] = point
                print(f"{model}, {wrapper or 'no wrapper'} {strength}: {point}", flush=True)
        if "" in curves:
            points[model] = curves
    args.output.mkdir(parents=True, exist_ok=True)
    with atomic_write(args.output / "curves.json") as path:
        path.write_text(json.dumps({"iterations": args.iterations, "seed": args.seed, "points": points}))
    plot(points, args.output / "curves.svg")
    print(table(points))


if __name__ == "__main__":
    run(main)
