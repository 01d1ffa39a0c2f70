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
    "control": ("--captions", "training"),  # without the compositions that the scene graph training set lacks
    "untrained": ("--steps", 0),
}
RANDOM = "random"  # independent random vectors for phrases and words

# What any model can have beside its own: the phrase prior as its frequency bias, and CLIP's image tower in the test.
PRIOR = (HEAD + "PHRASE_PRIOR.ON", True)


def second_opinion(weight: float) -> tuple:
    """Options with which CLIP's image tower is asked in the test."""
    return (HEAD + "SECOND_OPINION.WEIGHT", weight)


ALL_HELP = (*PRIOR, *second_opinion(1.0))


SHORT_IMAGES = {"test": 400}
# The short demo; README says how long it takes. SGDet works on detections, which takes longer, so it trains for less,
# and starts early.
SHORT = (
    Experiment("RelCLIP", "RelCLIPPredictor", options=ALL_HELP, variant="helped"),
    Experiment("Motifs", "MotifPredictor", bias=False),
    Experiment(
        "RelCLIP",
        "RelCLIPPredictor",
        task="sgdet",
        options=("SOLVER.MAX_ITER", 150, "SOLVER.STEPS", (100, 130), *PRIOR),
    ),
    Experiment("Motifs", "MotifPredictor", options=ALL_HELP, variant="helped"),
    Experiment("Motifs", "MotifPredictor", "distant", options=second_opinion(1.0), variant="helped"),
    Experiment("RelCLIP", "RelCLIPPredictor", "distant", options=second_opinion(1.0), variant="helped"),
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


def relation_step(root: Path, seed: int, experiment: Experiment, split: str = "test") -> Step:
    """Train one relation model, and test it on a split; or test one that is there.

    Baselines get what is not RelCLIP's own: word embeddings from the same text tower, and under distant supervision the
    candidates that CLIP has weighted.
    """
    folder = root / experiment.name
    gt_box, gt_label = TASKS[experiment.task]
    distant = experiment.supervision == "distant"
    text: tuple = (CLIP_NAME, text_file(root, experiment.text))
    if experiment.text == RANDOM:
        text = (HEAD + "WORD_EMBEDDING", "random", "MODEL.LANGUAGE.BANK_FILE", text_file(root, RANDOM))
    tool = "relation_train_net.py"
    weight: tuple = ()
    if experiment.trained:
        tool, weight = "relation_test_net.py", ("MODEL.WEIGHT", root / experiment.trained / "model_final.pth")
    return _tool(
        root, experiment.name, tool, evaluation(folder, split),
        ("detector", f"text-{experiment.text}", *(("distant-weights",) if distant else ())),
        "--config-file", ROOT / "configs" / "demo" / "relation.yaml", "--seed", seed,
        "DATASETS.DATA_DIR", root / ("distant" if distant else "data"), "MODEL.DEVICE", "cpu",
        "MODEL.PRETRAINED_DETECTOR_CKPT", root / "detector" / "model_final.pth", "OUTPUT_DIR", folder,
        "DATASETS.TO_TEST", split, "TEST.RELATION.ZERO_SHOT_TRIPLETS", root / "data" / "vg" / "zeroshot_kinds.json",
        "MODEL.BACKBONE.FEATURE_CACHE", root / "features", "MODEL.LANGUAGE.CACHE_DIR", root / "cache", *text,
        HEAD + "PREDICTOR", experiment.predictor, HEAD + "USE_GT_BOX", gt_box, HEAD + "USE_GT_OBJECT_LABEL", gt_label,
        HEAD + "PREDICT_USE_BIAS", experiment.bias, *experiment.options, *weight,
    )  # fmt: skip


def write_tags(root: Path, seed: int, experiment: Experiment) -> Path:
    """Say in an experiment's folder what the report is to call it; the folder."""
    folder = root / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    tags = {
        "model": experiment.model,
        "supervision": experiment.supervision,
        "seed": seed,
        "bias": experiment.bias,
        "text": "random vectors" if experiment.text == RANDOM else f"{experiment.text} CLIP",
    }
    with atomic_write(folder / "run.json") as path:
        path.write_text(json.dumps(tags, indent=1))
    return folder


def text_file(root: Path, name: str) -> Path:
    """A CLIP of `CLIPS`, or the phrase bank of `RANDOM`."""
    return root / "clip" / (f"{name}.npz" if name == RANDOM else f"{name}.pt")


def _tool(root: Path, name: str, tool: str, result: Path, needs: tuple[str, ...], *args) -> Step:
    command = (sys.executable, str(ROOT / "tools" / tool), *map(str, args))
    return Step(name, command, result, root / "logs" / f"{name}.txt", needs)
