"""Everything that speed is promised for, as ratios in one run: `make bench`, or

    OMP_NUM_THREADS=1 python benchmarks/bench.py [PART ...] [--quick] [--out output/bench]

Each fast way is first checked to give what a plain one gives (plain.py), then both are timed in turn; the least times
of the processor are compared, and the spread of the repetitions is told. Published sizes, made-up inputs, one thread.
`inference`: SGDet with 80 objects, whole model. `heads`: RelCLIP and VCTree beside Motifs. `data`: opening a data set
as large as Visual Genome, its statistics, and loading images. `waiting`: for data, in training steps. `evaluation`: one
image more. `phrases`: a phrase bank. `sizes`: cost against objects, images and classes, as a plot. `profile`: the five
greatest parts of a training step and of an inference.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from made_up import (
    OBJECTS,
    SIZE,
    SMALL,
    configuration,
    feature_maps,
    images,
    like_a_trained_model,
    statistics,
    write_data_set,
)
from matplotlib.figure import Figure
from PIL import Image
from plain import count_relations, every_pair_by_itself, list_images, open_images
from stopping import check_first, pairs_looked_at
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from maskrcnn_benchmark.data.build import make_data_loader, use_statistics
from maskrcnn_benchmark.data.datasets.visual_genome import VGDataset, get_VG_statistics
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import build_roi_relation_head
from maskrcnn_benchmark.structures.image_list import ImageList, to_image_list
from maskrcnn_benchmark.utils.files import atomic_write


class Row(NamedTuple):
    """One line of the table: a ratio, what it shall be, and what was measured for it."""

    what: str
    ratio: float
    to_reach: str
    note: str


def seconds(job: Callable) -> float:
    """Time of the processor over all threads, which hardly depends on what else is running."""
    start = time.process_time()
    job()
    return time.process_time() - start


def compare(one: Callable, other: Callable, repeats: int, warm: bool = True) -> tuple[float, str]:
    """Least time of one job over that of the other, run in turn; and the times in words, with their spread."""
    if warm:
        one(), other()
    times = np.array([(seconds(one), seconds(other)) for _ in range(repeats)])
    least, most = times.min(axis=0), times.max(axis=0)
    words = " against ".join(f"{a:.3g} to {b:.3g} s" for a, b in zip(least, most, strict=True))
    return float(least[0] / least[1]), words


class Bench:
    """The parts; each returns rows, and may leave further findings in `more`."""

    def __init__(self, folder: str, quick: bool, repeats: int, out: str):
        self.folder, self.quick, self.repeats, self.out = folder, quick, repeats, out
        self.small = SMALL if quick else []
        self.more: dict = {}

    # -- models ------------------------------------------------------------------------------------------------------
    def sgdet_model(self, predictor: str) -> tuple[nn.Module, ImageList]:
        """A whole model that finds 80 objects, and an image."""
        number = 12 if self.quick else 80
        options = ["MODEL.ROI_HEADS.SCORE_THRESH", 0.0, *self.small, "MODEL.ROI_HEADS.DETECTIONS_PER_IMG", number]
        torch.manual_seed(0)
        with use_statistics(statistics()):
            model = build_detection_model(configuration(self.folder, predictor, "sgdet", options)).eval()
        model.roi_heads.relation.predictor.register_forward_hook(like_a_trained_model())
        size = (192, 128) if self.quick else SIZE
        return model, to_image_list([torch.randn(3, *size[::-1])], 32)

    def inference(self) -> list[Row]:
        rows = []
        for predictor in ("Motifs", "RelCLIP, Motifs"):
            model, pixels = self.sgdet_model(predictor)
            head = model.roi_heads.relation

            @torch.no_grad()
            def fast(model=model, pixels=pixels):
                with pairs_looked_at() as found:
                    result = model(pixels)[0]
                return result, sum(found)

            @torch.no_grad()
            def plain(model=model, head=head, pixels=pixels):
                with every_pair_by_itself(head):
                    return model(pixels)[0]

            results: dict = {}
            ratio, words = compare(
                lambda results=results, plain=plain: results.update(plain=plain()),
                lambda results=results, fast=fast: results.update(fast=fast()),
                self.repeats,
                warm=False,
            )
            (ours, looked), expected = results["fast"], results["plain"]
            check_first(ours, expected, 100)
            pairs = len(expected.get_field("rel_pair_idxs"))
            note = f"{looked} of {pairs} pairs looked at, {len(ours)} objects; {words}; {share_of_products(fast)}"
            rows.append(Row(f"SGDet inference, every pair by itself / {predictor}", ratio, "at least 2.5", note))
        return rows

    def head_jobs(self, predictor: str, count: int, objects: int, classes: int = OBJECTS) -> tuple[Callable, Callable]:
        """A training step without the optimizer's and an inference of a relation head, PredCls."""
        config = configuration(self.folder, predictor, "predcls", self.small, classes)
        channels = config.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
        torch.manual_seed(0)
        with use_statistics(statistics(classes)):
            head = build_roi_relation_head(config, channels)
        size = (192, 128) if self.quick else SIZE
        maps, targets = feature_maps(count, channels, size), images(count, objects, size)
        given = [target.copy_with_fields(["labels"]) for target in targets]

        def train() -> None:
            head.train().zero_grad()
            torch.stack(list(head(maps, given, targets)[2].values())).sum().backward()

        @torch.no_grad()
        def infer() -> None:
            head.eval()(maps, given)

        return train, infer

    def heads(self) -> list[Row]:
        objects = 6 if self.quick else 33  # 1,056 pairs, of which training draws 1,024
        motifs = self.head_jobs("Motifs", 1, objects)
        rows = []
        for predictor, limits in (("RelCLIP, Motifs", ("1.10", "1.05")), ("VCTree", ("1.4", ""))):
            jobs = self.head_jobs(predictor, 1, objects)
            for kind, own, of, limit in zip(("training step", "inference"), jobs, motifs, limits, strict=True):
                ratio, words = compare(own, of, self.repeats)
                words = f"{words}; {share_of_products(own)}"
                rows.append(
                    Row(f"{kind} of the head, {predictor} / Motifs", ratio, limit and f"at most {limit}", words)
                )
        return rows

    def profile(self) -> list[Row]:
        step, _ = self.head_jobs("RelCLIP, Motifs", 1, 6 if self.quick else 33)
        step()
        self.more["greatest parts of a RelCLIP training step"] = greatest_parts(step)
        model, pixels = self.sgdet_model("RelCLIP, Motifs")
        with torch.no_grad():
            self.more["greatest parts of an SGDet inference"] = greatest_parts(lambda: model(pixels))
        return []

    def sizes(self) -> list[Row]:
        """Times of a head's inference and training step against objects, images and classes, drawn into sizes.svg."""
        few = 6 if self.quick else 10
        batches = {  # axis -> value on it -> images, objects of each, classes
            "objects of an image": {n: (1, n, OBJECTS) for n in ((3, few) if self.quick else (5, 10, 20, 40))},
            "images of a batch": {n: (n, few, OBJECTS) for n in (1, 2, 4)},
            "classes of objects": {n: (1, few, n) for n in (150, 300, 600)},
        }
        found: dict = {}
        for axis, values in batches.items():
            for predictor in ("Motifs", "RelCLIP, Motifs"):
                for value, of_batch in values.items():
                    jobs = self.head_jobs(predictor, *of_batch)
                    for kind, job in zip(("training step", "inference"), jobs, strict=True):
                        job()
                        time_taken = min(seconds(job) for _ in range(self.repeats))
                        found.setdefault(axis, {}).setdefault(f"{predictor}, {kind}", []).append((value, time_taken))
        draw_sizes(found, os.path.join(self.out, "sizes.svg"))
        self.more["processor seconds of a head against size"] = found
        return []

    # -- data --------------------------------------------------------------------------------------------------------
    def data(self) -> list[Row]:
        some, many = (200, 500) if self.quick else (5000, 108073)
        small = write_data_set(os.path.join(self.folder, "small"), some)
        large = write_data_set(os.path.join(self.folder, "large"), many)

        def opened(files=large) -> VGDataset:
            return VGDataset("train", **files, num_val_im=0, filter_non_overlap=False)

        def counted(files=small, cache_dir="") -> tuple[np.ndarray, np.ndarray]:
            return get_VG_statistics(**files, num_val_im=0, filter_non_overlap=False, cache_dir=cache_dir)

        dataset, expected = opened(), open_images(large["roidb_file"])
        for ours, theirs in zip((dataset.gt_boxes, dataset.gt_classes, dataset.relationships), expected, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))

        def one_by_one() -> list[str]:
            open_images(large["roidb_file"])
            return list_images(large["img_dir"], large["image_file"])

        assert one_by_one()[: len(dataset)] == dataset.filenames
        ratio, words = compare(one_by_one, opened, self.repeats, warm=False)
        rows = [Row(f"opening {many} images, loop over images / at once", ratio, "at least 10", words)]
        by_image = open_images(small["roidb_file"])
        kept = partial(counted, cache_dir=os.path.join(self.folder, "cache"))
        fg, bg = counted()

        def loop() -> tuple[np.ndarray, np.ndarray]:
            return count_relations(*by_image, *fg.shape[1:])

        assert all(np.array_equal(a, b) for a, b in zip((fg, bg), loop(), strict=True))
        ratio, words = compare(loop, counted, self.repeats, warm=False)
        rows.append(Row(f"statistics of {some} images, loop over images / at once", ratio, "at least 30", words))
        counted_large = partial(counted, large)
        kept_large = partial(kept, large)
        for _ in range(2):  # as they are counted, and as they are read
            assert all(np.array_equal(a, b) for a, b in zip(kept_large(), counted_large(), strict=True))
        ratio, words = compare(counted_large, kept_large, self.repeats, warm=False)
        rows.append(Row(f"statistics of {many} images, counted / from the cache", ratio, "", words))

        path = os.path.join(self.folder, "photo.jpg")
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)).resize((800, 600)).save(path)
        transforms = build_transforms(configuration(self.folder, "Motifs"), is_train=True)
        target = images(1, 12, (800, 600))[0]
        load = min(seconds(lambda: transforms(Image.open(path).convert("RGB"), target)) for _ in range(20))
        self.more["seconds to load an image of 800 x 600 pixels"] = load
        return rows

    def waiting(self) -> list[Row]:
        """How long training steps of a whole model wait for the images that two workers load."""
        images_of = write_data_set(os.path.join(self.folder, "photos"), 40)
        noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
        for name in os.listdir(images_of["img_dir"]):
            Image.fromarray(noise).resize((500, 375)).save(os.path.join(images_of["img_dir"], name))
        root = Path(self.folder, "waiting", "vg")
        root.mkdir(parents=True)
        names = ("VG_100K", "VG-SGG-with-attri.h5", "VG-SGG-dicts-with-attri.json", "image_data.json")
        for name, place in zip(names, images_of.values(), strict=True):
            root.joinpath(name).symlink_to(place)
        options = ["DATASETS.DATA_DIR", str(root.parent), "DATASETS.NUM_VAL_IM", 4, "DATALOADER.NUM_WORKERS", 2]
        options += ["OUTPUT_DIR", self.out, "SOLVER.IMS_PER_BATCH", 1, "SOLVER.MAX_ITER", 5, *self.small]
        options += ["INPUT.MIN_SIZE_TRAIN", (128,), "INPUT.MAX_SIZE_TRAIN", 200] if self.quick else []
        config = configuration(self.folder, "RelCLIP, Motifs", "predcls", options)
        model = build_detection_model(config).train()
        waits, steps, begin = [], [], time.perf_counter()
        for batch, targets, _ in make_data_loader(config):
            waits.append(time.perf_counter() - begin)
            torch.stack(list(model(batch, targets).values())).sum().backward()
            model.zero_grad()
            steps.append(time.perf_counter() - begin)
            begin = time.perf_counter()
        share = sum(waits[1:]) / sum(steps[1:])  # the first waits for the workers to start
        note = f"{1e3 * np.mean(waits[1:]):.2g} ms of {np.mean(steps[1:]):.3g} s, one image a step"
        return [Row("share of a training step that waits for two workers", share, "below 0.05", note)]

    def evaluation(self) -> list[Row]:
        from evaluation import compare as one_image_more

        rows = []
        for name, task, objects in (("PredCls, 12", "predcls", 12), ("SGDet, 80", "sgdet", 20 if self.quick else 80)):
            fast, usual = one_image_more(task, objects, 24 if self.quick else 120, self.repeats)
            what = f"evaluation of one image more, {name} objects, unions over k / ranks"
            rows.append(Row(what, usual / fast, "at least 20", f"{1e3 * usual:.3g} against {1e3 * fast:.3g} ms"))
        return rows

    def phrases(self) -> list[Row]:
        import clip
        from clip.model import CLIP

        from maskrcnn_benchmark.modeling.language.text_encoder import (
            EncoderSpec,
            load_text_encoder,
        )

        sizes = (64, 32, 1, 64, 32, 77, 49408, 64, 1, 2) if self.quick else (512, 32, 1, 64, 32, 77, 49408, 512, 8, 12)
        torch.manual_seed(0)
        model, path = CLIP(*sizes).eval(), os.path.join(self.folder, "clip.pt")
        torch.save(model.state_dict(), path)
        nouns = ("man", "dog", "street", "car", "table", "shirt", "window", "plate")
        verbs = ("riding", "wearing", "holding", "next to", "on top of", "behind")
        phrases = [f"a photo of a {noun} {verb} something" for noun in nouns for verb in verbs]
        encoder = load_text_encoder(EncoderSpec("clip", path), torch.device("cpu"))

        @torch.no_grad()
        def whole() -> Tensor:
            return torch.nn.functional.normalize(model.encode_text(clip.tokenize(phrases)).float(), dim=1)

        def short() -> Tensor:
            return torch.nn.functional.normalize(torch.as_tensor(encoder.encode(phrases)).float(), dim=1)

        torch.testing.assert_close(short(), whole(), atol=1e-4, rtol=1e-3)
        ratio, words = compare(whole, short, self.repeats, warm=False)
        note = f"{len(phrases)} phrases; {words}"
        return [Row("phrases, all 77 positions / shared beginnings", ratio, "at least 5", note)]


def share_of_products(job: Callable) -> str:
    """In words, how much of a job's time its products of matrices and convolutions must take on this machine.

    The limit is their number of operations at the speed of one large product, measured here and now.
    """
    one = torch.randn(2048, 2048)
    speed = 2 * 2048**3 / min(seconds(lambda: one @ one) for _ in range(3))
    with FlopCounterMode(display=False) as counter:
        taken = seconds(job)
    operations = counter.get_total_flops()
    return (
        f"{operations / 1e12:.2g}e12 operations, {operations / speed / taken:.0%} of the time at the speed of a product"
    )


def greatest_parts(job: Callable) -> dict[str, float]:
    """Shares of the five operations that take most of a job's time."""
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        job()
    events = trace.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    top = sorted(events, key=lambda event: event.self_cpu_time_total, reverse=True)[:5]
    return {event.key: round(event.self_cpu_time_total / total, 3) for event in top}


def draw_sizes(found: dict, path: str) -> None:
    """A plot for each axis, {axis: {line: [(value, seconds), ...]}}, as svg."""
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    for axes, (axis, lines) in zip(figure.subplots(1, len(found), sharey=True), found.items(), strict=True):
        for name, points in lines.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set(xlabel=axis, xscale="log", yscale="log")
        axes.set_xticks(*2 * [[value for value, _ in points]])  # places and labels
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.supylabel("processor seconds", fontsize="medium")
    axes.legend(fontsize="small")
    style = {"svg.fonttype": "none", "svg.hashsalt": "sizes"}  # the same numbers give the same, small file
    with atomic_write(path) as temporary, matplotlib.rc_context(style):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


PARTS = ("inference", "heads", "data", "waiting", "evaluation", "phrases", "sizes", "profile")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="output/bench", metavar="DIR")
    args = parser.parse_args()
    if wrong := set(args.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}")
    torch.set_num_threads(1)
    os.makedirs(args.out, exist_ok=True)
    rows: list[Row] = []
    print("| what | ratio | to reach | measured |\n| --- | ---: | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, args.quick, args.repeats, args.out)
        for part in args.parts or PARTS:
            for row in getattr(bench, part)():
                rows.append(row)
                print(f"| {row.what} | {row.ratio:.2f} | {row.to_reach} | {row.note} |", flush=True)
            content = {"rows": [row._asdict() for row in rows], **bench.more, "torch": torch.__version__}
            Path(args.out, "bench.json").write_text(json.dumps(content, indent=1))
    for what, found in bench.more.items():
        print(f"\n{what}: {json.dumps(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
