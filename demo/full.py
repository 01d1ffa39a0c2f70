"""The full demo: every model's settings chosen on validation images, then all models and ablations over several seeds.

Each seed draws another world, other pictures and captions, and trains other CLIPs and detectors. The settings are
chosen on the first seed's validation images, with as many trials for each model; test images are looked at once,
afterwards.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from demo.experiments import (
    CLIPS,
    HEAD,
    PRIOR,
    RANDOM,
    Experiment,
    evaluation,
    relation_step,
    second_opinion,
    world_steps,
    write_tags,
)
from demo.pipeline import Step, run_steps
from maskrcnn_benchmark.report import Table, read_run, write_report
from maskrcnn_benchmark.utils.files import atomic_write

IMAGES = {"val": 300, "test": 600}
_Tried = tuple[tuple[bool, float, dict[str, tuple]], ...]
# Tried for every model: (frequency bias, learning rate, further options by name), four each.
_USUAL: _Tried = ((True, 0.003, {}), (True, 0.006, {}), (False, 0.003, {}), (False, 0.006, {}))
# SGB's rate for it is a tenth
_SLOWER: _Tried = ((True, 0.001, {}), (True, 0.003, {}), (False, 0.001, {}), (False, 0.003, {}))
_UNBIASED: _Tried = tuple((False, rate, {}) for rate in (0.0015, 0.003, 0.006, 0.012))  # it has no bias to try
# nor has this one, and its authors' rate is 0.001
_OF_PENET: _Tried = tuple((False, rate, {}) for rate in (0.0005, 0.001, 0.002, 0.003))
# features of pairs as SQUAT is published
_PAIRS = (HEAD + "EDGE_FEATURES_REPRESENTATION", "obj_pair", HEAD + "PREDICT_USE_VISION", False)
_OF_SQUAT: _Tried = tuple((bias, rate, {"pairs": _PAIRS}) for bias, rate, _ in _USUAL)
_OF_RELCLIP = (
    (True, 0.003, {"prior": PRIOR, "images1": second_opinion(1.0)}),
    (True, 0.003, {"prior": PRIOR, "images1.5": second_opinion(1.5)}),
    (True, 0.003, {"images1": second_opinion(1.0)}),
    (True, 0.003, {"images1.5": second_opinion(1.5)}),
)
# model in the report -> predictor, what is tried
MODELS = {
    "Motifs": ("MotifPredictor", _USUAL),
    "VCTree": ("VCTreePredictor", _USUAL),
    "RelCLIP": ("RelCLIPPredictor", _OF_RELCLIP),
    "Transformer": ("TransformerPredictor", _SLOWER),
    "IMP": ("IMPPredictor", _UNBIASED),
    "PE-Net": ("PrototypeEmbeddingNetwork", _OF_PENET),
    "SQUAT": ("SquatPredictor", _OF_SQUAT),
    "BGNN": ("BGNNPredictor", _USUAL),
    "GPS-Net": ("GPSNetPredictor", _USUAL),
}
VCTREE_CONTEXT = (HEAD + "RELCLIP.CONTEXT", "vctree")  # RelCLIP-VCTree: RelCLIP with this and what was chosen for it
SUPERVISIONS = ("full", "distant")
TEXTS = (*CLIPS, RANDOM)
CLIP_LENGTH = ("--steps", 2000)  # twice the short demo's: what CLIP knows decides what it can bring in
LENGTH = ("SOLVER.MAX_ITER", 800, "SOLVER.STEPS", (520, 700))
TRIAL_LENGTH = ("SOLVER.MAX_ITER", 200, "SOLVER.STEPS", (130, 175))
# SGDet takes the detector's boxes, which no kept features spare: half as long, for both models alike.
TASK_LENGTH = ("SOLVER.MAX_ITER", 400, "SOLVER.STEPS", (260, 350))
MIRRORED = ("MODEL.FLIP_AUG", True)  # training images, half of them
FEW_CHECKPOINTS = ("SOLVER.CHECKPOINT_PERIOD", 400)  # over a hundred trainings take room
WITHOUT_IMAGES = second_opinion(0.0)
# What RelCLIP is without one of its parts -> options
ABLATIONS = {
    "no_rcl": (HEAD + "RELCLIP.USE_RCL", False),
    "no_alignment": (HEAD + "RELCLIP.USE_ALIGNMENT", False, HEAD + "RELCLIP.USE_RCL", False),
}
CRITERIA = ("R@50", "mR@50", "zR@50")


def trials(model: str, supervision: str) -> list[Experiment]:
    """The settings that are tried for a model: four each, to be trained for `TRIAL_LENGTH`."""
    predictor, tried = MODELS[model]
    return [
        Experiment(
            model,
            predictor,
            supervision,
            bias=bias,
            options=(*chain.from_iterable(further.values()), "SOLVER.BASE_LR", rate),
            variant="-".join((f"lr{rate}", *further)),
        )
        for bias, rate, further in tried
    ]


def trained_for(experiment: Experiment, length: tuple) -> Experiment:
    """The experiment with a length. Mirrored images help under full supervision and do not under distant supervision
    (docs/demo.md), for every model alike."""
    mirrored = MIRRORED if experiment.supervision == "full" else ()
    return replace(experiment, options=(*experiment.options, *length, *FEW_CHECKPOINTS, *mirrored))


def choose(folder: Path, tried: Sequence[Experiment]) -> Experiment:
    """The experiment with the highest mean of `CRITERIA` on validation images; the first of equal ones."""

    def score(experiment: Experiment) -> float:
        metrics = json.loads(evaluation(folder / experiment.name, "val").read_text())["metrics"]
        return sum(metrics[name] for name in CRITERIA) / len(CRITERIA)

    return max(tried, key=score)


def further_experiments(chosen: dict[tuple[str, str], Experiment]) -> list[Experiment]:
    """What is trained beside the best setting of every model: other texts, biases on and off, ablations, other tasks.

    Args:
        chosen: best settings by (model, supervision).
    """
    motifs, relclip, distant = chosen["Motifs", "full"], chosen["RelCLIP", "full"], chosen["RelCLIP", "distant"]
    found = [
        replace(model, options=model.options + WITHOUT_IMAGES, variant="no_image_tower", trained=model.name)
        for model in (relclip, distant)
    ]
    found += [replace(relclip, options=relclip.options + options, variant=name) for name, options in ABLATIONS.items()]
    found += [replace(model, task=task) for task in ("sgdet", "sgcls") for model in (motifs, relclip)]
    found += [
        replace(relclip, text="untrained"),
        replace(distant, text="control"),  # where CLIP counts most
        replace(relclip, bias=not relclip.bias),
        replace(motifs, bias=not motifs.bias),
        replace(relclip, text=RANDOM, options=relclip.options + WITHOUT_IMAGES),  # random vectors have no image tower
        replace(motifs, text=RANDOM),
    ]
    return found


def run_full(output: Path, seeds: Sequence[int], inherited: int) -> list[Table]:
    """Run all of it, or what is left of it; the report is written when the models are there, and again at the end.

    Args:
        inherited: see `pipeline.run_steps`.
    """
    roots = {seed: output / f"seed-{seed}" for seed in seeds}
    worlds = [
        _of_seed(seed, step) for seed in seeds for step in world_steps(roots[seed], seed, IMAGES, TEXTS, CLIP_LENGTH)
    ]
    chosen = choose_settings(roots[seeds[0]], seeds[0], worlds, inherited)
    for supervision in SUPERVISIONS:
        relclip = chosen["RelCLIP", supervision]
        name = "RelCLIP-VCTree"
        chosen[name, supervision] = replace(relclip, model=name, options=VCTREE_CONTEXT + relclip.options)
    with atomic_write(output / "chosen.json") as path:
        path.write_text(json.dumps({" ".join(key): trial.name for key, trial in chosen.items()}, indent=1))
    trained: list[Path] = []
    tables: list[Table] = []
    for stage in (list(chosen.values()), further_experiments(chosen)):
        lengths = {"predcls": LENGTH, "sgcls": TASK_LENGTH, "sgdet": TASK_LENGTH}
        tested = [(seed, trained_for(experiment, lengths[experiment.task])) for experiment in stage for seed in seeds]
        run_steps([*worlds, *(_of_seed(seed, relation_step(roots[seed], seed, e)) for seed, e in tested)], inherited)
        trained += [write_tags(roots[seed], seed, experiment) for seed, experiment in tested]
        runs = [read_run(folder) for folder in trained]
        tables = write_report(
            runs, output, data_per_seed=len(seeds) > 1, title="RelCLIP's full demo", reference="RelCLIP"
        )
    return tables


def choose_settings(root: Path, seed: int, worlds: Sequence[Step], inherited: int) -> dict[tuple[str, str], Experiment]:
    """Best settings by (model, supervision): those that do best on a seed's validation images in short trainings.

    Args:
        root: folder of the seed.
        worlds: what the trainings build on.
        inherited: see `pipeline.run_steps`.
    """
    tried = {(model, supervision): trials(model, supervision) for model in MODELS for supervision in SUPERVISIONS}
    # Trials share what the seed has made, through links, and have a folder of their own.
    folder = root / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("data", "distant", "detector", "clip", "cache", "features"):
        (root / name).mkdir(exist_ok=True)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..") / name)
    short = [trained_for(trial, TRIAL_LENGTH) for group in tried.values() for trial in group]
    steps = [_of_seed(seed, relation_step(folder, seed, trial, "val")) for trial in short]
    run_steps([*worlds, *(replace(step, name=f"trial {step.name}") for step in steps)], inherited)
    return {key: choose(folder, group) for key, group in tried.items()}


def _of_seed(seed: int, step: Step) -> Step:
    """Steps of several seeds have the seed in their names."""
    return replace(step, name=f"{step.name} {seed}", needs=tuple(f"{need} {seed}" for need in step.needs))
