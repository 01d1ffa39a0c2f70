"""The full demo: every model with the same help, chosen alike on validation images, over several seeds.

Each seed draws another world, other pictures and captions, and trains other CLIPs and detectors. How a model is trained
is chosen on the first seed's validation images, with as many trials for each model; what is joined to it in the test,
on the validation images of all its seeds. Test images are looked at once, afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from demo.experiments import (
    DATA_SETS,
    HEAD,
    PRIOR,
    RANDOM,
    RELCLIP,
    TEXT_FREE,
    Experiment,
    adapter_step,
    evaluation,
    relation_step,
    second_opinion,
    settings_step,
    world_steps,
    write_tags,
)
from demo.pipeline import Step, run_steps
from maskrcnn_benchmark.report import Table, read_run, write_report
from maskrcnn_benchmark.utils.files import atomic_write

IMAGES = {"val": 300, "test": 600}
SEEDS, FEWER_SEEDS = 5, 3  # of Motifs, VCTree and RelCLIP, and of the others
TEXTS = ("pretrained", "untrained", RANDOM)
SUPERVISIONS = ("full", "distant")  # of Motifs and RelCLIP on it; the others have the first
MIRRORED = ("MODEL.FLIP_AUG", True)  # training images, half of them
# Fewer iterations than in the short demo, and one checkpoint: a hundred and fifty trainings take time and room
BRIEF = ("SOLVER.MAX_ITER", 240, "SOLVER.STEPS", "(156, 208)", "SOLVER.CHECKPOINT_PERIOD", 240)
CRITERIA = ("R@50", "mR@50", "zR@50")
WEIGHTS = (1.0, 2.0, 3.0)  # of CLIP's image side in the test; 0.5 is never chosen
STRENGTHS = (0.25, 0.5, 0.75, 1.0)  # of the logit adjustment that draws a curve

# Tried for each model and each help in training: (frequency bias, learning rate), two of each, as long as in the end.
_USUAL = {"nothing": ((True, 0.003), (False, 0.003)), "prior": ((True, 0.003), (True, 0.006))}
# SGB's rate for it is a tenth
_SLOWER = {"nothing": ((True, 0.001), (False, 0.003)), "prior": ((True, 0.001), (True, 0.003))}
_UNBIASED = {"nothing": ((False, 0.003), (False, 0.006))}  # it has no bias, so no prior can take its place
_OF_PENET = {"nothing": ((False, 0.001), (False, 0.002))}  # its authors' rate is 0.001
# features of pairs as SQUAT is published
_OF_SQUAT = (HEAD + "EDGE_FEATURES_REPRESENTATION", "obj_pair", HEAD + "PREDICT_USE_VISION", False)
_ON_VCTREE = (RELCLIP + "CONTEXT", "vctree")
# model in the report -> predictor, what is tried, options
MAIN = {
    "Motifs": ("MotifPredictor", _USUAL, ()),
    "RelCLIP": ("RelCLIPPredictor", _USUAL, ()),
}
VCTREE = {
    "VCTree": ("VCTreePredictor", _USUAL, ()),
    "RelCLIP-VCTree": ("RelCLIPPredictor", _USUAL, _ON_VCTREE),
}
OTHERS = {
    "Transformer": ("TransformerPredictor", _SLOWER, ()),
    "IMP": ("IMPPredictor", _UNBIASED, ()),
    "GPS-Net": ("GPSNetPredictor", _USUAL, ()),
    "BGNN": ("BGNNPredictor", _USUAL, ()),
    "PE-Net": ("PrototypeEmbeddingNetwork", _OF_PENET, ()),
    "SQUAT": ("SquatPredictor", _USUAL, _OF_SQUAT),
}
CURVES = ("Motifs",)  # models whose curve is drawn
# What RelCLIP is without one of its parts, or with another in its place -> options, text
PARTS = {
    "alignment alone": ((RELCLIP + "USE_RCL", False), "pretrained"),
    "RCL alone": ((RELCLIP + "USE_ALIGNMENT", False), "pretrained"),
    "text-free control": (TEXT_FREE, "pretrained"),
    "random vectors": ((), RANDOM),
    "untrained tower": ((), "untrained"),
}
# RelCLIP joined to a trained model in the test: name -> part in the report, adapter, options of the test, which models
# under which supervision
_MOTIFS = (("Motifs", "full"), ("Motifs", "distant"))
_BOTH = (*_MOTIFS, ("VCTree", "full"))
_BESIDE = second_opinion(1.0)
JOINED = {
    "beside": ("RCL beside CLIP", "geometry", _BESIDE, _BOTH),
    "text-free-beside": ("RCL beside CLIP, text-free control", "geometry-text-free", _BESIDE, _BOTH),
    "geometry": ("RCL without CLIP's picture", "geometry", (), _MOTIFS),
    "crops": ("CLIP's image side", "crops", (), _MOTIFS[:1]),
    "crops-text-free": ("CLIP's image side, text-free control", "crops-text-free", (), _MOTIFS[:1]),
}
REFERENCES = ("RelCLIP", f"RelCLIP ({JOINED['beside'][0]})")  # whose differences the report gives
Cell = tuple[str, str, str]  # model, supervision, help in training


def trials(models: Mapping[str, tuple], model: str, supervision: str, help_given: str) -> list[Experiment]:
    """How a model may be trained with a help ("nothing" or "prior"): two ways each. Mirrored images help under full
    supervision and do not under distant supervision (docs/demo.md), for every model alike."""
    predictor, tried, options = models[model]
    prior = PRIOR if help_given == "prior" else ()
    mirrored = MIRRORED if supervision == "full" else ()
    return [
        Experiment(
            model,
            predictor,
            supervision,
            bias=bias,
            options=(*options, *prior, "SOLVER.BASE_LR", rate, *BRIEF, *mirrored),
            variant="-".join((*(["prior"] if prior else []), f"lr{rate}")),
            help=help_given,
        )
        for bias, rate in tried.get(help_given, ())
    ]


def parts_of(relclip: Experiment) -> list[Experiment]:
    """RelCLIP without one of its parts, or with another in its place; trained as RelCLIP is."""
    return [
        replace(relclip, options=(*relclip.options, *options), text=text, part=part, variant=_slug(part))
        for part, (options, text) in PARTS.items()
    ]


def test_settings(root: Path, experiment: Experiment) -> dict[str, tuple[dict[str, str], tuple]]:
    """What may be joined to a trained model in the test; nothing is to RelCLIP's parts.

    Returns:
        {name: (tags, options)}; settings with the same tags are one row at several weights
    """
    found: dict[str, tuple[dict[str, str], tuple]] = {"as-it-is": ({"help": experiment.help}, second_opinion(0.0))}
    seen = "both" if experiment.help == "prior" else "second opinion"
    for weight in WEIGHTS:
        found[f"opinion-{weight}"] = ({"help": seen}, second_opinion(weight))
    on = "RelCLIP" if experiment.model == "Motifs" else f"RelCLIP-{experiment.model}"
    for name, (part, adapter, further, where) in JOINED.items():
        if (experiment.model, experiment.supervision) in where:
            file = adapter_step(root, 0, experiment.supervision, adapter).result
            for weight in WEIGHTS:
                options = (RELCLIP + "ADAPTER", str(file), RELCLIP + "ALIGNMENT_WEIGHT", weight, *further)
                found[f"{name}-{weight}"] = ({"model": on, "part": part, "help": seen}, options)
    return found


def adapters(supervision: str) -> list[str]:
    """Those of a supervision's labels that are joined to any model, each once."""
    asked = (adapter for _, adapter, _, where in JOINED.values() if supervision in {labels for _, labels in where})
    return list(dict.fromkeys(asked))


def choose(folders: Sequence[Path], names: Sequence[str]) -> str:
    """Of these results below each of some folders the name with the highest mean of `CRITERIA` on validation images,
    over all folders; the first of equal ones."""

    def score(name: str) -> float:
        found = [json.loads(evaluation(folder / name, "val").read_text())["metrics"] for folder in folders]
        return float(np.mean([[metrics[criterion] for criterion in CRITERIA] for metrics in found]))

    return max(names, key=score)


def run_full(output: Path, first_seed: int, inherited: int) -> list[Table]:
    """Run all of it, or what is left of it; the report is written when the models on Motifs are there, again with those
    on VCTree, and at the end.

    Args:
        first_seed: of `SEEDS`.
        inherited: see `pipeline.run_steps`.
    """
    seeds = range(first_seed, first_seed + SEEDS)
    roots = {seed: output / f"seed-{seed}" for seed in seeds}
    worlds = [
        _of_seed(seed, step)
        for seed in seeds
        for step in (
            *world_steps(roots[seed], seed, IMAGES, TEXTS),
            *(adapter_step(roots[seed], seed, labels, name) for labels in SUPERVISIONS for name in adapters(labels)),
        )
    ]
    runs: list[Path] = []
    chosen: dict[str, list[str]] = {}
    tables: list[Table] = []
    for models, supervisions, own in (
        (MAIN, SUPERVISIONS, seeds),
        (VCTREE, SUPERVISIONS[:1], seeds),
        (OTHERS, SUPERVISIONS[:1], seeds[:FEWER_SEEDS]),
    ):
        cells = choose_training(roots[first_seed], first_seed, models, supervisions, worlds, inherited)
        trained = list(cells.values())
        pairs = [(seed, experiment) for experiment in trained for seed in own]
        training = [_of_seed(seed, relation_step(roots[seed], seed, e, None)) for seed, e in pairs]
        asked = {(seed, e): test_settings(roots[seed], e) for seed, e in pairs}
        validation = [
            _of_seed(seed, settings_step(roots[seed], seed, e, _options(asked[seed, e]), "val")) for seed, e in pairs
        ]
        run_steps([*worlds, *training, *validation], inherited)
        tests: list[Step] = []
        rows: list[tuple[int, Experiment, str, dict]] = []
        for experiment in trained:
            folders = [roots[seed] / experiment.name for seed in own]
            kept = choose_settings(folders, asked[own[0], experiment])
            chosen[experiment.name] = kept
            for seed in own:
                tested = {name: asked[seed, experiment][name] for name in kept}
                settings = {**tested, **curve(tested)} if experiment.model in CURVES else tested
                step = settings_step(roots[seed], seed, experiment, _options(settings), "test")
                tests.append(_of_seed(seed, step))
                rows += [(seed, experiment, name, tags) for name, (tags, _) in settings.items()]
        if models is MAIN:  # of a part nothing is chosen
            parts = [part for labels in SUPERVISIONS for part in parts_of(cells["RelCLIP", labels, "nothing"])]
            tests += [_of_seed(seed, relation_step(roots[seed], seed, part)) for part in parts for seed in own]
            rows += [(seed, part, "", {}) for part in parts for seed in own]
        run_steps([*worlds, *training, *tests], inherited)
        runs += [write_tags(roots[seed], seed, e, name, **tags) for seed, e, name, tags in rows]
        with atomic_write(output / "chosen.json") as path:
            path.write_text(json.dumps(chosen, indent=1))
        tables = write_report(
            [read_run(folder, DATA_SETS["test"]) for folder in runs],
            output,
            data_per_seed=True,
            title="RelCLIP's full demo",
            references=REFERENCES,
            baseline="Motifs",
        )
    return tables


def choose_training(
    root: Path,
    seed: int,
    models: Mapping[str, tuple],
    supervisions: Sequence[str],
    worlds: Sequence[Step],
    inherited: int,
) -> dict[Cell, Experiment]:
    """How each model is trained best with each help: by a seed's validation images. That training is done, then.

    Args:
        root: folder of the seed.
        supervisions: that they are trained under.
        worlds: what the trainings build on.
        inherited: see `pipeline.run_steps`.
    """
    tried = {
        (model, labels, help_given): trials(models, model, labels, help_given)
        for model, (_, known, _) in models.items()
        for labels in supervisions
        for help_given in known
    }
    steps = [_of_seed(seed, relation_step(root, seed, trial, "val")) for group in tried.values() for trial in group]
    run_steps([*worlds, *steps], inherited)
    found = {}
    for cell, group in tried.items():
        best = choose([root], [trial.name for trial in group])
        found[cell] = next(trial for trial in group if trial.name == best)
    return found


def choose_settings(folders: Sequence[Path], asked: Mapping[str, tuple[dict, tuple]]) -> list[str]:
    """Of settings with the same tags the best one on validation images."""
    groups: dict[str, list[str]] = {}
    for name, (tags, _) in asked.items():
        groups.setdefault(json.dumps(tags, sort_keys=True), []).append(name)
    return [names[0] if len(names) == 1 else choose(folders, names) for names in groups.values()]


def curve(tested: Mapping[str, tuple[dict, tuple]]) -> dict[str, tuple[dict, tuple]]:
    """The same settings, but for parts, with logits adjusted at each of `STRENGTHS`."""
    key = HEAD + "DEBIASING.LOGIT_ADJUSTMENT_TEST"
    return {
        f"{name}-adjusted-{strength}": ({**tags, "curve": strength}, (*options, key, strength))
        for name, (tags, options) in tested.items()
        if "part" not in tags
        for strength in STRENGTHS
    }


def _options(settings: Mapping[str, tuple[dict, tuple]]) -> dict[str, tuple]:
    return {name: options for name, (_, options) in settings.items()}


def _slug(words: str) -> str:
    return words.replace("'", "").replace(",", "").replace(" ", "_").lower()


def _of_seed(seed: int, step: Step) -> Step:
    """Steps of several seeds have the seed in their names."""
    return replace(step, name=f"{step.name} {seed}", needs=tuple(f"{need} {seed}" for need in step.needs))
