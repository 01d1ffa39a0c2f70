"""What only code written against SGB calls."""

import logging

import numpy as np
import pytest
import torch
from support import PARITY
from torch.nn import functional as F

from maskrcnn_benchmark import sgb_compat
from maskrcnn_benchmark.sgb_compat import (
    FocalLoss,
    Label_Smoothing_Regression,
    ListDataset,
    argsort_desc,
    convert_relation_matrix_to_triplets,
    debug_print,
    entropy_loss,
    intersect_2d,
    kl_div_loss,
)


def test_debug_print_follows_its_switch(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    log = logging.getLogger("debug_print")
    debug_print(log, "one")
    monkeypatch.setattr(sgb_compat, "DEBUG_PRINT_ON", True)
    debug_print(log, "two")
    debug_print(None, "three")
    assert [record.getMessage() for record in caplog.records] == ["#" * 20 + " two"]


def test_label_smoothing_gives_the_reference_losses():
    reference = np.load(PARITY / "predictors.npz")
    labels = torch.tensor(reference["in/train0/rel_labels"]).long()
    keys = [key for key in reference.files if key.endswith("train0/loss_rel_ls1")]
    assert keys
    for key in keys:
        logits = torch.tensor(reference[key.replace("loss_rel_ls1", "rel")])
        loss = Label_Smoothing_Regression(e=0.01)(logits, labels)
        torch.testing.assert_close(loss.item(), float(reference[key]), rtol=1e-6, atol=0)


def test_label_smoothing_is_cross_entropy_with_soft_targets():
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 5), torch.randint(0, 5, (6,))
    target = F.one_hot(labels, 5) * 0.9 + 0.1 / 5
    expected = -(target * logits.log_softmax(1)).sum(1)
    for reduction, want in (("none", expected), ("sum", expected.sum()), ("mean", expected.mean())):
        torch.testing.assert_close(Label_Smoothing_Regression(0.1, reduction)(logits, labels), want)
    with pytest.raises(ValueError, match="reduction"):
        Label_Smoothing_Regression(reduction="max")


def test_entropy_and_divergence():
    torch.manual_seed(0)
    p, q = torch.randn(3, 4).softmax(1), torch.randn(3, 4).softmax(1)
    entropy = torch.distributions.Categorical(p).entropy()
    torch.testing.assert_close(entropy_loss(p), entropy.mean())
    torch.testing.assert_close(entropy_loss(p, reduction="mean"), entropy.mean() / 4)
    divergence = (q * (q / p).log()).sum(1)
    torch.testing.assert_close(kl_div_loss(p, q), divergence.mean())
    assert kl_div_loss(p, p).abs() < 1e-6
    p.requires_grad_()
    q.requires_grad_()
    kl_div_loss(p, q).backward()
    assert p.grad is not None and q.grad is None
    with pytest.raises(ValueError, match=r"\[N, C\]"):
        entropy_loss(p[0])
    with pytest.raises(ValueError, match="reduction"):
        kl_div_loss(p, q, reduction="none")


def test_focal_loss_weighs_down_what_is_easy():
    logits, labels = torch.tensor([[4.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])
    p = logits.softmax(dim=1)[torch.arange(3), labels]
    torch.testing.assert_close(FocalLoss()(logits, labels), -p.log().mean())
    alpha = torch.tensor([0.75, 0.25, 0.25])
    expected = -(alpha * (1 - p) ** 2 * p.log()).sum()
    torch.testing.assert_close(FocalLoss(gamma=2, alpha=0.25, size_average=False)(logits, labels), expected)


def test_rows_of_one_array_in_another():
    first, second = np.array([[1, 2], [3, 4], [1, 2]]), np.array([[3, 4], [1, 2]])
    assert intersect_2d(first, second).tolist() == [[False, True], [True, False], [False, True]]
    with pytest.raises(ValueError, match="2 and 1"):
        intersect_2d(first, second[:, :1])


def test_indices_of_the_largest():
    scores = np.array([[0.1, 0.9], [0.5, 0.3]])
    assert argsort_desc(scores).tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]


def test_a_list_of_images_is_a_data_set():
    paths = sorted((PARITY / "vg" / "VG_100K").iterdir())[:2]
    dataset = ListDataset(paths, transforms=lambda image, target: (image, target))
    image, target = dataset[1]
    assert len(dataset) == 2
    assert dataset.get_img_info(1) == {"width": image.width, "height": image.height}
    assert target.bbox.tolist() == [[0, 0, image.width, image.height]]


def test_relation_matrix_to_triplets():
    matrix = torch.tensor([[0, 3, 0], [0, 0, 0], [7, 1, 0]])
    assert convert_relation_matrix_to_triplets(matrix).tolist() == [[0, 1, 3], [2, 0, 7], [2, 1, 1]]
