"""Checks and times the project on a GPU: agreement with the CPU, mixed precision, cost, memory, waits.

    python benchmarks/gpu.py                      # everything, some four minutes on a large card
    python benchmarks/gpu.py agree waits --out output/gpu
    python benchmarks/gpu.py --device cpu --tiny  # tries the script itself

`agree`: every registered predictor in every task, with the same weights and inputs on the CPU and on the device; pairs
are matched by subject and object, since sorting by scores that differ in the last digit decides nothing; in training
the losses and the gradient; and whole models where boxes are given. `train`: the training tool, some iterations in
float32, float16 and bfloat16. `time`: the relation head of 12 images with 1,024 pairs each, and whole models in SGDet,
as ratios to Motifs in bfloat16, with the peak of memory. `waits`: how often a training step of the head waits for the
device, how many kernels it launches, and where the time goes. Writes gpu.json and gpu.md; exit status 1 where something
disagrees or fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from made_up import (
    CAUSAL,
    HEAD,
    SIZE,
    SMALL,
    TASKS,
    configuration,
    detections,
    feature_maps,
    images,
    like_a_trained_model,
    write_phrase_bank,
)
from made_up import statistics as made_up_statistics
from torch.profiler import ProfilerActivity, profile

from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.roi_heads.relation_head import pair_search
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import build_roi_relation_head
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data" / "parity" / "vg"
TOLERANCE = 1e-3
SMALL_SIZE = (192, 128)
TIMED = ("Motifs", "VCTree", "Transformer", "IMP", "RelCLIP, Motifs")
RELCLIP, PROPOSALS = HEAD + "RELCLIP.", HEAD + "RELATION_PROPOSAL_MODEL."
# registered names that need options of their own, and variants beside the defaults
VARIANTS = {
    "CausalAnalysisPredictor": {
        "": [],
        ", TDE": [CAUSAL + "EFFECT_ANALYSIS", True, CAUSAL + "EFFECT_TYPE", "TDE"],
        ", vctree": [CAUSAL + "CONTEXT_LAYER", "vctree"],
        ", vtranse": [CAUSAL + "CONTEXT_LAYER", "vtranse"],
    },
    "BGNNPredictor": {
        "": [
            *(PROPOSALS + "SET_ON", True, PROPOSALS + "METHOD", "RelAwareRelFeature"),
            *(PROPOSALS + "REL_AWARE_PREDICTOR_TYPE", "hybrid", PROPOSALS + "PRE_CLSER_LOSS", "focal_fgbg_norm"),
            *(HEAD + "BGNN_MODULE.RELATION_CONFIDENCE_AWARE", True, HEAD + "BGNN_MODULE.MP_ON_VALID_PAIRS", True),
            *(HEAD + "BGNN_MODULE.RELNESS_MP_WEIGHTING", True, HEAD + "BGNN_MODULE.SHARE_PARAMETERS_EACH_ITER", False),
            *(HEAD + "BGNN_MODULE.ITERATE_MP_PAIR_REFINE", 3, HEAD + "EDGE_FEATURES_REPRESENTATION", "fusion"),
            *(HEAD + "BGNN_MODULE.RELNESS_MP_WEIGHTING_SCORE_RECALIBRATION_METHOD", "learnable_scaling"),
        ]
    },
    "RelCLIPPredictor": {f", {c}": [RELCLIP + "CONTEXT", c] for c in ("motifs", "vctree", "transformer", "vtranse")},
}


class Check:
    """The parts of the check; each returns what goes into the json, with `failed` where something is wrong."""

    def __init__(self, device: str, tiny: bool, folder: str):
        self.device, self.tiny, self.folder = torch.device(device), tiny, folder
        self.images, self.objects, self.rounds = (2, 5, 2) if tiny else (12, 33, 8)
        self.size = SMALL_SIZE if tiny else SIZE

    # -- helpers -----------------------------------------------------------------------------------------------------
    def config(self, predictor: str, task: str = "predcls", options=(), small: bool = False, device=None):
        extra = [*(SMALL if small or self.tiny else ()), "MODEL.DEVICE", str(device or self.device), *options]
        return configuration(self.folder, predictor, task, extra)

    def head(self, config, device=None):
        torch.manual_seed(0)
        with use_statistics(made_up_statistics()):
            return build_roi_relation_head(config, config.MODEL.RESNETS.BACKBONE_OUT_CHANNELS).to(device or self.device)

    def model(self, config):
        torch.manual_seed(0)
        with use_statistics(made_up_statistics()):
            return build_detection_model(config)

    def batch(self, config, count: int, objects: int, size, device=None):
        """Feature maps, proposals and targets of a batch, the same on every device."""
        device = device or self.device
        targets = images(count, objects, size)
        given = config.MODEL.ROI_RELATION_HEAD.USE_GT_BOX and config.MODEL.ROI_RELATION_HEAD.USE_GT_OBJECT_LABEL
        proposals = [t.copy_with_fields(["labels"]) for t in targets] if given else detections(targets)
        maps = feature_maps(count, config.MODEL.RESNETS.BACKBONE_OUT_CHANNELS, size)
        return [m.to(device) for m in maps], [p.to(device) for p in proposals], [t.to(device) for t in targets]

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def milliseconds(self, job: Callable, rounds: int | None = None) -> float:
        job(), job()
        times = []
        for _ in range(rounds or self.rounds):
            self.wait()
            start = time.perf_counter()
            job()
            self.wait()
            times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times)

    def autocast(self, dtype: torch.dtype = torch.bfloat16):
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    # -- parts -------------------------------------------------------------------------------------------------------
    def agree(self) -> dict:
        """Worst difference of scores, labels that differ, and of losses and the gradient's norm in training."""
        jobs = {}
        for registered in sorted(registry.ROI_RELATION_PREDICTOR):
            for variant, options in VARIANTS.get(registered, {"": []}).items():
                for task in TASKS:
                    jobs[f"{registered}{variant} {task}"] = (self._compare_heads, registered, task, options)
        for task in ("predcls", "sgcls"):
            jobs[f"MotifPredictor, whole model, {task}"] = (self._compare_models, "MotifPredictor", task, [])
        rows = {}
        for name, (compare, *arguments) in jobs.items():
            try:
                row = compare(*arguments)
                row["agrees"] = row["labels_that_differ"] == 0 and row["worst"] <= TOLERANCE
                row["agrees"] &= row.get("worst_of_training", 0) <= TOLERANCE
            except Exception:  # one predictor that breaks must not hide the others
                row = {"agrees": False, "error": traceback.format_exc(limit=-3)[-700:]}
            rows[name] = row
        return {"rows": rows, "failed": not all(row["agrees"] for row in rows.values())}

    def _compare_heads(self, registered: str, task: str, options: list) -> dict:
        options = [*options, HEAD + "CONTEXT_DROPOUT_RATE", 0.0, HEAD + "TRANSFORMER.DROPOUT_RATE", 0.0]
        found, steps = [], []
        for device in ("cpu", self.device):
            config = self.config(registered, task, options, small=True, device=device)
            head = self.head(config, "cpu")
            for name, parameter in head.named_parameters():
                if name.endswith("bi_freq_prior.weight"):  # sums of hundreds of logarithms leave nothing but ties
                    torch.nn.init.normal_(parameter, std=0.5)
            for module in head.modules():
                if isinstance(module, torch.nn.Dropout):  # draws other values on each device
                    module.p = 0.0
                if isinstance(module, torch.nn.MultiheadAttention):
                    module.dropout = 0.0
            head.to(device)
            maps, proposals, targets = self.batch(config, 2, 6, SMALL_SIZE, device)
            with torch.no_grad():
                found.append(head.eval()(maps, proposals)[1])
            torch.manual_seed(1)
            losses = head.train()(maps, proposals, targets)[2]
            sum(losses.values()).backward()
            norm = torch.stack([p.grad.norm() for p in head.parameters() if p.grad is not None]).norm()
            steps.append([*(float(loss.detach()) for loss in losses.values()), float(norm.detach())])
        row = difference(*found)
        if task == "predcls":  # elsewhere a tree draws names, other ones on each device
            row["worst_of_training"] = max(abs(a - b) / max(abs(a), 1.0) for a, b in zip(*steps, strict=True))
        return row

    def _compare_models(self, registered: str, task: str, options: list) -> dict:
        found = []
        for device in ("cpu", self.device):
            model = self.model(self.config(registered, task, options, small=True, device=device)).to(device).eval()
            g = torch.Generator().manual_seed(4)
            pixels = to_image_list([torch.randn(3, *SMALL_SIZE[::-1], generator=g).to(device) for _ in range(2)], 32)
            with torch.no_grad():
                found.append(model(pixels, [target.to(device) for target in images(2, 6, SMALL_SIZE)]))
        return difference(*found)

    def train(self) -> dict:
        """The training tool on the small data set of the tests."""
        folder = Path(self.folder) / "datasets"
        folder.mkdir(exist_ok=True)
        (folder / "vg").symlink_to(DATA)
        names = json.loads((DATA / "VG-SGG-dicts-with-attri.json").read_text())
        bank = os.path.join(self.folder, "bank_of_the_data.npz")
        write_phrase_bank(bank, list(names["label_to_idx"]), list(names["predicate_to_idx"]))
        runs = [("predcls", "float32"), ("predcls", "float16"), ("predcls", "bfloat16"), ("sgcls", "float16")]
        runs += [("sgdet", "float16"), ("sgdet", "bfloat16")]
        rows, failed = {}, False
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        for task, dtype in runs:
            if self.device.type == "cpu" and dtype == "float16":
                continue  # for CPUs there is bfloat16
            output = Path(self.folder) / f"{task}-{dtype}"
            options = {
                "DTYPE": dtype, "DATASETS.DATA_DIR": folder, "DATASETS.NUM_VAL_IM": 10, "OUTPUT_DIR": output,
                "SOLVER.IMS_PER_BATCH": 4, "SOLVER.BASE_LR": 0.0001, "SOLVER.MAX_ITER": 20, "SOLVER.PRE_VAL": False,
                "SOLVER.VAL_PERIOD": 20, "SOLVER.CHECKPOINT_PERIOD": 20, "TEST.IMS_PER_BATCH": 4,
                "DATALOADER.NUM_WORKERS": 0, "MODEL.LANGUAGE.BANK_FILE": bank, HEAD + "WORD_EMBEDDING": "random",
                "MODEL.DEVICE": self.device, "MODEL.PRETRAINED_DETECTOR_CKPT": "", "INPUT.MIN_SIZE_TRAIN": "(128,)",
                "INPUT.MAX_SIZE_TRAIN": 200, "INPUT.MIN_SIZE_TEST": 128, "INPUT.MAX_SIZE_TEST": 200,
                HEAD + "USE_GT_BOX": TASKS[task][0], HEAD + "USE_GT_OBJECT_LABEL": TASKS[task][1],
            }  # fmt: skip
            opts = [str(item) for pair in options.items() for item in pair] + [str(item) for item in SMALL]
            config = str(ROOT / "configs" / "relclip" / "motifs_predcls_full.yaml")
            command = [sys.executable, str(ROOT / "tools" / "relation_train_net.py"), "--config-file", config, *opts]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
            metrics = output / "metrics.json"
            lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
            losses = [line["loss"] for line in lines if "loss" in line]
            row = {"exit": done.returncode, "losses": len(losses), "last_loss": losses[-1] if losses else None}
            row["fine"] = done.returncode == 0 and bool(losses) and bool(np.isfinite(losses[-1]))
            if not row["fine"]:
                row["error"] = (done.stderr or done.stdout)[-700:]
            failed |= not row["fine"]
            rows[f"{task} {dtype}"] = row
        return {"rows": rows, "failed": failed}

    def time(self) -> dict:
        """Heads and whole models, in milliseconds and as ratios to Motifs."""
        heads, whole = {}, {}
        for predictor in TIMED:
            config = self.config(predictor)
            head = self.head(config)
            maps, proposals, targets = self.batch(config, self.images, self.objects, self.size)

            def train(head=head, maps=maps, proposals=proposals, targets=targets) -> None:
                head.train().zero_grad(set_to_none=True)
                with self.autocast():
                    losses = head(maps, proposals, targets)[2]
                sum(losses.values()).backward()

            @torch.no_grad()
            def predict(head=head, maps=maps, proposals=proposals) -> None:
                with self.autocast():
                    head.eval()(maps, proposals)

            row = {}
            for name, job in (("training", train), ("inference", predict)):
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                row[f"{name}_ms"] = self.milliseconds(job)
                if self.device.type == "cuda":
                    row[f"{name}_peak_MiB"] = torch.cuda.max_memory_allocated() / 2**20
            heads[predictor] = row
            del head, maps, train, predict
        for row in heads.values():
            for name in ("training", "inference"):
                row[f"{name}_of_motifs"] = row[f"{name}_ms"] / heads["Motifs"][f"{name}_ms"]
        for predictor in ("Motifs", "RelCLIP, Motifs"):
            config = self.config(predictor, "sgdet", ["MODEL.ROI_HEADS.SCORE_THRESH", 0.0])
            model = self.model(config).to(self.device).eval()
            head = model.roi_heads.relation
            head.predictor.register_forward_hook(like_a_trained_model())
            pixels = to_image_list([torch.randn(3, *self.size[::-1]).to(self.device)], 32)
            for first in (0, 100):
                head.first_triplets, pair_search.STOPS_EARLY = first, {"cpu", "cuda"}
                for dtype in (torch.float32, torch.bfloat16):

                    @torch.no_grad()
                    def run(model=model, pixels=pixels, dtype=dtype) -> list:
                        with self.autocast(dtype):
                            return model(pixels)

                    name = f"{predictor}, {'every pair' if first == 0 else 'the first 100'}, {str(dtype)[6:]}"
                    pairs = len(run()[0].get_field("rel_pair_idxs"))
                    whole[name] = {"ms_an_image": self.milliseconds(run), "pairs": pairs}
            del model, head
        return {"heads": heads, "whole": whole}

    def waits(self) -> dict:
        """A training step of the head in a profile."""
        rows = {}
        for predictor in ("Motifs", "RelCLIP, Motifs", "VCTree", "Transformer"):
            config = self.config(predictor)
            head = self.head(config).train()
            maps, proposals, targets = self.batch(config, 2, 12, self.size)

            def step(head=head, maps=maps, proposals=proposals, targets=targets) -> None:
                sum(head(maps, proposals, targets)[2].values()).backward()

            step()
            self.wait()
            on_gpu = self.device.type == "cuda"
            with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as trace:
                step()
            events = trace.key_averages()

            def count(*names: str, events=events) -> int:
                return sum(event.count for event in events if any(name in event.key for name in names))

            def cost(event, on_gpu=on_gpu) -> float:
                return event.self_device_time_total if on_gpu else event.self_cpu_time_total

            top = sorted(events, key=cost, reverse=True)[:5]
            rows[predictor] = {
                "synchronisations": count("cudaStreamSynchronize", "cudaEventSynchronize"),
                "copies_to_the_host": count("Memcpy DtoH"),
                "scalars_read": count("aten::_local_scalar_dense"),
                "nonzero": count("aten::nonzero"),
                "launches": count("cudaLaunchKernel", "cuLaunchKernel"),
                "greatest_parts_us": {event.key[:70]: round(cost(event)) for event in top},
            }
        return {"rows": rows}


def difference(ours: list, theirs: list) -> dict:
    """The worst difference of two predictions' boxes (of the image's side) and scores, and labels that differ."""
    worst, differ, pairs = 0.0, 0, 0
    for one, other in zip(ours, theirs, strict=True):
        values = []
        for result in (one.to("cpu"), other.to("cpu")):
            of_pair = result.get_field("rel_pair_idxs")
            place = (of_pair[:, 0] * len(result) + of_pair[:, 1]).argsort()
            scores = (result.get_field("pred_scores"), result.get_field("pred_rel_scores")[place])
            values.append((of_pair[place].float(), result.bbox / max(result.size), *scores))
        worst = max(worst, *(float((a - b).abs().max()) for a, b in zip(*values, strict=True)))
        labels = [result.get_field("pred_labels").cpu() for result in (one, other)]
        differ += int((labels[0] != labels[1]).sum())
        pairs += len(place)
    return {"worst": worst, "labels_that_differ": differ, "pairs": pairs}


def table(report: dict) -> str:
    """The figures for docs/performance.md."""
    lines = [f"{report['device']}, PyTorch {report['torch']}", ""]
    if "heads" in report.get("time", {}):
        lines += [
            "| head, 12 images of 1,024 pairs | training, ms | of Motifs | peak, MiB | inference, ms | of Motifs |"
        ]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
        for name, row in report["time"]["heads"].items():
            lines.append(
                f"| {name} | {row['training_ms']:.1f} | {row['training_of_motifs']:.2f} | "
                f"{row.get('training_peak_MiB', 0):.0f} | {row['inference_ms']:.1f} | "
                f"{row['inference_of_motifs']:.2f} |"
            )
        lines += ["", "| whole model, SGDet | ms an image | pairs |", "| --- | ---: | ---: |"]
        lines += [f"| {n} | {r['ms_an_image']:.1f} | {r['pairs']} |" for n, r in report["time"]["whole"].items()]
    if "rows" in report.get("waits", {}):
        lines += ["", "| training step | waits | kernels |", "| --- | ---: | ---: |"]
        lines += [f"| {n} | {r['synchronisations']} | {r['launches']} |" for n, r in report["waits"]["rows"].items()]
    if "rows" in report.get("agree", {}):
        rows = report["agree"]["rows"]
        agreeing = sum(row["agrees"] for row in rows.values())
        lines += ["", f"{agreeing} of {len(rows)} predictors and tasks agree to {TOLERANCE}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("agree", "train", "time", "waits")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--out", default="output/gpu", metavar="DIR")
    args = parser.parse_args()
    if wrong := set(args.parts) - set(parts):
        parser.error(f"no such part: {', '.join(wrong)}")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    card = torch.cuda.get_device_name() if args.device == "cuda" else args.device
    report: dict = {"device": card, "torch": torch.__version__}
    os.makedirs(args.out, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        check = Check(args.device, args.tiny, folder)
        for part in args.parts or parts:
            start = time.perf_counter()
            try:
                report[part] = getattr(check, part)()
            except Exception:  # the other parts are worth having all the same
                report[part] = {"failed": True, "error": traceback.format_exc()[-1500:]}
            report[part]["seconds"] = round(time.perf_counter() - start, 1)
            print(part, json.dumps(report[part], indent=1), flush=True)
            with contextlib.suppress(OSError), atomic_write(os.path.join(args.out, "gpu.json")) as temporary:
                temporary.write_text(json.dumps(report, indent=1))
    text = table(report)
    Path(args.out, "gpu.md").write_text(text)
    print(text)
    return int(any(report[part].get("failed") for part in args.parts or parts))


if __name__ == "__main__":
    sys.exit(main())
