"""Run inside the stand-in, after the plugin was installed: a training step and an inference with every context.

Works with Python 3.8 and PyTorch 1.10, and needs no text encoder. Arguments: files with configurations to merge.
"""

import os
import sys
import tempfile

import numpy as np
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import make_roi_relation_predictor
from maskrcnn_benchmark.structures.bounding_box import BoxList

HEAD = "MODEL.ROI_RELATION_HEAD."
CLASSES, PREDICATES, WIDTH = 7, 6, 16


def write_bank(path):
    generator = np.random.RandomState(0)
    np.savez(
        path,
        objects=[f"object{i}" for i in range(1, CLASSES)],
        predicates=[f"predicate{i}" for i in range(1, PREDICATES)],
        subject_predicate=generator.randn(CLASSES - 1, PREDICATES - 1, WIDTH),
        predicate_object=generator.randn(PREDICATES - 1, CLASSES - 1, WIDTH),
    )


def make_batch():
    generator = torch.Generator().manual_seed(1)
    proposals, pairs, labels, binarys = [], [], [], []
    for n in (4, 3):
        proposal = BoxList(torch.rand(n, 4, generator=generator) * 90, (100, 80), "xyxy")
        proposal.add_field("labels", torch.randint(1, CLASSES, (n,), generator=generator))
        proposal.add_field("predict_logits", torch.randn(n, CLASSES, generator=generator))
        proposals.append(proposal)
        pairs.append(torch.nonzero(torch.ones(n, n) - torch.eye(n)))
        labels.append(torch.randint(0, PREDICATES, (len(pairs[-1]),), generator=generator))
        binarys.append(torch.ones(n, n).long())
    roi, union = torch.randn(7, 32, generator=generator), torch.randn(18, 32, generator=generator)
    return proposals, pairs, labels, binarys, roi, union


def check(config):
    torch.manual_seed(0)
    model = make_roi_relation_predictor(config, 32)
    batch = make_batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    obj, rel, losses = model.train()(*batch)
    assert set(losses) >= {"loss_rcl_sp", "loss_rcl_po"}, losses
    total = sum(losses.values()) + sum(x.logsumexp(1).sum() for x in rel) + sum(x.logsumexp(1).sum() for x in obj)
    total.backward()
    optimizer.step()
    proposals, pairs, _, _, roi, union = batch
    with torch.no_grad():
        obj, rel, losses = model.eval()(proposals, pairs, None, None, roi, union)
    assert [tuple(x.shape) for x in rel] == [(12, PREDICATES), (6, PREDICATES)] and losses == {}
    assert all(torch.isfinite(x).all() for x in rel + obj)
    return float(total.detach())


def main():
    bank = os.path.join(tempfile.mkdtemp(), "bank.npz")
    write_bank(bank)
    small = ["MODEL.LANGUAGE.BANK_FILE", bank, HEAD + "NUM_CLASSES", PREDICATES, "MODEL.DEVICE", "cpu"]
    small += ["MODEL.ROI_BOX_HEAD.NUM_CLASSES", CLASSES, "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 32]
    small += [HEAD + "CONTEXT_POOLING_DIM", 24, HEAD + "CONTEXT_HIDDEN_DIM", 12, HEAD + "RELCLIP.PROJECTION_DIM", 8]
    for path in sys.argv[1:]:
        config = cfg.clone()
        config.merge_from_file(path)
        config.merge_from_list(small)
        config.freeze()
        print(os.path.basename(path), f"{check(config):.6f}")
    for context in ("motifs", "vctree", "transformer", "vtranse", "none"):
        for boxes, labels in ((True, True), (True, False), (False, False)):
            config = cfg.clone()
            options = [HEAD + "PREDICTOR", "RelCLIPPredictor", HEAD + "RELCLIP.CONTEXT", context]
            options += [HEAD + "USE_GT_BOX", boxes, HEAD + "USE_GT_OBJECT_LABEL", labels]
            config.merge_from_list(small + options)
            print(context, boxes, labels, f"{check(config):.6f}")
    check_imports()


def check_imports():
    """An installation of this project must not stand in for what the checkout lacks."""
    here = os.path.dirname(os.path.abspath(__file__)) + os.sep
    modules = [(name, module) for name, module in sys.modules.items() if name.split(".")[0] == "maskrcnn_benchmark"]
    for name, module in modules:
        place = module.__file__ or next(iter(module.__path__))
        assert place.startswith(here), f"{name} comes from {place}"


if __name__ == "__main__":
    main()
