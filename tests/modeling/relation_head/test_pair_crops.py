"""Embeddings of crops: kept on the disk, found again, made again where anything that decides them changes."""

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.language.crops import CropRule
from maskrcnn_benchmark.modeling.language.image_encoder import IMAGE_MEAN, IMAGE_STD, ImageEncoder
from maskrcnn_benchmark.modeling.roi_heads.relation_head.pair_crops import PairCrops

SIZE = 8
BOXES = torch.tensor([[3.0, 3, 20, 20], [9.0, 9, 28, 18], [0.0, 2, 29, 19]])


class Counting(torch.nn.Module):
    """A tower that counts what it is shown."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3 * SIZE * SIZE, 16)
        self.seen = 0

    def forward(self, pixels):
        self.seen += len(pixels)
        return self.linear(pixels.flatten(1))


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return Counting()


def crops(tower, folder, rule=CropRule(0.1, "pad")):  # noqa: B008  (it cannot be changed)
    encoder = ImageEncoder(tower, SIZE, IMAGE_MEAN, IMAGE_STD, 1.0, torch.device("cpu"))
    return PairCrops(encoder, cfg.INPUT, rule, str(folder))


def image(seed=0):
    return torch.randn(3, 25, 35, generator=torch.Generator().manual_seed(seed)) * 50


def test_a_box_is_embedded_once(tower, tmp_path):
    first = crops(tower, tmp_path).embed(image(), (30, 20), BOXES[:2])
    found = crops(tower, tmp_path).embed(image(), (30, 20), BOXES[[2, 1, 0, 0]])
    assert tower.seen == 3
    assert torch.equal(found[[2, 1]], first) and torch.equal(found[2], found[3])
    plain = crops(tower, "").embed(image(), (30, 20), BOXES[[2, 1, 0, 0]])
    torch.testing.assert_close(found, plain, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


def test_padding_does_not_matter(tower, tmp_path):
    crops(tower, tmp_path).embed(image(), (30, 20), BOXES)
    other = image().clone()
    other[:, 20:], other[:, :, 30:] = 0, 0
    crops(tower, tmp_path).embed(other, (30, 20), BOXES)
    assert tower.seen == 3


def test_other_pixels_weights_or_rules_are_embedded_anew(tower, tmp_path):
    crops(tower, tmp_path).embed(image(), (30, 20), BOXES)
    crops(tower, tmp_path).embed(image(1), (30, 20), BOXES)
    crops(tower, tmp_path, CropRule(0.2, "pad")).embed(image(), (30, 20), BOXES)
    with torch.no_grad():
        tower.linear.bias += 1
    crops(tower, tmp_path).embed(image(), (30, 20), BOXES)
    assert tower.seen == 12


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_made_again(tower, tmp_path, damage):
    expected = crops(tower, tmp_path).embed(image(), (30, 20), BOXES)
    (path,) = tmp_path.rglob("*.pt")
    if damage is None:
        torch.save({"boxes": BOXES, "embeddings": torch.full((3, 16), torch.nan)}, path)
    else:
        path.write_bytes(damage)
    assert torch.equal(crops(tower, tmp_path).embed(image(), (30, 20), BOXES), expected)
    assert tower.seen == 6


def test_no_box_is_no_work(tower, tmp_path):
    assert crops(tower, "").embed(image(), (30, 20), BOXES[:0]).shape[0] == 0
    assert crops(tower, tmp_path).embed(image(), (30, 20), BOXES[:0]).shape[0] == 0
    assert tower.seen == 0
