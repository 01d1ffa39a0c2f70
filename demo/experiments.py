"""What the demo trains: the steps from a seed to tested relation models, as commands for `pipeline.run_steps`."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.captions import MARGIN
from demo.pipeline import Step
from maskrcnn_benchmark.utils.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
HEAD = "MODEL.ROI_RELATION_HEAD."
CLIP_NAME = "MODEL.LANGUAGE.NAME"
DATA_SETS = {split: f"VG_stanford_filtered_with_attribute_{split}" for split in ("val", "test")}
TASKS = {"predcls": (True, True), "sgcls": (True, False), "sgdet": (False, False)}  # given boxes, given classes
H5 = "VG-SGG-with-attri.h5"


@dataclass(frozen=True)
class Experiment:
    """A relation model and how it is trained: a row of the report.

    Attributes:
        model: its name in the report.
        predictor: MODEL.ROI_RELATION_HEAD.PREDICTOR.
        supervision: full or distant.
        bias: the frequency bias.
        text: whose text tower gives phrases and word embeddings, a name of `CLIPS`; or `RANDOM`, that nothing does.
        options: further keys of the configuration.
        variant: tells it from others with the same tags in the name of its folder.
        trained: name of the experiment whose model is tested with other options; "" where one is trained for it.
        adapter: which of `ADAPTERS` joins it in the test; "" for none.
        help: what it was given that any model could have, a value of `report.tags.HELP`.
        part: what of RelCLIP it is; "" for all of it, and for other models.
    """

    model: str
    predictor: str
    supervision: str = "full"
    task: str = "predcls"
    bias: bool = True
    text: str = "pretrained"
    options: tuple = ()
    variant: str = ""
    trained: str = ""
    adapter: str = ""
    help: str = ""
    part: str = ""

    @property
    def name(self) -> str:
        """Of its step and its folder."""
        parts = [self.model, self.supervision, self.task]
        if not self.bias:
            parts.append("nobias")
        if self.text != "pretrained":
            parts.append(self.text)
        if self.variant:
            parts.append(self.variant)
        return "-".join(parts).lower().replace(" ", "_")


# What a small CLIP is trained on -> options of tools/train_small_clip.py
CLIPS = {
    "pretrained": (),
    "untrained": ("--steps", 0),
}
RANDOM = "random"  # independent random vectors for phrases and words

# What any model can have beside its own: the phrase prior as its frequency bias, and CLIP's image tower in the test.
PRIOR = (HEAD + "PHRASE_PRIOR.ON", True)


def second_opinion(weight: float) -> tuple:
    """Options with which CLIP's image tower is asked in the test."""
    return (HEAD + "SECOND_OPINION.WEIGHT", weight)


ALL_HELP = (*PRIOR, *second_opinion(1.0))
RELCLIP = HEAD + "RELCLIP."
TEXT_FREE = (RELCLIP + "TARGETS", "learnt")
# CLIP's image side adapted by RCL, joined to a predictor that stays as it is -> options of the adapter
ON_CLIP = (HEAD + "PREDICTOR", "RelCLIPPredictor", RELCLIP + "VISION", "clip")
_GEOMETRY = (RELCLIP + "PICTURE", False)
ADAPTERS = {
    "geometry": _GEOMETRY,
    "geometry-text-free": (*TEXT_FREE, *_GEOMETRY),
    "crops": (),
    "crops-text-free": TEXT_FREE,
}


SHORT_IMAGES = {"test": 400}
# The short demo; README says how long it takes. SGDet works on detections, which takes longer, so it trains for less,
# and starts early.
SHORT = (
    Experiment("Motifs", "MotifPredictor", options=ALL_HELP, variant="helped", help="both"),
    Experiment("RelCLIP", "RelCLIPPredictor", options=ALL_HELP, variant="helped", help="both"),
    Experiment(
        "RelCLIP",
        "RelCLIPPredictor",
        task="sgdet",
        options=("SOLVER.MAX_ITER", 150, "SOLVER.STEPS", (100, 130), *PRIOR),
        help="prior",
    ),
    Experiment("Motifs", "MotifPredictor", bias=False, help="nothing"),
    Experiment(
        "RelCLIP",
        "RelCLIPPredictor",
        options=(*ALL_HELP, *TEXT_FREE),
        variant="text-free",
        help="both",
        part="text-free control",
    ),
    Experiment(
        "RelCLIP",
        "RelCLIPPredictor",
        options=(*ALL_HELP, RELCLIP + "ALIGNMENT_WEIGHT", 2.0),
        variant="beside-clip",
        trained="motifs-full-predcls-helped",
        adapter="geometry",
        help="both",
        part="RCL beside CLIP",
    ),
    Experiment(
        "Motifs", "MotifPredictor", "distant", options=second_opinion(1.0), variant="helped", help="second opinion"
    ),
    Experiment(
        "RelCLIP", "RelCLIPPredictor", "distant", options=second_opinion(1.0), variant="helped", help="second opinion"
    ),
)


def evaluation(folder: Path, split: str = "test") -> Path:
    """Where a training tool's test of a model in `folder` leaves its numbers."""
    return folder / "inference" / DATA_SETS[split] / "evaluation.json"


def world_steps(
    root: Path,
    seed: int,
    images: Mapping[str, int],
    texts: Iterable[str] = ("pretrained",),
    clip_options: tuple = (),
) -> list[Step]:
    """What all relation models of a seed build on: data, detector, small CLIPs, distant labels weighted by CLIP.

    Args:
        images: how many a split has, where not the default.
        texts: which of `CLIPS` and `RANDOM` experiments use.
        clip_options: of tools/train_small_clip.py, for every CLIP; those of `CLIPS` come after them.
    """
    data, noisy = root / "data", root / "candidates"
    h5 = data / "vg" / H5
    steps = [
        _tool(
            root, "data", "make_demo_dataset.py", data / "vg" / "demo.json", (), "--output", data, "--seed", seed,
            *(word for split, number in images.items() for word in (f"--{split}", number)),
        ),
        _tool(
            root, "detector", "detector_pretrain_net.py", evaluation(root / "detector"), ("data",),
            "--config-file", ROOT / "configs" / "demo" / "detector.yaml", "--seed", seed,
            "DATASETS.DATA_DIR", data, "MODEL.DEVICE", "cpu", "OUTPUT_DIR", root / "detector",
        ),
    ]  # fmt: skip
    for name in texts:
        path = text_file(root, name)
        if name == RANDOM:
            step = _tool(
                root, "text-random", "build_phrase_bank.py", path, ("data",), "--output", path, "--random", seed,
                "--dictionary", data / "vg" / "VG-SGG-dicts-with-attri.json",
            )  # fmt: skip
        else:
            step = _tool(
                root, f"text-{name}", "train_small_clip.py", path, (), "--output", path, "--seed", seed,
                *clip_options, *CLIPS[name],
            )  # fmt: skip
        steps.append(step)
    steps += [
        _tool(
            root, "distant-labels", "distant_label.py", noisy / "vg" / H5, ("data",), "--h5", h5,
            "--knowledge-base", data / "vg" / "knowledge_base.json", "--output", noisy / "vg" / H5, "--link",
        ),
        _tool(
            root, "distant-weights", "distant_clip_weights.py", root / "distant" / "vg" / H5,
            ("distant-labels", "text-pretrained"), "--h5", noisy / "vg" / H5, "--human", h5,
            "--clip", text_file(root, "pretrained"), "--cache-dir", root / "cache",
            "--fit", "stretch", "--margin", MARGIN,
            "--output", root / "distant" / "vg" / H5, "--link",
        ),
    ]  # fmt: skip
    return steps


def adapter_step(root: Path, seed: int, supervision: str, adapter: str) -> Step:
    """Adapt CLIP's image side to the labels of a supervision; `adapter` is one of `ADAPTERS`."""
    folder = root / "adapters" / f"{supervision}-{adapter}"
    return _tool(
        root, f"adapter-{folder.name}", "adapt_clip.py", folder / "clip_adapter.pth", _needs(supervision, "pretrained"),
        *_common(root, seed, supervision, folder), CLIP_NAME, text_file(root, "pretrained"), *ON_CLIP,
        *ADAPTERS[adapter],
    )  # fmt: skip


def relation_step(root: Path, seed: int, experiment: Experiment, split: str | None = "test") -> Step:
    """Train one relation model, and test it on a split (None: on none); or test one that is there.

    Baselines get what is not RelCLIP's own: word embeddings from the same text tower, and under distant supervision the
    candidates that CLIP has weighted.
    """
    folder = root / experiment.name
    tool, needs = "relation_train_net.py", _needs(experiment.supervision, experiment.text)
    further: tuple = ()
    result = folder / "model_final.pth" if split is None else evaluation(folder, split)
    if experiment.trained:
        tool, needs = "relation_test_net.py", (*needs, experiment.trained)
        further = ("MODEL.WEIGHT", root / experiment.trained / "model_final.pth")
    if experiment.adapter:
        step = adapter_step(root, seed, experiment.supervision, experiment.adapter)
        needs = (*needs, step.name)
        further = (*further, *ON_CLIP, *ADAPTERS[experiment.adapter], RELCLIP + "ADAPTER", step.result)
    first = ("--skip-test",) if split is None else ()
    return _tool(
        root, experiment.name, tool, result, needs, *first, *_common(root, seed, experiment.supervision, folder),
        *_model(root, experiment), "DATASETS.TO_TEST", split or "test", *further,
    )  # fmt: skip


def settings_step(root: Path, seed: int, experiment: Experiment, settings: Mapping[str, tuple], split: str) -> Step:
    """Test the model of an experiment on a split, under many settings of what comes after its predictor.

    Args:
        settings: name -> options. Those of an adapter need its step to have run.
    """
    folder = root / experiment.name
    file = folder / f"settings-{split}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as path:
        path.write_text(json.dumps({name: list(map(_plain, options)) for name, options in settings.items()}, indent=1))
    name, last = f"{experiment.name}-{split}", list(settings)[-1]
    files = {str(option) for options in settings.values() for option in options}
    adapters = [adapter_step(root, seed, experiment.supervision, adapter) for adapter in ADAPTERS]
    joined = [step.name for step in adapters if str(step.result) in files]
    return _tool(
        root, name, "relation_test_settings.py", evaluation(folder / last, split), (experiment.name, *joined),
        "--settings", file, "--split", split, *_common(root, seed, experiment.supervision, folder),
        *_model(root, experiment), *(_joined_base(experiment) if joined else ()),
        "MODEL.WEIGHT", folder / "model_final.pth",
    )  # fmt: skip


def _joined_base(experiment: Experiment) -> tuple:
    """Options with which a baseline is tested as the base of RelCLIP on CLIP's image side, which has no weight yet."""
    return (*ON_CLIP, RELCLIP + "CONTEXT", experiment.predictor, RELCLIP + "ALIGNMENT_WEIGHT", 0.0)


def _common(root: Path, seed: int, supervision: str, folder: Path) -> tuple:
    return (
        "--config-file", ROOT / "configs" / "demo" / "relation.yaml", "--seed", seed,
        "DATASETS.DATA_DIR", root / ("distant" if supervision == "distant" else "data"), "MODEL.DEVICE", "cpu",
        "MODEL.PRETRAINED_DETECTOR_CKPT", root / "detector" / "model_final.pth", "OUTPUT_DIR", folder,
        "TEST.RELATION.ZERO_SHOT_TRIPLETS", root / "data" / "vg" / "zeroshot_kinds.json",
        "MODEL.BACKBONE.FEATURE_CACHE", root / "features", "MODEL.LANGUAGE.CACHE_DIR", root / "cache",
        HEAD + "SECOND_OPINION.CROP_CACHE", root / "crops",
    )  # fmt: skip


def _model(root: Path, experiment: Experiment) -> tuple:
    gt_box, gt_label = TASKS[experiment.task]
    text: tuple = (CLIP_NAME, text_file(root, experiment.text))
    if experiment.text == RANDOM:
        text = (HEAD + "WORD_EMBEDDING", "random", "MODEL.LANGUAGE.BANK_FILE", text_file(root, RANDOM))
    return (
        *text, HEAD + "PREDICTOR", experiment.predictor, HEAD + "USE_GT_BOX", gt_box,
        HEAD + "USE_GT_OBJECT_LABEL", gt_label, HEAD + "PREDICT_USE_BIAS", experiment.bias, *experiment.options,
    )  # fmt: skip


def _needs(supervision: str, text: str) -> tuple[str, ...]:
    return "detector", f"text-{text}", *(("distant-weights",) if supervision == "distant" else ())


def _plain(value):
    return value if isinstance(value, (int, float)) else str(value)


def write_tags(root: Path, seed: int, experiment: Experiment, setting: str = "", **further) -> Path:
    """Say in the folder of an experiment, or of one of its settings, what the report is to call it; the folder.

    Args:
        further: tags in place of the experiment's own.
    """
    folder = root / experiment.name / setting
    folder.mkdir(parents=True, exist_ok=True)
    tags = {
        "model": experiment.model,
        "supervision": experiment.supervision,
        "seed": seed,
        "bias": experiment.bias,
        "text": "random vectors" if experiment.text == RANDOM else f"{experiment.text} CLIP",
        "help": experiment.help,
        "part": experiment.part,
        **further,
    }
    tags = {name: value for name, value in tags.items() if value != ""}
    with atomic_write(folder / "run.json") as path:
        path.write_text(json.dumps(tags, indent=1))
    return folder


def text_file(root: Path, name: str) -> Path:
    """A CLIP of `CLIPS`, or the phrase bank of `RANDOM`."""
    return root / "clip" / (f"{name}.npz" if name == RANDOM else f"{name}.pt")


def _tool(root: Path, name: str, tool: str, result: Path, needs: tuple[str, ...], *args) -> Step:
    command = (sys.executable, str(ROOT / "tools" / tool), *map(str, args))
    return Step(name, command, result, root / "logs" / f"{name}.txt", needs)
