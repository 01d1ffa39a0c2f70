"""How much faster detections are found for all classes at once than class by class.

    python benchmarks/box_postprocessing.py --proposals 1000 --classes 151

Both post-process the same made-up proposals of an image (decoding, clipping, suppression, the best detections of the
image, with and without the filtering of duplicates); their detections must be equal. What it takes depends on how many
classes of a proposal pass the score threshold, so it is measured for a detector that is sure of itself, one that
hesitates between some ten classes, as on Visual Genome, and one before any training.
"""

import argparse
import time

import torch
from torch import Tensor

from maskrcnn_benchmark.modeling.roi_heads.box_head.inference import PostProcessor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_nms

# noise of the logits, and by how much that of the object's class is higher
DETECTORS = {"sure": (1.0, 8.0), "hesitant": (2.0, 5.0), "untrained": (0.3, 0.0)}


class LoopedPostProcessor(PostProcessor):
    """The same with all boxes decoded, and one suppression after the other."""

    def _detections(self, proposals: BoxList, scores: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        count, num_classes = scores.shape
        boxes = self._decode(proposals, torch.arange(count), codes)
        survived = torch.zeros_like(scores)
        index_of_classes, labels = [], []
        for label in range(1, num_classes):
            index = (scores[:, label] > self.score_thresh).nonzero().squeeze(1)
            candidates = BoxList(boxes[index, label], proposals.size, mode="xyxy")
            candidates.add_field("pred_scores", scores[index, label])
            candidates, keep = boxlist_nms(candidates, self.nms, self.post_nms_per_cls_topn, "pred_scores")
            survived[index[keep], label] = candidates.get_field("pred_scores")
            index_of_classes.append(index[keep])
            labels.append(torch.full((len(keep),), label))
        index, label = torch.cat(index_of_classes), torch.cat(labels)
        if self.nms_filter_duplicates:
            best, best_label = survived.max(1)
            index = best.nonzero().squeeze(1)
            label = best_label[index]
        found = scores[index, label]
        if len(found) > self.detections_per_img > 0:
            keep = (found >= found.topk(self.detections_per_img).values[-1]).nonzero().squeeze(1)
            index, label = index[keep], label[keep]
        return index, label


def make_proposals(count: int, classes: int, noise: float, margin: float) -> tuple[tuple[Tensor, ...], list[BoxList]]:
    """Features, logits and offsets of proposals, which crowd around some objects, and the proposals."""
    objects = max(count // 40, 1)
    corner = torch.rand(objects, 2) * torch.tensor([700.0, 400.0])
    boxes = torch.cat((corner, corner + 40 + torch.rand(objects, 2) * 250), dim=1)
    owner = torch.randint(objects, (count,))
    proposals = BoxList(boxes[owner] + 8 * torch.randn(count, 4), (1000, 600)).clip_to_image(remove_empty=False)
    logits = noise * torch.randn(count, classes)
    logits[torch.arange(count), torch.randint(1, classes, (objects,))[owner]] += margin
    return (torch.randn(count, 16), logits, 0.5 * torch.randn(count, 4 * classes)), [proposals]


def best_seconds(processor: PostProcessor, arguments, repeats: int) -> tuple[float, BoxList]:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        _, (detections,) = processor(*arguments)
        best = min(best, time.perf_counter() - start)
    return best, detections


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proposals", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=151)
    parser.add_argument("--detections", type=int, default=80, help="detections per image")
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    for name, (noise, margin) in DETECTORS.items():
        torch.manual_seed(0)
        arguments = make_proposals(args.proposals, args.classes, noise, margin)
        threshold = 0.005 if name == "untrained" else 0.01
        candidates = int((arguments[0][1].softmax(1)[:, 1:] > threshold).sum())
        print(f"{name} detector, {candidates} candidates")
        for filter_duplicates in (True, False):
            options = (threshold, 0.3, 300, filter_duplicates, args.detections)
            fast, detections = best_seconds(PostProcessor(*options), arguments, args.repeats)
            slow, expected = best_seconds(LoopedPostProcessor(*options), arguments, args.repeats)
            for field in ("pred_scores", "pred_labels"):
                torch.testing.assert_close(detections.get_field(field), expected.get_field(field), rtol=0, atol=0)
            torch.testing.assert_close(detections.bbox, expected.bbox, rtol=0, atol=0)
            print(
                f"  {'one' if filter_duplicates else 'several'} per proposal: {1e3 * fast:.1f} ms, "
                f"class by class {1e3 * slow:.1f} ms, ratio {slow / fast:.1f}"
            )


if __name__ == "__main__":
    main()
