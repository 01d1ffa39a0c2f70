"""How many pairs a trained SGDet model looks at before its first triplets are certain, and what that saves.

    python tools/run_demo.py                                                            # once, for a model
    OMP_NUM_THREADS=1 python benchmarks/stopping.py --config-file output/demo/relclip-full-sgdet/config.yml

Every image of the test set (or the first --images) is predicted twice, with all pairs and only until the first
--triplets are certain; these must be the same. Pairs that are ruled out depend on how sure the detector is of its
objects, so on real scores it is another share than on those of bench.py.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.engine.evaluate import load_trained_model
from maskrcnn_benchmark.modeling.roi_heads.relation_head.pair_search import PairSearch
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError


@contextlib.contextmanager
def pairs_looked_at() -> Iterator[list[int]]:
    """Within the block the list gets the number of pairs of every call of a predictor."""
    found: list[int] = []
    search = PairSearch.__call__

    def counting(self, *args):
        score = self.score

        def counted(images, pairs):
            found.append(sum(map(len, pairs)))
            return score(images, pairs)

        with mock.patch.object(self, "score", counted):
            return search(self, *args)

    with mock.patch.object(PairSearch, "__call__", counting):
        yield found


def check_first(ours, expected, count: int) -> None:
    """The first triplets are the same, apart from the order of scores that differ in the last digits only."""
    found = []
    for result in (ours, expected):
        pairs, scores = result.get_field("rel_pair_idxs"), result.get_field("pred_rel_scores")
        best = scores[:, 1:].max(dim=1).values * result.get_field("pred_scores")[pairs].prod(dim=1)
        found.append((best[:count], dict(zip(map(tuple, pairs.tolist()), scores, strict=True)), pairs[:count].tolist()))
    (own, own_scores, own_pairs), (their, their_scores, their_pairs) = found
    torch.testing.assert_close(own, their, atol=1e-6, rtol=1e-3)
    for pair in map(tuple, own_pairs):
        torch.testing.assert_close(own_scores[pair], their_scores[pair], atol=1e-5, rtol=1e-3)
    ties = float(their[-1]) * 1.001 if len(their) else 0.0  # pairs that close to the last one may change places with it
    clear = {tuple(pair) for pair, score in zip(their_pairs, their.tolist(), strict=True) if score > ties}
    assert clear <= set(map(tuple, own_pairs)), "the first triplets are other ones"


@torch.no_grad()
def measure(model: torch.nn.Module, images, count: int) -> tuple[int, int, float, float]:
    """Pairs looked at and all pairs of one batch, and seconds of the processor; the first `count` triplets agree."""
    head = model.roi_heads.relation
    results, looked, times = [], [], []
    for head.first_triplets in (count, 0):
        start = time.process_time()
        with pairs_looked_at() as found:
            results.append(model(images))
        times.append(time.process_time() - start)
        looked.append(sum(found))
    for ours, expected in zip(*results, strict=True):
        check_first(ours, expected, count)
    return looked[0], looked[1], times[0], times[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="config.yml of a trained SGDet model")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--triplets", type=int, default=100, help="that must be certain")
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="further keys and values")
    args = parser.parse_args()
    cfg = load_config(args.config_file, [*args.opts, "TEST.IMS_PER_BATCH", 1])
    if cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX:
        raise InputError(f"{args.config_file} is given the boxes: only SGDet leaves pairs out")
    model = load_trained_model(cfg, args.opts, logging.getLogger(__name__)).eval()
    if getattr(model.roi_heads.relation.predictor, "pairs_interact", True):
        raise InputError("the pairs of this predictor influence each other, so it always gets all of them")
    loader = make_data_loader(cfg, mode="test", dataset_to_test="test")[0]
    batches = [images for (images, *_), _ in zip(loader, range(args.images), strict=False)]
    print("| first triplets | images | pairs of an image | looked at | seconds, all pairs / looked at |")
    print("| --- | --- | --- | --- | --- |")
    found = np.array([measure(model, images, args.triplets) for images in batches])
    looked, pairs, own, plain = found.sum(0)
    print(
        f"| {args.triplets} | {len(found)} | {pairs / len(found):.0f} (at most {found[:, 1].max():.0f}) "
        f"| {looked / pairs:.1%} | {plain:.1f} / {own:.1f} = {plain / own:.2f} |"
    )


if __name__ == "__main__":
    run(main)
